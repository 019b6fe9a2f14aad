#include "horton/command_parts.h"

#include <fmt/format.h>

#include <algorithm>

#include "horton/json_text.h"
#include "mephisto/base/text.h"

namespace horton {

using namespace mephisto;

std::string shown(const boost::json::value* value, const char* nothing) {
  if (value == nullptr || value->is_null()) return nothing;
  const auto* text = value->if_string();
  return printable(text == nullptr ? json_text(*value) : std::string{*text}, kWhole);
}

void print_json(const boost::json::array& rows) { fmt::print("{}\n", printable_json(json_text(rows))); }

std::string text(const Object& document, const char* name) { return shown(document.if_contains(name)); }

Object listed_row(const Object& security) {
  Object row;
  for (const char* name : kListed) row[name] = security.contains(name) ? security.at(name) : nullptr;
  return row;
}

Task<std::vector<Object>> documents_of(std::string symbol, std::optional<std::string> exchange) {
  Object filter{{"symbol", symbol}};
  if (exchange) filter["exchange"] = *exchange;
  auto found = co_await securities().find_many(std::move(filter));
  if (found.empty()) {
    throw Failure(ErrorKind::kNotFound,
                  fmt::format("there is no security {}{} in the documents; see: horton securities", symbol,
                              exchange ? " on " + *exchange : ""));
  }
  co_return found;
}

Task<TextTable> budget_table(std::optional<Budget::Pause> paused) {
  TextTable table{"Budget", {{"allowed"}, {"used", true}, {"free again"}, {"left", true}}};
  for (const auto& use : co_await budget().use())
    table.add({use.term.text, std::to_string(use.used), use.free_at ? format_iso8601(*use.free_at) : "now",
               std::to_string(std::max(0, use.term.count - use.used))});
  if (paused)
    table.add({paused->out_of_order.empty() ? "(quota notice)" : "(service out of order)", "",
               format_iso8601(paused->until), ""});
  co_return table;
}

Task<std::optional<Budget::Pause>> waits_until() {
  auto wait = co_await budget().pause();
  for (const auto& use : co_await budget().use()) {
    if (use.free_at && (!wait || *use.free_at > wait->until))
      wait = Budget::Pause{*use.free_at, wait ? wait->out_of_order : ""};
  }
  co_return wait;
}

}  // namespace horton
