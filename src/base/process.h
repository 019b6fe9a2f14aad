// What this process is called.
#pragma once

#include <string>

namespace mephisto {

std::string host_name();
// The host and the process id: `shop1:4711`.
std::string process_name();

}  // namespace mephisto
