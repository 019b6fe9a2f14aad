// One shard: a thread's share of the worker. It polls its group member, hands batches to the queues of the agents,
// sends their output and commits the processed offsets. The path of a record is: Member::poll → Shard::run → LaneQueue
// → Stream → agent → Outbox → commit.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mephisto/stream/committer.h"
#include "mephisto/stream/flow_control.h"
#include "mephisto/stream/tracer.h"

namespace mephisto::detail {

class Shard : private LaneQueue::Owner {
 public:
  Shard(Loop& loop, std::shared_ptr<Log> log, ShardOptions options);
  ~Shard() override;

  // The agent consumes this topic. Its queues report to this shard from their first assignment on. Before run().
  void subscribe(std::string topic, ShardAgent& agent) { assigned_.subscribe(std::move(topic), agent); }
  // Adds state that the shard's events change; it must live as long as the shard. Before run().
  void add(Participant& participant) {
    participant.on_state_lost = [this](int partition) { committer_.state_lost(partition); };
    assigned_.add(participant);
  }
  const Participants& participants() const { return assigned_.participants(); }

  // Joins the group, without partitions yet. Throws Failure when the log is unusable.
  Task<void> join();
  // After join(): consumes until stop(), then drains, commits and leaves the group. Throws Failure when the log is
  // unusable or the accounting is broken.
  Task<void> run();
  // Finishes the events in flight (until `until`, or for at most drain_timeout), commits and leaves the group. It waits
  // for nothing much longer than that.
  void stop(std::optional<Loop::time_point> until = {});

  // Registers the events of a batch that is done. If the last one has sent something, they fail together.
  void done_together(const std::vector<Slot>& slots) { refused_.done_together(slots); }
  // Runs `body` as this unit of work. If it succeeds, its outputs and changes count as a whole; if it throws, none do.
  // False if it needs state of an event in flight: none do, and it must run again when `run.conflict` is notified.
  Task<bool> work(TimerRun& run, const std::function<Task<void>()>& body);
  // A running assignment's partition, and the offset before which all its records are processed; none if it does not
  // run.
  struct Processed {
    TopicPartition partition;
    std::int64_t offset = 0;
  };
  std::optional<Processed> processed(AssignmentId id) const;

  Loop& loop() const { return loop_; }
  Log& log() { return *log_; }
  const std::shared_ptr<Log>& shared_log() const { return log_; }
  Outbox& outbox() { return outbox_; }
  // Null: nothing is traced.
  Tracer* tracer() { return tracer_ ? &*tracer_ : nullptr; }
  const ShardOptions& options() const { return options_; }
  bool stopping() const { return stopping_; }
  std::vector<LaneStatus> status() const { return assigned_.status(); }
  // Why the offsets of its partitions do not move.
  std::vector<PartitionDiagnosis> diagnose() const;
  std::vector<Rebalance> rebalances() const { return rebalances_.list(); }
  // The parts that its metrics are made of.
  const AssignedPartitions& assigned() const { return assigned_; }
  const FlowControl& flow() const { return flow_; }
  const Rebalances::Totals& rebalance_totals() const { return rebalances_.totals(); }
  // In the order of the states, without those that never happened. Each transition is also logged at debug.
  const std::vector<Transition>& transitions() const { return assigned_.transitions(); }
  // Signals for the app: after partitions are assigned, before they are revoked.
  std::function<void(const std::vector<TopicPartition>&)> on_assigned;
  std::function<void(const std::vector<TopicPartition>&)> on_revoked;

 private:
  // LaneQueue::Owner
  void acknowledged(Slot& slot) override;
  void returned() override { idle_changed_.notify_all(); }
  void taken(const Lane& lane, std::size_t bytes) override { flow_.taken(lane, bytes); }
  void freed(const Lane& lane, std::size_t bytes) override { flow_.freed(lane, bytes); }
  void starved(LaneQueue& queue) override { flow_.starved(queue); }

  void handle_assigned(std::vector<PartitionAssignment> given);
  // Restores the state of its partition, then starts it.
  Task<void> restore(std::shared_ptr<Assignment> assignment);
  // From here on its records are delivered.
  void start(Assignment& assignment);
  void handle_lost(const std::vector<AssignmentId>& lost);
  Task<void> drain(std::vector<AssignmentId> revoked);
  // Drains these partitions, commits and releases them.
  Task<void> finish(std::vector<AssignmentId> ids, const char* why);
  Task<void> wait_until_idle(const std::vector<AssignmentId>& ids);
  void deliver(std::shared_ptr<Batch> batch);
  void merge(UnitOfWork& unit);
  void complete(TimerRun& run);
  Task<void> poll_loop();
  // The orderly end, after poll_loop() and the committer.
  Task<void> leave();
  // Ends everything that the stop still waits for when its time is over.
  Task<void> end_at_deadline();
  std::vector<Reason> reasons(const Assignment& assignment, const Lane& lane, const ShardAgent& agent) const;

  Loop& loop_;
  std::shared_ptr<Log> log_;
  ShardOptions options_;
  std::optional<Tracer> tracer_;
  Outbox outbox_;
  std::unique_ptr<Member> member_;
  RefusedEvents refused_;
  AssignedPartitions assigned_;
  FlowControl flow_;
  Rebalances rebalances_;
  bool stopping_ = false;
  Loop::time_point stop_until_ = kNever;  // a stop waits until then at most
  bool past_deadline_ = false;
  bool all_committed_ = false;            // a stop has committed everything
  std::optional<Error> restore_failure_;  // ends the shard
  std::set<TopicPartition> restoring_;    // a participant restores them, perhaps for an assignment that has ended
  WaitQueue restore_ended_;
  std::optional<LastingError> read_trouble_;
  int draining_ = 0;        // drains under way
  WaitQueue idle_changed_;  // notified when fewer events are in flight
  Committer committer_;
  Spawned poller_;
  Spawned commits_;
  Spawned leaving_;
  std::vector<Spawned> drains_;
};

}  // namespace mephisto::detail
