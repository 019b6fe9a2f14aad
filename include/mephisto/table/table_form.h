// The form in which a table's rows are kept, and what it means if an app declares another one than before.
#pragma once

#include <string>
#include <vector>

#include "mephisto/codec/shape.h"
#include "mephisto/table/window.h"

namespace mephisto::detail {

struct FieldForm {
  std::string name;
  std::string type;
  bool required = true;
};

// A fingerprint. It is kept as JSON in the topic ID-__tables.
struct TableForm {
  std::string kind;  // "a table"; of a join, whose bytes are its own, the rest is empty
  std::string key;   // the type on the wire
  std::string value;
  std::vector<FieldForm> fields;  // of a value that is a record
  std::string serializer;
};

TableForm form_of(std::string kind, const json::Shape& key, const json::Shape& value, std::string serializer);
// Windows whose state cannot be that of others.
std::string kind_of(const WindowSpec& windows);

enum class FormChange : std::uint8_t { kCompatible, kNeedsMigration, kNeedsReset };
const char* to_string(FormChange change);  // "compatible", "needs migration", "needs reset"

struct FormDifference {
  FormChange change = FormChange::kCompatible;
  std::string what;
};
// All that differs; empty if nothing does.
std::vector<FormDifference> compare(const TableForm& before, const TableForm& now);

}  // namespace mephisto::detail
