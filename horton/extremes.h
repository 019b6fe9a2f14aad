// Reads the table of extremes. It is in the log, so that no worker has to run.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "horton/app.h"

namespace horton {

// The extremes of the symbol by exchange, as the last commit left them.
mephisto::Task<std::map<std::string, SecurityExtremes>> extremes_of_symbol(std::string symbol);
// Waits until the extremes know the bars that were asked for at `asked_at`. False if they do not within `patience`.
mephisto::Task<bool> wait_for_extremes(SecurityKey security, std::int64_t asked_at, std::chrono::milliseconds patience);

}  // namespace horton
