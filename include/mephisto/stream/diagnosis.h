// How a shard's partitions changed: the data behind `rebalances`. Those of `why` are in status.h.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/base/defer.h"
#include "mephisto/log.h"
#include "mephisto/loop.h"
#include "mephisto/stream/status.h"

namespace mephisto::detail {

using status::PartitionDiagnosis;
using status::Reason;
using status::Rebalance;

// The last changes of a shard. Each is logged at info when it is over.
class Rebalances {
 public:
  Rebalances(Loop& loop, std::string group, std::string member)
      : loop_(loop), group_(std::move(group)), member_(std::move(member)) {}

  // Takes the news of the group, before the changes that follow from it.
  void members_changed(const GroupChange& change);
  // Begins a rebalance, unless one is under way. The shard has `held` partitions now.
  void begin(const char* reason, std::size_t held);
  // The same for assigned partitions. Soon after another rebalance they belong to that one: partitions are assigned one
  // by one, as other members release them.
  void begin_assigned(std::size_t held);
  // Called after partitions were released or assigned. The rebalance is complete when all partitions meant for the
  // member are assigned and no more are `releasing`. If the log does not report their number, one partition is enough.
  void changed(std::size_t held, bool releasing);
  // Ends a rebalance that has been complete for a while. Call it from time to time.
  void end_if_complete() {
    if (complete_ && loop_.now() - changed_ >= kQuiet) end();
  }
  // Ends the rebalance, complete or not.
  void end();
  // The phases of a partition's release. Several partitions may be released at once: a phase lasts while any of them is
  // in it.
  enum Phase { kDrain, kCommit, kRelease };
  template <class T>
  Task<T> timed(Phase phase, Task<T> work) {
    enter(phase);
    const Defer left{[&] { leave(phase); }};
    co_return co_await std::move(work);
  }
  // The oldest first; the last may be under way.
  std::vector<Rebalance> list() const;
  // Of all that have ended.
  struct Totals {
    std::uint64_t count = 0;
    std::int64_t ms = 0;
    std::int64_t unread_ms = 0;
  };
  const Totals& totals() const { return totals_; }

 private:
  static std::int64_t ms_between(Loop::time_point from, Loop::time_point to) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(to - from).count();
  }
  Rebalance until_now() const;
  void update_complete();
  void enter(Phase phase);
  void leave(Phase phase);

  static constexpr std::size_t kKept = 100;
  static constexpr std::chrono::milliseconds kQuiet{300};
  Loop& loop_;
  std::string group_;
  std::string member_;
  std::deque<Rebalance> past_;
  Totals totals_;
  bool under_way_ = false;
  bool complete_ = false;  // more partitions may still be assigned
  bool releasing_ = false;
  std::optional<std::size_t> meant_;  // the partitions meant for this member, by the last news
  std::size_t members_ = 0;
  std::string news_;  // news of the members since the last rebalance
  Rebalance present_;
  struct Inside {
    int count = 0;
    Loop::time_point since{};
  };
  std::array<Inside, 3> inside_{};  // by phase
  Loop::time_point since_{};
  Loop::time_point changed_{};                   // at the last change
  std::optional<Loop::time_point> empty_since_;  // since then the shard has no partition
};

}  // namespace mephisto::detail
