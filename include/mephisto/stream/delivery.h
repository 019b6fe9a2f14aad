// The path of records through agents: the lane from an assignment to an agent, the queue from which an agent's
// instances take records, and the slot of one record in flight. Shard-local: nothing here is thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mephisto/stream/record_times.h"
#include "mephisto/stream/time_order.h"
#include "mephisto/stream/tracker.h"
#include "mephisto/stream/unit_of_work.h"
#include "mephisto/log.h"
#include "mephisto/sync.h"

namespace mephisto::detail {

class LaneMerge;
class LaneQueue;
class Participant;
class Refusals;
using Participants = std::vector<Participant*>;

// The header of a record that is for one agent on its topic only: the lanes of all other agents count it as done. A
// replayed dead letter has it. If somebody forwards the record to another topic with its headers, the header has no
// effect there.
inline constexpr std::string_view kOnlyFor = "x-only-for";
// Its value; `agent` is APP/AGENT.
std::string only_for(const std::string& agent, const std::string& topic);

// The life of an assignment is drawn in assignment.h.
enum class AssignmentState { kAssigned, kRestoring, kRunning, kDraining, kClosed, kLost };
const char* to_string(AssignmentState state);

// consumed = acked + in_flight + dead_lettered + skipped, always. A record is skipped by the error policy, or because
// it is for another agent only.
struct Account {
  std::uint64_t consumed = 0;
  std::uint64_t acked = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t dead_lettered = 0;
  std::uint64_t skipped = 0;

  bool balanced() const { return consumed == acked + in_flight + dead_lettered + skipped; }
};

// Identifies an event of a shard.
struct EventId {
  AssignmentId assignment = 0;
  std::uint32_t lane = 0;
  std::int64_t offset = 0;
};

// One agent's input from one assignment.
struct Lane {
  // `note` is the agent's part of the metadata of the committed offset.
  Lane(PartitionAssignment from, std::string_view note, LaneQueue& to, std::uint32_t index)
      : assigned(std::move(from)), queue(&to), number(index), tracker(assigned.offset, note) {}

  bool open() const { return state == AssignmentState::kRunning || state == AssignmentState::kDraining; }

  PartitionAssignment assigned;
  LaneQueue* queue;
  std::uint32_t number;  // among the lanes of its partition
  AckTracker tracker;
  const Participants* participants = nullptr;  // the shard's
  Account account;
  // For metrics, whose counters never fall: events that the account does not count any more, because they will be
  // delivered again, and acknowledgements that were taken back.
  std::uint64_t given_back = 0;
  std::uint64_t reopened = 0;
  std::uint64_t bytes = 0;  // of the batches that have arrived
  RecordTimes times;
  AssignmentState state = AssignmentState::kAssigned;  // its assignment's
  bool stopped = false;                                // by the error policy stop_partition
  bool awaited = false;                                // records of another lane wait for its next one
  std::optional<std::size_t> max_acks_ahead;           // in bytes; no record is delivered that could exceed it
  int held = 0;                     // events that wait for their retry while the policy blocks the partition
  std::int64_t pending = 0;         // fetched records that are not delivered yet
  std::set<std::int64_t> failures;  // offsets of its events that failed for good, since the last commit
  // The uncommitted batches that were done as a whole, by the offset of the event that has sent something.
  std::map<std::int64_t, std::vector<EventId>> together;
  WaitQueue leaves_running;  // notified when the state is no longer running
};

// A fetched batch that an agent processes. Its users are counted by hand: a batch has at most a few thousand records in
// flight, all on one thread.
struct DeliveredBatch {
  std::shared_ptr<Batch> batch;
  std::shared_ptr<Lane> lane;
  std::size_t next = 0;
  std::size_t users = 0;  // records in flight, and the queue itself
};

// A user of a batch. The last user frees the batch. If it is still in the queue, the queue notifies the shard before
// (LaneQueue::drop).
class BatchUse {
 public:
  BatchUse() = default;
  explicit BatchUse(DeliveredBatch* batch) : batch_(batch) { ++batch_->users; }
  BatchUse(BatchUse&& other) noexcept : batch_(std::exchange(other.batch_, nullptr)) {}
  BatchUse& operator=(BatchUse&& other) noexcept {
    std::swap(batch_, other.batch_);
    return *this;
  }
  ~BatchUse() { reset(); }
  void reset() {
    if (auto* batch = std::exchange(batch_, nullptr); batch != nullptr && --batch->users == 0) delete batch;
  }

  DeliveredBatch* get() const { return batch_; }
  DeliveredBatch* operator->() const { return batch_; }
  explicit operator bool() const { return batch_ != nullptr; }

 private:
  DeliveredBatch* batch_ = nullptr;
};

// A record in flight, and the unit of work that processes it.
struct Slot : UnitOfWork {
  BatchUse batch;
  std::size_t index = 0;  // in the batch
  std::uint64_t sequence = 0;
  int attempt = 0;          // failed attempts so far
  bool answered = false;    // a reply was sent
  bool parked_key = false;  // it holds its key, because of ordered_by_key or a retry
  bool holds_lane = false;  // its lane waits for the retry of this record
  std::chrono::steady_clock::time_point first_failed{};

  // Releases the record; cheaper than a new slot.
  void reset() {
    batch.reset();
    if (staged.capacity() > 0) staged = Buffer{};
    if (changed) forget_changes();
    attempt = 0;
    conflict = nullptr;
    done = sent = mixed = answered = parked_key = holds_lane = false;
  }

  explicit operator bool() const { return static_cast<bool>(batch); }
  Lane& lane() const { return *batch->lane; }
  const RecordView& record() const { return batch->batch->records[index]; }
  // Whether it is the record at `offset` of the lane.
  bool is(const Lane& other, std::int64_t offset) const;
  // `topic/partition@offset`.
  std::string position() const;
};

// A run of a timer: a unit of work without an event.
struct TimerRun : UnitOfWork {
  // With a partition, the run uses that partition of each table; otherwise the key decides. What a run of a partition
  // sends waits until the run is done, under both guarantees.
  explicit TimerRun(const Participants& all, std::optional<int> of = std::nullopt)
      : UnitOfWork{}, participants(&all), partition(of) {
    kind = Kind::kTimer;
  }
  const Participants* participants;  // the shard's
  std::optional<int> partition;
  // Those whose state it uses. It counts if the shard still has all of them, and only together with their offsets.
  std::set<AssignmentId> assignments;
};

// The event of a unit of work; null without a unit, and for a timer's.
inline Slot* event_of(UnitOfWork* unit) {
  if (unit == nullptr || unit->kind != UnitOfWork::Kind::kEvent) return nullptr;
  auto* slot = static_cast<Slot*>(unit);
  return *slot ? slot : nullptr;
}

// The event that the running task processes, or null.
inline Slot* current_slot() { return event_of(current_unit()); }

// The participants of the unit's shard.
inline const Participants& participants_of(UnitOfWork& unit) {
  if (unit.kind == UnitOfWork::Kind::kTimer) return *static_cast<TimerRun&>(unit).participants;
  return *static_cast<Slot&>(unit).lane().participants;
}

enum class Outcome { kAcked, kDeadLettered, kSkipped };

// The queue that an agent's instances share: the batches of their lanes, and the records that wait for their key or for
// a retry.
class LaneQueue {
 public:
  struct Options {
    bool ordered_by_key = false;
    std::uint64_t max_window = 4096;  // records of a lane between the first that is not done and the last delivered
    std::string agent;                // APP/AGENT, the owner of the queue
    TimeOrder order{};                // with topics, the queue has one instance
  };
  explicit LaneQueue(Options options);
  ~LaneQueue();
  LaneQueue(const LaneQueue&) = delete;
  LaneQueue& operator=(const LaneQueue&) = delete;

  // The shard, which gets the news of the queue.
  class Owner {
   public:
    virtual ~Owner() = default;
    // A record is acknowledged; called before it is counted. The owner merges the slot's staged output.
    virtual void acknowledged(Slot& slot) = 0;
    // A record in flight was returned without an acknowledgement.
    virtual void returned() = 0;
    // A batch has no more records to deliver; called before freed().
    virtual void taken(const Lane& lane, std::size_t bytes) = 0;
    // The memory of a batch is free again.
    virtual void freed(const Lane& lane, std::size_t bytes) = 0;
    // An instance looked for a record and found none to take.
    virtual void starved(LaneQueue& queue) = 0;
  };
  // Both are the shard's; set with the first lane.
  Owner* owner = nullptr;
  Refusals* refusals = nullptr;

  void add_lane(std::shared_ptr<Lane> lane);
  // Drops the records of the lane that are not delivered yet.
  void drop_pending(Lane& lane);
  void push(std::shared_ptr<Lane> lane, std::shared_ptr<Batch> batch);

  // Takes the next record into `slot`, which must be empty. False when none is ready now.
  bool pick(Slot& slot);
  // Ends a slot's record: acknowledge() and drop().
  void finish(Slot& slot, Outcome outcome);
  // Counts a record's outcome. The outcome is ignored if the lane is closed, because its assignment has ended.
  void acknowledge(Slot& slot, Outcome outcome);
  // Releases the record and empties the slot.
  void drop(Slot& slot);
  // Drops the waiting records of a closed lane.
  void forget(const Lane& lane);
  // Delivers a record again after `delay`; with no delay, at once and before the others.
  void retry(Slot slot, Loop::duration delay);
  // Returns a record as if it had not been delivered. The next instance gets it; if its lane drains, the partition's
  // next owner does.
  void return_to_queue(Slot slot);

  // A record that waits for its retry.
  struct Retrying {
    Slot slot;
    Loop::time_point due;
  };
  // The record at `offset` if it waits for its retry; otherwise null.
  const Retrying* retrying(const Lane& lane, std::int64_t offset) const;
  // Whether the record at `offset` waits for an earlier record with the same key.
  bool waits_for_key(const Lane& lane, std::int64_t offset) const;

  WaitQueue& ready() { return ready_; }
  void close();
  bool closed() const { return closed_; }
  // Bytes of the batches that have records to take and that wait for nothing else.
  std::size_t ahead() const { return ahead_; }
  bool has_enough = false;  // its shard does not read more for it
  bool takes_by_time() const { return merge_ != nullptr; }
  // The time of the lane's record at `offset`, or of its first one after that, if it waits here.
  std::optional<Timestamp> time_of(const Lane& lane, std::int64_t offset) const;
  // What the records of the lane wait for, if the queue takes records by their time; empty: for nothing.
  std::string waits_for_other_topic(const Lane& lane) const;
  // Lanes of partitions in the states assigned to draining.
  const std::vector<std::shared_ptr<Lane>>& lanes() const { return lanes_; }
  void remove_lane(const Lane& lane);

 private:
  bool take_from_batches(Slot& slot);
  bool take_by_time(Slot& slot);
  // False if the record is done, or for another agent.
  bool take_record(DeliveredBatch* batch, Slot& slot);
  DeliveredBatch* pop_batch();
  bool is_for_another(const Lane& lane, const RecordView& record) const;
  // Whether another record would not fit into the metadata when it is done, or would be too far after the first that is
  // not.
  bool is_full(const Lane& lane) const;
  bool must_wait_for_key(Slot& slot);
  void hold_key(Slot& slot);
  void release_key(const Slot& slot);
  void unuse(DeliveredBatch* batch);

  Options options_;
  std::vector<std::shared_ptr<Lane>> lanes_;
  std::deque<DeliveredBatch*> batches_;
  std::size_t ahead_ = 0;
  std::deque<DeliveredBatch*> blocked_;                     // their lane is full
  std::deque<Slot> runnable_;                               // retries that are due and records whose key is free again
  std::unordered_map<std::string, std::deque<Slot>> keys_;  // held keys, and the records that wait for them
  std::list<Retrying> retrying_;
  WaitQueue ready_;
  std::unique_ptr<LaneMerge> merge_;  // has the batches, if the records are taken by their time
  bool closed_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // for timers of retries
};

}  // namespace mephisto::detail
