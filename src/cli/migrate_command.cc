// `migrate`: shows what differs between the tables as declared and their rows in the log, and writes rows again in the
// declared serializer.
#include <fmt/format.h>

#include "mephisto/app/table_forms.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace mephisto::cli {
namespace {

constexpr std::size_t kBatchBytes = 512 << 10;

using detail::FormChange;

struct MigrateOptions {
  bool dry_run = false;
  static std::vector<OptionHelp> help() { return {{"dry_run", "only show what differs, and what to do"}}; }
};

std::string what_to_do(FormChange change) {
  switch (change) {
    case FormChange::kCompatible: return "nothing";
    case FormChange::kNeedsMigration: return "stop all workers and run migrate";
    case FormChange::kNeedsReset:
      return "change the declaration back, give the table another name, or stop all workers and run reset --changelog";
  }
  return "";
}

// Writes the last value of each key again. It may be repeated: values that are in the new form already stay.
Task<std::size_t> migrate_partition(const TableBase& table, const Codec& before, Log& log, TopicPartition partition) {
  struct Row {
    std::string value;
    std::int64_t time_ms;  // stays: rows may expire by it
  };
  std::map<std::string, Row> rows;
  co_await read_to_end(log, partition, -1, "migrate", [&](const RecordView& record) {
    if (record.has_value())
      rows.insert_or_assign(std::string{record.key}, Row{std::string{record.value}, record.timestamp_ms});
    else
      rows.erase(std::string{record.key});
  });
  const auto producer = log.producer(*Loop::current());
  OutBatch batch{partition, {}};
  const auto append = [&]() -> Task<void> {
    if (batch.records.empty()) co_return;
    std::vector<OutBatch> batches;
    batches.push_back(std::exchange(batch, OutBatch{partition, {}}));
    value_or_throw(co_await producer->append(batches));
  };
  for (const auto& [key, row] : rows) {
    batch.records.add(key, table.recoded(before, row.value), Timestamp{std::chrono::milliseconds{row.time_ms}});
    if (batch.records.bytes() >= kBatchBytes) co_await append();
  }
  co_await append();
  co_return rows.size();
}

Task<int> migrate(MigrateOptions options, CommandContext context) {
  const auto& app = context.app;
  if (app.tables().empty()) co_return nothing(context, "has no tables, so there is nothing to migrate.");
  const auto& log = log_context().log;
  if (!options.dry_run) co_await check_stopped(app, log.get());
  const auto before = co_await detail::read_forms(app, *log);
  const auto differences = detail::compare_forms(app, before);
  TextTable shown{"Differences", {{"table"}, {"state"}, {"what"}, {"to do"}}};
  bool reset = false;
  std::set<const TableBase*> to_migrate;
  for (const auto& [table, difference] : differences) {
    shown.add({table->name(), detail::to_string(difference.change), difference.what, what_to_do(difference.change)});
    reset |= difference.change == FormChange::kNeedsReset;
    if (difference.change == FormChange::kNeedsMigration) to_migrate.insert(table);
  }
  shown.print(context.json);
  if (options.dry_run) co_return reset ? kFailed : kOk;
  if (reset) throw Failure(ErrorKind::kInvalid, "some tables need a reset, so nothing is migrated");
  for (const auto* table : to_migrate) {
    const auto codec = value_or_throw(Codec::parse(before.at(table->name()).serializer));
    const auto& topic = table->spec().changelog.name;
    const auto partitions = value_or_throw(co_await log->topic(topic)).config.partitions;
    std::size_t rows = 0;
    for (int i = 0; i < partitions; ++i) rows += co_await migrate_partition(*table, codec, *log, {topic, i});
    if (!context.json) fmt::print("Table {}: {} rows are written again\n", table->name(), rows);
  }
  co_await detail::write_forms(app, *log, before, std::nullopt);
  co_return kOk;
}

}  // namespace

Builtin migrate_command() {
  return builtin<MigrateOptions>("migrate",
                                 "Show whether the declared tables can read their state, and convert it if needed.",
                                 LogUse::kReads, migrate);
}

}  // namespace mephisto::cli
