// The life of a shard:
// 1. run() joins the group and starts poll_loop() and Committer::run().
// 2. poll_loop() handles the lost partitions first, then the revoked ones, the assigned ones and the batches.
// 3. Lost: handle_lost() closes the assignments without a commit.
// 4. Revoked: drain() waits until no event is in flight, commits, and releases the partitions.
// 5. Assigned: AssignedPartitions::begin() creates the lanes, restore() restores the participants' state, start()
// starts the delivery.
// 6. Batches: deliver() hands them to FlowControl, which adds them to the queues of the agents.
// 7. stop() ends both loops. leave() drains and commits everything and leaves the group; end_at_deadline() limits its
// time.
#include "mephisto/stream/shard.h"

#include <fmt/format.h>

#include <algorithm>

#include "mephisto/base/assert.h"
#include "mephisto/base/defer.h"
#include "mephisto/base/backoff.h"
#include "mephisto/logging.h"
#include "mephisto/stream/logged_record.h"

namespace mephisto::detail {
namespace {

constexpr std::chrono::milliseconds kPollWait{1000};
constexpr std::chrono::milliseconds kRetryAfter{200};
// For the last commit, after draining has used up drain_timeout.
constexpr std::chrono::milliseconds kLastCommit{1000};

}  // namespace

Shard::Shard(Loop& loop, std::shared_ptr<Log> log, ShardOptions options)
    : loop_(loop),
      log_(std::move(log)),
      options_(std::move(options)),
      outbox_(loop_, *log_, log_->producer(loop_), options_.topic_defaults, options_.exactly_once, true),
      refused_(loop_, *log_, options_, assigned_),
      assigned_(loop_, *log_, options_.exactly_once, *this, refused_.in_flight()),
      flow_(options_.memory_budget, assigned_.all()),
      rebalances_(loop_, options_.group, options_.client),
      committer_(loop_, options_, outbox_, assigned_, refused_, rebalances_, stop_until_) {
  if (options_.trace_sample) outbox_.collector().trace(tracer_.emplace(loop_, *options_.trace_sample));
  outbox_.use();
  log_records();
  outbox_.participants = &assigned_.participants();
  outbox_.refused().on_event = [this](const Origin& origin, const Error& error) { refused_.add(origin, error); };
  committer_.on_rewind = [this](const std::vector<TopicPartition>& partitions) {
    if (on_revoked) on_revoked(partitions);
  };
}

Shard::~Shard() = default;

void Shard::acknowledged(Slot& slot) {
  if (!slot.staged.empty() || slot.changed) merge(slot);
  committer_.acknowledged();
  if (!idle_changed_.empty()) idle_changed_.notify_all();
}

void Shard::merge(UnitOfWork& unit) {
  if (!unit.staged.empty()) outbox_.collector().merge(unit);
  if (!unit.changed) return;
  const auto* event = event_of(&unit);
  const auto* assignment = event == nullptr ? nullptr : assigned_.find(event->lane().assigned.id);
  unit.take_changes([&](Participant& owner, StateChange& change) { owner.merge(assignment, change); });
}

// Guarantee kept here: a shard that does not have a partition any more changes nothing of it.
void Shard::complete(TimerRun& run) {
  MEPHISTO_ASSERT(!run.done, "a unit of work counts once");
  for (const auto id : run.assignments) {
    const auto* assignment = assigned_.find(id);
    if (assignment == nullptr || assignment->state() == AssignmentState::kClosed) return run.discard();
  }
  for (const auto id : run.assignments) assigned_.find(id)->must_commit = true;
  run.done = true;
  merge(run);
}

Task<bool> Shard::work(TimerRun& run, const std::function<Task<void>()>& body) {
  auto& context = *TaskContext::current();
  context.current_unit = &run;
  const Defer ended{[&] { context.current_unit = nullptr; }};
  try {
    co_await body();
    if (run.conflict == nullptr) complete(run);
  } catch (const UnitConflict&) {
  } catch (...) {
    run.discard();
    throw;
  }
  if (run.conflict == nullptr) co_return true;
  auto* freed = run.conflict;
  run.discard();
  run.conflict = freed;
  co_return false;
}

std::optional<Shard::Processed> Shard::processed(AssignmentId id) const {
  const auto* assignment = assigned_.find(id);
  if (assignment == nullptr || assignment->state() != AssignmentState::kRunning) return std::nullopt;
  return Processed{assignment->partition(), assigned_.progress(*assignment).offset};
}

void Shard::handle_assigned(std::vector<PartitionAssignment> given) {
  rebalances_.begin_assigned(assigned_.size());
  std::vector<TopicPartition> running;
  for (auto& one : given) {
    refused_.in_flight().forget_before(one.partition, one.offset);
    const auto assignment = assigned_.begin(std::move(one));
    if (assigned_.participants().empty()) {
      start(*assignment);
      running.push_back(assignment->partition());
    } else {
      assigned_.enter(*assignment, AssignmentState::kRestoring);
      assignment->restoring = loop_.spawn("restore " + assignment->partition().str(), restore(assignment));
    }
  }
  rebalances_.changed(assigned_.size(), draining_ > 0);
  if (on_assigned && !running.empty()) on_assigned(running);
}

// Guarantee kept here: a participant restores a partition for one assignment at a time, and hears of its end
// afterwards. A restore that is cancelled may go on for a while, because a blocking call cannot be abandoned.
Task<void> Shard::restore(std::shared_ptr<Assignment> assignment) {
  while (restoring_.contains(assignment->partition()))
    co_await restore_ended_.wait("the end of the partition's restore before");
  if (assignment->state() != AssignmentState::kRestoring) co_return;
  restoring_.insert(assignment->partition());
  const Defer ended{[&] {
    assignment->restored = true;
    if (assigned_.find(assignment->id()) == nullptr) {
      for (auto* participant : assigned_.participants()) participant->closed(*assignment);
    }
    restoring_.erase(assignment->partition());
    restore_ended_.notify_all();
  }};
  std::optional<LastingError> trouble;
  for (Backoff backoff{kRetryAfter, std::chrono::milliseconds{5000}};;) {
    try {
      for (auto* participant : assigned_.participants()) co_await participant->restore(*assignment);
      break;
    } catch (const Failure& failure) {
      if (!failure.error().retriable()) {
        restore_failure_ = failure.error();
        poller_.cancel();
        co_return;
      }
      if (const auto lasting = LastingError::note(trouble, failure.error(), loop_.now())) {
        log::warn("Cannot restore the state of {}{}: {}; trying again", assignment->partition().str(), *lasting,
                  failure.what());
      }
    }
    co_await sleep_for(backoff.next());
  }
  if (assignment->state() != AssignmentState::kRestoring) co_return;
  start(*assignment);
  if (on_assigned) on_assigned({assignment->partition()});
}

void Shard::start(Assignment& assignment) {
  assigned_.enter(assignment, AssignmentState::kRunning);
  member_->resume(assignment.id());
}

void Shard::handle_lost(const std::vector<AssignmentId>& lost) {
  auto partitions = assigned_.partitions_of(lost);
  if (partitions.empty()) return;
  rebalances_.begin("lost", assigned_.size());
  log::warn(
      "{} partitions were given to other workers, because this one sent no heartbeat in time; up to {} records are "
      "delivered again",
      partitions.size(), assigned_.uncommitted(lost));
  if (on_revoked) on_revoked(partitions);
  for (auto id : lost) assigned_.close(id, AssignmentState::kLost, "lost");
  rebalances_.changed(assigned_.size(), draining_ > 0);
  committer_.lost();
}

void Shard::deliver(std::shared_ptr<Batch> batch) {
  auto* assignment = assigned_.find(batch->assignment);
  if (assignment == nullptr) return;  // the assignment has ended
  MEPHISTO_ASSERT(
      assignment->state() != AssignmentState::kAssigned && assignment->state() != AssignmentState::kRestoring,
      "the log delivers no record before its assignment runs");
  // A batch of a draining partition is dropped: the next owner reads it again.
  if (assignment->state() == AssignmentState::kRunning) flow_.arrived(*assignment, std::move(batch));
}

// Waits until none of these partitions has an event in flight, or until the time for draining is over. Events that are
// still in flight then are delivered again.
Task<void> Shard::wait_until_idle(const std::vector<AssignmentId>& ids) {
  const auto deadline = std::min(loop_.now() + options_.drain_timeout, stop_until_);
  for (;;) {
    std::uint64_t in_flight = 0;
    for (const auto id : ids) {
      const auto* assignment = assigned_.find(id);
      if (assignment == nullptr) continue;
      for (const auto& lane : assignment->lanes) in_flight += lane->stopped ? 0 : lane->account.in_flight;
    }
    if (in_flight == 0) {
      // If the log refuses an output during the flush, its event fails. This worker still has to apply the error
      // policy.
      const auto reopened = refused_.reopened();
      if (!options_.exactly_once) co_await outbox_.tickets().flush(stop_until_);
      if (reopened == refused_.reopened()) co_return;
      continue;
    }
    if (loop_.now() >= deadline) {
      log::warn(
          "{} records are still being processed after {}: their partitions are released, and the records will be "
          "delivered again",
          in_flight, format_duration(options_.drain_timeout));
      co_return;
    }
    co_await idle_changed_.wait_until(std::min(deadline, loop_.now() + options_.commit_interval),
                                      "events in flight to be done");
    // A handler may wait until its output is durable. Under exactly once, only a transaction appends it.
    if (options_.exactly_once) co_await committer_.commit(assigned_.ids());
  }
}

Task<void> Shard::drain(std::vector<AssignmentId> revoked) {
  auto partitions = assigned_.partitions_of(revoked);
  if (on_revoked) on_revoked(partitions);
  co_await finish(std::move(revoked), "released");
  --draining_;
  rebalances_.changed(assigned_.size(), draining_ > 0);
}

Task<void> Shard::finish(std::vector<AssignmentId> ids, const char* why) {
  for (const auto id : ids) {
    auto* assignment = assigned_.find(id);
    // A drain whose commit failed leaves its assignment closed.
    if (assignment == nullptr || assignment->state() == AssignmentState::kClosed) continue;
    assigned_.enter(*assignment, AssignmentState::kDraining);
    for (auto& lane : assignment->lanes) lane->queue->drop_pending(*lane);
  }
  co_await rebalances_.timed(Rebalances::kDrain, wait_until_idle(ids));
  // From here on nothing is processed or sent for these partitions, so that the commit covers all their work.
  for (const auto id : ids) {
    if (auto* assignment = assigned_.find(id)) assigned_.enter(*assignment, AssignmentState::kClosed);
  }
  co_await rebalances_.timed(Rebalances::kCommit, committer_.commit(ids));
  for (const auto id : ids) assigned_.close(id, AssignmentState::kClosed, why);
  co_await rebalances_.timed(Rebalances::kRelease, committer_.release(ids));
}

Task<void> Shard::poll_loop() {
  while (!stopping_) {
    if (flow_.budget_left() == 0)
      co_await flow_.room().wait_until(loop_.now() + kPollWait, "memory_budget to have room");
    PollResult polled;
    std::optional<Error> failed;
    try {
      // With the memory budget used up, the poll only looks for changes of the group.
      polled = co_await member_->poll(std::min(flow_.budget_left(), FlowControl::kFetchBytes),
                                      flow_.budget_left() == 0 ? std::chrono::milliseconds{0} : kPollWait);
    } catch (const Failure& failure) {
      failed = failure.error();
      if (!failed->retriable()) throw;
    }
    if (failed) {
      if (const auto lasting = LastingError::note(read_trouble_, *failed, loop_.now()))
        log::warn("Cannot read from the log{}: {}; trying again", *lasting, failed->message);
      co_await sleep_for(kRetryAfter);
      continue;
    }
    LastingError::over(read_trouble_, "The log can be read", loop_.now());
    if (polled.change) rebalances_.members_changed(*polled.change);
    handle_lost(polled.lost);
    if (!polled.revoked.empty()) {
      rebalances_.begin("revoked", assigned_.size());
      ++draining_;
      drains_.push_back(loop_.spawn("drain", drain(std::move(polled.revoked))));
    }
    if (!polled.assigned.empty()) handle_assigned(std::move(polled.assigned));
    for (auto& batch : polled.batches) deliver(std::move(batch));
    for (const auto& task : drains_) {
      if (task.done() && task.error()) std::rethrow_exception(task.error());
    }
    std::erase_if(drains_, [](const Spawned& task) { return task.done(); });
    rebalances_.end_if_complete();
    co_await yield();
  }
}

Task<void> Shard::join() {
  MemberOptions options;
  options.group = options_.group;
  options.client = options_.client;
  options.session_timeout = options_.session_timeout;
  options.from_latest = options_.from_latest;
  options.instance = options_.instance;
  options.starting_together = options_.shards;
  for (const auto& subscription : assigned_.subscriptions()) {
    if (std::ranges::find(options.topics, subscription.topic) == options.topics.end())
      options.topics.push_back(subscription.topic);
  }
  member_ = log_->member(loop_, std::move(options));
  flow_.control(*member_);
  committer_.use(*member_);
  rebalances_.begin("start", 0);
  try {
    co_await member_->join();
  } catch (const Failure& failure) {
    if (!failure.error().retriable()) throw;  // otherwise the first poll tries again
  }
}

Task<void> Shard::run() {
  commits_ = loop_.spawn("commit", committer_.run());
  poller_ = loop_.spawn("poll", poll_loop());
  TaskGroup group{"the shard's work"};
  group.spawn(poller_.finished());
  group.spawn(commits_.finished());
  co_await group.wait(true);
  std::exception_ptr failure;
  for (const auto* task : {&poller_, &commits_}) {
    if (!task->done() || !task->error()) continue;
    try {
      std::rethrow_exception(task->error());
    } catch (const Cancelled&) {
    } catch (...) {
      failure = std::current_exception();
    }
  }
  if (restore_failure_) failure = std::make_exception_ptr(Failure(*restore_failure_));
  stop();
  auto deadline = loop_.spawn("deadline", end_at_deadline());
  if (failure) commits_.cancel();
  co_await group.wait();
  for (auto& task : drains_) co_await task.finished();

  if (!failure && !past_deadline_) {
    leaving_ = loop_.spawn("stop", leave());
    co_await leaving_.finished();
    failure = leaving_.error();
  }
  co_await refused_.end();
  for (const auto& [id, assignment] : assigned_.all()) assignment->restoring.cancel();
  while (!restoring_.empty()) co_await restore_ended_.wait("a restore to end");
  if (past_deadline_) failure = all_committed_ ? nullptr : std::make_exception_ptr(committer_.not_stopped());
  if (failure || past_deadline_) co_await outbox_.abandon(stop_until_);
  deadline.cancel();
  co_await deadline.finished();
  if (failure) std::rethrow_exception(failure);
}

Task<void> Shard::leave() {
  rebalances_.end();
  rebalances_.begin("stop", assigned_.size());
  co_await finish(assigned_.ids(), "released at stop");
  rebalances_.changed(0, false);
  rebalances_.end();
  if (options_.exactly_once)
    co_await committer_.commit({});  // output of timers and tasks, kept from a transaction that failed
  co_await outbox_.close(stop_until_);
  all_committed_ = true;
  co_await member_->close();
}

// Guarantee kept here: a stop ends in time, even if a handler or the log does not answer. Records that are not
// committed by then are delivered again.
Task<void> Shard::end_at_deadline() {
  co_await sleep_until(stop_until_ + kLastCommit);
  for (const auto& line : loop_.describe_tasks()) log::debug("At the end of drain_timeout: {}", line);
  past_deadline_ = true;
  if (all_committed_)
    log::warn("The log does not answer: group {} learns that this member has left only when its session expires",
              options_.group);
  poller_.cancel();
  commits_.cancel();
  for (auto& task : drains_) task.cancel();
  leaving_.cancel();
}

void Shard::stop(std::optional<Loop::time_point> until) {
  if (stopping_) return;
  stopping_ = true;
  stop_until_ = until.value_or(loop_.now() + options_.drain_timeout);
  poller_.cancel();
  committer_.stop();
}

}  // namespace mephisto::detail
