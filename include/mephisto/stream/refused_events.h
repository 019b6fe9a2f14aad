// The events whose output the log refuses. Such an event has failed although its handler has succeeded, so the error
// policy applies to it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/stream/assigned_partitions.h"
#include "mephisto/stream/refusals.h"
#include "mephisto/stream/shard_options.h"

namespace mephisto::detail {

class RefusedEvents {
 public:
  RefusedEvents(Loop& loop, Log& log, const ShardOptions& options, const AssignedPartitions& assigned)
      : loop_(loop), log_(log), options_(options), assigned_(assigned) {}

  // Those in flight fail when their handlers end.
  Refusals& in_flight() { return in_flight_; }
  // Registers the events of a batch that is done. If the last one has sent something, they fail together.
  void done_together(const std::vector<Slot>& slots);
  // The log refused an output of the event.
  void add(const Origin& origin, const Error& error);
  // Events that were acknowledged count as not processed again. The number of these so far.
  std::uint64_t reopened() const { return reopened_; }
  // Whether an event that changed state counts as not processed, so that the shard must start again from the committed
  // offsets. Tells it once.
  bool take_must_rewind() { return std::exchange(must_rewind_, false); }
  // The offset is committed: forgets the events before it.
  void forget_before(Assignment& assignment, std::int64_t offset);
  // Ends what is still under way.
  Task<void> end();

 private:
  bool transactional() const { return options_.exactly_once || assigned_.stateful(); }
  // Takes the event's acknowledgement back, so that no commit passes the event before it has failed.
  void reopen(const EventId& event, const std::string& why);
  Task<void> fail_reopened(std::shared_ptr<Lane> lane, std::uint64_t sequence, std::int64_t offset, std::string why);
  Task<std::shared_ptr<Batch>> read_again(const Lane& lane, std::int64_t offset);

  Loop& loop_;
  Log& log_;
  const ShardOptions& options_;
  const AssignedPartitions& assigned_;
  Refusals in_flight_;
  std::uint64_t reopened_ = 0;
  bool must_rewind_ = false;
  std::vector<Spawned> failing_;
};

}  // namespace mephisto::detail
