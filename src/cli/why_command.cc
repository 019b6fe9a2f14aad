// `why`: shows what an offset that does not move waits for. It asks the log and the workers on this machine.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "log/open_transaction.h"
#include "mephisto/logging.h"

namespace mephisto::cli {
namespace {

constexpr std::chrono::seconds kStill{1};  // between the two checks that show whether an offset moves

struct WhyOptions {
  std::optional<std::string> place;
  static std::vector<OptionHelp> help() {
    return {
        {"place", "TOPIC, TOPIC/PARTITION or @AGENT (default: every partition that lags and does not move)", "", true}};
  }
};

// A line of the output, and an object of --json.
struct Row {
  std::string topic;
  int partition = 0;
  std::optional<std::int64_t> end;  // null if the log cannot be reached
  std::optional<std::int64_t> committed;
  std::optional<std::int64_t> lag;
  std::int64_t oldest = 0;  // the first unacknowledged offset, as far as is known
  std::string member;       // its owner
  std::vector<status::Reason> reasons;
};
using Rows = std::map<TopicPartition, Row>;

// Reads the app's group from the log: ends, commits and owners. Returns whether the group has members.
Task<bool> look_at_log(const App& app, Log& log, Rows& rows) {
  for (const auto& partition : co_await consumed_partitions(app, log)) rows[partition];
  bool members = false;
  for (const auto& group : value_or_throw(co_await log.groups())) {
    if (group.name != app.id()) continue;
    for (const auto& commit : group.commits) rows[commit.partition].committed = commit.offset;
    for (const auto& member : group.members) {
      members = true;
      for (const auto& partition : member.owned) rows[partition].member = member.client;
    }
  }
  for (auto place = rows.begin(); place != rows.end();) {
    auto& [partition, row] = *place;
    const auto marks = co_await log.watermarks(partition);
    if (!marks && marks.error().kind == ErrorKind::kNotFound) {  // the topic is deleted
      place = rows.erase(place);
      continue;
    }
    const auto& [start, end] = value_or_throw(marks);
    row.end = end;
    row.oldest = std::max(row.committed.value_or(start), start);
    row.lag = end - row.oldest;
    ++place;
  }
  co_return members;
}

// Why no worker on this machine processes the partition.
status::Reason elsewhere(const App& app, const Row& row, const std::vector<WorkerStatus>& workers, bool members) {
  for (const auto& worker : workers) {
    if (std::ranges::find(worker.silent, row.member) == worker.silent.end()) continue;
    const auto kept = std::ranges::find_if(
        worker.kept_threads, [&](const status::KeptThread& one) { return one.member == row.member && one.now_ms; });
    const bool known = kept != worker.kept_threads.end();
    return {"silent",
            fmt::format("{} does not answer: {} keeps its thread, and nothing else runs there", row.member,
                        known ? printable(kept->task) : "a handler"),
            known ? kept->now_ms : std::nullopt};
  }
  if (std::ranges::any_of(workers, [&](const auto& worker) { return row.member.starts_with(worker.worker + ":"); })) {
    return {"beginning", fmt::format("its member {} has not started it yet", row.member), std::nullopt};
  }
  if (!row.member.empty())
    return {"elsewhere",
            fmt::format("no worker of {} on this machine has it; its owner is member {}", app.id(), row.member),
            std::nullopt};
  if (!members) return {"no member", fmt::format("no worker of {} runs", app.id()), std::nullopt};
  for (const auto& worker : workers) {
    for (const auto& one : worker.rebalances) {
      if (!one.over)
        return {
            "rebalancing",
            fmt::format("no member has it; {} has been rebalancing since {} ({})", one.member, one.time, one.reason),
            one.total_ms};
    }
  }
  return {"no member", "no member of the group has it", std::nullopt};
}

// Adds the open transactions, of any producer, that block the next records of a partition.
Task<void> look_at_transactions(Log& log, Rows& rows) {
  std::vector<TopicPartition> behind;
  for (const auto& [partition, row] : rows) {
    if (row.lag && *row.lag > 0) behind.push_back(partition);
  }
  if (behind.empty()) co_return;
  const auto now = Loop::current()->timestamp();
  for (const auto& open : value_or_throw(co_await log.open_transactions(behind))) {
    auto& row = rows.at(open.partition);
    if (open.start > row.oldest) continue;  // records before the transaction can still be read
    std::optional<std::int64_t> ms;
    if (open.producer >= 0) ms = (now - open.last_write).count();
    row.reasons.insert(row.reasons.begin(), {"transaction", describe(open, log.url()), ms});
  }
}

Task<Rows> look(const App& app, const std::shared_ptr<Log>& log, Workers& of_app) {
  const auto workers = co_await of_app.ask();
  Rows rows;
  bool members = !workers.empty();
  std::optional<Error> away;
  try {
    if (log) members = co_await look_at_log(app, *log, rows) || members;
  } catch (const Failure& failure) {
    // If no worker has a partition either, the unreachable log is the only answer.
    const bool nobody = std::ranges::all_of(workers, [](const auto& worker) { return worker.partitions.empty(); });
    if (!failure.error().retriable() || nobody) throw;
    rows.clear();
    away = failure.error();
  }
  std::set<TopicPartition> here;
  for (const auto& worker : workers) {
    for (const auto& one : worker.partitions) {
      auto& row = rows[{one.topic, one.partition}];
      here.insert({one.topic, one.partition});
      row.member = one.member;
      if (one.oldest >= 0) row.oldest = one.oldest;
      if (!row.committed && one.committed > 0) row.committed = one.committed;
      row.reasons = one.reasons;
    }
  }
  for (auto& [partition, row] : rows) {
    row.topic = partition.topic;
    row.partition = partition.partition;
    if (!here.contains(partition)) row.reasons.push_back(elsewhere(app, row, workers, members));
    if (away)
      row.reasons.insert(row.reasons.begin(), {"log", "the log cannot be reached: " + away->message, std::nullopt});
  }
  if (log && !away) co_await look_at_transactions(*log, rows);
  co_return rows;
}

bool is_behind(const Row& row) { return row.lag ? *row.lag > 0 : !row.reasons.empty(); }

std::string line_of(const Row& row) {
  auto text = fmt::format("{}/{}  ", row.topic, row.partition);
  const auto size = text.size();
  const bool done = row.end && row.oldest >= *row.end;
  if (!is_behind(row)) return text + fmt::format("is done up to its end, {}", row.oldest);
  if (row.reasons.empty()) {
    if (done)
      return text + fmt::format("is done up to its end, {}; {} is committed so far", row.oldest, *row.end - *row.lag);
    return text + fmt::format("is being read, at {}", row.oldest);
  }
  for (std::size_t i = 0; i < row.reasons.size(); ++i) {
    const auto& reason = row.reasons[i];
    const auto since = reason.ms ? fmt::format(" ({})", format_duration(std::chrono::milliseconds{*reason.ms})) : "";
    if (i == 0)
      text += fmt::format("waits at {}{}: {}", row.oldest, since, printable(reason.text, 500));
    else
      text += fmt::format("\n{}also{}: {}", std::string(size, ' '), since, printable(reason.text, 500));
    if (i == 0 && row.end && *row.end - row.oldest > 1)
      text += fmt::format("; {} records after it", *row.end - row.oldest - 1);
  }
  return text;
}

// Keeps the rows of the requested topic or partition. Throws UsageError if the app does not consume it.
void choose(const App& app, const std::string& place, Rows& rows) {
  auto entity = place;
  std::optional<int> only;
  if (const auto slash = place.find('/'); slash != std::string::npos) {
    int number = 0;
    if (!take_number(place.substr(slash + 1), number))
      throw UsageError(fmt::format("{}: expected TOPIC or TOPIC/PARTITION", printable(place)));
    only = number;
    entity.resize(slash);
  }
  const auto topic = topic_of(app, entity);
  std::erase_if(rows,
                [&](const auto& one) { return one.first.topic != topic || (only && one.first.partition != *only); });
  if (!rows.empty()) return;
  const auto known = consumed_topics(app);
  throw UsageError(fmt::format("{} consumes no {}{}", app.id(), printable(place),
                               did_you_mean(topic, std::vector<std::string>{known.begin(), known.end()})));
}

// Keeps the rows that lag and have not moved since the first check. Records that only wait for the next commit are not
// stuck.
Task<void> leave_still(const App& app, const std::shared_ptr<Log>& log, Workers& workers, Rows& rows) {
  if (std::ranges::none_of(rows, [](const auto& one) { return is_behind(one.second); })) {
    rows.clear();
    co_return;
  }
  co_await sleep_for(kStill);
  auto later = co_await look(app, log, workers);
  std::erase_if(later, [&](const auto& one) {
    const auto before = rows.find(one.first);
    const auto& row = one.second;
    return !is_behind(row) || row.reasons.empty() || before == rows.end() || before->second.oldest != row.oldest;
  });
  rows = std::move(later);
}

Task<int> why(WhyOptions options, CommandContext context) {
  const auto& log = log_context().log;
  Workers workers{context.app};
  auto rows = co_await look(context.app, log, workers);
  if (options.place)
    choose(context.app, *options.place, rows);
  else
    co_await leave_still(context.app, log, workers, rows);
  if (context.json) {
    std::vector<Row> all;
    for (auto& [partition, row] : rows) all.push_back(std::move(row));
    print_json(to_json(all, Dialect::kShown));
    co_return kOk;
  }
  for (const auto& [partition, row] : rows) fmt::print("{}\n", line_of(row));
  if (rows.empty()) fmt::print("Nothing is stuck.\n");
  co_return kOk;
}

}  // namespace

Builtin why_command() {
  return builtin<WhyOptions>("why", "Show what an offset that does not move waits for.", LogUse::kLooks, why);
}

}  // namespace mephisto::cli
