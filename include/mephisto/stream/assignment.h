// One assignment: a partition from the moment that the group gives it to this shard until it is released or lost.
//
//   assigned ──> restoring ──> running ──> draining ──> closed
//      └──────────────────────────^
//
// From every state that is not final an assignment may also change to one of these: draining (the partition is
// revoked), closed (the shard starts again from the committed offsets), lost (another member owns the partition).
// Closed and lost are final.
//
// The log delivers no record of an assignment before the shard resumes it, which it does on running. A restoring
// assignment waits for the state of the partition (participant.h).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mephisto/log.h"
#include "mephisto/loop.h"
#include "mephisto/stream/delivery.h"

namespace mephisto::detail {

// Whether an assignment may go from one state to another.
bool may_follow(AssignmentState from, AssignmentState to);

// The shard's memory that an assignment uses (flow_control.h), in bytes.
struct FlowAccount {
  std::size_t bytes = 0;  // of batches that the agents have not finished
  std::size_t ahead = 0;  // of batches with records that the agent has not taken
  bool paused = false;
};

// How often assignments of a shard went from one state to another, since it began.
struct Transition {
  AssignmentState from = AssignmentState::kAssigned;
  AssignmentState to = AssignmentState::kAssigned;
  std::uint64_t count = 0;
};

class Assignment {
 public:
  Assignment(PartitionAssignment given, Loop::time_point now)
      : given_(std::move(given)), since_(now), committed(given_.offset), committed_metadata(given_.metadata) {}
  Assignment(const Assignment&) = delete;
  Assignment& operator=(const Assignment&) = delete;

  AssignmentId id() const { return given_.id; }
  const TopicPartition& partition() const { return given_.partition; }
  std::int64_t generation() const { return given_.generation; }
  AssignmentState state() const { return state_; }
  Loop::time_point since() const { return since_; }  // in that state
  // Whether its events can be processed and committed.
  bool open() const { return state_ == AssignmentState::kRunning || state_ == AssignmentState::kDraining; }
  // Changes the state of the assignment and its lanes. A change that the drawing does not show ends the process.
  void enter(AssignmentState next, Loop::time_point now);

 private:
  PartitionAssignment given_;
  AssignmentState state_ = AssignmentState::kAssigned;
  Loop::time_point since_;

 public:
  std::vector<std::shared_ptr<Lane>> lanes;  // one per subscription
  std::int64_t committed;
  std::string committed_metadata;
  FlowAccount flow;
  Spawned restoring;      // the task that restores its state
  bool restored = false;  // the participants have restored it, or tried to
  // A timer has changed its state: the next commit has its offset, even if that is as before. So the log refuses the
  // change if the partition has moved.
  bool must_commit = false;
};

using Assignments = std::map<AssignmentId, std::shared_ptr<Assignment>>;

}  // namespace mephisto::detail
