// `lag`: shows each group's lag; with --reset, sets a group's offsets.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/dead_letters.h"
#include "mephisto/sync.h"

namespace mephisto::cli {
namespace {

constexpr std::chrono::seconds kPatience{3};  // to read the oldest records

struct LagOptions {
  std::vector<std::string> reset;
  std::optional<std::string> group;
  bool dry_run = false;

  static std::vector<OptionHelp> help() {
    return {
        {"reset",
         "TOPIC[/PARTITION]=WHERE: the group, whose workers are stopped, continues there; WHERE is earliest, latest, "
         "an offset, or a time (2026-01-02T03:04:05Z)"},
        {"group",
         "only this group (default: all but those of dlq commands, TOPIC-dlq-handled); with --reset: the group "
         "(default: the app's)"},
        {"dry_run", "with --reset: only show what would change"}};
  }
};

// The unread offsets [from, end) of a partition.
struct Unread {
  std::int64_t from = 0;
  std::int64_t end = 0;
};

// The time of each partition's first record from an offset on. Leaves out partitions of which no record comes within
// kPatience: a broker needs a moment, and an open transaction hides records.
Task<std::map<TopicPartition, Timestamp>> times_of(std::map<TopicPartition, Unread> unread) {
  std::map<TopicPartition, Timestamp> times;
  if (unread.empty()) co_return times;
  ReaderOptions options;
  options.client = "command line";
  for (const auto& [partition, offsets] : unread) options.partitions[partition] = offsets.from;
  auto reader = log_context().log->reader(*Loop::current(), std::move(options));
  std::map<AssignmentId, TopicPartition> partitions;
  const auto deadline = Loop::current()->now() + kPatience;
  while (!unread.empty() && Loop::current()->now() < deadline) {
    auto polled =
        co_await reader->poll(1, std::chrono::ceil<std::chrono::milliseconds>(deadline - Loop::current()->now()));
    for (const auto& one : polled.assigned) partitions[one.id] = one.partition;
    for (const auto& batch : polled.batches) {
      const auto place = unread.find(partitions[batch->assignment]);
      if (place == unread.end()) continue;
      if (batch->records.empty() && batch->next_offset < place->second.end) continue;
      if (!batch->records.empty()) times[place->first] = batch->records.front().timestamp();
      reader->pause(batch->assignment);
      unread.erase(place);
    }
  }
  co_await reader->close();
  co_return times;
}

// The first unacknowledged offset of each partition, from the app's workers on this machine. The committed offset
// follows it one commit interval later.
Task<std::map<TopicPartition, std::int64_t>> done_here(const App& app) {
  std::map<TopicPartition, std::int64_t> done;
  if (!log_context().with_app) co_return done;
  Workers workers{app};
  for (const auto& worker : co_await workers.ask()) {
    for (const auto& one : worker.partitions) done[{one.topic, one.partition}] = one.oldest;
  }
  co_return done;
}

struct Line {
  std::int64_t from = 0;  // the first offset that is not acknowledged
  std::int64_t end = 0;
  std::optional<std::int64_t> committed;
  std::string owner;
  std::optional<Timestamp> oldest{};  // of the record at `from`
};
using Lines = std::map<TopicPartition, Line>;

// The partitions of each group, or of the only one, that have a commit or an owner; and all that the app's agents
// consume.
Task<std::map<std::string, Lines>> lines_of(const App& app, std::optional<std::string> only) {
  auto& log = *log_context().log;
  std::map<std::string, Lines> all;
  std::vector<std::string> names;
  for (const auto& group : value_or_throw(co_await log.groups())) {
    names.push_back(group.name);
    if (only ? group.name != *only : handles_dead_letters(group.name)) continue;
    for (const auto& commit : group.commits) all[group.name][commit.partition].committed = commit.offset;
    for (const auto& member : group.members) {
      for (const auto& partition : member.owned) all[group.name][partition].owner = member.client;
    }
  }
  if (log_context().with_app && only.value_or(app.id()) == app.id()) {
    names.push_back(app.id());
    for (const auto& partition : co_await consumed_partitions(app, log)) all[app.id()].try_emplace(partition);
  }
  if (only && std::ranges::find(names, *only) == names.end()) {
    throw UsageError(fmt::format("there is no group \"{}\" (see: {} groups){}", printable(*only), app.id(),
                                 did_you_mean(*only, names)));
  }
  co_return all;
}

// Adds what the log has of the partitions, and removes those of deleted topics.
Task<void> look_up(Lines& lines) {
  std::map<TopicPartition, Unread> unread;
  for (auto place = lines.begin(); place != lines.end();) {
    auto& [partition, line] = *place;
    const auto marks = co_await log_context().log->watermarks(partition);
    if (!marks && marks.error().kind == ErrorKind::kNotFound) {
      place = lines.erase(place);
      continue;
    }
    const auto& [start, end] = value_or_throw(marks);
    line.from = std::max(line.committed.value_or(start), start);
    line.end = end;
    if (line.from < end) unread[partition] = {line.from, end};
    ++place;
  }
  for (const auto& [partition, time] : co_await times_of(std::move(unread))) lines[partition].oldest = time;
}

Task<int> show(const App& app, std::optional<std::string> only, bool json) {
  const auto done = co_await done_here(app);
  const auto now = Loop::current()->timestamp();
  TextTable table{"Lag",
                  {{"group"},
                   {"topic"},
                   {"partition", true},
                   {"end", true},
                   {"committed", true},
                   {"lag", true},
                   {"uncommitted", true},
                   {"owner"},
                   {"oldest unacknowledged", json}}};
  auto groups = co_await lines_of(app, std::move(only));
  std::vector<Task<void>> looks;
  for (auto& [group, lines] : groups) looks.push_back(look_up(lines));
  co_await when_all(std::move(looks));
  for (const auto& [group, lines] : groups) {
    for (const auto& [partition, line] : lines) {
      const auto here = group == app.id() ? done.find(partition) : done.end();
      std::optional<std::chrono::milliseconds> age;
      if (line.oldest) age = std::max(now - *line.oldest, std::chrono::milliseconds{0});
      table.add({group, partition.topic, std::to_string(partition.partition), std::to_string(line.end),
                 line.committed ? std::to_string(*line.committed) : "", std::to_string(line.end - line.from),
                 here == done.end() ? "" : std::to_string(std::max<std::int64_t>(here->second - line.from, 0)),
                 line.owner, duration_cell(age, "", json)});
    }
  }
  table.print(json);
  co_return kOk;
}

// The offsets that one --reset sets, for each of its partitions.
Task<void> read_reset(const App& app, std::string text, std::map<TopicPartition, std::int64_t>& offsets) {
  const auto wrong = [&] {
    return UsageError(fmt::format("--reset {}: expected TOPIC=WHERE or TOPIC/PARTITION=WHERE", printable(text)));
  };
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) throw wrong();
  auto entity = text.substr(0, equals);
  const auto where = text.substr(equals + 1);
  std::optional<int> only;
  if (const auto slash = entity.find('/'); slash != std::string::npos) {
    int number = 0;
    if (!take_number(entity.substr(slash + 1), number)) throw wrong();
    only = number;
    entity.resize(slash);
  }
  const auto info = co_await find_topic(app, topic_of(app, entity));
  if (only) check_partition(info.name, info.config.partitions, *only);
  for (int i = only.value_or(0); i < (only ? *only + 1 : info.config.partitions); ++i) {
    TopicPartition partition{info.name, i};
    const auto marks = value_or_throw(co_await log_context().log->watermarks(partition));
    std::optional<std::int64_t> offset = marks.start;
    if (where == "latest")
      offset = marks.end;
    else if (where != "earliest")
      offset = co_await offset_or_time(partition, marks, where);
    if (!offset)
      throw UsageError(fmt::format(
          "--reset {}: expected earliest, latest, an offset, or a time like 2026-01-02T03:04:05Z", printable(text)));
    offsets[partition] = *offset;
  }
}

Task<int> reset(LagOptions options, CommandContext context) {
  if (!options.group && !log_context().with_app) throw UsageError("--reset: name the --group; see: mephisto groups");
  const auto name = options.group.value_or(context.app.id());
  auto& log = *log_context().log;
  std::map<TopicPartition, std::int64_t> offsets;
  for (const auto& one : options.reset) co_await read_reset(context.app, one, offsets);
  std::map<TopicPartition, std::int64_t> before;
  for (const auto& group : value_or_throw(co_await log.groups())) {
    if (group.name != name) continue;
    for (const auto& commit : group.commits) before[commit.partition] = commit.offset;
  }
  if (!options.dry_run) value_or_throw(co_await log.reset(name, offsets));
  TextTable table{options.dry_run ? "Offsets (dry run)" : "Offsets",
                  {{"group"}, {"topic"}, {"partition", true}, {"before", true}, {"after", true}}};
  for (const auto& [partition, offset] : offsets) {
    const auto place = before.find(partition);
    table.add({name, partition.topic, std::to_string(partition.partition),
               place == before.end() ? "" : std::to_string(place->second), std::to_string(offset)});
  }
  table.print(context.json);
  co_return kOk;
}

Task<int> lag(LagOptions options, CommandContext context) {
  if (!options.reset.empty()) co_return co_await reset(std::move(options), context);
  if (options.dry_run) throw UsageError("--dry-run goes with --reset TOPIC=WHERE");
  co_return co_await show(context.app, std::move(options.group), context.json);
}

}  // namespace

Builtin lag_command() {
  return builtin<LagOptions>(
      "lag",
      "Show each group's lag, and how much of it is acknowledged but not committed yet; or set a group's offsets.",
      LogUse::kReads, lag, false);
}

}  // namespace mephisto::cli
