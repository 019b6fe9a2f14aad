// A Topic<T> is a declared topic whose values are T. Agents consume it, and code sends to it.
//
//   auto& orders = app.topic<Order>("orders", {.partitions = 4});
//   co_await orders.send({.id = "1", .price = 9.5}, {.key = "1"});   // durable when it returns
//   co_await orders.cast({.id = "2", .price = 1.0});                 // on its way; durable before the event that sent
//   it is committed
#pragma once

#include <string>
#include <utility>

#include "mephisto/stream/outbox.h"
#include "mephisto/stream/send_options.h"

namespace mephisto {

struct TopicOptions {
  int partitions = 0;  // 0: the setting topic_partitions
  std::optional<std::chrono::milliseconds> retention{};
  std::optional<std::int64_t> retention_bytes{};
  bool compacting = false;
  bool internal = false;            // created by the worker at its start
  std::string serializer = "json";  // codec chain of values
  std::string help{};
};

namespace detail {

// The unit of work of the running task, or null.
inline UnitOfWork* current_unit() {
  auto* context = TaskContext::current();
  return context == nullptr ? nullptr : context->current_unit;
}

// The event that the running task processes, or null.
inline Slot* current_slot() { return event_of(current_unit()); }

TopicSpec make_spec(std::string name, const TopicOptions& options);

ModelInfo model_of(const json::RecordShape& shape);

}  // namespace detail

class TopicBase {
 public:
  explicit TopicBase(detail::TopicSpec spec) : spec_(std::move(spec)) {}
  TopicBase(const TopicBase&) = delete;
  TopicBase& operator=(const TopicBase&) = delete;
  const std::string& name() const { return spec_.name; }
  const detail::TopicSpec& spec() const { return spec_; }

  // Sends bytes as they are, and waits until they are durable. Without a value it sends a tombstone.
  Task<RecordMetadata> send_raw(std::optional<std::string> value, SendOptions options = {}) const;

 protected:
  detail::TopicSpec spec_;
};

// The result of cast(): the value is sent already, or waits for room in the outbox. `co_await` it. With room, as nearly
// always, that does not suspend and costs no coroutine. It converts to a Task.
class [[nodiscard("nothing waits until it is awaited: write co_await before it")]] Cast {
 public:
  Cast() = default;
  explicit Cast(Task<void> waiting) : waiting_(std::move(waiting)) {}

  bool await_ready() const { return !waiting_; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> handle) {
    return waiting_.operator co_await().await_suspend(handle);
  }
  void await_resume() {
    if (waiting_) waiting_.operator co_await().await_resume();
  }

  operator Task<void>() && {
    return waiting_ ? std::move(waiting_) : []() -> Task<void> { co_return; }();
  }

 private:
  Task<void> waiting_;
};

template <class T>
class Topic : public TopicBase {
 public:
  using TopicBase::TopicBase;
  using value_type = T;
  Topic(const Topic&) = delete;  // app.topic() gives a reference: write `auto& orders = app.topic<Order>("orders")`

  // Sends the value. Awaiting the result suspends only while too many records are under way. Throws Failure when the
  // log refuses.
  Cast cast(const T& value, const SendOptions& options = {}) const {
    auto& outbox = detail::Outbox::current(spec_.name);
    const auto* handle = outbox.collector().has_room() ? outbox.topics().known(spec_) : nullptr;
    if (handle == nullptr) return Cast{put(value, options)};
    add(outbox, *handle, value, options, false);
    return {};
  }

  // As cast, and waits until the record is durable.
  Task<RecordMetadata> send(T value, SendOptions options = {}) const {
    auto& outbox = detail::Outbox::current(spec_.name);
    co_await outbox.collector().room();
    const auto* handle = co_await outbox.topics().resolve(spec_);
    options.partition = outbox.collector().partition_of(*handle, options);
    const auto ticket = add(outbox, *handle, value, options, true);
    co_return co_await outbox.tickets().sent(ticket, spec_.name, *options.partition);
  }

 private:
  detail::Ticket add(detail::Outbox& outbox, const detail::TopicHandle& handle, const T& value,
                     const SendOptions& options, bool await) const {
    auto& collector = outbox.collector();
    return value_or_throw(collector.add_value(handle, collector.partition_of(handle, options), options,
                                              spec_.value_codec, value, detail::current_unit(), await));
  }
  // The parameters are values, because the caller's may be gone when there is room.
  Task<void> put(T value, SendOptions options) const {
    auto& outbox = detail::Outbox::current(spec_.name);
    co_await outbox.collector().room();
    const auto* handle = co_await outbox.topics().resolve(spec_);
    add(outbox, *handle, value, options, false);
  }
};

}  // namespace mephisto
