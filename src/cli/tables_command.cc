// `tables`: lists the app's tables, with what the workers on this machine report of them.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "mephisto/logging.h"

namespace mephisto::cli {
namespace {

struct TablesOptions {
  bool end_for_faust = false;

  static std::vector<OptionHelp> help() {
    return {{"end_for_faust",
             "append a copy of its last record to each changelog, before Faust takes the tables over: Faust waits for "
             "ever at a changelog that ends with a transaction"}};
  }
};

// An object of --json. What only a worker knows is null without one.
struct ListedTable {
  std::string table;
  int partitions = 0;
  std::optional<std::uint64_t> keys;
  std::optional<std::uint64_t> bytes;
  std::optional<std::int64_t> lag;  // offsets of the changelog that are not in the stores yet
  std::string state;
  Bytes changelog;
  std::optional<std::int64_t> offsets;  // of the changelog; null if there is none yet
  std::string help;
  std::vector<status::TableStatus> of_partitions;  // those of the workers on this machine
};

// What the workers of a machine have: a partition is on one of them, but each has all of a global table.
struct Size {
  std::uint64_t keys = 0;
  std::uint64_t bytes = 0;
  std::int64_t lag = 0;
};

// Adds what the log has of the changelog.
Task<void> look_up(Log& log, bool global, ListedTable& table) {
  const auto info = co_await topic_if_there(log, table.changelog.data);
  if (!info) co_return;
  table.partitions = info->config.partitions;
  std::int64_t offsets = 0;
  for (int i = 0; i < table.partitions; ++i) {
    const auto marks = value_or_throw(co_await log.watermarks({table.changelog.data, i}));
    offsets += marks.end - marks.start;
    if (!global) continue;
    for (auto& one : table.of_partitions) {
      if (one.partition == i) one.end = std::max(one.end, marks.end);
    }
  }
  table.offsets = offsets;
}

std::string progress(const status::TableStatus& one) {
  const auto done = one.position - one.from;
  const auto all = one.end - one.from;
  auto text = fmt::format("restoring {{{}}}: {} of {} records ({} %", one.partition, done, all,
                          100 * done / std::max<std::int64_t>(all, 1));
  if (one.ms.value_or(0) > 0 && done > 0) {
    const auto rate = static_cast<double>(done) * 1000 / static_cast<double>(*one.ms);
    text += fmt::format(", {:.0f} records/s, {:.0f} s left", rate, static_cast<double>(all - done) / rate);
  }
  return text + ")";
}

// Adds what the workers report of it.
void sum_up(bool workers, bool global, ListedTable& table) {
  std::vector<int> running;
  std::string restoring;
  std::map<std::string, std::vector<int>> waiting;  // by what they wait for
  std::vector<int> elsewhere;
  for (int i = 0; i < table.partitions; ++i) elsewhere.push_back(i);
  std::map<std::string, Size> sizes;  // by member
  std::vector<int> standbys;
  for (const auto& one : table.of_partitions) {
    if (one.state == "standby") {
      standbys.push_back(one.partition);
      continue;
    }
    auto& size = sizes[global ? one.member : ""];
    size.keys += one.keys;
    size.bytes += one.bytes;
    size.lag += std::max<std::int64_t>(one.end - one.position, 0);
    table.keys = std::max(table.keys.value_or(0), size.keys);
    table.bytes = std::max(table.bytes.value_or(0), size.bytes);
    table.lag = std::max(table.lag.value_or(0), size.lag);
    std::erase(elsewhere, one.partition);
    if (one.state == "running" && std::ranges::find(running, one.partition) == running.end())
      running.push_back(one.partition);
    else if (one.state == "running")
      continue;
    else if (one.trouble)
      waiting[*one.trouble].push_back(one.partition);
    else
      restoring += (restoring.empty() ? "" : "; ") + progress(one);
  }
  std::string text = running.empty() ? "" : "running " + fold(running);
  for (const auto& [why, partitions] : waiting)
    text += (text.empty() ? "" : "; ") + fmt::format("waiting {}: {}", fold(partitions), printable(why, 500));
  for (const auto& more : {restoring, !workers            ? std::string{"no worker on this machine"}
                                      : elsewhere.empty() ? std::string{}
                                                          : "not on this machine " + fold(elsewhere)}) {
    if (!more.empty()) text += (text.empty() ? "" : "; ") + more;
  }
  if (!standbys.empty()) text += "; standby of " + fold(standbys);
  table.state = std::move(text);
}

template <class T>
std::string cell(const std::optional<T>& number) {
  return number ? std::to_string(*number) : "";
}

Task<int> tables(TablesOptions options, CommandContext context) {
  const auto& app = context.app;
  if (app.tables().empty()) co_return nothing(context, "has no tables.");
  if (options.end_for_faust) {
    const auto log = app.open_log();
    co_await check_stopped(app, log.get());
    const int appended = co_await end_for_faust(app, *log);
    print_notice(fmt::format("{} partitions of changelogs end with a record now", appended));
    co_return kOk;
  }
  std::map<std::string, ListedTable> all;
  std::set<std::string> globals;
  for (const auto& declared : app.tables()) {
    const auto& spec = declared->spec();
    auto& table = all[spec.name];
    if (spec.global) globals.insert(spec.name);
    table.table = spec.name;
    table.partitions = spec.changelog.partitions_set ? spec.changelog.config.partitions
                                                     : static_cast<int>(app.settings().integer("topic_partitions"));
    table.changelog = {spec.changelog.name};
    table.help = spec.help;
  }
  Workers workers{app};
  const auto answers = co_await workers.ask();
  for (const auto& worker : answers) {
    for (const auto& one : worker.tables) {
      if (const auto place = all.find(one.table); place != all.end()) place->second.of_partitions.push_back(one);
    }
  }
  try {
    if (const auto log = log_if_there(app)) {
      for (auto& [name, table] : all) co_await look_up(*log, globals.contains(name), table);
    }
  } catch (const Failure& failure) {
    if (!failure.error().retriable() || answers.empty()) throw;
    log::warn("The log cannot be reached, so this is what the workers report: {}", failure.what());
  }
  std::vector<ListedTable> listed;
  for (auto& [name, table] : all) {
    std::ranges::sort(table.of_partitions, {}, &status::TableStatus::partition);
    sum_up(!answers.empty(), globals.contains(name), table);
    listed.push_back(std::move(table));
  }
  if (context.json) {
    print_json(to_json(listed, Dialect::kShown));
    co_return kOk;
  }
  TextTable shown{
      "Tables",
      {{"table"}, {"partitions", true}, {"keys", true}, {"bytes", true}, {"offsets", true}, {"lag", true}, {"state"}}};
  for (const auto& one : listed)
    shown.add({one.table, std::to_string(one.partitions), cell(one.keys), cell(one.bytes), cell(one.offsets),
               cell(one.lag), one.state});
  shown.print(false);
  co_return kOk;
}

}  // namespace

Builtin tables_command() {
  return builtin<TablesOptions>("tables",
                                "List the app's tables: their size, and how far the workers on this machine have "
                                "restored them.",
                                LogUse::kNone, tables);
}

}  // namespace mephisto::cli
