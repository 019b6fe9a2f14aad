#include "mephisto/stream/assignment.h"

#include "mephisto/base/assert.h"
#include "mephisto/logging.h"

namespace mephisto::detail {

const char* to_string(AssignmentState state) {
  switch (state) {
    case AssignmentState::kAssigned: return "assigned";
    case AssignmentState::kRestoring: return "restoring";
    case AssignmentState::kRunning: return "running";
    case AssignmentState::kDraining: return "draining";
    case AssignmentState::kClosed: return "closed";
    case AssignmentState::kLost: return "lost";
  }
  return "unknown";
}

bool may_follow(AssignmentState from, AssignmentState to) {
  using enum AssignmentState;
  switch (from) {
    case kAssigned: return to != kAssigned;
    case kRestoring: return to == kRunning || to == kDraining || to == kClosed || to == kLost;
    case kRunning: return to == kDraining || to == kClosed || to == kLost;
    case kDraining: return to == kClosed || to == kLost;
    case kClosed:
    case kLost: return false;
  }
  return false;
}

void Assignment::enter(AssignmentState next, Loop::time_point now) {
  MEPHISTO_ASSERT(may_follow(state_, next), "an assignment changes its state as drawn in assignment.h");
  log::debug("{}: {} -> {} (generation {})", partition().str(), to_string(state_), to_string(next), generation());
  if (state_ == AssignmentState::kRestoring && next != AssignmentState::kRunning) restoring.cancel();
  state_ = next;
  since_ = now;
  for (const auto& lane : lanes) {
    lane->state = next;
    // Records of another lane may have waited for this one to run.
    if (next == AssignmentState::kRunning)
      lane->queue->ready().notify_all();
    else
      lane->leaves_running.notify_all();
  }
}

}  // namespace mephisto::detail
