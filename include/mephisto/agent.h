// Agents: named coroutines that consume a topic. See app.h for declaring them.
//
//   auto& square = app.agent("square", numbers, [](Stream<int> stream) -> Results<int> {
//     while (auto n = co_await stream.next()) co_yield *n * *n;       // to the asker, and to the sinks
//   });
//   int nine = co_await square.ask(3);
//
// The callable must not capture anything that is destroyed before the app (best: it captures nothing). The app owns it.
#pragma once

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mephisto/stream.h"
#include "mephisto/stream/time_order.h"
#include "mephisto/sync.h"
#include "mephisto/topic.h"

namespace mephisto {

// The return type of a handler that yields: a generator that may also await.
template <class R>
class [[nodiscard]] Results {
 public:
  using value_type = R;

  struct promise_type {
    std::coroutine_handle<> driver = std::noop_coroutine();
    std::exception_ptr exception;
    std::optional<R> value;

    struct Handover {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> handle) const noexcept {
        return handle.promise().driver;
      }
      void await_resume() const noexcept {}
    };
    Results get_return_object() { return Results{std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    Handover final_suspend() const noexcept { return {}; }
    template <class U>
    Handover yield_value(U&& result) {
      value.emplace(std::forward<U>(result));
      return {};
    }
    void return_void() const noexcept {}
    void unhandled_exception() noexcept { exception = std::current_exception(); }
  };

  explicit Results(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Results(Results&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  ~Results() {
    if (handle_) handle_.destroy();
  }

  // The next result, or null at the end. Valid until the next call.
  auto next() {
    struct [[nodiscard("nothing waits until it is awaited: write co_await before it")]] Next {
      std::coroutine_handle<promise_type> handle;
      bool await_ready() const { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> driver) const {
        handle.promise().driver = driver;
        handle.promise().value.reset();
        return handle;
      }
      R* await_resume() const {
        auto& promise = handle.promise();
        if (promise.exception) std::rethrow_exception(promise.exception);
        return promise.value ? &*promise.value : nullptr;
      }
    };
    return Next{handle_};
  }

 private:
  std::coroutine_handle<promise_type> handle_;
};

// The treatment of an event whose handler throws. A Failure of kInvalid is not retried. So an ask that was answered
// with an error is not retried either: the other agent has made its own retries, and would give the same answer. An ask
// without an answer (kTimeout) is retried.
struct ErrorPolicy {
  enum class Then {
    kDeadLetter,     // to the topic <id>-<agent>-dlq, with the reason in headers
    kSkip,           // counted and logged, otherwise forgotten
    kStopPartition,  // this partition waits for a restart; others go on
    kCrash,          // the worker stops with exit code 1
  };
  enum class Blocks { kNothing, kPartition };

  int retries = 3;
  std::chrono::milliseconds first_backoff{100};  // doubled each time, with jitter
  std::chrono::milliseconds last_backoff{10'000};
  Then then = Then::kDeadLetter;
  // Which events wait, besides those of the same key, while an event waits for its retry.
  Blocks blocks = Blocks::kNothing;
};

struct AgentOptions {
  int concurrency = 1;  // coroutines of a worker that share the events, spread over its shards (at least one on each)
  std::string concurrency_setting{};  // a setting that gives the number instead
  bool ordered_by_key = false;        // with concurrency: events of the same key are processed one after the other
  bool isolated_partitions = false;   // one coroutine per partition
  // Of an agent on several topics: records of partitions with one number come by their times, not as they arrive. A
  // record waits while another topic has records that are not read yet; and for so long if all of them are read. While
  // an event is retried, its partitions wait.
  std::optional<std::chrono::milliseconds> by_time{};
  ErrorPolicy on_error{};
  std::string help{};
};

namespace detail {

// The headers and records of request and reply on Faust's wire (faust/agents/models.py, agents/agent.py).
inline constexpr std::string_view kReplyToHeader = "Faust-Ag-ReplyTo";
inline constexpr std::string_view kCorrelationHeader = "Faust-Ag-CorrelationId";

struct ReplyAddress {
  std::string topic;
  std::string correlation_id;
  Timestamp asked;
};
std::optional<ReplyAddress> reply_address(const Slot& slot);

// Answers the event in `slot` with JSON text, if it is a request.
Task<void> reply(Slot& slot, std::string_view value_json, bool value_has_namespace);

// The event that the instance processes, or null.
Slot* event_of(Instance& instance);

// Options with the key of the running task's event.
SendOptions same_key();

// Answers `null`, if the event is a request and the handler gave no result.
void answer_null(Slot& slot);
Task<void> send_error_reply(ReplyAddress address, std::string message);

// Makes the record that is sent a request.
void add_reply_headers(SendOptions& options, std::string reply_to, std::string correlation_id);

// Sends `value` (JSON text by the agent's codec) and waits for the reply's value as JSON text.
Task<std::string> ask_raw(const TopicSpec& topic, std::string value, SendOptions options, Loop::duration deadline);

}  // namespace detail

// A further target of an agent's results, besides the asker.
template <class R>
struct Sink {
  std::function<Task<void>(const R&)> run;
};

class AgentBase {
 public:
  AgentBase(std::string name, detail::TopicSpec topic, AgentOptions options);
  virtual ~AgentBase();
  AgentBase(const AgentBase&) = delete;
  AgentBase& operator=(const AgentBase&) = delete;

  const std::string& name() const { return name_; }
  const detail::TopicSpec& topic() const { return topic_; }
  const AgentOptions& options() const { return options_; }
  const detail::TimeOrder& order() const { return order_; }
  // Before the app runs.
  void take_by_time(detail::TimeOrder order) {
    order_ = std::move(order);
    options_.on_error.blocks = ErrorPolicy::Blocks::kPartition;
  }
  // Runs the handler over the instance's stream until it ends.
  virtual Task<void> run(detail::Instance& instance) const = 0;
  // The event has failed for good and becomes a dead letter or is skipped. Changes of state that this makes in the
  // event's unit of work count.
  virtual void given_up(detail::Slot&, const std::string& /*why*/) const {}
  // Set by the app: the number of its running workers. While any runs, the agent cannot be changed.
  const std::atomic<int>* running = nullptr;

 protected:
  std::string name_;
  detail::TopicSpec topic_;
  AgentOptions options_;
  detail::TimeOrder order_;  // of the records of several topics; without a topic, the order of arrival
};

struct AskOptions {
  std::optional<std::string> key{};
  Loop::duration timeout = std::chrono::seconds{30};
};

template <class T, class R>
class Agent : public AgentBase {
  using ResultType = std::conditional_t<std::is_void_v<R>, None, R>;

 public:
  // The stream is passed by reference: a handler that takes a reference refers to run()'s stream, which lives as long.
  using Handler = std::conditional_t<std::is_void_v<R>, std::function<Task<void>(Stream<T>&&)>,
                                     std::function<Results<ResultType>(Stream<T>&&)>>;

  Agent(std::string name, detail::TopicSpec topic, AgentOptions options, Handler handler)
      : AgentBase(std::move(name), std::move(topic), std::move(options)), handler_(std::move(handler)), to_(topic_) {}
  Agent(const Agent&) = delete;  // app.agent() gives a reference: write `auto& square = app.agent(…)`

  // Sends without waiting for a result. Suspends only while too many records are under way.
  Cast cast(const T& value = {}, const SendOptions& options = {}) const { return to_.cast(value, options); }

  // Sends; the record is durable when it returns. If `reply_to` (a topic's name) is given, the result goes there under
  // `correlation_id`.
  Task<RecordMetadata> send(const T& value, SendOptions options = {}, std::string reply_to = "",
                            std::string correlation_id = "") const {
    if (!reply_to.empty()) detail::add_reply_headers(options, std::move(reply_to), std::move(correlation_id));
    return to_.send(value, std::move(options));
  }

  // Sends and waits for the result. Throws Failure: kTimeout after the deadline, or kInvalid with the handler's error
  // after the retries of its own error policy.
  Task<R> ask(T value, AskOptions options = {}) const {
    Buffer bytes;
    topic_.value_codec.dump(value, bytes);
    SendOptions send;
    send.key = std::move(options.key);
    auto text = co_await detail::ask_raw(topic_, std::string{bytes.view()}, std::move(send), options.timeout);
    if constexpr (!std::is_void_v<R>) co_return value_or_throw(from_json<R>(text));
  }

  // Asks for all values at once. The results are in the order of the values. Throws the first exception of an ask.
  Task<std::vector<ResultType>> join(std::vector<T> values, AskOptions options = {}) const
    requires(!std::is_void_v<R>)
  {
    std::vector<Task<R>> asks;
    for (auto& value : values) asks.push_back(ask(std::move(value), options));
    co_return co_await when_all(std::move(asks));
  }

  // Like join, but gives each result to `each` when it arrives, in any order.
  Task<void> map(std::vector<T> values, std::function<Task<void>(ResultType)> each, AskOptions options = {}) const
    requires(!std::is_void_v<R>)
  {
    std::vector<Task<void>> asks;
    for (auto& value : values) {
      asks.push_back(
          [](const Agent& agent, T one, AskOptions how, std::function<Task<void>(ResultType)>& then) -> Task<void> {
            co_await then(co_await agent.ask(std::move(one), std::move(how)));
          }(*this, std::move(value), options, each));
    }
    co_await when_all(std::move(asks));
  }

  // Adds a target of the results: a topic (with the event's key), another agent, a function or a coroutine function.
  // Before the app runs.
  template <class To>
  Agent& sink(To&& to)
    requires(!std::is_void_v<R>)
  {
    if (running != nullptr && *running > 0)
      throw Failure(ErrorKind::kInvalid,
                    "agent " + name_ + " gets a sink while the app runs: add it before the app runs");
    sinks_.push_back(make_sink(std::forward<To>(to)));
    return *this;
  }

  Task<void> run(detail::Instance& instance) const override {
    Stream<T> stream{std::make_shared<detail::SourceNode<T>>(instance, topic_.value_codec)};
    if constexpr (std::is_void_v<R>) {
      co_await handler_(std::move(stream));
    } else {
      auto results = handler_(std::move(stream));
      while (auto* result = co_await results.next()) {
        if (auto* event = detail::event_of(instance)) co_await detail::reply(*event, to_json(*result), HasNamespace<R>);
        for (const auto& sink : sinks_) co_await sink.run(*result);
      }
    }
  }

 private:
  template <class To>
  static Sink<ResultType> make_sink(To&& to) {
    if constexpr (requires { to.cast(std::declval<ResultType>(), SendOptions{}); }) {
      return {[target = &to](const ResultType& result) -> Task<void> {
        co_await target->cast(result, detail::same_key());
      }};
    } else if constexpr (std::is_void_v<std::invoke_result_t<To&, const ResultType&>>) {
      return {[call = std::forward<To>(to)](const ResultType& result) -> Task<void> {
        call(result);
        co_return;
      }};
    } else {
      return {std::forward<To>(to)};
    }
  }

  Handler handler_;
  Topic<T> to_;
  std::vector<Sink<ResultType>> sinks_;
};

}  // namespace mephisto
