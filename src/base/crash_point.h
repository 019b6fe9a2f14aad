// Named places where a test makes the process die as if by `kill -9`: MEPHISTO_CRASH_AT=name or name:N for the N-th
// time.
#pragma once

#include <string_view>

namespace mephisto {

void crash_point(std::string_view name);

}  // namespace mephisto
