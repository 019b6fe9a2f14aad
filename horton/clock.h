// Stored times against a clock that may have been wrong once.
#pragma once

#include <chrono>

#include "mephisto/loop.h"
#include "mephisto/time.h"

namespace horton {

// Clocks of machines that work together are at most so far apart.
inline constexpr std::chrono::minutes kClocksDiffer{1};

// Whether a stored time was noted by a clock that was wrong: it is still to come. Such a time does not count.
inline bool is_future(mephisto::Microtime stored) {
  return stored > mephisto::Loop::current()->wall_time() + kClocksDiffer;
}

}  // namespace horton
