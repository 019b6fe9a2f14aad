// How a shard commits the offsets up to which its partitions are processed, and the output and state of their events.
// The order of a commit:
// 1. commit() waits for the commit before it. It rewinds if a lost partition makes that necessary.
// 2. progress() computes the offset and the acks ahead of each partition.
// 3. At least once: the outbox is flushed. If the log refuses an output, its event is reopened and step 2 is repeated.
// Then append_state() appends the changes of the participants, and commit_offsets() commits the offsets.
// 4. Exactly once: transact() commits state, outputs and offsets in one transaction. If it fails for good or its
// outcome is unknown, the shard rewinds.
// 5. committed() forgets the data that was kept for records before the committed offsets.
#include <algorithm>
#include <limits>

#include "base/crash_point.h"
#include "mephisto/base/assert.h"
#include "mephisto/stream/shard.h"
#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();
constexpr std::chrono::milliseconds kRetryAfter{200};

// Whether a commit that has taken records ends without an outcome: by an exception or a cancellation.
struct CommitOutcome {
  bool& abandoned;
  bool known = false;
  ~CommitOutcome() { abandoned |= !known; }
};

}  // namespace

// The longest acks ahead that the log accepts in one agent's part of the metadata, without the agent's name.
std::optional<std::size_t> Shard::max_acks_ahead(const Subscription& subscription) const {
  const auto all = log_->max_acks_ahead_bytes();
  if (all == kUnlimited) return std::nullopt;
  const auto part =
      all / static_cast<std::size_t>(std::ranges::count(subscriptions_, subscription.topic, &Subscription::topic));
  const auto name = subscription.name.size() + 2;
  return part > name ? part - name : 0;
}

// Guarantee kept here, if the log limits the size of the metadata: at least once, acks ahead that do not fit are left
// out, and their records are delivered again. Under exactly once that would duplicate output. There nothing is left
// out, because no lane delivers more records than its metadata can describe.
//
// Gives the first offset that not all agents on the topic have processed, and each agent's acks ahead after it.
AssignmentCommit Shard::progress(const Assignment& assignment) const {
  AssignmentCommit commit{assignment.id(), std::numeric_limits<std::int64_t>::max(), ""};
  for (const auto& lane : assignment.lanes) {
    check_account(*lane);
    commit.offset = std::min(commit.offset, lane->tracker.committable());
  }
  each_lane(assignment, [&](const Subscription& subscription, const Lane& lane) {
    const auto note = lane.tracker.acks_ahead(
        commit.offset, options_.exactly_once ? kUnlimited : max_acks_ahead(subscription).value_or(kUnlimited));
    if (note.empty()) return;
    if (!commit.metadata.empty()) commit.metadata += ';';
    commit.metadata += subscription.name + ":" + note;
  });
  return commit;
}

Task<bool> Shard::commit(std::vector<AssignmentId> ids) {
  while (committing_) co_await commit_done_.wait("the commit before");
  committing_ = true;
  committing_since_ = loop_.now();
  struct Done {
    Shard& shard;
    ~Done() {
      shard.committing_ = false;
      shard.commit_done_.notify_all();
    }
  } done{*this};

  if (outbox_.tickets().ended()) throw Failure(*outbox_.tickets().ended());
  // Guarantee kept here: nothing is lost. No offset passes an event whose records went with an abandoned commit.
  if (commit_abandoned_) throw not_stopped();
  // Further partitions may be lost during a rewind.
  while (must_rewind_) co_await rewind_to_committed();
  acked_since_commit_ = 0;
  if (options_.exactly_once)
    ids = all_assigned();  // the outputs of all partitions are in one collection, so all offsets are committed together
  std::erase_if(failing_, [](const Spawned& task) { return task.done(); });
  std::vector<AssignmentCommit> commits;
  std::vector<std::shared_ptr<Assignment>> committing;
  for (;;) {
    commits.clear();
    committing.clear();
    for (const auto id : ids) {
      const auto found = assignments_.find(id);
      if (found == assignments_.end() || found->second->lanes.empty()) continue;
      const auto& assignment = *found->second;
      auto one = progress(assignment);
      if (one.offset == assignment.committed && one.metadata == assignment.committed_metadata) continue;
      MEPHISTO_ASSERT(one.offset >= assignment.committed, "a committed offset never moves back");
      commits.push_back(std::move(one));
      committing.push_back(found->second);
    }
    if (options_.exactly_once || commits.empty()) break;
    // An event whose output is refused counts as not processed.
    const auto reopened = reopened_;
    co_await outbox_.tickets().flush(stop_until_);
    if (reopened == reopened_) break;
  }
  const bool counts = options_.exactly_once ? co_await transact(commits) : co_await commit_offsets(commits);
  LastingError::over(commit_trouble_, "The log accepts commits", loop_.now());
  if (!counts) co_return false;
  for (std::size_t i = 0; i < commits.size(); ++i) committed(*committing[i], std::move(commits[i]));
  co_return true;
}

void Shard::committed(Assignment& assignment, AssignmentCommit commit) {
  assignment.committed = commit.offset;
  assignment.committed_metadata = std::move(commit.metadata);
  refusals_.forget_before(assignment.partition(), commit.offset);
  for (auto& lane : assignment.lanes) {
    lane->tracker.forget_before(commit.offset);
    lane->failures.erase(lane->failures.begin(), lane->failures.lower_bound(commit.offset));
  }
  const auto first = together_.lower_bound({commit.assignment});
  const auto end = together_.lower_bound({commit.assignment + 1});
  for (auto batch = first; batch != end;)
    batch = batch->first.offset < commit.offset ? together_.erase(batch) : std::next(batch);
}

// Guarantee kept here: at least once. The outputs of the events before an offset are durable before the offset is, and
// so are their state changes.
Task<bool> Shard::commit_offsets(const std::vector<AssignmentCommit>& commits) {
  co_await append_state();
  if (commits.empty()) co_return true;
  crash_point("commit.before");
  for (;;) {
    auto result = co_await member_->commit(commits);
    if (result) co_return true;
    if (result.error().kind == ErrorKind::kFenced) {
      std::vector<AssignmentId> ids;
      for (const auto& one : commits) ids.push_back(one.assignment);
      log::warn("A commit was refused: {}; up to {} records are delivered again", result.error().message,
                uncommitted(ids));
      co_return false;
    }
    co_await before_retry(result.error());
  }
}

Task<void> Shard::append_state() {
  CommitOutcome outcome{commit_abandoned_};
  Transaction transaction;
  for (auto* participant : participants_) participant->prepare(transaction);
  while (!transaction.batches.empty()) {
    const auto appended = co_await outbox_.appender().producer().append(transaction.batches);
    if (appended) {
      for (auto* participant : participants_) participant->committed(transaction, *appended);
      break;
    }
    co_await before_retry(appended.error());
  }
  outcome.known = true;
}

// Guarantee kept here: exactly once. The outputs and state changes of acknowledged events and their offsets become
// durable together or not at all. If the log refuses, or its reply is lost, the shard starts again from the committed
// offsets in the log.
Task<bool> Shard::transact(const std::vector<AssignmentCommit>& commits) {
  CommitOutcome outcome{commit_abandoned_};
  auto taken = outbox_.collector().take();
  // The state comes first: refused records are removed from the outputs, and that changes the number of outputs.
  Transaction transaction{{}, commits};
  for (auto* participant : participants_) participant->prepare(transaction);
  const auto states = static_cast<std::ptrdiff_t>(transaction.batches.size());
  if (transaction.offsets.empty() && transaction.batches.empty() && taken.batches.empty()) {
    outcome.known = true;
    co_return true;
  }
  for (;;) {
    std::ranges::move(taken.batches, std::back_inserter(transaction.batches));
    auto appended = co_await member_->transact(transaction);
    if (appended) {
      MEPHISTO_ASSERT(appended->size() == transaction.batches.size(), "the log gives one result a batch");
      for (auto* participant : participants_) participant->committed(transaction, *appended);
      appended->erase(appended->begin(), appended->begin() + states);
    }
    const auto outputs = transaction.batches.begin() + states;
    taken.batches.assign(std::move_iterator{outputs}, std::move_iterator{transaction.batches.end()});
    transaction.batches.erase(outputs, transaction.batches.end());
    if (appended) {
      outbox_.appender().complete(taken, appended);
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
      outbox_.collector().keep_unscoped(std::move(taken));
      outcome.known = true;
      co_await rewind_to_committed();
      co_return false;
    }
    if (!error.retriable()) outbox_.appender().complete(taken, appended);
    co_await before_retry(error);
  }
}

Task<void> Shard::before_retry(const Error& error) {
  if (!error.retriable() || loop_.now() >= stop_until_) throw Failure(error);
  if (const auto lasting = LastingError::note(commit_trouble_, error, loop_.now()))
    log::warn("Cannot commit{}: {}; trying again", *lasting, error.message);
  co_await sleep_for(kRetryAfter);
}

// Ends every assignment. The log assigns the partitions again, each from its committed offset.
Task<void> Shard::rewind_to_committed() {
  must_rewind_ = false;
  outbox_.collector().discard_event_output();
  for (auto* participant : participants_) participant->rolled_back();
  const auto ids = all_assigned();
  if (ids.empty()) co_return;
  rebalances_.begin("rewind", assignments_.size());
  if (on_revoked) on_revoked(partitions_of(ids));
  for (auto id : ids) close(id, AssignmentState::kClosed, "rewind");
  co_await rebalances_.timed(Rebalances::kRelease, release(ids));
}

Task<void> Shard::release(const std::vector<AssignmentId>& ids) {
  // One at a time: if one of them is lost already, the others must still reach their next owners.
  for (auto id : ids) {
    for (;;) {
      auto released = co_await member_->release({{id, -1, ""}});
      if (released || released.error().kind == ErrorKind::kFenced) break;
      co_await before_retry(released.error());
    }
  }
}

Task<void> Shard::commit_loop() {
  while (!stopping_) {
    // The records acknowledged during the last commit may be enough for the next one, and agents may wait for that
    // commit.
    if (acked_since_commit_ < options_.commit_every && !must_rewind_) {
      co_await commit_now_.wait_until(loop_.now() + options_.commit_interval, "the next commit");
    }
    std::vector<AssignmentId> running;
    for (const auto& [id, assignment] : assignments_) {
      if (assignment->state() == AssignmentState::kRunning) running.push_back(id);
    }
    co_await commit(std::move(running));
  }
}

}  // namespace mephisto::detail
