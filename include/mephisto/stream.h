// Stream<T>: the events of an agent, one after the other.
//
//   while (auto event = co_await stream.next()) { use(event->price, event.key()); }
//
// An event is acknowledged when the handler asks for the next one, or ends normally. If an exception leaves the handler
// while it holds an event, the agent's error policy applies (agent.h). While a fetched batch has records left, next()
// does not suspend.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "mephisto/codec.h"
#include "mephisto/loop.h"
#include "mephisto/topic.h"

namespace mephisto {

namespace detail {

class Instance;
struct Slot;

// How a stream takes the records of the agent's instance that it feeds (agent/instance.h).
class RecordSource {
 public:
  explicit RecordSource(Instance& instance);
  RecordSource(const RecordSource&) = delete;
  RecordSource& operator=(const RecordSource&) = delete;

  Instance& instance() const { return instance_; }
  // Acknowledges the event before and takes the next record. Null: none is ready, or the loop's other tasks come first.
  const RecordView* try_next();
  // The same, but without an acknowledgement: the event before becomes part of a batch.
  const RecordView* next_in_batch();
  // The record that was taken last cannot be decoded: it fails, and the next one is taken.
  const RecordView* next_after(const Error& error);
  Slot* slot() const { return slot_; }
  // The value of a request in an envelope (Faust without headers), unpadded; empty if the record is not such a request.
  std::string_view unwrap(const RecordView& record);
  // Takes records until take() is true for one, or the stream ends.
  Task<void> wait_next(void* event);
  // Waits for a further record of a batch. False: there is none until the deadline.
  Task<bool> wait_in_batch(Loop::time_point deadline);
  // The events since the first next_in_batch() are a batch: the handler works for it as a whole.
  void end_batch();

 protected:
  ~RecordSource() = default;
  // Decodes the record, or one of the next ones, into the event. False if there is none.
  virtual bool take(const RecordView* record, void* event) = 0;

 private:
  Instance& instance_;
  Slot* slot_;  // the instance's
};

const TopicPartition& partition_of(const Slot& slot);
int attempt_of(const Slot& slot);
void acknowledge_now(Slot& slot);
// The stream's events are acknowledged by acknowledge_now() only.
void acknowledge_by_hand(Instance& instance);

}  // namespace detail

// A view of the current event; valid until the next one is asked for. Converts to false at the stream's end.
template <class T>
class Event {
 public:
  Event() = default;
  Event(T* value, const RecordView* record, detail::Slot* slot) : value_(value), record_(record), slot_(slot) {}

  explicit operator bool() const { return value_ != nullptr; }
  T& operator*() const { return *value_; }
  T* operator->() const { return value_; }
  T& value() const { return *value_; }

  bool has_key() const { return record_->has_key(); }
  std::string_view key() const { return record_->key; }
  const HeadersView& headers() const { return record_->headers; }
  Timestamp timestamp() const { return record_->timestamp(); }
  const std::string& topic() const { return detail::partition_of(*slot_).topic; }
  int partition() const { return detail::partition_of(*slot_).partition; }
  std::int64_t offset() const { return record_->offset; }
  int attempt() const { return detail::attempt_of(*slot_); }  // failed attempts before this one

  // The same event with another value (Stream::map).
  template <class U>
  Event<U> with(U* value) const {
    return Event<U>{value, record_, slot_};
  }
  // Acknowledges now; for streams with noack().
  void ack() const { detail::acknowledge_now(*slot_); }

 private:
  T* value_ = nullptr;
  const RecordView* record_ = nullptr;
  detail::Slot* slot_ = nullptr;
};

// Whether the running task processes an event.
bool in_event();

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
class SourceNode final : public StreamNode<T>, public RecordSource {
 public:
  SourceNode(Instance& instance, const Codec& codec) : RecordSource(instance), codec_(codec) {}

  bool try_next(Event<T>& event) override { return take(RecordSource::try_next(), &event); }
  bool take_in_batch(Event<T>& event) { return take(next_in_batch(), &event); }
  Task<void> wait_next(Event<T>& event) override { return RecordSource::wait_next(&event); }

  Instance& instance() override { return RecordSource::instance(); }

 private:
  bool take(const RecordView* record, void* event) override {
    while (record != nullptr && !codec_.load_fast(record->value, value_)) {
      const auto read = decode(*record);
      if (read) break;
      record = next_after(read.error());
    }
    if (record == nullptr) return false;
    *static_cast<Event<T>*>(event) = Event<T>{&value_, record, slot()};
    return true;
  }

  Result<void> decode(const RecordView& record) {
    if (auto inner = unwrap(record); !inner.empty()) return codec_.load(json::padded_copy(inner), value_);
    if (!record.has_value()) {
      if constexpr (json::takes_tombstones<T>) {
        value_ = T{};
        return {};
      } else {
        return fail(ErrorKind::kDecode, "the value is null; an agent that takes tombstones has std::optional values");
      }
    }
    return codec_.load(record.value, value_);
  }

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
    const auto deadline = Loop::current()->now() + within;
    while (batch.values.size() < max) {
      if (source->take_in_batch(event))
        batch.values.push_back(std::move(*event));
      else if (!co_await source->wait_in_batch(deadline))
        break;
    }
    source->end_batch();
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
    detail::acknowledge_by_hand(node_->instance());
    return *this;
  }

 private:
  std::shared_ptr<detail::StreamNode<T>> node_;
};

}  // namespace mephisto
