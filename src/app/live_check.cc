// The live check of an app: the app that runs its tests, their outcomes, and stalls.
#include "mephisto/live_check.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/live_case.h"
#include "app/live_context.h"
#include "app/live_shard.h"
#include "mephisto/base/defer.h"
#include "mephisto/base/text.h"
#include "mephisto/logging.h"

namespace mephisto {
namespace {

std::string id_without_version(const App& app) {
  const auto version = app.options().version;
  return version <= 1 ? app.id() : app.id().substr(0, app.id().rfind("-v"));
}

AppOptions options_of(const App& app) {
  AppOptions options;
  options.help = "The live check of " + app.id() + ".";
  options.version = app.options().version;
  return options;
}

// A test that cannot be read is somebody else's, or comes too late to be of use.
AgentOptions agent_options(const LiveCheckOptions& options) {
  AgentOptions made;
  made.concurrency = options.test_concurrency;
  made.on_error.retries = 0;
  made.on_error.then = ErrorPolicy::Then::kSkip;
  made.help = "Runs the tests.";
  return made;
}

double seconds(Loop::duration duration) { return std::chrono::duration<double>(duration).count(); }

struct Outcome {
  LiveState state = LiveState::kPass;
  std::string error{};
  std::optional<std::string> place{};
};

// How the exception that is being handled ends a test. Those by which a task or a unit of work ends go on.
Outcome outcome_of_exception() {
  try {
    throw;
  } catch (const Cancelled&) {
    throw;
  } catch (const detail::UnitConflict&) {
    throw;
  } catch (const detail::ExpectationFailed& failed) {
    return {LiveState::kFail, failed.what(), fmt::format("{}:{}", failed.where.file_name(), failed.where.line())};
  } catch (const detail::TestSkipped& skipped) {
    return {LiveState::kSkip, skipped.what()};
  } catch (const Failure& failure) {
    return {failure.kind() == ErrorKind::kTimeout ? LiveState::kTimeout : LiveState::kError, failure.what()};
  } catch (const std::exception& error) {
    return {LiveState::kError, error.what()};
  } catch (...) {
    return {LiveState::kError, "an exception that is no std::exception"};
  }
}

}  // namespace

LiveCheck& App::live_check(LiveCheckOptions options, std::source_location where) {
  check_not_running("the live check", where);
  declare("live check", id_, where);
  if (live_check_) return *live_check_;
  try {
    live_check_ = std::make_unique<LiveCheck>(*this, std::move(options), where);
  } catch (const Failure& failure) {
    mistake(where, failure.what());
    live_check_ = std::make_unique<LiveCheck>(*this, LiveCheckOptions{}, where);
  }
  return *live_check_;
}

LiveCheck& App::live_check(std::source_location where) {
  return live_check_ ? *live_check_ : live_check(LiveCheckOptions{}, where);
}

LiveCheck::LiveCheck(App& app, LiveCheckOptions options, std::source_location where)
    : checked_(app),
      options_(std::move(options)),
      tests_(detail::make_spec(options_.test_topic_name, {})),
      bus_(detail::make_spec(options_.bus_topic_name, {})),
      app_(std::make_unique<App>("livecheck-" + id_without_version(app), options_of(app), where)),
      reports_(&app_->topic<LiveReport>(detail::make_spec(options_.report_topic_name, {}).name, {}, where)) {
  app_->runs_live_check_ = this;
  if (options_.test_concurrency < 1)
    checked_.mistake(where,
                     fmt::format("the live check has test_concurrency {}: at least 1", options_.test_concurrency));
  app_->agent(
      "tests", app_->topic<LiveExecution>(options_.test_topic_name, {}, where),
      [this](Stream<LiveExecution> stream) -> Task<void> {
        detail::LiveShard::of(*this).follow_bus();
        while (auto test = co_await stream.next()) co_await execute(*test);
      },
      agent_options(options_), where);
  app_->task("stalls", [this] { return watch_for_stalls(); }, {.on_leader = true}, where);
}

LiveCheck::~LiveCheck() = default;

// It has a folder of its own, so that commands that ask the workers of the checked app do not ask its workers.
App& LiveCheck::app() {
  if (app_->running_ > 0) return *app_;
  auto& settings = app_->settings();
  settings = checked_.settings();
  const auto rows = settings.rows();
  const bool chosen = std::ranges::any_of(
      rows, [](const auto& row) { return row.spec->name == "web_port" && row.source == "--web-port"; });
  settings.set("broker", checked_.log_url(), "the live check");
  settings.set("datadir", checked_.datadir() + "/livecheck", "the live check");
  if (!chosen) settings.set("web_port", "9999", "the live check");
  app_->log_token = checked_.log_token;
  return *app_;
}

std::vector<const LiveCaseBase*> LiveCheck::cases() const {
  std::vector<const LiveCaseBase*> all;
  for (const auto& one : cases_) all.push_back(one.get());
  return all;
}

LiveCaseBase* LiveCheck::find(std::string_view name) const {
  const auto found = std::ranges::find_if(cases_, [&](const auto& one) { return one->name() == name; });
  return found == cases_.end() ? nullptr : found->get();
}

void LiveCheck::add_case(std::unique_ptr<LiveCaseBase> added, std::string name, LiveCaseOptions options,
                         std::source_location where) {
  checked_.declare("live check case", name, where);
  const auto wrong = [&](const std::string& what) {
    checked_.mistake(where, fmt::format("live check case {}{}", printable(name), what));
  };
  if (!detail::is_test_word(name)) wrong(": its name is 1 to 1024 bytes of text, without control characters");
  if (!(options.probability >= 0 && options.probability <= 1))
    wrong(fmt::format(" has probability {}: from 0 to 1", options.probability));
  if (options.warn_stalled_after.count() < 0) wrong(" has a negative warn_stalled_after: 0 never warns");
  if (options.test_expires.count() <= 0) wrong(": test_expires must be above 0");
  if (options.max_consecutive_failures < 1)
    wrong(fmt::format(" has max_consecutive_failures {}: at least 1", options.max_consecutive_failures));
  if (options.frequency && options.frequency->count() <= 0) wrong(": frequency must be above 0");
  auto& made = *added;
  made.check_ = this;
  made.name_ = std::move(name);
  made.options_ = options;
  cases_.push_back(std::move(added));
  if (options.frequency && options.frequency->count() > 0) {
    app_->timer(
        fmt::format("make_fake_request of {}", printable(made.name_)), *options.frequency,
        [this, one = &made] { return fake(*one); }, {.on_leader = true}, where);
  }
}

std::chrono::milliseconds LiveCheck::longest() const {
  std::chrono::milliseconds longest{0};
  for (const auto& one : cases_) longest = std::max(longest, one->options().test_expires);
  return longest;
}

// The topic is shared by all apps with live checks.
Task<void> LiveCheck::execute(const LiveExecution& test) {
  if (auto* of = find(test.case_name)) co_await run(*of, test);
}

Task<void> LiveCheck::run(LiveCaseBase& of, const LiveExecution& test) {
  const auto& loop = *Loop::current();
  auto& state = *of.state_;
  LiveReport report;
  report.case_name = of.name();
  report.test = test;
  detail::LiveRun run;
  const detail::TestScope scope{test, &run};
  Outcome outcome;
  if (!of.options_.active) {
    outcome = {LiveState::kSkip, "the case is not active"};
  } else if (test.expires <= loop.wall_time()) {
    outcome = {LiveState::kSkip, "the test has expired"};
  } else if (state.suspended(loop.now())) {
    outcome = {LiveState::kSkip, "the case is suspended, because too many tests in a row have failed"};
  } else {
    const auto began = loop.now();
    try {
      co_await of.run_test(test);
    } catch (...) {
      outcome = outcome_of_exception();
    }
    report.runtime = seconds(loop.now() - began);
    report.signal_latency = std::move(run.latency);
  }
  const bool fails = state.count(outcome.state, of.options_.max_consecutive_failures, loop.now());
  if (outcome.state == LiveState::kPass || outcome.state == LiveState::kSkip)
    log::debug("LiveCheck: {} {} {}", to_string(outcome.state), of.name(), printable(test.id));
  else
    log::warn("LiveCheck: {} {} {}: {}", to_string(outcome.state), of.name(), printable(test.id), outcome.error);
  report.state = to_string(outcome.state);
  if (!outcome.error.empty()) report.error = std::move(outcome.error);
  report.traceback = std::move(outcome.place);
  co_await this->report(std::move(report));
  if (!fails) co_return;
  co_await report_failure(
      of, LiveState::kFail,
      fmt::format("{} tests in a row have failed: its tests are skipped for {}, and then tried again",
                  of.status().consecutive_failures, format_duration(kFailsFor)));
}

Task<void> LiveCheck::report(LiveReport report) {
  if (!options_.send_reports) co_return;
  SendOptions options;
  if (report.test) options.key = report.test->id;
  co_await reports_->cast(report, options);
}

Task<void> LiveCheck::report_failure(LiveCaseBase& of, LiveState state, std::string why) {
  of.state_->fail(state, Loop::current()->now());
  log::error("LiveCheck: {} {}: {}", to_string(state), of.name(), why);
  LiveReport report;
  report.case_name = of.name();
  report.state = to_string(state);
  report.error = std::move(why);
  co_await this->report(std::move(report));
}

Task<void> LiveCheck::fake(LiveCaseBase& of) {
  if (!of.options_.active) co_return;
  Outcome outcome;
  try {
    co_await of.make_fake_request();
  } catch (...) {
    outcome = outcome_of_exception();
  }
  if (outcome.state != LiveState::kPass)
    co_await report_failure(of, LiveState::kFail, "make_fake_request: " + outcome.error);
}

// Runs on the leader, and reads all tests: those that other workers run count too.
Task<void> LiveCheck::watch_for_stalls() {
  struct Watched {
    LiveCaseBase* of;
    Loop::time_point came;  // the last test; at first, when the watch began
    std::optional<Loop::time_point> warned{};
    Loop::time_point due() const {
      const auto& after = of->options().warn_stalled_after;
      return warned ? std::max(came + after, *warned + std::max<Loop::duration>(after, kFailsFor)) : came + after;
    }
  };
  auto& loop = *Loop::current();
  const auto all = std::make_shared<std::vector<Watched>>();
  for (const auto& one : cases_) {
    if (one->options().active && one->options().warn_stalled_after.count() > 0) all->push_back({one.get(), loop.now()});
  }
  if (all->empty()) co_return;
  auto following = loop.spawn("tests of live checks",
                              detail::follow_topic(detail::Outbox::current(), tests_.spec(), loop.timestamp(),
                                                   [all, &loop](const auto& record) {
                                                     const auto test = from_json<LiveExecution>(record.value);
                                                     if (!test) return;
                                                     for (auto& one : *all) {
                                                       if (one.of->name() != test->case_name) continue;
                                                       one.came = loop.now();
                                                       one.of->state_->moves();
                                                     }
                                                   }));
  const Defer over{[&] { following.cancel(); }};
  for (;;) {
    co_await sleep_until(std::ranges::min_element(*all, {}, &Watched::due)->due());
    for (auto& one : *all) {
      if (loop.now() < one.due()) continue;
      one.warned = loop.now();
      const auto still = std::chrono::duration_cast<std::chrono::milliseconds>(loop.now() - one.came);
      try {
        co_await report_failure(*one.of, LiveState::kStall,
                                fmt::format("no test has come for {} (warn_stalled_after)", format_duration(still)));
      } catch (const Failure& failure) {
        log::warn("LiveCheck cannot report a stall: {}", failure.what());
      }
    }
  }
}

}  // namespace mephisto
