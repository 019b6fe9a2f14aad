// What the consumers of all drivers have in common.
#pragma once

#include <atomic>

#include "mephisto/log.h"

namespace mephisto {

// Unlike that of any other stay in this process, whatever the driver.
inline AssignmentId new_assignment() {
  static std::atomic<AssignmentId> next{1};
  return next++;
}

inline bool brings_something(const PollResult& polled) {
  return polled.change || !polled.lost.empty() || !polled.revoked.empty() || !polled.assigned.empty() ||
         !polled.batches.empty();
}

}  // namespace mephisto
