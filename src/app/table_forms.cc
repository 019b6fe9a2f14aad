#include "mephisto/app/table_forms.h"

#include "app/compacted_topic.h"
#include "mephisto/codec/json_read.h"
#include "mephisto/codec/json_write.h"
#include "mephisto/loop.h"

namespace mephisto::detail {

std::string forms_topic(const App& app) { return app.id() + "-__tables"; }

Task<TableForms> read_forms(const App& app, Log& log) {
  TableForms forms;
  if (!co_await topic_if_there(log, forms_topic(app))) co_return forms;
  co_await read_to_end(log, {forms_topic(app), 0}, -1, "forms of tables", [&](const RecordView& record) {
    if (!record.has_value()) {
      forms.erase(std::string{record.key});
    } else if (auto form = from_json<TableForm>(record.value)) {
      forms[std::string{record.key}] = std::move(*form);
    }
  });
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
  if (!co_await make_compacted_topic(log, batch.partition.topic, config)) co_return;
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
