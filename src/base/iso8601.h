// Times as text for encoders, without an allocation. `mephisto/base/time.h` has the rest.
#pragma once

#include <cstddef>

#include "mephisto/base/time.h"

namespace mephisto::detail {

inline constexpr std::size_t kIso8601Size = 27;  // `2020-01-02T03:04:05.000006Z`

// Writes what format_iso8601() gives, to `at` with room for kIso8601Size bytes, and returns its end. The year must be
// from 0 to 9999.
char* write_iso8601(char* at, Microtime time);

}  // namespace mephisto::detail
