// `cron`: the crontabs of the app, their next and last slots, and a run on demand.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "app/cron_rows.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace mephisto::cli {
namespace {

using detail::CronAgent;
using detail::CronRecord;
using detail::CronRow;
using std::chrono::milliseconds;
using std::chrono::sys_seconds;

constexpr int kNext = 10;

struct CronCommandOptions {
  std::string action;
  std::optional<std::string> what;

  static std::vector<OptionHelp> help() {
    return {{"action",
             "list: the crontabs; next: the next slots (10, or as many as WHAT says); history: the last slots (of the "
             "crontab WHAT); run-now: run the crontab WHAT now",
             "", true},
            {"what", "a number, or the name of a crontab", "", true}};
  }
};

struct ListedJob {
  std::string name;
  std::string expression;
  std::string timezone;
  std::string catch_up;
  std::optional<std::string> next;
  std::optional<std::string> last;
  std::optional<std::string> outcome;
  std::string help;
};

struct NextSlot {
  std::string name;
  std::string time;
  std::string local;
};

struct ListedRun {
  std::string name;
  std::string slot;
  std::optional<std::string> until;  // of several that were missed
  std::string outcome;
  bool manual;
  std::string started;
  std::int64_t ms;
  int attempts;
  std::string worker;
  std::string zone_data;
  std::string error;
};

std::string shown(std::int64_t ms) { return format_iso8601(Timestamp{milliseconds{ms}}); }

const char* name_of(CatchUp catch_up) {
  switch (catch_up) {
    case CatchUp::kNone: return "none";
    case CatchUp::kLast: return "last";
    case CatchUp::kAll: return "all";
  }
  return "";
}

const CronAgent& find_job(const App& app, const std::string& name) {
  std::vector<std::string> names;
  for (const auto* job : detail::cron_agents(app)) {
    if (job->name() == name) return *job;
    names.push_back(job->name());
  }
  throw UsageError(fmt::format("there is no crontab \"{}\" (see: {} cron list){}", printable(name), app.id(),
                               did_you_mean(name, names)));
}

sys_seconds now() { return std::chrono::floor<std::chrono::seconds>(Loop::current()->wall_time()); }

// The rows, if there is a log.
Task<std::map<std::string, CronRow>> rows_of(const App& app) {
  const auto log = log_if_there(app);
  if (!log) co_return std::map<std::string, CronRow>{};
  co_return co_await detail::read_cron_rows(app, *log);
}

Task<int> list(CommandContext context) {
  const auto rows = co_await rows_of(context.app);
  std::vector<ListedJob> listed;
  for (const auto* job : detail::cron_agents(context.app)) {
    const auto zone = job->zone(context.app.settings());
    ListedJob one{job->name(), job->expression().text(), zone.name(), name_of(job->crontab().catch_up)};
    if (const auto next = job->expression().next(now(), zone)) one.next = format_iso8601(*next);
    if (const auto row = rows.find(job->name()); row != rows.end() && !row->second.history.empty()) {
      one.last = shown(row->second.history.back().slot);
      one.outcome = row->second.history.back().outcome;
    }
    one.help = job->crontab().help;
    listed.push_back(std::move(one));
  }
  if (context.json) {
    print_json(to_json(listed));
    co_return kOk;
  }
  TextTable table{"Crontabs",
                  {{"name"}, {"expression"}, {"timezone"}, {"catch up"}, {"next"}, {"last"}, {"outcome"}, {"help"}}};
  for (const auto& one : listed)
    table.add({one.name, one.expression, one.timezone, one.catch_up, one.next.value_or("never"), one.last.value_or(""),
               one.outcome.value_or(""), one.help});
  table.print(false);
  co_return kOk;
}

int next(const std::optional<std::string>& count, CommandContext context) {
  int wanted = kNext;
  if (count && (!take_number(*count, wanted) || wanted < 1 || wanted > 10'000))
    throw UsageError(fmt::format("cron next {}: expected a number from 1 to 10000", printable(*count)));
  std::multimap<sys_seconds, const CronAgent*> due;
  const auto& settings = context.app.settings();
  const auto add = [&](const CronAgent* job, sys_seconds after) {
    if (const auto slot = job->expression().next(after, job->zone(settings))) due.emplace(*slot, job);
  };
  for (const auto* job : detail::cron_agents(context.app)) add(job, now());
  std::vector<NextSlot> slots;
  while (!due.empty() && slots.size() < static_cast<std::size_t>(wanted)) {
    const auto [slot, job] = *due.begin();
    due.erase(due.begin());
    slots.push_back({job->name(), format_iso8601(slot), job->zone(settings).format(slot)});
    add(job, slot);
  }
  if (context.json) {
    print_json(to_json(slots));
    return kOk;
  }
  TextTable table{"Next slots", {{"name"}, {"time"}, {"local"}}};
  for (const auto& one : slots) table.add({one.name, one.time, one.local});
  table.print(false);
  return kOk;
}

Task<int> history(std::optional<std::string> name, CommandContext context) {
  if (name) find_job(context.app, *name);
  std::vector<ListedRun> runs;
  for (const auto& [job, row] : co_await rows_of(context.app)) {
    if (name && *name != job) continue;
    for (const auto& run : row.history) {
      runs.push_back({job, shown(run.slot), run.until != run.slot ? std::optional{shown(run.until)} : std::nullopt,
                      run.outcome, run.manual, shown(run.started), run.ms, run.attempts, run.worker, run.zone_data,
                      run.error});
    }
  }
  std::ranges::stable_sort(runs, {}, &ListedRun::started);
  if (context.json) {
    print_json(to_json(runs));
    co_return kOk;
  }
  TextTable table{"Last slots",
                  {{"name"}, {"slot"}, {"until"}, {"outcome"}, {"started"}, {"ms", true}, {"worker"}, {"error"}}};
  for (const auto& one : runs)
    table.add({one.name, one.slot, one.until.value_or(""), one.manual ? one.outcome + " (manual)" : one.outcome,
               one.started, std::to_string(one.ms), one.worker, one.error});
  table.print(false);
  co_return kOk;
}

Task<int> run_now(std::string name, CommandContext context) {
  const auto& job = find_job(context.app, name);
  const auto time = std::chrono::floor<milliseconds>(Loop::current()->wall_time()).time_since_epoch().count();
  const CronRecord record{name,
                          CronRecord::Kind::manual,
                          time,
                          time,
                          job.expression().text(),
                          job.zone(context.app.settings()).name(),
                          TimeZone::data_version()};
  auto log = log_if_there(context.app);
  if (!log) throw Failure(ErrorKind::kNotFound, "there is no log yet: start a worker");
  Client client{context.app, std::move(log)};
  const TopicBase topic{job.topic()};
  SendOptions options;
  options.key = name;
  options.partition = 0;
  const auto sent = co_await topic.send_raw(to_json(record), std::move(options));
  co_await client.close();
  if (context.json)
    print_json(to_json(std::vector{sent}));
  else
    fmt::print("The leader runs {} now; see: {} cron history {}\n", name, context.app.id(), name);
  co_return kOk;
}

Task<int> cron(CronCommandOptions options, CommandContext context) {
  static const std::vector<std::string> kActions{"list", "next", "history", "run-now"};
  if (std::ranges::find(kActions, options.action) == kActions.end())
    throw UsageError(fmt::format("cron {}: expected list, next, history or run-now{}", printable(options.action),
                                 did_you_mean(options.action, kActions)));
  if (detail::cron_agents(context.app).empty()) co_return nothing(context, "has no crontabs.");
  if (options.action == "list" && options.what) throw UsageError("cron list takes nothing more");
  if (options.action == "run-now" && !options.what) throw UsageError("cron run-now needs the name of a crontab");
  if (options.action == "list") co_return co_await list(context);
  if (options.action == "next") co_return next(options.what, context);
  if (options.action == "history") co_return co_await history(options.what, context);
  co_return co_await run_now(*options.what, context);
}

}  // namespace

Builtin cron_command() {
  return builtin<CronCommandOptions>("cron", "Show crontabs, their next and last slots; run one now.", LogUse::kNone,
                                     cron);
}

}  // namespace mephisto::cli
