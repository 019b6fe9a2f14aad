#include "app/table_rows.h"

#include <fmt/format.h>

#include "base/text.h"
#include "codec/value_json.h"

namespace mephisto::detail {
namespace {

bool has_bytes(const TableBase& table) { return dynamic_cast<const OperatorTable*>(&table) != nullptr; }

// None for an entry that is no row for people.
std::optional<ShownKey> shown_key(const TableBase& table, std::string_view key) {
  if (const auto* windows = windows_of(table)) {
    const auto stored = Windows::entry_key(key);
    if (!stored) return std::nullopt;
    Buffer json;
    windows->write_key(*stored, json);
    auto shown = shown_json_key(json.view());
    shown.bytes = key;
    return shown;
  }
  if (has_bytes(table)) return ShownKey{0, "", std::string{key}, ShownKey::Kind::kBytes};
  return shown_json_key(key);
}

// None for a window that takes no more records.
std::optional<ShownValue> shown_value(const TableBase& table, std::string_view key, std::string_view value) {
  if (const auto* windows = windows_of(table)) {
    auto entry = windows->windows().entry(key, value);
    if (!entry) return std::nullopt;
    return ShownValue{value_json(Codec::json(), entry->value), entry->window};
  }
  if (has_bytes(table)) return ShownValue{to_json(printable(value, kWhole)), std::nullopt};
  return ShownValue{value_json(table.spec().changelog.value_codec, value), std::nullopt};
}

bool holds(const TableBase& table, const WindowBounds& window, std::int64_t time) {
  const bool with_end = windows_of(table)->windows().spec().holds_end();
  return window.start <= time && (with_end ? time <= window.end : time < window.end);
}

}  // namespace

ShownKey shown_json_key(std::string_view key) {
  if (auto text = from_json<std::string>(key)) return {0, "", std::move(*text), ShownKey::Kind::kText};
  ShownKey shown{0, "", value_json(Codec::json(), key), ShownKey::Kind::kJson};
  (void)mephisto::take_number(shown.content, shown.number);
  return shown;
}

std::string ShownKey::text() const { return kind == Kind::kBytes ? printable(content, kWhole) : content; }

std::string ShownKey::json() const { return kind == Kind::kJson ? content : to_json(Bytes{text()}); }

const WindowsTable* windows_of(const TableBase& table) { return dynamic_cast<const WindowsTable*>(&table); }

std::optional<std::int64_t> window_time(const std::string& text) {
  std::int64_t ms = 0;
  if (mephisto::take_number(text, ms)) return ms;
  if (const auto time = from_json<Timestamp>(to_json(text))) return time->time_since_epoch().count();
  return std::nullopt;
}

std::optional<ShownRow> shown_row(const TableBase& table, int partition, const RowFilter& wanted, std::string_view key,
                                  std::optional<std::string_view> value) {
  auto shown = shown_key(table, key);
  if (!shown) return std::nullopt;
  if (wanted.key && *wanted.key != shown->text() && *wanted.key != shown->json()) return std::nullopt;
  if (wanted.prefix && !shown->text().starts_with(*wanted.prefix)) return std::nullopt;
  std::optional<ShownValue> content;
  if (value) content = shown_value(table, key, *value);
  if (content && wanted.window && !holds(table, *content->window, *wanted.window)) return std::nullopt;
  return ShownRow{partition, std::move(*shown), std::move(content)};
}

std::pair<std::string, std::string> bounds_json(const TableBase& table, const WindowBounds& window) {
  const auto json = [&](std::int64_t bound) {
    const bool is_number = windows_of(table)->windows().spec().kind() == WindowSpec::Kind::kCount;
    return is_number ? std::to_string(bound) : to_json(Timestamp{std::chrono::milliseconds{bound}});
  };
  return {json(window.start), json(window.end)};
}

std::string row_json(const TableBase& table, const ShownRow& row) {
  std::string window;
  if (row.value && row.value->window) {
    const auto [start, end] = bounds_json(table, *row.value->window);
    window = fmt::format(R"("window":{{"start":{},"end":{}}},)", start, end);
  }
  return fmt::format(R"({{"partition":{},"key":{},{}"value":{}}})", row.partition, row.key.json(), window,
                     row.value ? row.value->value : "null");
}

}  // namespace mephisto::detail
