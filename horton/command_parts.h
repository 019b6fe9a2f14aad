// What Horton's commands share.
#pragma once

#include "horton/app.h"
#include "horton/budget.h"

namespace horton {

// A value for the terminal: a text stays as it is, but without control codes; null becomes `nothing`.
std::string shown(const boost::json::value* value, const char* nothing = "");
// The same of a field.
std::string text(const Object& document, const char* name);
void print_json(const boost::json::array& rows);

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
