// Stream<T>: the events of an agent, one after the other.
//
//   while (auto event = co_await stream.next()) { use(event->price, event.key()); }
//
// An event is acknowledged when the handler asks for the next one, or ends normally. If an exception leaves the handler
// while it holds an event, the agent's error policy applies (agent.h). While a fetched batch has records left, next()
// does not suspend.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "mephisto/codec.h"
#include "mephisto/stream/delivery.h"
#include "mephisto/topic.h"

namespace mephisto {

namespace detail {

class AgentRuntime;

// A cheap test that rules out almost all values that are not a request in an envelope (Faust without headers).
// Instance::unwrap() examines the others.
inline bool maybe_envelope(std::string_view value) {
  return value.starts_with('{') && value.find("ReqRepRequest") != std::string_view::npos;
}

// One running coroutine of an agent, with the event (or batch of events) that it processes.
class Instance {
 public:
  // Call it on the task that runs the handler.
  Instance(AgentRuntime& runtime, LaneQueue& queue)
      : runtime_(runtime), queue_(queue), context_(*TaskContext::current()) {}
  ~Instance() {
    for (auto& slot : unacked_) queue_.drop(slot);
  }
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  LaneQueue& queue() { return queue_; }
  TaskContext& context() const { return context_; }
  // Whether it processes the record, alone or in a batch. waits_for_ack(): with manual_ack, whether it has processed
  // the record and the acknowledgement is missing.
  bool holds(const Lane& lane, std::int64_t offset) const;
  bool waits_for_ack(const Lane& lane, std::int64_t offset) const;
  Slot& slot() { return slot_; }
  std::vector<Slot>& held() { return held_; }
  bool manual_ack = false;

  // Acknowledges the held events and takes the next record.
  bool advance() {
    if (slot_) acknowledge();
    if (!held_.empty()) acknowledge_held();
    return queue_.pick(slot_);
  }
  // Waits for the next record, after advance() has found none. False at the end of the stream.
  Task<bool> wait_for_record();
  // Takes another record without acknowledging: the current one joins the batch.
  bool advance_in_batch() {
    if (slot_) hold();
    return queue_.pick(slot_);
  }
  // Whether the handler must let the loop's other tasks run, although there is a next record. The clock is read only
  // now and then.
  bool must_yield() {
    if (++taken_ < kReadClockEvery) return must_yield_;
    taken_ = 0;
    return must_yield_ = Loop::current()->turn_is_over();
  }
  void yielded() { must_yield_ = false; }
  void hold() { held_.push_back(std::exchange(slot_, {})); }
  // The unit of work of the current event or batch that needs the state of another unit; null if it does not.
  Slot* in_conflict();
  // Discards what the current event or batch has done. return_events(): gives the events back to the queue.
  void discard();
  void return_events();
  void acknowledge();
  void acknowledge_held();
  void decode_failed(const Error& error);
  // The value of a request in an envelope (Faust without headers), unpadded; empty if the record is not such a request.
  std::string_view unwrap();
  bool closed() const { return queue_.closed(); }
  AgentRuntime& runtime() { return runtime_; }
  // From now on the handler sends for this event. This also holds if a task of its own asks the stream (timeout).
  void work_on(Slot* slot) {
    context_.current_unit = slot;
    TaskContext::current()->current_unit = slot;
  }

 private:
  static constexpr int kReadClockEvery = 16;

  AgentRuntime& runtime_;
  LaneQueue& queue_;
  TaskContext& context_;
  int taken_ = 0;
  bool must_yield_ = false;
  Slot slot_;
  std::vector<Slot> held_;
  std::vector<Slot> unacked_;  // with manual_ack: events without an acknowledgement, in flight until the worker stops
  std::string unwrapped_;
};

}  // namespace detail

// A view of the current event; valid until the next one is asked for. Converts to false at the stream's end.
template <class T>
class Event {
 public:
  Event() = default;
  Event(T* value, detail::Slot* slot) : value_(value), slot_(slot) {}

  explicit operator bool() const { return value_ != nullptr; }
  T& operator*() const { return *value_; }
  T* operator->() const { return value_; }
  T& value() const { return *value_; }

  bool has_key() const { return slot_->record().has_key(); }
  std::string_view key() const { return slot_->record().key; }
  const HeadersView& headers() const { return slot_->record().headers; }
  Timestamp timestamp() const { return slot_->record().timestamp(); }
  const std::string& topic() const { return slot_->lane().assigned.partition.topic; }
  int partition() const { return slot_->lane().assigned.partition.partition; }
  std::int64_t offset() const { return slot_->record().offset; }
  int attempt() const { return slot_->attempt; }  // failed attempts before this one

  // The same event with another value (Stream::map).
  template <class U>
  Event<U> with(U* value) const {
    return Event<U>{value, slot_};
  }
  // Acknowledges now; for streams with noack().
  void ack() const {
    if (!slot_->done) slot_->lane().queue->acknowledge(*slot_, detail::Outcome::kAcked);
  }

 private:
  T* value_ = nullptr;
  detail::Slot* slot_ = nullptr;
};

// Whether the running task processes an event.
inline bool in_event() { return detail::current_slot() != nullptr; }

// Sleeps in a handler. For waits that may be long and can start again: for a rate limit, or for a service that is
// unreachable. If the event's partition must be released meanwhile (the worker stops, or a rebalance), the wait ends
// with Cancelled and the event returns to the queue. It is neither acknowledged nor failed; the partition's next owner
// gets it again. Without an event it is sleep_for. In a batch the last event counts. `what` describes the wait in
// `why`; it must outlive the wait.
Task<void> sleep_or_give_back(Loop::duration duration, const char* what = "a pause to end");

// Several events taken together (Stream::batch) and acknowledged as one.
template <class T>
struct EventBatch {
  std::vector<T> values;
  explicit operator bool() const { return !values.empty(); }
  auto begin() { return values.begin(); }
  auto end() { return values.end(); }
  std::size_t size() const { return values.size(); }
};

namespace detail {

template <class T>
class StreamNode {
 public:
  virtual ~StreamNode() = default;
  // Gives the next event if one is ready now. False: none is ready, or the stream has ended.
  virtual bool try_next(Event<T>& event) = 0;
  // Waits for the next event; an empty event means the end.
  virtual Task<void> wait_next(Event<T>& event) = 0;
  virtual Instance& instance() = 0;
};

template <class T>
class SourceNode : public StreamNode<T> {
 public:
  SourceNode(Instance& instance, const Codec& codec) : instance_(instance), codec_(codec) {}

  bool try_next(Event<T>& event) override {
    if (instance_.must_yield()) return false;
    return take(event, instance_.advance());
  }

  bool take_in_batch(Event<T>& event) { return take(event, instance_.advance_in_batch()); }

  Task<void> wait_next(Event<T>& event) override {
    if (instance_.must_yield()) {
      co_await yield();
      instance_.yielded();
    }
    while (!take(event, instance_.advance())) {
      if (instance_.closed()) co_return;
      co_await instance_.queue().ready().wait("events");
    }
  }

  Instance& instance() override { return instance_; }

 private:
  bool take(Event<T>& event, bool picked) {
    for (; picked; picked = instance_.queue().pick(instance_.slot())) {
      auto& slot = instance_.slot();
      if (auto read = decode(slot); !read) {
        instance_.decode_failed(read.error());
        continue;
      }
      event = Event<T>{&value_, &slot};
      instance_.work_on(&slot);
      return true;
    }
    instance_.work_on(nullptr);
    return false;
  }

  Result<void> decode(Slot& slot) {
    const auto& bytes = slot.record().value;
    if (codec_.load_fast(bytes, value_)) return {};
    if (maybe_envelope(bytes)) {
      if (auto inner = instance_.unwrap(); !inner.empty()) return codec_.load(json::padded_copy(inner), value_);
    }
    if (!slot.record().has_value()) {
      if constexpr (json::takes_tombstones<T>) {
        value_ = T{};
        return {};
      } else {
        return fail(ErrorKind::kDecode, "the value is null; an agent that takes tombstones has std::optional values");
      }
    }
    return codec_.load(bytes, value_);
  }

  Instance& instance_;
  const Codec& codec_;
  T value_{};
};

template <class T, class Test>
class FilterNode : public StreamNode<T> {
 public:
  FilterNode(std::shared_ptr<StreamNode<T>> from, Test test) : from_(std::move(from)), test_(std::move(test)) {}
  bool try_next(Event<T>& event) override {
    while (from_->try_next(event)) {
      if (test_(std::as_const(*event))) return true;
    }
    return false;
  }
  Task<void> wait_next(Event<T>& event) override {
    do {
      event = {};
      co_await from_->wait_next(event);
    } while (event && !test_(std::as_const(*event)));
  }
  Instance& instance() override { return from_->instance(); }

 private:
  std::shared_ptr<StreamNode<T>> from_;
  Test test_;
};

template <class T, class U, class Change>
class MapNode : public StreamNode<U> {
 public:
  MapNode(std::shared_ptr<StreamNode<T>> from, Change change) : from_(std::move(from)), change_(std::move(change)) {}
  bool try_next(Event<U>& event) override {
    Event<T> original;
    if (!from_->try_next(original)) return false;
    event = changed(original);
    return true;
  }
  Task<void> wait_next(Event<U>& event) override {
    Event<T> original;
    co_await from_->wait_next(original);
    if (original) event = changed(original);
  }
  Instance& instance() override { return from_->instance(); }

 private:
  Event<U> changed(const Event<T>& original) {
    value_.emplace(change_(*original));
    return original.with(&*value_);
  }
  std::shared_ptr<StreamNode<T>> from_;
  Change change_;
  std::optional<U> value_;
};

// A node whose work for each event may suspend: echo, rate_limit.
template <class T>
class StepNode : public StreamNode<T> {
 public:
  using Step = std::function<Task<void>(Event<T>&)>;
  StepNode(std::shared_ptr<StreamNode<T>> from, Step step) : from_(std::move(from)), step_(std::move(step)) {}
  bool try_next(Event<T>&) override { return false; }
  Task<void> wait_next(Event<T>& event) override {
    co_await from_->wait_next(event);
    if (event) co_await step_(event);
  }
  Instance& instance() override { return from_->instance(); }

 private:
  std::shared_ptr<StreamNode<T>> from_;
  Step step_;
};

}  // namespace detail

template <class T>
class Stream {
 public:
  explicit Stream(std::shared_ptr<detail::StreamNode<T>> node) : node_(std::move(node)) {}

  // co_await next() acknowledges the event before and gives the next one. At the end of the stream it gives an event
  // that is false.
  auto next() {
    struct [[nodiscard("nothing waits until it is awaited: write co_await before it")]] Next {
      detail::StreamNode<T>& node;
      Event<T> event;
      Task<void> slow;
      bool await_ready() { return node.try_next(event); }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> handle) {
        slow = node.wait_next(event);
        return slow.operator co_await().await_suspend(handle);
      }
      Event<T> await_resume() {
        if (slow) slow.operator co_await().await_resume();
        return event;
      }
    };
    return Next{*node_, {}, {}};
  }

  // The events whose values pass the test; the others are acknowledged.
  template <class Test>
  [[nodiscard("the events go through the stream that this gives")]] Stream<T> filter(Test test) const {
    return Stream<T>{std::make_shared<detail::FilterNode<T, Test>>(node_, std::move(test))};
  }
  // The same events with other values.
  template <class Change>
  [[nodiscard("the events go through the stream that this gives")]] auto map(Change change) const {
    using U = std::invoke_result_t<Change&, T&>;
    return Stream<U>{std::make_shared<detail::MapNode<T, U, Change>>(node_, std::move(change))};
  }
  // (key, value) pairs; without a key the optional is empty.
  [[nodiscard("the events go through the stream that this gives")]] auto items() const {
    using Item = std::pair<std::optional<std::string>, T>;
    struct Items {
      Stream<T> stream;
      Task<std::optional<Item>> next() {
        auto event = co_await stream.next();
        if (!event) co_return std::nullopt;
        co_return Item{event.has_key() ? std::optional<std::string>{event.key()} : std::nullopt, *event};
      }
    };
    return Items{*this};
  }
  // (index, event) pairs, counted from `start` in this instance.
  [[nodiscard("the events go through the stream that this gives")]] auto enumerate(std::size_t start = 0) const {
    struct Enumerated {
      Stream<T> stream;
      std::size_t index;
      Task<std::pair<std::size_t, Event<T>>> next() {
        auto event = co_await stream.next();
        co_return std::pair{index++, event};
      }
    };
    return Enumerated{*this, start};
  }
  // Gives up to `max` values: those that arrive within `within` after the first. They are acknowledged together when
  // the next ones are asked for. Works only on the agent's own stream, before other operators.
  Task<EventBatch<T>> batch(std::size_t max, Loop::duration within) {
    auto* source = dynamic_cast<detail::SourceNode<T>*>(node_.get());
    if (source == nullptr)
      throw Failure(ErrorKind::kInvalid, "batch() works on the agent's own stream, not after another operator");
    EventBatch<T> batch;
    Event<T> event;
    co_await source->wait_next(event);
    if (!event) co_return batch;
    batch.values.push_back(std::move(*event));
    auto& loop = TaskContext::current()->loop();
    const auto deadline = loop.now() + within;
    while (batch.values.size() < max) {
      if (source->take_in_batch(event)) {
        batch.values.push_back(std::move(*event));
        continue;
      }
      if (source->instance().closed() || loop.now() >= deadline) break;
      co_await source->instance().queue().ready().wait_until(deadline, "more events for a batch");
    }
    auto& instance = source->instance();
    if (instance.slot()) instance.hold();
    auto& held = instance.held();
    const auto last = held.back().lane().assigned.id;
    held.back().mixed =
        std::ranges::any_of(held, [&](const detail::Slot& slot) { return slot.lane().assigned.id != last; });
    instance.work_on(&held.back());
    co_return batch;
  }
  // Also sends each value to the topics.
  template <class... Topics>
  [[nodiscard("the events go through the stream that this gives")]] Stream<T> echo(const Topics&... topics) const {
    auto step = [... to = &topics](Event<T>& event) -> Task<void> {
      SendOptions options;
      if (event.has_key()) options.key = std::string{event.key()};
      (co_await to->cast(*event, options), ...);
    };
    return Stream<T>{std::make_shared<detail::StepNode<T>>(node_, std::move(step))};
  }
  // At most `count` events in each `per`, evenly spaced.
  [[nodiscard("the events go through the stream that this gives")]] Stream<T> rate_limit(double count,
                                                                                         Loop::duration per) const {
    auto spacing = std::chrono::duration_cast<Loop::duration>(per / count);
    auto due = std::make_shared<Loop::time_point>(Loop::time_point::min());
    auto step = [spacing, due](Event<T>&) -> Task<void> {
      auto now = TaskContext::current()->loop().now();
      if (*due > now) co_await sleep_until(*due);
      *due = std::max(now, *due) + spacing;
    };
    return Stream<T>{std::make_shared<detail::StepNode<T>>(node_, std::move(step))};
  }
  // Events are acknowledged only by event.ack(). An event without it is delivered again after a restart.
  Stream<T> noack() const {
    if (node_->instance().queue().takes_by_time())
      throw Failure(ErrorKind::kInvalid, "noack() does not work in an agent with by_time");
    node_->instance().manual_ack = true;
    return *this;
  }

 private:
  std::shared_ptr<detail::StreamNode<T>> node_;
};

}  // namespace mephisto
