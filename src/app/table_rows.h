// Rows of a table as commands and pages show them, made from the keys and values of its changelog.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "mephisto/windows.h"

namespace mephisto::detail {

// The keys of windows and joins are bytes; all others have JSON in the changelog. Of windows the key of their table is
// shown.
struct ShownKey {
  enum class Kind { kText, kJson, kBytes };
  std::int64_t number = 0;  // orders the integers by value; 0 for others
  std::string bytes;        // of a window, its whole key
  std::string content;
  Kind kind = Kind::kText;

  std::string text() const;
  std::string json() const;
  auto operator<=>(const ShownKey&) const = default;
};

// As JSON; `window` is only of windows.
struct ShownValue {
  std::string value;
  std::optional<WindowBounds> window;
};

struct ShownRow {
  int partition = 0;
  ShownKey key;
  std::optional<ShownValue> value;  // none: the key is erased
};

// Which rows are wanted. All that is given must hold.
struct RowFilter {
  std::optional<std::string> key;      // as it is shown, or its JSON
  std::optional<std::string> prefix;   // of the key as it is shown
  std::optional<std::int64_t> window;  // a time that the window holds: milliseconds since 1970
};

// The key of a row, from its JSON.
ShownKey shown_json_key(std::string_view key);
// Null if the table has no windows.
const WindowsTable* windows_of(const TableBase& table);
// The time in milliseconds since 1970 that a text gives: ISO 8601, or that number.
std::optional<std::int64_t> window_time(const std::string& text);

// The row of a record of the changelog; none if it is not wanted, or no row for people.
std::optional<ShownRow> shown_row(const TableBase& table, int partition, const RowFilter& wanted, std::string_view key,
                                  std::optional<std::string_view> value);
// Start and end as JSON: of count windows the numbers of records, of all others times.
std::pair<std::string, std::string> bounds_json(const TableBase& table, const WindowBounds& window);
// {"partition":0,"key":…,"value":…}, of windows with "window":{"start":…,"end":…}.
std::string row_json(const TableBase& table, const ShownRow& row);

}  // namespace mephisto::detail
