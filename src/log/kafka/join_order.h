// The order in which the members that one process starts together join their group (docs/decisions/0027): one first,
// then all others at once.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>

namespace mephisto::kafka {

// Any thread may call.
class JoinOrder {
 public:
  enum class Step {
    kJoining,  // has asked to join
    kKnown,    // has an id: no rebalance of the group ends without it from now on
    kJoined,   // has had an assignment
  };

  // Whether the member is the first, or need not wait for it any more: it has joined, or it waits for members of other
  // processes. From then on the member is at kJoining.
  bool may_join(const void* member);
  void reach(const void* member, Step step);
  void leave(const void* member);
  // The number of members that have reached the step.
  std::size_t count(Step step) const;

 private:
  mutable std::mutex mutex_;
  struct Place {
    Step step = Step::kJoining;
    std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
  };
  std::map<const void*, Place> members_;
};

}  // namespace mephisto::kafka
