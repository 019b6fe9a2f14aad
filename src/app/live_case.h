// The state of a case in this process.
#pragma once

#include <map>
#include <mutex>
#include <optional>

#include "mephisto/live_check.h"

namespace mephisto {

// For as long a case fails after it has failed as a whole, and its tests are skipped after too many failures (Faust's
// state_transition_delay).
inline constexpr std::chrono::seconds kFailsFor{60};

// Shared by the shards, which have threads of their own.
struct LiveCaseBase::State {
  using time_point = Loop::time_point;

  // Whether its tests are skipped at present.
  bool suspended(time_point now) const {
    const std::scoped_lock lock{mutex};
    return now < suspended_until;
  }
  // Counts a test. Says whether the case fails as a whole now.
  bool count(LiveState outcome, int most_failures, time_point now) {
    const std::scoped_lock lock{mutex};
    ++tests[outcome];
    if (outcome == LiveState::kSkip) return false;
    last = outcome;
    if (outcome == LiveState::kPass) {
      failures = 0;
      return false;
    }
    ++failures;
    if (failures < most_failures || now < suspended_until) return false;
    suspended_until = now + kFailsFor;
    return true;
  }
  void fail(LiveState as, time_point now) {
    const std::scoped_lock lock{mutex};
    failed_as = as;
    fails_until = now + kFailsFor;
    if (as == LiveState::kStall) {
      ++tests[as];
      stalled = true;
    }
  }
  void moves() {
    const std::scoped_lock lock{mutex};
    stalled = false;
  }
  LiveCaseStatus status(time_point now) const {
    const std::scoped_lock lock{mutex};
    LiveCaseStatus status{.tests = tests, .consecutive_failures = failures, .suspended = now < suspended_until};
    status.state = stalled ? LiveState::kStall : now < fails_until ? failed_as : last;
    return status;
  }

  mutable std::mutex mutex;
  std::map<LiveState, std::uint64_t> tests;
  LiveState last = LiveState::kInit;
  int failures = 0;  // in a row
  time_point suspended_until{};
  LiveState failed_as = LiveState::kInit;
  time_point fails_until{};
  bool stalled = false;
};

}  // namespace mephisto
