// `table`: shows a table's keys and values, which it reads from the changelog. So it needs no worker.
#include <fmt/format.h>

#include <cstdio>
#include <limits>
#include <map>

#include "app/table_rows.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "mephisto/windows.h"

namespace mephisto::cli {
namespace {

using detail::row_json;
using detail::RowFilter;
using detail::ShownKey;
using detail::ShownRow;
using detail::ShownValue;
using detail::windows_of;

constexpr int kDefaultLimit = 100;
constexpr std::size_t kReadBytes = 1 << 20;
constexpr std::chrono::milliseconds kRead{1'000};
constexpr std::chrono::milliseconds kFollow{60'000};
constexpr std::chrono::seconds kPatience{30};  // with a log that gives nothing more

struct TableCommandOptions {
  std::string name;
  std::optional<std::string> key;
  std::optional<std::string> prefix;
  std::optional<std::string> window;
  std::optional<int> limit;
  bool follow = false;

  static std::vector<OptionHelp> help() {
    return {{"name", "the table, as `tables` lists it", "", true},
            {"key", "only this key, as it is shown here; exit code 1 if it is not there", "", true},
            {"prefix", "only keys that start with this"},
            {"window", "only windows that hold this time (ISO 8601, or milliseconds since 1970)"},
            {"limit", "at most this many rows (0: all; default: 100, with --follow all)", "-n"},
            {"follow",
             "one line of JSON for each row, and then for each change (an erased key has the value null); "
             "Ctrl-C ends it"}};
  }
};

std::int64_t time_of(const std::string& text) {
  if (const auto time = detail::window_time(text)) return *time;
  throw UsageError(
      fmt::format("--window {}: a time is 2026-01-31T12:00:00Z, or milliseconds since 1970", printable(text)));
}

const TableBase& find_table(const App& app, const std::string& name) {
  std::vector<std::string> names;
  for (const auto& table : app.tables()) {
    if (table->name() == name) return *table;
    names.push_back(table->name());
  }
  throw UsageError(
      fmt::format("there is no table \"{}\" (see: {} tables){}", printable(name), app.id(), did_you_mean(name, names)));
}

// Reads the changelog of a table, and gives those of its changes that are wanted.
class Changes {
 public:
  Changes(const TableBase& table, const TableCommandOptions& options, Log& log)
      : table_(table), wanted_{options.key, options.prefix, {}}, log_(log) {
    if (options.window) wanted_.window = time_of(*options.window);
  }

  // From the first record on. `unread()` is false when all that was there at this call has been read.
  Task<void> start(const TopicInfo& changelog) {
    ReaderOptions options;
    options.client = "command line";
    for (int i = 0; i < changelog.config.partitions; ++i) {
      const TopicPartition partition{changelog.name, i};
      const auto marks = value_or_throw(co_await log_.watermarks(partition));
      options.partitions[partition] = marks.start;
      if (marks.start < marks.end) unread_[partition] = marks.end;
    }
    reader_ = log_.reader(*Loop::current(), std::move(options));
  }
  bool unread() const { return !unread_.empty(); }

  Task<std::vector<ShownRow>> next(std::chrono::milliseconds wait) {
    std::vector<ShownRow> changes;
    auto polled = co_await reader_->poll(kReadBytes, wait);
    for (auto& one : polled.assigned) partitions_[one.id] = one.partition;
    for (const auto& batch : polled.batches) {
      const auto& partition = partitions_[batch->assignment];
      for (const auto& record : batch->records) add(partition.partition, record, changes);
      const auto end = unread_.find(partition);
      if (end != unread_.end() && batch->next_offset >= end->second) unread_.erase(end);
    }
    const auto now = Loop::current()->now();
    if (!polled.batches.empty()) last_ = now;
    if (unread() && now - last_ > kPatience) {
      throw Failure(ErrorKind::kTimeout,
                    fmt::format("the log has given nothing of {} for {}, so the table is not whole; see: transactions",
                                unread_.begin()->first.str(), format_duration(kPatience)));
    }
    co_return changes;
  }

 private:
  void add(int partition, const RecordView& record, std::vector<ShownRow>& changes) const {
    if (auto row = detail::shown_row(table_, partition, wanted_, record.key,
                                     record.has_value() ? std::optional{record.value} : std::nullopt))
      changes.push_back(std::move(*row));
  }

  const TableBase& table_;
  RowFilter wanted_;
  Log& log_;
  std::unique_ptr<Reader> reader_;
  std::map<AssignmentId, TopicPartition> partitions_;
  std::map<TopicPartition, std::int64_t> unread_;  // the ends at the start
  Loop::time_point last_ = Loop::current()->now();
};

using Rows = std::map<std::pair<ShownKey, int>, ShownValue>;  // by key and partition

Task<int> follow(const TableBase& table, Changes& changes, const Rows& rows, std::int64_t limit) {
  JsonRows lines{false};
  std::int64_t printed = 0;
  for (const auto& [key, value] : rows) {
    if (printed++ == limit) co_return kOk;
    lines.add(row_json(table, {key.second, key.first, value}));
  }
  while (printed < limit) {
    std::fflush(stdout);
    for (const auto& row : co_await changes.next(kFollow)) {
      if (printed++ == limit) break;
      lines.add(row_json(table, row));
    }
  }
  co_return kOk;
}

void show(const TableBase& table, const Rows& rows, std::int64_t limit, bool json) {
  const bool windows = windows_of(table) != nullptr;
  TextTable shown = windows ? TextTable{table.name(), {{"key"}, {"start"}, {"end"}, {"partition", true}, {"value"}}}
                            : TextTable{table.name(), {{"key"}, {"partition", true}, {"value"}}};
  JsonRows lines{json};
  for (std::int64_t printed = 0; const auto& [key, value] : rows) {
    if (printed++ == limit) break;
    if (json) {
      lines.add(row_json(table, {key.second, key.first, value}));
    } else if (windows) {
      const auto [start, end] = detail::bounds_json(table, *value.window);
      shown.add({key.first.text(), start, end, std::to_string(key.second), value.value});
    } else {
      shown.add({key.first.text(), std::to_string(key.second), value.value});
    }
  }
  if (!json) shown.print(false);
}

Task<int> table(TableCommandOptions options, CommandContext context) {
  if (options.limit && *options.limit < 0) throw UsageError(fmt::format("--limit {}: from 0", *options.limit));
  if (options.key && options.prefix) throw UsageError("give a KEY, or --prefix P");
  const auto& found = find_table(context.app, options.name);
  if (options.window && windows_of(found) == nullptr)
    throw UsageError(fmt::format("--window: table {} has no windows", found.name()));
  auto& log = *log_context().log;
  const auto changelog = co_await topic_if_there(log, found.spec().changelog.name);
  if (!changelog) {
    throw Failure(ErrorKind::kNotFound, fmt::format("table {} has no changelog yet ({}): start a worker", found.name(),
                                                    found.spec().changelog.name));
  }
  Changes changes{found, options, log};
  co_await changes.start(*changelog);
  Rows rows;
  while (changes.unread()) {
    for (auto& [partition, key, value] : co_await changes.next(kRead)) {
      if (value)
        rows.insert_or_assign({std::move(key), partition}, std::move(*value));
      else
        rows.erase({key, partition});
    }
  }
  const auto wanted = options.limit.value_or(options.follow ? 0 : kDefaultLimit);
  const auto limit = wanted == 0 ? std::numeric_limits<std::int64_t>::max() : wanted;
  if (options.follow) co_return co_await follow(found, changes, rows, limit);
  if (options.key && rows.empty()) {
    throw Failure(ErrorKind::kNotFound,
                  fmt::format("table {} has no key \"{}\"", found.name(), printable(*options.key)));
  }
  show(found, rows, limit, context.json);
  const auto all = static_cast<std::int64_t>(rows.size());
  if (!options.limit && !context.json && all > limit)
    print_notice(fmt::format("These are the first {} of {} rows; all: --limit 0", limit, all));
  co_return kOk;
}

}  // namespace

Builtin table_command() {
  return builtin<TableCommandOptions>("table", "Show a table's keys and values, as its changelog has them.",
                                      LogUse::kReads, table);
}

}  // namespace mephisto::cli
