// Checks stored times, because the clock that noted them may have been wrong.
#pragma once

#include <chrono>

#include "mephisto/loop.h"
#include "mephisto/base/time.h"

namespace horton {

// The clocks of machines that work together differ by at most this much.
inline constexpr std::chrono::minutes kClocksDiffer{1};

// Whether a wrong clock noted a stored time: the time is in the future. Such a time does not count.
inline bool is_future(mephisto::Microtime stored) {
  return stored > mephisto::Loop::current()->wall_time() + kClocksDiffer;
}

}  // namespace horton
