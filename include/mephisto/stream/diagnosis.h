// Why a partition's offset is where it is, and how a shard's partitions moved: what a worker tells `why` and
// `rebalances`.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/log.h"
#include "mephisto/loop.h"

namespace mephisto::detail {

// One thing that an offset waits for.
struct Reason {
  std::string kind;  // log, draining, stopped, agent, retry, key, instances, memory, commit, transaction; for programs
  std::string text;  // for people
  std::optional<std::int64_t> ms;  // for how long already
};

// A partition that a shard holds; where its offsets are negative, one that it cannot begin with. The reasons are the
// most important first; none: nothing of it is in hand.
struct PartitionDiagnosis {
  std::string topic;
  int partition = 0;
  std::string member;
  std::int64_t committed = 0;
  std::int64_t oldest = 0;  // the first record that is not done
  std::int64_t next = 0;    // behind the last one that was given to the agent
  std::vector<Reason> reasons;
};

// A change of a shard's partitions, from its beginning until the last of them was released or came.
struct Rebalance {
  std::string time;  // of its beginning
  std::string member;
  std::string reason;  // start, lost, taken back, stop; which members joined, left or died; assigned or revoked where
                       // that is not known
  int before = 0;      // partitions
  int after = 0;
  std::int64_t total_ms = 0;
  std::int64_t unread_ms = 0;   // while no partition was there to read
  std::int64_t drain_ms = 0;    // until what was begun was done
  std::int64_t commit_ms = 0;   // until that was committed
  std::int64_t release_ms = 0;  // until the group knew that they were free
  std::int64_t wait_ms = 0;     // for the group to assign partitions
  bool over = false;
  bool spare = false;  // and nothing is meant for this member
};

// The last changes of a shard. Each is a line of the log at info when it is over.
class Rebalances {
 public:
  Rebalances(Loop& loop, std::string group, std::string member)
      : loop_(loop), group_(std::move(group)), member_(std::move(member)) {}

  // What the group said, before what follows from it begins.
  void heard(const GroupChange& change);
  // Begins one, unless one is under way; `held` partitions are there.
  void begin(const char* reason, std::size_t held);
  // As begin("assigned"), but what comes right after another one belongs to that: partitions come as others release
  // them.
  void begin_assigned(std::size_t held);
  // After partitions went, or came: it is complete when all that are meant for the member are there (where the log does
  // not say that: when some are) and no more are `going`.
  void moved(std::size_t held, bool going);
  // Logs one that has been complete for a while. To be called from time to time.
  void rest() {
    if (complete_ && loop_.now() - moved_ >= kRest) end();
  }
  // It is over, complete or not.
  void end();
  // What a partition goes through on its way out. Several may at once: a phase lasts while one of them is in it.
  enum Phase { kDrain, kCommit, kRelease };
  template <class T>
  Task<T> timed(Phase phase, Task<T> work) {
    struct Clock {
      Rebalances& of;
      Phase phase;
      ~Clock() { of.leave(phase); }
    };
    enter(phase);
    Clock clock{*this, phase};
    co_return co_await std::move(work);
  }
  // The oldest first; the last one may be under way.
  std::vector<Rebalance> list() const;

 private:
  static std::int64_t ms_between(Loop::time_point from, Loop::time_point to) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(to - from).count();
  }
  Rebalance until_now() const;
  void settle();
  void enter(Phase phase);
  void leave(Phase phase);

  static constexpr std::size_t kKept = 100;
  static constexpr std::chrono::milliseconds kRest{300};
  Loop& loop_;
  std::string group_;
  std::string member_;
  std::deque<Rebalance> past_;
  bool under_way_ = false;
  bool complete_ = false;  // more may come yet
  bool going_ = false;
  std::optional<std::size_t> meant_;  // for this member, by what was heard last
  std::size_t members_ = 0;
  std::string heard_;  // of the members, since the last one that it explains
  Rebalance present_;
  struct Inside {
    int count = 0;
    Loop::time_point since{};
  };
  std::array<Inside, 3> inside_{};  // by phase
  Loop::time_point since_{};
  Loop::time_point moved_{};                     // the last time
  std::optional<Loop::time_point> empty_since_;  // nothing is there to read
};

}  // namespace mephisto::detail
