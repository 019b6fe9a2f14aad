// Flow control of one shard: it pauses and resumes the delivery of each assignment.
//
// The rule: an assignment pauses in three cases. Its records use its share of memory_budget; enough of its records wait
// for their agents; or all agents that consume it have enough records from other partitions. It resumes at half of
// that.
#pragma once

#include <cstddef>

#include "mephisto/log.h"
#include "mephisto/stream/assignment.h"

namespace mephisto::detail {

class FlowControl {
 public:
  // Bytes of one fetch: records that are processed together should fit into the processor's cache.
  static constexpr std::size_t kFetchBytes = 256 << 10;

  // `memory_budget` in bytes. `assignments` are the shard's and must live as long as this object.
  FlowControl(std::size_t memory_budget, const Assignments& assignments)
      : memory_budget_(memory_budget), assignments_(assignments) {}

  // Call it before the first record.
  void control(Reader& reader) { reader_ = &reader; }

  // Hands a batch to the lanes of its assignment.
  void arrived(Assignment& assignment, std::shared_ptr<Batch> batch);
  // The lane's agent has taken every record of a batch of `bytes`.
  void taken(const Lane& lane, std::size_t bytes);
  // The memory of a batch of `bytes` is free again.
  void freed(const Lane& lane, std::size_t bytes);
  // An instance found no record to take: all records of its agent wait for something else.
  void starved(LaneQueue& queue);

  std::size_t in_flight() const { return bytes_in_flight_; }
  std::size_t budget() const { return memory_budget_; }
  // What may be read now. Records that wait for those of another partition (LaneMerge) free no memory: although they
  // use all of it, something is read.
  std::size_t budget_left() const {
    if (bytes_in_flight_ < memory_budget_) return memory_budget_ - bytes_in_flight_;
    return any_awaited() ? kFetchBytes : 0;
  }
  std::size_t share_of_budget() const { return memory_budget_ / std::max<std::size_t>(assignments_.size(), 1); }
  // Notified when memory is free again.
  WaitQueue& room() { return room_; }

 private:
  void decide(Assignment& assignment);
  void set_enough(LaneQueue& queue, bool enough);
  Assignment* find(const Lane& lane) const;
  bool any_awaited() const;

  std::size_t memory_budget_;
  const Assignments& assignments_;
  Reader* reader_ = nullptr;
  std::size_t bytes_in_flight_ = 0;
  WaitQueue room_;
};

}  // namespace mephisto::detail
