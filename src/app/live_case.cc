// Cases and signals: what a checked app sends, and what run() waits for.
#include "app/live_case.h"

#include <fmt/format.h>

#include "app/live_context.h"
#include "app/live_shard.h"
#include "mephisto/base/text.h"
#include "mephisto/logging.h"

namespace mephisto {

namespace detail {

void throw_wrong_arguments(const LiveExecution& test, std::size_t expected) {
  throw Failure(ErrorKind::kInvalid,
                fmt::format("the test has {} arguments and {} keyword arguments, and run() takes {}: keyword arguments "
                            "are the members of a record that is the only parameter",
                            test.test_args.size(), test.test_kwargs.size(), expected));
}

void throw_wrong_argument(std::size_t number, const Error& error) {
  throw Failure(ErrorKind::kInvalid, fmt::format("argument {} of the test cannot be read: {}", number, error.message));
}

}  // namespace detail

const char* to_string(LiveState state) {
  switch (state) {
    case LiveState::kInit: return "INIT";
    case LiveState::kPass: return "PASS";
    case LiveState::kFail: return "FAIL";
    case LiveState::kError: return "ERROR";
    case LiveState::kTimeout: return "TIMEOUT";
    case LiveState::kStall: return "STALL";
    case LiveState::kSkip: return "SKIP";
  }
  return "";
}

LiveCaseBase::LiveCaseBase() : state_(std::make_unique<State>()) {}
LiveCaseBase::~LiveCaseBase() = default;

LiveCaseStatus LiveCaseBase::status() const { return state_->status(Loop::current()->now()); }

Task<void> LiveCaseBase::make_fake_request() { co_return; }

void LiveCaseBase::expect(bool holds, const std::string& expectation, std::source_location where) {
  if (!holds) throw detail::ExpectationFailed(expectation, where);
}

void LiveCaseBase::skip(const std::string& why) { throw detail::TestSkipped(why); }

bool LiveCaseBase::chosen() const {
  return options_.active && detail::LiveShard::of(*check_).random().uniform() < options_.probability;
}

Task<LiveTest> LiveCaseBase::begin_none() { co_return LiveTest{}; }

// A check must not disturb what it checks: an id that cannot be a header begins no test.
Task<LiveTest> LiveCaseBase::begin(std::string id, std::vector<Json> arguments) const {
  auto& shard = detail::LiveShard::of(*check_);
  if (id.empty()) id = Uuid::random(shard.random()).str();
  if (!detail::is_test_word(id)) {
    log::debug("LiveCheck: case {} begins no test for the id {}, which cannot be a header", name_, printable(id));
    co_return LiveTest{};
  }
  LiveExecution test;
  test.id = std::move(id);
  test.case_name = name_;
  test.timestamp = Loop::current()->wall_time();
  test.test_args = std::move(arguments);
  test.expires = test.timestamp + options_.test_expires;
  SendOptions options;
  options.key = test.id;
  co_await check_->tests_.cast(test, options);
  co_return LiveTest{std::move(test)};
}

SignalBase::SignalBase(LiveCaseBase& of, std::string name)
    : case_(of), name_(std::move(name)), waits_("signal " + name_) {
  case_.signals_.push_back(this);
}

// Faust sends the signal of any case for the current test: an app that begins tests of two cases for one order gives
// both the order's id, and only the inner one travels.
Task<void> SignalBase::send_value(Json value, SignalOptions options) const {
  const auto test = LiveCheck::current_test();
  if (!test && (!options.force || !options.key)) co_return;
  LiveSignal signal;
  signal.signal_name = name_;
  signal.case_name = case_.name();
  const auto key = options.key ? *options.key : test->id;
  signal.key = Json{to_json(key)};
  signal.value = std::move(value);
  SendOptions send;
  send.key = key;
  co_await case_.check_->bus_.cast(signal, send);
}

Task<Json> SignalBase::wait_value(std::optional<Loop::duration> limit, std::optional<std::string> key) const {
  const auto* current = detail::current_test_of_task();
  auto* run = current == nullptr ? nullptr : current->run();
  auto* slot = detail::current_slot();
  if (run == nullptr || slot == nullptr)
    throw Failure(ErrorKind::kInvalid, fmt::format("{} is waited for outside of run()", waits_));
  const auto test = *current->test();
  const auto& loop = *Loop::current();
  const auto began = loop.now();
  const auto until = began + limit.value_or(test.expires - loop.wall_time());
  auto& shard = detail::LiveShard::of(*case_.check_);
  const detail::LiveShard::SignalId id{case_.name(), name_, key ? *key : test.id};
  const auto lane = slot->batch->lane;
  const detail::LiveShard::Waiting waiting{shard, id, lane};
  for (;;) {
    if (const auto* value = shard.find(id)) {
      run->latency[name_] = std::chrono::duration<double>(loop.now() - began).count();
      co_return *value;
    }
    if (loop.now() >= until) {
      const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(loop.now() - began);
      throw Failure(ErrorKind::kTimeout, fmt::format("{} has not come within {}", waits_, format_duration(waited)));
    }
    // The next owner of the partition runs the test again, and finds the signals that have come.
    if (lane->state != detail::AssignmentState::kRunning) throw Cancelled{};
    co_await lane->leaves_running.wait_until(until, waits_.c_str());
  }
}

void SignalBase::throw_unreadable(const Error& error) const {
  throw Failure(ErrorKind::kInvalid, fmt::format("the value of {} cannot be read: {}", waits_, error.message));
}

}  // namespace mephisto
