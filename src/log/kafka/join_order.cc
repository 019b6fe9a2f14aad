#include "log/kafka/join_order.h"

#include <algorithm>

namespace mephisto::kafka {
namespace {

// A member that has an id, and is alone in its group, has an assignment after a few milliseconds.
constexpr std::chrono::milliseconds kAnswerOfEmptyGroup{20};

}  // namespace

bool JoinOrder::may_join(const void* member) {
  const std::lock_guard lock{mutex_};
  const auto lets_others_join = [](const auto& one) {
    const auto& [step, since] = one.second;
    return step == Step::kJoined ||
           (step == Step::kKnown && std::chrono::steady_clock::now() - since >= kAnswerOfEmptyGroup);
  };
  if (!members_.empty() && !members_.contains(member) && std::ranges::none_of(members_, lets_others_join)) return false;
  members_.try_emplace(member);
  return true;
}

void JoinOrder::reach(const void* member, Step step) {
  const std::lock_guard lock{mutex_};
  members_[member] = Place{step};
}

void JoinOrder::leave(const void* member) {
  const std::lock_guard lock{mutex_};
  members_.erase(member);
}

std::size_t JoinOrder::count(Step step) const {
  const std::lock_guard lock{mutex_};
  return static_cast<std::size_t>(
      std::ranges::count_if(members_, [=](const auto& one) { return one.second.step >= step; }));
}

}  // namespace mephisto::kafka
