// Helpers that the consumers of all drivers share.
#pragma once

#include <atomic>

#include "mephisto/log.h"

namespace mephisto {

// An id that is unique in this process, over all drivers.
inline AssignmentId new_assignment() {
  static std::atomic<AssignmentId> next{1};
  return next++;
}

inline bool brings_something(const PollResult& polled) {
  return polled.change || !polled.lost.empty() || !polled.revoked.empty() || !polled.assigned.empty() ||
         !polled.batches.empty();
}

}  // namespace mephisto
