// What Horton's commands share, and its pages with them.
#pragma once

#include "horton/app.h"
#include "horton/budget.h"
#include "mephisto/cli/terminal.h"

namespace horton {

// A value for the terminal: a text stays as it is, but without control codes; null becomes `nothing`.
std::string shown(const boost::json::value* value, const char* nothing = "");
// The same of a field.
std::string text(const Object& document, const char* name);
void print_json(const boost::json::array& rows);

// The fields that a list of securities has.
inline constexpr const char* kListed[] = {"symbol", "name", "exchange", "sector", "market_capitalization"};
// They of one security; null if it lacks one.
Object listed_row(const Object& security);
// The documents of a symbol, one for each exchange. Throws Failure (kNotFound) if there is none.
mephisto::Task<std::vector<Object>> documents_of(std::string symbol, std::optional<std::string> exchange);
// What of the budget is used. `paused` is the pause that everybody makes now.
mephisto::Task<mephisto::TextTable> budget_table(std::optional<Budget::Pause> paused);

// Until when everybody waits for the service or the budget; empty if a request may go now.
mephisto::Task<std::optional<Budget::Pause>> waits_until();

struct SecurityOptions {
  static constexpr bool kOnlyReads = true;
  std::string symbol;
  std::optional<std::string> exchange;
  static std::vector<mephisto::OptionHelp> help() {
    return {{"symbol", "the security's symbol", "", true},
            {"exchange", "needed if the symbol is on several exchanges"}};
  }
};
mephisto::Task<int> show_security(SecurityOptions options, mephisto::CommandContext context);

}  // namespace horton
