#include "horton/command_parts.h"

#include <fmt/format.h>

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

Task<std::optional<Budget::Pause>> waits_until() {
  auto wait = co_await budget().pause();
  for (const auto& use : co_await budget().use()) {
    if (use.free_at && (!wait || *use.free_at > wait->until))
      wait = Budget::Pause{*use.free_at, wait ? wait->out_of_order : ""};
  }
  co_return wait;
}

}  // namespace horton
