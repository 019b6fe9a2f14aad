// Commits the offsets up to which a shard's partitions are processed, with the output and state of their events.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <vector>

#include "mephisto/stream/outbox.h"
#include "mephisto/stream/refused_events.h"

namespace mephisto::detail {

class Committer {
 public:
  // All of these are the shard's. `until` is the time until which a stop waits for the log.
  Committer(Loop& loop, const ShardOptions& options, Outbox& outbox, AssignedPartitions& assigned,
            RefusedEvents& refused, Rebalances& rebalances, const Loop::time_point& until)
      : loop_(loop),
        options_(options),
        outbox_(outbox),
        assigned_(assigned),
        refused_(refused),
        rebalances_(rebalances),
        until_(until) {}

  // Call it before the first commit.
  void use(Member& member) { member_ = &member; }
  // Commits now and then until stop().
  Task<void> run();
  void stop();

  // An event was acknowledged.
  void acknowledged() {
    if (++acked_since_commit_ >= options_.commit_every) commit_now_.notify_all();
  }
  // Assignments ended without a commit.
  void lost();
  // The state of this partition of the topics is lost. Before the next commit their assignments end and begin again.
  void state_lost(int partition);
  // Commits the processed offsets of these partitions with the output of their events; under exactly once, of all
  // partitions. False if the log refused the commit.
  Task<bool> commit(std::vector<AssignmentId> ids);
  // Releases partitions without a commit.
  Task<void> release(const std::vector<AssignmentId>& ids);
  // Called before a rewind ends the assignments of these partitions.
  std::function<void(const std::vector<TopicPartition>&)> on_rewind;

  // Since when a commit is under way.
  std::optional<Loop::time_point> since() const { return committing_ ? std::optional{since_} : std::nullopt; }
  // The error of the commit under way, which is tried again.
  const std::optional<LastingError>& trouble() const { return trouble_; }
  // The error for a stop that could not commit everything.
  Failure not_stopped() const;

 private:
  // Whether a commit is a transaction.
  bool transactional() const { return options_.exactly_once || assigned_.stateful(); }
  Task<bool> commit_offsets(const std::vector<AssignmentCommit>& commits);
  // `state` is what prepare_state() gave for these offsets; without it, it is prepared now.
  Task<bool> transact(const std::vector<AssignmentCommit>& commits, std::optional<Transaction> state);
  // The changes of the participants for the next transaction.
  Transaction prepare_state();
  Task<void> rewind_to_committed();
  Task<void> begin_again(std::set<AssignmentId> ids);
  void committed(Assignment& assignment, AssignmentCommit commit);
  // The pause before a failed commit is tried again. Throws the error if the time for stopping is over.
  Task<void> before_retry(const Error& error);

  Loop& loop_;
  const ShardOptions& options_;
  Outbox& outbox_;
  AssignedPartitions& assigned_;
  RefusedEvents& refused_;
  Rebalances& rebalances_;
  const Loop::time_point& until_;
  Member* member_ = nullptr;
  bool stopping_ = false;
  std::uint64_t acked_since_commit_ = 0;
  bool committing_ = false;
  Loop::time_point since_{};
  bool abandoned_ = false;    // a commit ended without an outcome; what it was to append is gone
  bool must_rewind_ = false;  // before the next commit
  std::set<AssignmentId> without_state_;
  std::optional<LastingError> trouble_;
  WaitQueue commit_now_;
  WaitQueue commit_done_;
};

}  // namespace mephisto::detail
