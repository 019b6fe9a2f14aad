// `livecheck --states`: how the cases of live checks do, by the reports in the log. The tests themselves run in a
// worker (main.cc).
#include <fmt/format.h>

#include <map>

#include "cli/commands.h"
#include "cli/output.h"
#include "mephisto/live_check.h"

namespace mephisto::cli {
namespace {

// Faust 0.15.3 writes this instead of PASS (faust/livecheck/models.py).
constexpr std::string_view kMangledPass = "111/***/111";

using Reports = std::multimap<Timestamp, LiveReport>;

struct ListedCase {
  std::string name;
  std::string state = "INIT";
  std::map<std::string, std::uint64_t> tests;  // by outcome
  std::uint64_t consecutive_failures = 0;
  std::optional<std::string> last;  // the time of the last report
  std::optional<double> runtime;    // of the last test that ran, in seconds
  std::optional<std::string> last_error;
};

Task<Reports> read_reports(Log& log, std::string topic) {
  Reports all;
  const auto info = co_await log.topic(topic);
  if (!info) co_return all;
  for (int partition = 0; partition < info->config.partitions; ++partition) {
    co_await read_to_end(log, {topic, partition}, -1, "command line", [&](const RecordView& record) {
      auto report = from_json<LiveReport>(record.value);
      if (!report) return;
      if (report->state == kMangledPass) report->state = "PASS";
      all.emplace(record.timestamp(), std::move(*report));
    });
  }
  co_return all;
}

void add(ListedCase& to, Timestamp time, const LiveReport& report) {
  ++to.tests[report.state];
  to.last = format_iso8601(time);
  if (report.runtime) to.runtime = report.runtime;
  if (report.state == "SKIP") return;
  to.state = report.state;
  if (report.state == "PASS")
    to.consecutive_failures = 0;
  else if (report.test)
    ++to.consecutive_failures;
  if (report.error) to.last_error = report.error;
}

Task<int> show_states(NoOptions, CommandContext context) {
  const auto* own = context.app.find_live_check();
  const auto* live = own != nullptr ? own : context.app.runs_live_check();
  if (live == nullptr && log_context().with_app)
    co_return nothing(context, "has no LiveCheck cases, so there is nothing to check.");
  const auto log = log_if_there(context.app);
  if (!log) {
    throw Failure(ErrorKind::kNotFound, log_context().with_app
                                            ? "there is no log yet: start a worker"
                                            : "there is no such log: name it by --log local://FOLDER");
  }
  std::map<std::string, ListedCase> cases;
  if (live != nullptr) {
    for (const auto* one : live->cases()) cases[one->name()] = {.name = one->name()};
  }
  const auto topic = live != nullptr ? live->options().report_topic_name : LiveCheckOptions{}.report_topic_name;
  for (const auto& [time, report] : co_await read_reports(*log, topic)) {
    const auto& name = report.case_name;
    if (live == nullptr) cases[name].name = name;
    if (const auto found = cases.find(name); found != cases.end()) add(found->second, time, report);
  }
  std::vector<ListedCase> listed;
  for (auto& [name, one] : cases) listed.push_back(std::move(one));
  if (context.json) {
    print_json(to_json(listed));
    co_return kOk;
  }
  TextTable table{"Live checks",
                  {{"case"}, {"state"}, {"tests"}, {"failures", true}, {"last"}, {"runtime", true}, {"last error"}}};
  for (const auto& one : listed) {
    std::string tests;
    for (const auto& [outcome, count] : one.tests)
      tests += fmt::format("{}{} {}", tests.empty() ? "" : ", ", count, outcome);
    table.add({one.name, one.state, tests, std::to_string(one.consecutive_failures), one.last.value_or(""),
               one.runtime ? fmt::format("{:.3f} s", *one.runtime) : "", one.last_error.value_or("")});
  }
  table.print(false);
  co_return kOk;
}

}  // namespace

Builtin livecheck_command() {
  return builtin<NoOptions>("livecheck", "Start worker for the app's live check, or show its cases (--states).",
                            LogUse::kNone, show_states, false);
}

}  // namespace mephisto::cli
