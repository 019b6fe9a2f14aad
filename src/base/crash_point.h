// Named points at which a test can kill the process as with `kill -9`. MEPHISTO_CRASH_AT is a name, or name:N for the
// N-th pass.
#pragma once

#include <string_view>

namespace mephisto {

void crash_point(std::string_view name);

}  // namespace mephisto
