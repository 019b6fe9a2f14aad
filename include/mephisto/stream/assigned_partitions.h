// The assignments of a shard: the agents that consume their partitions, and the participants that keep state of them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mephisto/base/histogram.h"
#include "mephisto/stream/assignment.h"
#include "mephisto/stream/diagnosis.h"
#include "mephisto/stream/participant.h"

namespace mephisto::detail {

// An agent on a shard, as the shard sees it: it consumes topics of the shard.
class ShardAgent {
 public:
  virtual ~ShardAgent() = default;
  virtual const std::string& name() const = 0;
  // The queue for a partition; agents with isolated partitions have one each.
  virtual LaneQueue& queue_for(const TopicPartition& partition) = 0;
  // After the partition's lane is closed.
  virtual void queue_closed(const TopicPartition& partition) = 0;
  // The reason why the first record of the lane that is not processed waits.
  virtual Reason waiting(const Lane& lane) const = 0;
  // The time of the lane's first record that is not done; none if no such record is in memory.
  virtual std::optional<Timestamp> oldest(const Lane& lane) const = 0;
  // Applies the error policy to an event whose output the log refused, and empties the slot.
  virtual void refused(Slot& slot, const std::string& why) = 0;
};

// What an agent has done with the records of a topic. Of the partitions that the shard had, too, so that no number but
// `in_flight` ever falls: received = acked + dead_lettered + skipped + given_back + in_flight. A record that is
// delivered again, and one whose output was refused after its acknowledgement, counts again.
struct AgentTotals {
  std::uint64_t received = 0;
  std::uint64_t acked = 0;
  std::uint64_t dead_lettered = 0;
  std::uint64_t skipped = 0;
  std::uint64_t given_back = 0;  // to be delivered again
  std::uint64_t in_flight = 0;
  std::uint64_t bytes = 0;  // of the batches with these records
  Histogram latency{};      // from the time of a record to its commit

  AgentTotals& operator+=(const AgentTotals& other);
};

struct Subscription {
  std::string topic;
  ShardAgent* agent;
  AgentTotals ended{};  // of the assignments that have ended; the latency of all
};

// A line of `horton lag` and of a worker's status.
struct LaneStatus {
  std::string agent;
  TopicPartition partition;
  std::int64_t generation = 0;
  AssignmentState state = AssignmentState::kAssigned;
  std::int64_t committable = 0;
  Account account;
};

class AssignedPartitions {
 public:
  // The queues of the agents report to `owner` and use `refusals`.
  AssignedPartitions(Loop& loop, const Log& log, bool exactly_once, LaneQueue::Owner& owner, Refusals& refusals)
      : loop_(loop), log_(log), exactly_once_(exactly_once), owner_(owner), refusals_(refusals) {}

  // Before the first assignment. The agent and the participant must live as long as this object.
  void subscribe(std::string topic, ShardAgent& agent) { subscriptions_.push_back({std::move(topic), &agent}); }
  void add(Participant& participant) { participants_.push_back(&participant); }
  const std::vector<Subscription>& subscriptions() const { return subscriptions_; }
  const Participants& participants() const { return participants_; }
  // Whether events change state: then state and offsets are one transaction.
  bool stateful() const { return !participants_.empty(); }

  // Creates the assignment with one lane for each agent on its topic.
  std::shared_ptr<Assignment> begin(PartitionAssignment given);
  void enter(Assignment& assignment, AssignmentState state);
  // Ends an assignment, in the state closed or lost.
  void close(AssignmentId id, AssignmentState end, const char* why);

  const Assignments& all() const { return assignments_; }
  std::size_t size() const { return assignments_.size(); }
  Assignment* find(AssignmentId id) const;
  std::vector<AssignmentId> ids() const;
  std::vector<TopicPartition> partitions_of(const std::vector<AssignmentId>& ids) const;
  // Calls `each` with the number of every subscription of the partition's topic, and its lane.
  template <class F>
  void each_subscribed(const Assignment& assignment, F each) const {
    auto lane = assignment.lanes.begin();
    for (std::size_t i = 0; i < subscriptions_.size(); ++i) {
      if (subscriptions_[i].topic == assignment.partition().topic) each(i, **lane++);
    }
  }
  // The same with its agent.
  template <class F>
  void each_lane(const Assignment& assignment, F each) const {
    each_subscribed(assignment, [&](std::size_t i, Lane& lane) { each(*subscriptions_[i].agent, lane); });
  }

  // The offset and metadata to commit for a partition now.
  AssignmentCommit progress(const Assignment& assignment) const;
  // The sealed records of its lanes are committed: counts how long they took.
  void count_latency(Assignment& assignment);
  // The number of delivered but uncommitted offsets of these partitions. Their records are delivered again if the
  // assignments end without another commit.
  std::int64_t uncommitted(const std::vector<AssignmentId>& ids) const;
  std::vector<LaneStatus> status() const;
  // Of each subscription, in their order.
  std::vector<AgentTotals> totals() const;
  // In the order of the states, without those that never happened. Each transition is also logged at debug.
  const std::vector<Transition>& transitions() const { return transitions_; }

 private:
  std::optional<std::size_t> max_acks_ahead(const std::string& topic, const ShardAgent& agent) const;

  Loop& loop_;
  const Log& log_;
  bool exactly_once_;
  LaneQueue::Owner& owner_;
  Refusals& refusals_;
  std::vector<Subscription> subscriptions_;
  Participants participants_;
  Assignments assignments_;
  std::vector<Transition> transitions_;
};

}  // namespace mephisto::detail
