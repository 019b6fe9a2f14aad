#include "mephisto/app/table_forms.h"

#include <fmt/format.h>

#include "mephisto/codec/json_read.h"
#include "mephisto/codec/json_write.h"
#include "mephisto/loop.h"

namespace mephisto::detail {
namespace {

constexpr std::size_t kReadBytes = 1 << 20;
constexpr std::chrono::milliseconds kReadWait{1000};

}  // namespace

std::string forms_topic(const App& app) { return app.id() + "-__tables"; }

Task<TableForms> read_forms(const App& app, Log& log) {
  TableForms forms;
  const TopicPartition partition{forms_topic(app), 0};
  const auto found = co_await log.topic(partition.topic);
  if (!found && found.error().kind == ErrorKind::kNotFound) co_return forms;
  value_or_throw(found);
  const auto marks = value_or_throw(co_await log.watermarks(partition));
  if (marks.start >= marks.end) co_return forms;
  const auto reader =
      log.reader(*Loop::current(), {.client = "forms of tables", .partitions = {{partition, marks.start}}});
  for (auto next = marks.start; next < marks.end;) {
    const auto polled = co_await reader->poll(kReadBytes, kReadWait);
    for (const auto& batch : polled.batches) {
      next = batch->next_offset;
      for (const auto& record : batch->records) {
        if (record.has_value()) {
          if (auto form = from_json<TableForm>(record.value)) forms[std::string{record.key}] = std::move(*form);
        } else {
          forms.erase(std::string{record.key});
        }
      }
    }
  }
  co_return forms;
}

Task<void> write_forms(const App& app, Log& log, const TableForms& before, std::optional<TopicConfig> config) {
  OutBatch batch{{forms_topic(app), 0}, {}};
  for (const auto& table : app.tables()) {
    const auto form = to_json(table->spec().form);
    const auto was = before.find(table->name());
    if (was == before.end() || to_json(was->second) != form)
      batch.records.add(table->name(), form, Loop::current()->timestamp());
  }
  if (batch.records.empty()) co_return;
  if (config) {
    config->partitions = 1;
    config->compact = true;
    value_or_throw(co_await log.create_topic(batch.partition.topic, *config, IfExists::kKeep));
  } else if (const auto found = co_await log.topic(batch.partition.topic);
             !found && found.error().kind == ErrorKind::kNotFound) {
    co_return;
  }
  std::vector<OutBatch> batches;
  batches.push_back(std::move(batch));
  value_or_throw(co_await log.producer(*Loop::current())->append(batches));
}

std::vector<TableDifference> compare_forms(const App& app, const TableForms& before) {
  std::vector<TableDifference> all;
  for (const auto& table : app.tables()) {
    const auto was = before.find(table->name());
    if (was == before.end()) continue;
    for (auto& difference : compare(was->second, table->spec().form))
      all.push_back({table.get(), std::move(difference)});
  }
  return all;
}

}  // namespace mephisto::detail
