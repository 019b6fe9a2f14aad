// One shard: a thread's share of the worker. It polls its group member, hands batches to the queues of the agents,
// sends their output and commits the processed offsets. The path of a record is: Member::poll → Shard::run → LaneQueue
// → Stream → agent → Outbox → commit.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mephisto/stream/assignment.h"
#include "mephisto/stream/flow_control.h"
#include "mephisto/stream/outbox.h"
#include "mephisto/stream/participant.h"
#include "mephisto/stream/diagnosis.h"

namespace mephisto::detail {

struct ShardOptions {
  std::string group;
  std::string client;                    // the member's name, for people
  std::size_t memory_budget = 64 << 20;  // this shard's part
  bool exactly_once = false;
  std::chrono::milliseconds commit_interval{2800};
  std::uint64_t commit_every = 10'000;  // acknowledged records
  std::chrono::milliseconds drain_timeout{10'000};
  std::chrono::milliseconds session_timeout{2000};
  bool from_latest = false;
  std::string instance;                       // the name of a static member of the group
  std::optional<TopicConfig> topic_defaults;  // of topics that it creates; without a value it creates none
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

// An agent that consumes a topic of the shard.
struct Subscription {
  std::string name;  // of the agent
  std::string topic;
  // The queue for a partition; agents with isolated partitions have one each.
  std::function<LaneQueue&(const TopicPartition&)> queue;
  // After the partition's lane is closed.
  std::function<void(const TopicPartition&)> closed;
  // The reason why the first record of the lane that is not done waits.
  std::function<Reason(const Lane&)> waiting;
  // Applies the error policy to an event whose output the log refused, and empties the slot.
  std::function<void(Slot&, const std::string& why)> refused;
};

class Shard {
 public:
  Shard(Loop& loop, std::shared_ptr<Log> log, ShardOptions options);
  ~Shard();

  // Before run().
  void subscribe(Subscription subscription);
  // Connects a queue with this shard's memory budget and, under exactly once, its transactions.
  void adopt(LaneQueue& queue);
  // Adds state that the shard's events change; it must live as long as the shard. Before run().
  void add(Participant& participant) { participants_.push_back(&participant); }

  // Consumes until stop(), then drains, commits and leaves the group. Throws Failure when the log is unusable or the
  // accounting is broken.
  Task<void> run();
  // Finishes the events in flight (until `until`, or for at most drain_timeout), commits and leaves the group. It waits
  // for nothing much longer than that.
  void stop(std::optional<Loop::time_point> until = {});

  // Registers the events of a batch that is done. If the last one has sent something, they fail together.
  void done_together(const std::vector<Slot>& slots);
  // Counts the outputs and changes of a unit of work that is not an event.
  void complete(UnitOfWork& unit);

  Loop& loop() { return loop_; }
  Log& log() { return *log_; }
  Outbox& outbox() { return outbox_; }
  const ShardOptions& options() const { return options_; }
  bool stopping() const { return stopping_; }
  std::vector<LaneStatus> status() const;
  // Why the offsets of its partitions do not move.
  std::vector<PartitionDiagnosis> diagnose() const;
  std::vector<Rebalance> rebalances() const { return rebalances_.list(); }
  // In the order of the states, without those that never happened. Each transition is also logged at debug.
  const std::vector<Transition>& transitions() const { return transitions_; }
  // Signals for the app: after partitions are assigned, before they are revoked.
  std::function<void(const std::vector<TopicPartition>&)> on_assigned;
  std::function<void(const std::vector<TopicPartition>&)> on_revoked;

 private:
  // Identifies an event: its assignment, lane and offset.
  struct EventId {
    AssignmentId assignment = 0;
    std::uint32_t lane = 0;
    std::int64_t offset = 0;
    auto operator<=>(const EventId&) const = default;
  };

  void handle_assigned(std::vector<PartitionAssignment> given);
  std::shared_ptr<Assignment> begin(PartitionAssignment given);
  // Restores the state of its partition, then starts it.
  Task<void> restore(std::shared_ptr<Assignment> assignment);
  // From here on its records are delivered.
  void start(Assignment& assignment);
  void handle_lost(const std::vector<AssignmentId>& lost);
  Task<void> drain(std::vector<AssignmentId> revoked);
  // Drains these partitions, commits and releases them.
  Task<void> finish(std::vector<AssignmentId> ids, const char* why);
  void deliver(std::shared_ptr<Batch> batch);
  void merge(UnitOfWork& unit);
  Task<void> poll_loop();
  Task<void> commit_loop();
  // The orderly end, after poll_loop() and commit_loop().
  Task<void> leave();
  // Ends everything that the stop still waits for when its time is over.
  Task<void> end_at_deadline();
  Failure not_stopped() const;
  // Commits the processed offsets of these partitions with the output of their events; under exactly once, of all
  // partitions. False if the log refused the commit.
  Task<bool> commit(std::vector<AssignmentId> ids);
  Task<bool> commit_offsets(const std::vector<AssignmentCommit>& commits);
  Task<bool> transact(const std::vector<AssignmentCommit>& commits);
  // Makes the state changes of the participants durable.
  Task<void> append_state();
  // Calls `each` with every subscription to the partition's topic and its lane.
  template <class F>
  void each_lane(const Assignment& assignment, F each) const {
    auto lane = assignment.lanes.begin();
    for (const auto& subscription : subscriptions_) {
      if (subscription.topic == assignment.partition().topic) each(subscription, **lane++);
    }
  }
  // The offset and metadata to commit for a partition now.
  AssignmentCommit progress(const Assignment& assignment) const;
  std::optional<std::size_t> max_acks_ahead(const Subscription& subscription) const;
  // The number of delivered but uncommitted offsets of these partitions. Their records are delivered again if the
  // assignments end without another commit.
  std::int64_t uncommitted(const std::vector<AssignmentId>& ids) const;
  Task<void> rewind_to_committed();
  // The log refused an output of the event, so the event fails (shard_refused.cc).
  void event_refused(const Origin& origin, const Error& error);
  // Takes the event's acknowledgement back, so that no commit passes the event before it has failed.
  void reopen(const EventId& event, const std::string& why);
  Task<void> fail_reopened(std::shared_ptr<Lane> lane, std::uint64_t sequence, std::int64_t offset, std::string why);
  Task<std::shared_ptr<Batch>> read_again(const Lane& lane, std::int64_t offset);
  Task<void> end_reopened();
  void committed(Assignment& assignment, AssignmentCommit commit);
  // Releases partitions without a commit.
  Task<void> release(const std::vector<AssignmentId>& ids);
  Task<void> wait_until_idle(const std::vector<AssignmentId>& ids);
  // The pause before a failed commit is tried again. Throws the error if the time for stopping is over.
  Task<void> before_retry(const Error& error);
  std::vector<AssignmentId> all_assigned() const;
  Assignment* find(AssignmentId id) const;
  std::vector<TopicPartition> partitions_of(const std::vector<AssignmentId>& ids) const;
  void enter(Assignment& assignment, AssignmentState state);
  // Ends an assignment, in the state closed or lost.
  void close(AssignmentId id, AssignmentState end, const char* why);
  void check_account(const Lane& lane) const;
  std::vector<Reason> reasons(const Assignment& assignment, const Lane& lane, const Subscription& agent) const;

  Loop& loop_;
  std::shared_ptr<Log> log_;
  ShardOptions options_;
  Outbox outbox_;
  std::unique_ptr<Member> member_;
  std::vector<Subscription> subscriptions_;
  std::vector<Participant*> participants_;
  Assignments assignments_;
  FlowControl flow_;
  std::vector<Transition> transitions_;
  std::uint64_t acked_since_commit_ = 0;
  bool stopping_ = false;
  Loop::time_point stop_until_ = Loop::time_point::max();  // a stop waits until then at most
  bool past_deadline_ = false;
  bool all_committed_ = false;  // a stop has committed everything
  bool committing_ = false;
  bool commit_abandoned_ = false;  // a commit ended without an outcome; what it was to append is gone
  Loop::time_point committing_since_{};
  std::optional<Error> restore_failure_;  // ends the shard
  std::optional<LastingError> commit_trouble_;
  std::optional<LastingError> read_trouble_;
  Rebalances rebalances_;
  int draining_ = 0;          // drains under way
  bool must_rewind_ = false;  // before the next commit
  Refusals refusals_;
  std::map<EventId, std::vector<EventId>> together_;  // uncommitted batches, by the event that has sent something
  std::uint64_t reopened_ = 0;
  std::vector<Spawned> failing_;
  WaitQueue commit_now_;
  WaitQueue commit_done_;
  WaitQueue acked_;
  Spawned poller_;
  Spawned committer_;
  Spawned leaving_;
  std::vector<Spawned> drains_;
};

}  // namespace mephisto::detail
