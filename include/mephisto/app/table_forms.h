// The forms of an app's tables as its last worker declared them. They are in the compacted topic ID-__tables: the
// table's name, and its TableForm as JSON.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "mephisto/app.h"
#include "mephisto/log.h"
#include "mephisto/table/table_form.h"

namespace mephisto::detail {

std::string forms_topic(const App& app);

using TableForms = std::map<std::string, TableForm>;
// Empty if there is no such topic yet.
Task<TableForms> read_forms(const App& app, Log& log);
// Writes the forms of the declared tables that differ from `before`. The topic is created if `config` is given.
Task<void> write_forms(const App& app, Log& log, const TableForms& before, std::optional<TopicConfig> config);

struct TableDifference {
  const TableBase* table = nullptr;
  FormDifference difference;
};
std::vector<TableDifference> compare_forms(const App& app, const TableForms& before);

}  // namespace mephisto::detail
