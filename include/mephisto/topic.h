// A Topic<T> is a declared topic whose values are T. Agents consume it, and code sends to it.
//
//   auto& orders = app.topic<Order>("orders", {.partitions = 4});
//   co_await orders.send({.id = "1", .price = 9.5}, {.key = "1"});   // durable when it returns
//   co_await orders.cast({.id = "2", .price = 1.0});                 // on its way; durable before the event that sent
//   it is committed
#pragma once

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mephisto/stream/send_options.h"
#include "mephisto/stream/topic_spec.h"
#include "mephisto/stream/unit_of_work.h"

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

TopicSpec make_spec(std::string name, const TopicOptions& options);

ModelInfo model_of(const json::RecordShape& shape);

template <class T>
void write_value(const Codec& codec, const void* value, Buffer& out) {
  codec.dump(*static_cast<const T*>(value), out);
}

// Sends through the running task's outbox without a wait. False: it has no room, or the topic is not looked up yet.
bool cast_now(const TopicSpec& topic, const SendOptions& options, WriteValue write, const void* value);
// The bytes of a value, or why it cannot be written. They are kept while its sender waits.
struct Encoded {
  std::optional<Buffer> bytes{};  // no value: a tombstone
  std::exception_ptr error{};
};
Encoded encode(const TopicSpec& topic, WriteValue write, const void* value);
// The same with waits.
Task<void> cast_later(const TopicSpec& topic, SendOptions options, Encoded value);
// Sends and waits until the record is durable.
Task<RecordMetadata> send_and_wait(const TopicSpec& topic, SendOptions options, Encoded value);

}  // namespace detail

class TopicBase {
 public:
  explicit TopicBase(detail::TopicSpec spec);
  ~TopicBase();
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
    if (detail::cast_now(spec_, options, detail::write_value<T>, &value)) return {};
    return Cast{detail::cast_later(spec_, options, detail::encode(spec_, detail::write_value<T>, &value))};
  }

  // As cast, and waits until the record is durable.
  Task<RecordMetadata> send(const T& value, SendOptions options = {}) const {
    return detail::send_and_wait(spec_, std::move(options), detail::encode(spec_, detail::write_value<T>, &value));
  }
};

}  // namespace mephisto
