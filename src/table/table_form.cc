#include "mephisto/table/table_form.h"

#include <fmt/format.h>

#include <algorithm>

#include "mephisto/base/time.h"

namespace mephisto::detail {

TableForm form_of(std::string kind, const json::Shape& key, const json::Shape& value, std::string serializer) {
  TableForm form{std::move(kind), json::wire_type(key), json::wire_type(value), {}, std::move(serializer)};
  if (value.kind != json::Kind::kRecord) return form;
  const auto& record = static_cast<const json::RecordShape&>(value);
  for (std::size_t i = 0; i < record.fields.size(); ++i) {
    const auto& field = record.fields[i];
    form.fields.push_back(
        {std::string{field.name}, json::wire_type(*field.shape), (record.may_be_missing() >> i & 1) == 0});
  }
  return form;
}

std::string kind_of(const WindowSpec& windows) {
  const auto size = format_duration(std::chrono::milliseconds{windows.size()});
  switch (windows.kind()) {
    case WindowSpec::Kind::kTime: return windows.size() == 0 ? "windows of a calendar" : "windows of " + size;
    case WindowSpec::Kind::kSliding: return "sliding windows of " + size;
    case WindowSpec::Kind::kSession: return "sessions with gaps of " + size;
    case WindowSpec::Kind::kCount: return fmt::format("windows of {} records", windows.size());
  }
  return "";
}

const char* to_string(FormChange change) {
  switch (change) {
    case FormChange::kCompatible: return "compatible";
    case FormChange::kNeedsMigration: return "needs migration";
    case FormChange::kNeedsReset: return "needs reset";
  }
  return "";
}

std::vector<FormDifference> compare(const TableForm& before, const TableForm& now) {
  std::vector<FormDifference> all;
  const auto add = [&](FormChange change, std::string what) { all.push_back({change, std::move(what)}); };
  if (before.kind != now.kind) {
    add(FormChange::kNeedsReset, fmt::format("it was {}, and is {}", before.kind, now.kind));
    return all;
  }
  if (before.key != now.key)
    add(FormChange::kNeedsReset, fmt::format("its keys were of type {}, and are of type {}", before.key, now.key));
  if (before.serializer != now.serializer) {
    add(FormChange::kNeedsMigration,
        fmt::format("its serializer was {}, and is {}", before.serializer, now.serializer));
  }
  if (before.fields.empty() != now.fields.empty() || (now.fields.empty() && before.value != now.value))
    add(FormChange::kNeedsReset,
        fmt::format("its values were of type {}, and are of type {}", before.value, now.value));
  if (before.fields.empty() || now.fields.empty()) return all;
  for (const auto& field : now.fields) {
    const auto was = std::ranges::find(before.fields, field.name, &FieldForm::name);
    if (was == before.fields.end() && field.required) {
      add(FormChange::kNeedsReset,
          fmt::format("the field {} is new, and old values lack it: give it a default initialiser, or make it optional",
                      field.name));
    } else if (was == before.fields.end()) {
      add(FormChange::kCompatible, fmt::format("the field {} is new; old values get its default", field.name));
    } else if (was->type != field.type) {
      add(FormChange::kNeedsReset,
          fmt::format("the field {} was of type {}, and is of type {}", field.name, was->type, field.type));
    }
  }
  for (const auto& field : before.fields) {
    if (std::ranges::find(now.fields, field.name, &FieldForm::name) == now.fields.end())
      add(FormChange::kCompatible, fmt::format("the field {} is gone; it is lost when a value is written", field.name));
  }
  return all;
}

}  // namespace mephisto::detail
