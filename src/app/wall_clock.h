// Waiting for a time of the wall clock on a loop, whose own clock is another one.
#pragma once

#include <algorithm>
#include <chrono>

#include "mephisto/base/time.h"
#include "mephisto/loop.h"

namespace mephisto::detail {

// When to look at the wall clock again, for what is due at `at`. The clock may be set meanwhile, so that is in half a
// minute at the latest; virtual time is never set.
inline Loop::time_point wake_at(const Loop& loop, Timestamp at) {
  constexpr std::chrono::seconds kSet{30};
  constexpr std::chrono::hours kYear{24 * 366};
  const auto now = std::chrono::floor<std::chrono::milliseconds>(loop.wall_time());
  const auto wait = std::max(at, Timestamp{now}) - now;
  return loop.now() + std::min<std::chrono::milliseconds>(wait, loop.virtual_time() ? kYear : kSet);
}

}  // namespace mephisto::detail
