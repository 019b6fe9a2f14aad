// The order of a commit:
// 1. commit() waits for the commit before it. It rewinds if a lost partition makes that necessary, and begins
// partitions again whose state is lost.
// 2. AssignedPartitions::progress() computes the offset and the acks ahead of each partition.
// 3. At least once: the outbox is flushed. If the log refuses an output, its event is reopened and step 2 is repeated;
// with state the shard rewinds, because the changes of the event are among those of others. Then commit_offsets()
// commits the offsets.
// 4. Exactly once, and if there is state: transact() commits state, outputs and offsets in one transaction. If it fails
// for good or its outcome is unknown, the shard rewinds. At least once the outputs are not in it: they are durable
// already.
// 5. committed() forgets the data that was kept for records before the committed offsets.
#include "mephisto/stream/committer.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crash_point.h"
#include "mephisto/base/assert.h"
#include "mephisto/base/defer.h"
#include "mephisto/logging.h"
#include "runtime/tasks.h"

namespace mephisto::detail {
namespace {

constexpr std::chrono::milliseconds kRetryAfter{200};

// Whether a commit that has taken records ends without an outcome: by an exception or a cancellation.
struct CommitOutcome {
  bool& abandoned;
  bool known = false;
  ~CommitOutcome() { abandoned |= !known; }
};

}  // namespace

Task<bool> Committer::commit(std::vector<AssignmentId> ids) {
  while (committing_) co_await commit_done_.wait("the commit before");
  committing_ = true;
  since_ = loop_.now();
  const Defer done{[&] {
    committing_ = false;
    commit_done_.notify_all();
  }};

  if (outbox_.tickets().ended()) throw Failure(*outbox_.tickets().ended());
  // Guarantee kept here: nothing is lost. No offset passes an event whose records went with an abandoned commit.
  if (abandoned_) throw not_stopped();
  // Further partitions may be lost during a rewind.
  must_rewind_ |= refused_.take_must_rewind();
  while (must_rewind_ || !without_state_.empty()) {
    if (must_rewind_)
      co_await rewind_to_committed();
    else
      co_await begin_again(std::exchange(without_state_, {}));
  }
  acked_since_commit_ = 0;
  // The outputs of all partitions are in one collection, and so is the state: all offsets are committed together.
  if (transactional()) ids = assigned_.ids();
  std::vector<AssignmentCommit> commits;
  std::vector<std::shared_ptr<Assignment>> committing;
  CommitOutcome outcome{abandoned_, true};
  std::optional<Transaction> state;
  for (;;) {
    commits.clear();
    committing.clear();
    for (const auto id : ids) {
      const auto found = assigned_.all().find(id);
      if (found == assigned_.all().end() || found->second->lanes.empty()) continue;
      const auto& assignment = *found->second;
      auto one = assigned_.progress(assignment);
      const bool moved = one.offset != assignment.committed || one.metadata != assignment.committed_metadata;
      if (!std::exchange(found->second->must_commit, false) && !moved) continue;
      MEPHISTO_ASSERT(one.offset >= assignment.committed, "a committed offset never moves back");
      for (const auto& lane : assignment.lanes) lane->times.seal(lane->tracker.done());
      commits.push_back(std::move(one));
      committing.push_back(found->second);
    }
    if (options_.exactly_once || commits.empty()) break;
    // The state of the events before these offsets. Events that are acknowledged during the flush belong to the next
    // commit.
    if (assigned_.stateful()) {
      outcome.known = false;
      state = prepare_state();
    }
    // An event whose output is refused counts as not processed.
    const auto reopened = refused_.reopened();
    co_await outbox_.tickets().flush(until_);
    // The state of a partition that was lost meanwhile must not go into the transaction either.
    must_rewind_ |= refused_.take_must_rewind();
    if (must_rewind_) {
      outcome.known = true;
      co_await rewind_to_committed();
      co_return false;
    }
    if (reopened == refused_.reopened()) break;
  }
  const bool counts = transactional() ? co_await transact(commits, std::move(state)) : co_await commit_offsets(commits);
  outcome.known = true;
  LastingError::over(trouble_, "The log accepts commits", loop_.now());
  if (!counts) co_return false;
  for (std::size_t i = 0; i < commits.size(); ++i) committed(*committing[i], std::move(commits[i]));
  co_return true;
}

void Committer::committed(Assignment& assignment, AssignmentCommit commit) {
  assignment.committed = commit.offset;
  assignment.committed_metadata = std::move(commit.metadata);
  for (auto& lane : assignment.lanes) lane->tracker.forget_before(commit.offset);
  assigned_.count_latency(assignment);
  refused_.forget_before(assignment, commit.offset);
}

// Guarantee kept here: at least once. The outputs of the events before an offset are durable before the offset is.
Task<bool> Committer::commit_offsets(const std::vector<AssignmentCommit>& commits) {
  if (commits.empty()) co_return true;
  crash_point("commit.before");
  for (;;) {
    auto result = co_await member_->commit(commits);
    if (result) co_return true;
    if (result.error().kind == ErrorKind::kFenced) {
      std::vector<AssignmentId> ids;
      for (const auto& one : commits) ids.push_back(one.assignment);
      log::warn("A commit was refused: {}; up to {} records are delivered again", result.error().message,
                assigned_.uncommitted(ids));
      co_return false;
    }
    co_await before_retry(result.error());
  }
}

// Guarantee kept here: exactly once. The outputs and state changes of acknowledged events and their offsets become
// durable together or not at all. If the log refuses, or its reply is lost, the shard starts again from the committed
// offsets in the log. At least once this holds for the state too: an owner of before cannot change it any more.
Task<bool> Committer::transact(const std::vector<AssignmentCommit>& commits, std::optional<Transaction> state) {
  CommitOutcome outcome{abandoned_};
  auto taken = options_.exactly_once ? outbox_.collector().take() : Outgoing{};
  // The state comes first: refused records are removed from the outputs, and that changes the number of outputs.
  auto transaction = state ? std::move(*state) : prepare_state();
  transaction.offsets = commits;
  const auto states = static_cast<std::ptrdiff_t>(transaction.batches.size());
  if (transaction.offsets.empty() && transaction.batches.empty() && taken.batches.empty()) {
    outcome.known = true;
    co_return true;
  }
  for (;;) {
    std::ranges::move(taken.batches, std::back_inserter(transaction.batches));
    crash_point("commit.prepared");
    auto appended = co_await member_->transact(transaction);
    if (appended) {
      crash_point("commit.before_stores");
      MEPHISTO_ASSERT(appended->size() == transaction.batches.size(), "the log gives one result a batch");
      for (auto* participant : assigned_.participants()) participant->committed(transaction, *appended);
      crash_point("commit.stored");
      appended->erase(appended->begin(), appended->begin() + states);
    }
    const auto outputs = transaction.batches.begin() + states;
    taken.batches.assign(std::move_iterator{outputs}, std::move_iterator{transaction.batches.end()});
    transaction.batches.erase(outputs, transaction.batches.end());
    if (appended) {
      if (options_.exactly_once) outbox_.appender().complete(taken, appended);
      outcome.known = true;
      co_return true;
    }
    const auto& error = appended.error();
    const auto refused = outbox_.refused().take_out(taken);
    if (outbox_.tickets().ended()) throw Failure(*outbox_.tickets().ended());
    if (refused == RefusedRecords::Outcome::kTakenOut) continue;
    const bool events_refused = refused == RefusedRecords::Outcome::kEvents;
    if (events_refused || error.kind == ErrorKind::kFenced || error.kind == ErrorKind::kIndefinite) {
      log::warn(
          "A transaction failed: {}; its events are delivered again{}", error.message,
          events_refused ? ", and the one that sent the refused record fails" : " unless the log has committed it");
      if (options_.exactly_once) outbox_.collector().keep_unscoped(std::move(taken));
      outcome.known = true;
      co_await rewind_to_committed();
      co_return false;
    }
    if (!error.retriable() && options_.exactly_once) outbox_.appender().complete(taken, appended);
    co_await before_retry(error);
  }
}

Transaction Committer::prepare_state() {
  Transaction transaction;
  for (auto* participant : assigned_.participants()) participant->prepare(transaction);
  return transaction;
}

Task<void> Committer::before_retry(const Error& error) {
  if (!error.retriable() || loop_.now() >= until_) throw Failure(error);
  if (const auto lasting = LastingError::note(trouble_, error, loop_.now()))
    log::warn("Cannot commit{}: {}; trying again", *lasting, error.message);
  co_await sleep_for(kRetryAfter);
}

// Ends every assignment. The log assigns the partitions again, each from its committed offset.
Task<void> Committer::rewind_to_committed() {
  must_rewind_ = false;
  outbox_.collector().discard_event_output();
  for (auto* participant : assigned_.participants()) participant->rolled_back();
  const auto ids = assigned_.ids();
  if (ids.empty()) co_return;
  log::warn("This worker starts again from the committed offsets; up to {} records are delivered again",
            assigned_.uncommitted(ids));
  rebalances_.begin("rewind", assigned_.size());
  if (on_rewind) on_rewind(assigned_.partitions_of(ids));
  for (auto id : ids) assigned_.close(id, AssignmentState::kClosed, "rewind");
  co_await rebalances_.timed(Rebalances::kRelease, release(ids));
}

// Guarantee kept here: no event is committed whose changes of state are lost.
Task<void> Committer::begin_again(std::set<AssignmentId> ids) {
  std::erase_if(ids, [&](AssignmentId id) { return assigned_.find(id) == nullptr; });
  if (ids.empty()) co_return;
  // Their output is not apart from that of other partitions.
  if (options_.exactly_once && outbox_.collector().has_event_output()) {
    must_rewind_ = true;
    co_return;
  }
  const std::vector<AssignmentId> ended{ids.begin(), ids.end()};
  rebalances_.begin("state lost", assigned_.size());
  if (on_rewind) on_rewind(assigned_.partitions_of(ended));
  for (const auto id : ended) assigned_.close(id, AssignmentState::kClosed, "its state is lost");
  co_await rebalances_.timed(Rebalances::kRelease, release(ended));
}

Task<void> Committer::release(const std::vector<AssignmentId>& ids) {
  // One at a time: if one of them is lost already, the others must still reach their next owners.
  for (auto id : ids) {
    for (;;) {
      auto released = co_await member_->release({{id, -1, ""}});
      if (released || released.error().kind == ErrorKind::kFenced) break;
      co_await before_retry(released.error());
    }
  }
}

Task<void> Committer::run() {
  while (!stopping_) {
    // The records acknowledged during the last commit may be enough for the next one, and agents may wait for that
    // commit.
    if (acked_since_commit_ < options_.commit_every && !must_rewind_ && without_state_.empty()) {
      co_await commit_now_.wait_until(loop_.now() + options_.commit_interval, kWaitsForCommit);
    }
    std::vector<AssignmentId> running;
    for (const auto& [id, assignment] : assigned_.all()) {
      if (assignment->state() == AssignmentState::kRunning) running.push_back(id);
    }
    co_await commit(std::move(running));
  }
}

void Committer::stop() {
  stopping_ = true;
  commit_now_.notify_all();
}

void Committer::lost() {
  // The outbox does not keep the output of their events apart from that of other events. So none of it may be
  // committed. The same holds for the state in a transaction that is under way.
  const bool output = options_.exactly_once && outbox_.collector().has_event_output();
  if (!output && !(transactional() && committing_)) return;
  must_rewind_ = true;
  commit_now_.notify_all();
}

void Committer::state_lost(int partition) {
  for (const auto& [id, assignment] : assigned_.all()) {
    if (assignment->partition().partition == partition) without_state_.insert(id);
  }
  commit_now_.notify_all();
}

Failure Committer::not_stopped() const {
  const auto& trouble = trouble_ ? trouble_ : outbox_.appender().trouble();
  return Failure(ErrorKind::kTimeout,
                 fmt::format("the log has not taken the last commit within {} (setting "
                             "drain_timeout){}; up to {} records are delivered again",
                             format_duration(options_.drain_timeout), trouble ? ": " + trouble->message : "",
                             assigned_.uncommitted(assigned_.ids())));
}

}  // namespace mephisto::detail
