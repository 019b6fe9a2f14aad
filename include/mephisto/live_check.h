// LiveCheck: tests of the running system, as Faust has them (docs/livecheck.md). A test begins where real traffic
// begins, follows the records by their headers, and waits for signals that agents far away send.
//
//   struct OrderTest : LiveCase<OrderTest> {
//     Signal<Order> stored{*this, "stored"};
//     Task<void> run(std::string side) {
//       const auto order = co_await stored.wait(30s);
//       expect(order.side == side, "an order keeps its side");
//     }
//   };
//   auto& order_test = app.live_check().add<OrderTest>("shop.OrderTest", {.probability = 0.1});
//
// Where an order begins; the test is the current one of this task as long as `test` lives:
//
//   const auto test = co_await order_test.maybe_trigger(order.id, order.side);
//   co_await orders.send(order, {.key = order.id});
//
// In the agent that stores it, whose events carry the test in their headers:
//
//   co_await order_test.stored.send(*order);
//
// `APP livecheck` runs the worker that receives tests and signals.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "mephisto/app.h"

namespace mephisto {

// The records of Faust's topics livecheck, livecheck-bus and livecheck-report.
struct LiveExecution {
  static constexpr std::string_view kNamespace = "faust.livecheck.models.TestExecution";
  std::string id;
  std::string case_name;
  Microtime timestamp{};
  std::vector<Json> test_args{};
  std::map<std::string, Json> test_kwargs{};
  Microtime expires{};
};
struct LiveSignal {
  static constexpr std::string_view kNamespace = "faust.livecheck.models.SignalEvent";
  std::string signal_name;
  std::string case_name;
  Json key{};
  Json value{};
};
struct LiveReport {
  static constexpr std::string_view kNamespace = "faust.livecheck.models.TestReport";
  std::string case_name;
  std::string state;                    // PASS, FAIL, ERROR, TIMEOUT, STALL or SKIP
  std::optional<LiveExecution> test{};  // none: the report is on the case
  std::optional<double> runtime{};      // in seconds
  std::map<std::string, double> signal_latency{};
  std::optional<std::string> error{};
  std::optional<std::string> traceback{};
};

// What a case was last found to be. FAIL: an expectation does not hold. ERROR: another exception. STALL: no test has
// come for long.
enum class LiveState { kInit, kPass, kFail, kError, kTimeout, kStall, kSkip };
const char* to_string(LiveState state);

struct LiveCaseOptions {
  double probability = 0.5;                                                // that maybe_trigger() begins a test
  std::chrono::milliseconds warn_stalled_after{std::chrono::minutes{30}};  // without a test; 0: never
  bool active = true;                                                      // false: tests are skipped
  std::chrono::milliseconds test_expires{std::chrono::hours{3}};           // a test that is older is skipped
  std::optional<std::chrono::milliseconds> frequency{};                    // of make_fake_request()
  int max_consecutive_failures = 30;  // then tests are skipped for a minute, and one is tried again
};

struct LiveCheckOptions {
  std::string test_topic_name = "livecheck";
  std::string bus_topic_name = "livecheck-bus";
  std::string report_topic_name = "livecheck-report";
  int test_concurrency = 100;  // tests that a worker runs at the same time
  bool send_reports = true;
};

struct SignalOptions {
  std::optional<std::string> key{};  // instead of the test's id
  bool force = false;                // sends with this key, also without a current test
};

namespace detail {

class LiveShard;
class TaskHeaders;

// The parameters of a member function, without references.
template <class>
struct ParametersOf;
template <class Owner, class... A>
struct ParametersOf<Task<void> (Owner::*)(A...)> {
  using type = std::tuple<std::remove_cvref_t<A>...>;
};
template <class Owner, class... A>
struct ParametersOf<Task<void> (Owner::*)(A...) const> : ParametersOf<Task<void> (Owner::*)(A...)> {};

[[noreturn]] void throw_wrong_arguments(const LiveExecution& test, std::size_t expected);
[[noreturn]] void throw_wrong_argument(std::size_t number, const Error& error);

template <class T>
T read_argument(std::size_t number, const Json& json) {
  auto value = from_json<T>(json.text);
  if (!value) throw_wrong_argument(number, value.error());
  return std::move(*value);
}

// The arguments of a test. Faust's keyword arguments are the members of a record that is the only parameter.
template <class Parameters>
Parameters read_arguments(const LiveExecution& test) {
  constexpr auto count = std::tuple_size_v<Parameters>;
  if constexpr (count == 1) {
    using Only = std::tuple_element_t<0, Parameters>;
    if constexpr (Record<Only>) {
      if (test.test_args.empty()) return {read_argument<Only>(1, Json{to_json(test.test_kwargs)})};
    }
  }
  if (test.test_args.size() != count || !test.test_kwargs.empty()) throw_wrong_arguments(test, count);
  return [&]<std::size_t... I>(std::index_sequence<I...>) {
    return Parameters{read_argument<std::tuple_element_t<I, Parameters>>(I + 1, test.test_args[I])...};
  }(std::make_index_sequence<count>{});
}

}  // namespace detail

// A test that has begun, or none. While it lives, it is the current test of the task that made it, and what the task
// sends carries it.
class [[nodiscard("the test is the current one only while this object lives: keep it in a variable")]] LiveTest {
 public:
  LiveTest();
  explicit LiveTest(LiveExecution test);
  ~LiveTest();
  LiveTest(LiveTest&& other) noexcept;
  LiveTest& operator=(LiveTest&&) = delete;

  explicit operator bool() const { return scope_ != nullptr; }
  // Of a test that has begun.
  const LiveExecution& operator*() const;
  const LiveExecution* operator->() const { return &**this; }

 private:
  struct Scope;
  std::unique_ptr<Scope> scope_;
};

class LiveCaseBase;

class SignalBase {
 public:
  SignalBase(LiveCaseBase& of, std::string name);
  SignalBase(const SignalBase&) = delete;
  SignalBase& operator=(const SignalBase&) = delete;
  const std::string& name() const { return name_; }

 protected:
  Task<void> send_value(Json value, SignalOptions options) const;
  Task<Json> wait_value(std::optional<Loop::duration> limit, std::optional<std::string> key) const;
  [[noreturn]] void throw_unreadable(const Error& error) const;

 private:
  LiveCaseBase& case_;
  std::string name_;
  std::string waits_;  // what a test waits for, for `why`
};

// Something that a test waits for. A member of its case: `Signal<Order> stored{*this, "stored"};`
template <class T = None>
class Signal : public SignalBase {
 public:
  using SignalBase::SignalBase;

  // Tells the current test. Without a current test it does nothing, unless `force` is set.
  Task<void> send(const T& value = {}, SignalOptions options = {}) const {
    return send_value(Json{to_json(value)}, std::move(options));
  }
  // In run(): waits for the signal and gives its value; also if it came before. Without a limit, until the test
  // expires. Throws Failure kTimeout: the test ends as TIMEOUT.
  Task<T> wait(std::optional<Loop::duration> limit = {}, std::optional<std::string> key = {}) const {
    auto value = from_json<T>((co_await wait_value(limit, std::move(key))).text);
    if (!value) throw_unreadable(value.error());
    co_return std::move(*value);
  }
};

// How a case does, in this process.
struct LiveCaseStatus {
  LiveState state = LiveState::kInit;
  std::map<LiveState, std::uint64_t> tests{};  // by outcome; STALL: the reports on it
  int consecutive_failures = 0;
  bool suspended = false;
};

class LiveCheck;

// What all cases have. Derive from LiveCase.
class LiveCaseBase {
 public:
  LiveCaseBase();
  virtual ~LiveCaseBase();
  LiveCaseBase(const LiveCaseBase&) = delete;
  LiveCaseBase& operator=(const LiveCaseBase&) = delete;

  const std::string& name() const { return name_; }
  const LiveCaseOptions& options() const { return options_; }
  LiveCaseStatus status() const;

  // Runs every `frequency` on the leader of the live check's workers. It makes the system do what a test then follows:
  // an HTTP request, or a trigger() and a record.
  virtual Task<void> make_fake_request();

 protected:
  // In run(). The test ends as FAIL if the expectation does not hold, and as SKIP.
  static void expect(bool holds, const std::string& expectation,
                     std::source_location where = std::source_location::current());
  [[noreturn]] static void skip(const std::string& why);

  bool chosen() const;
  Task<LiveTest> begin(std::string id, std::vector<Json> arguments) const;
  static Task<LiveTest> begin_none();
  virtual Task<void> run_test(const LiveExecution& test) = 0;

 private:
  friend class LiveCheck;
  friend class SignalBase;
  struct State;

  LiveCheck* check_ = nullptr;
  std::string name_;
  LiveCaseOptions options_;
  std::vector<const SignalBase*> signals_;
  std::unique_ptr<State> state_;
};

// A case: a structure with signals and `Task<void> run(…)`. All tests of a case share the object, and several run at
// the same time.
template <class Self>
class LiveCase : public LiveCaseBase {
 public:
  // Begins a test with the probability of the case, and with these arguments of run(). Without an id it gets one. It is
  // awaited directly: `const auto test = co_await order_test.maybe_trigger(…);`
  template <class... A>
  Task<LiveTest> maybe_trigger(std::string id, A&&... arguments) const {
    return chosen() ? trigger(std::move(id), std::forward<A>(arguments)...) : begin_none();
  }
  // Begins a test in any case.
  template <class... A>
  Task<LiveTest> trigger(std::string id, A&&... arguments) const {
    using Parameters = typename detail::ParametersOf<decltype(&Self::run)>::type;
    static_assert(std::is_constructible_v<Parameters, A...>, "these are not the arguments of the case's run()");
    const Parameters values{std::forward<A>(arguments)...};
    return begin(std::move(id),
                 std::apply([](const auto&... value) { return std::vector<Json>{Json{to_json(value)}...}; }, values));
  }

 private:
  Task<void> run_test(const LiveExecution& test) final {
    auto values = detail::read_arguments<typename detail::ParametersOf<decltype(&Self::run)>::type>(test);
    co_await std::apply([this](auto&... value) { return static_cast<Self*>(this)->run(std::move(value)...); }, values);
  }
};

// The live check of an app: App::live_check() gives it. Its tests run in a worker of an app of its own,
// `livecheck-APP`, so that they also tell when the app does not run.
class LiveCheck {
 public:
  LiveCheck(App& app, LiveCheckOptions options, std::source_location where);
  ~LiveCheck();
  LiveCheck(const LiveCheck&) = delete;
  LiveCheck& operator=(const LiveCheck&) = delete;

  // Declares a case. Its name is `module.Class` in Faust. Before the app runs.
  template <class Case>
  Case& add(std::string name, LiveCaseOptions options = {},
            std::source_location where = std::source_location::current()) {
    auto made = std::make_unique<Case>();
    auto& reference = *made;
    add_case(std::move(made), std::move(name), options, where);
    return reference;
  }

  // The app that runs the tests, with the settings that the checked app has at this call. Tests drive it too:
  // `TestDriver checks{live.app(), driver}`.
  App& app();
  const Topic<LiveReport>& reports() const { return *reports_; }
  const LiveCheckOptions& options() const { return options_; }
  std::vector<const LiveCaseBase*> cases() const;

  // The test that the running task works for: begun by a trigger, or from the headers of its event.
  static std::optional<LiveExecution> current_test();
  // The headers that carry that test, for a request to another service; none without a test.
  static std::vector<Header> headers();
  // The test in the headers of a request, as the current one. `find` gives a header's value, if there is one.
  static LiveTest from_headers(const std::function<std::optional<std::string>(std::string_view name)>& find);

  // For the library: what the app's shards give to what they send, and the topics that they send to.
  static std::shared_ptr<const detail::TaskHeaders> of_events();
  std::vector<const detail::TopicSpec*> targets() const { return {&tests_.spec(), &bus_.spec()}; }

 private:
  friend class LiveCaseBase;
  friend class SignalBase;
  friend class detail::LiveShard;

  void add_case(std::unique_ptr<LiveCaseBase> added, std::string name, LiveCaseOptions options,
                std::source_location where);
  LiveCaseBase* find(std::string_view name) const;
  Task<void> execute(const LiveExecution& test);
  Task<void> run(LiveCaseBase& of, const LiveExecution& test);
  Task<void> report(LiveReport report);
  Task<void> report_failure(LiveCaseBase& of, LiveState state, std::string why);
  Task<void> fake(LiveCaseBase& of);
  Task<void> watch_for_stalls();
  std::chrono::milliseconds longest() const;  // that a test may last

  App& checked_;
  LiveCheckOptions options_;
  std::vector<std::unique_ptr<LiveCaseBase>> cases_;
  Topic<LiveExecution> tests_;  // for what the checked app sends
  Topic<LiveSignal> bus_;
  std::unique_ptr<App> app_;
  const Topic<LiveReport>* reports_;
};

}  // namespace mephisto
