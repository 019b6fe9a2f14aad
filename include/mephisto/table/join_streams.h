// Joins two streams: records with one key whose times are near each other.
#pragma once

#include "mephisto/table/join.h"

namespace mephisto::detail {

// A left and a right record match when left - before <= right <= left + after.
struct StreamJoinOptions {
  Join kind = Join::kInner;
  std::chrono::milliseconds before{0};
  std::chrono::milliseconds after{0};
  // How late records may be. As in Kafka Streams, nothing matches if before, after and grace are all 0: that is a
  // mistake, except with kAtOnce.
  std::chrono::milliseconds grace{0};
  OutOfOrder out_of_order = OutOfOrder::kWaits;
};

OptionMistakes mistakes_in(const StreamJoinOptions& options);

// Stream time is the largest timestamp of both sides. A record is late when its time + after (on the right: + before) +
// grace < stream time. A record that is alone in a left or outer join waits for the same instant.
class StreamJoin {
 public:
  explicit StreamJoin(const StreamJoinOptions& options);

  void take(Side side, const JoinRecord& record, StateView& state, JoinOutput& out) const;
  JoinTimes times(StateView& state) const;
  // Sends what a record at `now` would send. Stream time moves no further than that needs.
  void advance(std::int64_t now, StateView& state, JoinOutput& out) const;

 private:
  struct Clock;
  struct Place;

  // How far a record's matches on the other side can be later than it.
  std::int64_t reach(Side side) const { return (side == Side::kLeft ? options_.after : options_.before).count(); }
  bool sends_unmatched(Side side) const {
    return options_.kind == Join::kOuter || (options_.kind == Join::kLeft && side == Side::kLeft);
  }
  bool match(Side side, const JoinRecord& record, Clock& clock, StateView& state, JoinOutput& out) const;
  // The last stream time at which a record at `time` waits for a match.
  std::int64_t waits_until(Side side, std::int64_t time) const;
  // Sends what is due at stream time `now`. Gives the time at which the last of it was due.
  std::int64_t send_unmatched(std::int64_t now, Clock& clock, StateView& state, JoinOutput& out) const;
  void forget(Clock& clock, StateView& state) const;

  StreamJoinOptions options_;
  std::int64_t kept_ms_;  // before + after + grace: how long a record can match
};

}  // namespace mephisto::detail
