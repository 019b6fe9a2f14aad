#include "mephisto/stream/shard.h"

#include <fmt/format.h>

#include <algorithm>

#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

constexpr std::chrono::milliseconds kPollWait{1000};
constexpr std::size_t kFetchBytes =
    256 << 10;  // at a time: what is worked through together should stay in the processor's cache
constexpr std::size_t kAhead = 2 * kFetchBytes;    // of a partition, for when its agent is done with what it has
constexpr std::size_t kAheadOfAgent = 8 * kAhead;  // of all its partitions together
constexpr std::chrono::milliseconds kRetryAfter{200};
constexpr std::chrono::milliseconds kLastCommit{
    1000};  // for the last commit, where draining took all the time that there was

// A commit's metadata is the notes of the agents on the topic: `agent:2-4,7;other:0-9`. Empty mostly.
std::string_view acks_ahead_of(std::string_view metadata, std::string_view agent) {
  while (!metadata.empty()) {
    const auto end = std::min(metadata.find(';'), metadata.size());
    const auto part = metadata.substr(0, end);
    metadata.remove_prefix(std::min(end + 1, metadata.size()));
    if (part.size() > agent.size() && part.starts_with(agent) && part[agent.size()] == ':')
      return part.substr(agent.size() + 1);
  }
  return {};
}

}  // namespace

Shard::Shard(Loop& loop, std::shared_ptr<Log> log, ShardOptions options)
    : loop_(loop),
      log_(std::move(log)),
      options_(std::move(options)),
      outbox_(loop_, *log_, log_->producer(loop_), options_.topic_defaults, options_.exactly_once, true),
      rebalances_(loop_, options_.group, options_.client) {
  Outbox::current_pointer() = &outbox_;
  outbox_.on_refused = [this](const Origin& origin, const Error& error) { event_refused(origin, error); };
}

Shard::~Shard() = default;

void Shard::subscribe(Subscription subscription) { subscriptions_.push_back(std::move(subscription)); }

void Shard::adopt(LaneQueue& queue) {
  queue.on_ack = [this](Slot& slot) {
    if (!slot.staged.empty()) outbox_.merge(slot);
    if (++acked_since_commit_ >= options_.commit_every) commit_now_.notify_all();
    if (!acked_.empty()) acked_.notify_all();
  };
  queue.on_returned = [this] { acked_.notify_all(); };
  queue.on_starved = [this, &queue] {
    if (queue.has_enough) set_enough(queue, false);  // what it has waits for something else
  };
  queue.refusals = &refusals_;
  queue.on_taken = [this](const Lane& lane, std::size_t bytes) { taken(lane, bytes); };
  queue.on_free = [this](const Lane& lane, std::size_t bytes) { freed(lane, bytes); };
}

std::size_t Shard::budget_left() const {
  return bytes_in_flight_ >= options_.memory_budget ? 0 : options_.memory_budget - bytes_in_flight_;
}

void Shard::set_state(Held& held, LaneState state) {
  if (held.state == state) return;
  auto place = std::ranges::lower_bound(state_changes_, std::pair{held.state, state}, {},
                                        [](const StateChange& change) { return std::pair{change.from, change.to}; });
  if (place == state_changes_.end() || place->from != held.state || place->to != state)
    place = state_changes_.insert(place, {held.state, state, 0});
  ++place->count;
  log::debug("{}: {} -> {} (generation {})", held.assigned.partition.str(), to_string(held.state), to_string(state),
             held.assigned.generation);
  held.state = state;
  held.since = loop_.now();
  for (auto& lane : held.lanes) {
    lane->state = state;
    if (state != LaneState::kRunning) lane->leaves_running.notify_all();
  }
}

void Shard::check_account(const Lane& lane) const {
  if (lane.account.balanced()) return;
  const auto& a = lane.account;
  throw Failure(
      ErrorKind::kFatal,
      fmt::format(
          "the account of {} does not add up: consumed {} != acked {} + in flight {} + dead-lettered {} + skipped {}",
          lane.assigned.partition.str(), a.consumed, a.acked, a.in_flight, a.dead_lettered, a.skipped));
}

void Shard::handle_assigned(std::vector<PartitionAssignment> assigned) {
  rebalances_.begin_assigned(held_.size());
  std::vector<TopicPartition> partitions;
  for (auto& one : assigned) {
    auto held = std::make_shared<Held>();
    held->assigned = one;
    held->committed = one.offset;
    held->committed_metadata = one.metadata;
    for (const auto& subscription : subscriptions_) {
      if (subscription.topic != one.partition.topic) continue;
      auto& queue = subscription.queue(one.partition);
      const auto number = static_cast<std::uint32_t>(held->lanes.size());
      auto lane = std::make_shared<Lane>(one, acks_ahead_of(one.metadata, subscription.name), queue, number);
      if (options_.exactly_once) lane->max_acks_ahead = max_acks_ahead(subscription);
      queue.add_lane(lane);
      held->lanes.push_back(std::move(lane));
    }
    set_state(*held, LaneState::kRunning);
    refusals_.forget_before(one.partition, one.offset);
    partitions.push_back(one.partition);
    held_.emplace(one.id, std::move(held));
  }
  rebalances_.moved(held_.size(), draining_ > 0);
  if (on_assigned) on_assigned(partitions);
}

void Shard::close(AssignmentId id, const char* why) {
  auto place = held_.find(id);
  if (place == held_.end()) return;
  auto held = place->second;
  for (auto& lane : held->lanes) {
    check_account(*lane);
    lane->queue->drop_pending(*lane);
  }
  set_state(*held, LaneState::kClosed);
  for (auto& lane : held->lanes) {
    lane->queue->forget(*lane);
    lane->queue->remove_lane(*lane);
  }
  held_.erase(place);
  std::erase_if(together_, [&](const auto& batch) { return batch.first.assignment == id; });
  for (const auto& subscription : subscriptions_) {
    if (subscription.topic == held->assigned.partition.topic && subscription.closed)
      subscription.closed(held->assigned.partition);
  }
  log::debug("{}: {}", held->assigned.partition.str(), why);
}

std::vector<TopicPartition> Shard::partitions_of(const std::vector<AssignmentId>& ids) const {
  std::vector<TopicPartition> partitions;
  for (auto id : ids) {
    if (auto place = held_.find(id); place != held_.end()) partitions.push_back(place->second->assigned.partition);
  }
  return partitions;
}

std::int64_t Shard::uncommitted(const std::vector<AssignmentId>& ids) const {
  std::int64_t records = 0;
  for (auto id : ids) {
    auto place = held_.find(id);
    if (place == held_.end()) continue;
    auto begun = place->second->committed;
    for (const auto& lane : place->second->lanes) begun = std::max(begun, lane->tracker.next());
    records += begun - place->second->committed;
  }
  return records;
}

void Shard::handle_lost(const std::vector<AssignmentId>& lost) {
  auto partitions = partitions_of(lost);
  if (partitions.empty()) return;
  rebalances_.begin("lost", held_.size());
  log::warn(
      "{} partitions were given to others while this worker gave no sign of life; what it was doing with them does not "
      "count: up to {} records are delivered again",
      partitions.size(), uncommitted(lost));
  if (on_revoked) on_revoked(partitions);
  for (auto id : lost) close(id, "lost");
  rebalances_.moved(held_.size(), draining_ > 0);
  // What their events sent is among what the others' did: none of it may be committed now.
  if (options_.exactly_once && (outbox_.has_event_output() || committing_)) {
    must_rewind_ = true;
    commit_now_.notify_all();
  }
}

void Shard::deliver(std::shared_ptr<Batch> batch) {
  auto place = held_.find(batch->assignment);
  if (place == held_.end() || place->second->state != LaneState::kRunning) return;  // of an earlier stay
  auto& held = *place->second;
  for (auto& lane : held.lanes) {
    bytes_in_flight_ += batch->bytes;
    held.bytes += batch->bytes;
    held.ahead += batch->bytes;
    lane->queue->push(lane, batch);
    if (!lane->queue->has_enough && lane->queue->ahead() >= kAheadOfAgent) set_enough(*lane->queue, true);
  }
  pause_or_resume(held);
}

void Shard::set_enough(LaneQueue& queue, bool enough) {
  queue.has_enough = enough;
  for (const auto& [id, held] : held_) pause_or_resume(*held);
}

// A partition whose agent is slow must not take the others' part of the budget. And what is fetched long before it is
// worked on only takes memory and has left the processor's cache by then.
void Shard::pause_or_resume(Held& held) {
  const bool enough = std::ranges::all_of(held.lanes, [](const auto& lane) { return lane->queue->has_enough; });
  if (!held.paused && (held.bytes >= share_of_budget() || held.ahead >= kAhead || enough)) {
    held.paused = true;
    consumer_->pause(held.assigned.id);
  } else if (held.paused && held.bytes < share_of_budget() / 2 && held.ahead < kAhead / 2 && !enough) {
    held.paused = false;
    consumer_->resume(held.assigned.id);
  }
}

void Shard::taken(const Lane& lane, std::size_t bytes) {
  if (lane.queue->has_enough && lane.queue->ahead() < kAheadOfAgent / 2) set_enough(*lane.queue, false);
  auto place = held_.find(lane.assigned.id);
  if (place == held_.end()) return;
  place->second->ahead -= bytes;
  pause_or_resume(*place->second);
}

void Shard::freed(const Lane& lane, std::size_t bytes) {
  bytes_in_flight_ -= bytes;
  if (!freed_.empty()) freed_.notify_all();
  auto place = held_.find(lane.assigned.id);
  if (place == held_.end()) return;
  place->second->bytes -= bytes;
  pause_or_resume(*place->second);
}

// Waits until nothing of these partitions is in flight, or the time for draining is over; what is in flight then is
// delivered again.
Task<void> Shard::wait_until_idle(const std::vector<AssignmentId>& ids) {
  const auto deadline = std::min(loop_.now() + options_.drain_timeout, stop_until_);
  for (;;) {
    std::uint64_t in_flight = 0;
    for (auto id : ids) {
      auto place = held_.find(id);
      if (place == held_.end()) continue;
      for (const auto& lane : place->second->lanes) in_flight += lane->stopped ? 0 : lane->account.in_flight;
    }
    if (in_flight == 0) {
      // What the log refuses of what they sent is their failure, which is for this worker to see to.
      const auto reopened = reopened_;
      if (!options_.exactly_once) co_await outbox_.flush(stop_until_);
      if (reopened == reopened_) co_return;
      continue;
    }
    if (loop_.now() >= deadline) {
      log::warn(
          "{} records are still being processed after {}: their partitions are given up, the records will be delivered "
          "again",
          in_flight, format_duration(options_.drain_timeout));
      co_return;
    }
    co_await acked_.wait_until(std::min(deadline, loop_.now() + options_.commit_interval),
                               "events in flight to be done");
    // A handler may wait for what it sent, which under exactly once only a transaction sends.
    if (options_.exactly_once) co_await commit(all_held());
  }
}

Task<void> Shard::drain(std::vector<AssignmentId> revoked) {
  auto partitions = partitions_of(revoked);
  if (on_revoked) on_revoked(partitions);
  co_await finish(std::move(revoked), "released");
  --draining_;
  rebalances_.moved(held_.size(), draining_ > 0);
}

Task<void> Shard::finish(std::vector<AssignmentId> ids, const char* why) {
  for (auto id : ids) {
    auto place = held_.find(id);
    if (place == held_.end()) continue;
    set_state(*place->second, LaneState::kDraining);
    for (auto& lane : place->second->lanes) lane->queue->drop_pending(*lane);
  }
  co_await rebalances_.timed(Rebalances::kDrain, wait_until_idle(ids));
  // From here on nothing more is done or sent for them, so that the commit is the last word.
  for (auto id : ids) {
    if (auto place = held_.find(id); place != held_.end()) set_state(*place->second, LaneState::kClosed);
  }
  co_await rebalances_.timed(Rebalances::kCommit, commit(ids));
  for (auto id : ids) close(id, why);
  co_await rebalances_.timed(Rebalances::kRelease, release(ids));
}

std::vector<AssignmentId> Shard::all_held() const {
  std::vector<AssignmentId> ids;
  for (const auto& [id, held] : held_) ids.push_back(id);
  return ids;
}

Task<void> Shard::poll_loop() {
  while (!stopping_) {
    if (budget_left() == 0) co_await freed_.wait_until(loop_.now() + kPollWait, "memory_budget to have room");
    PollResult polled;
    std::optional<Error> failed;
    try {
      // Without room only changes of the group are looked for.
      polled = co_await consumer_->poll(std::min(budget_left(), kFetchBytes),
                                        budget_left() == 0 ? std::chrono::milliseconds{0} : kPollWait);
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
    if (polled.change) rebalances_.heard(*polled.change);
    handle_lost(polled.lost);
    if (!polled.revoked.empty()) {
      rebalances_.begin("revoked", held_.size());
      ++draining_;
      drains_.push_back(loop_.spawn("drain", drain(std::move(polled.revoked))));
    }
    if (!polled.assigned.empty()) handle_assigned(std::move(polled.assigned));
    for (auto& batch : polled.batches) deliver(std::move(batch));
    for (const auto& task : drains_) {
      if (task.done() && task.error()) std::rethrow_exception(task.error());
    }
    std::erase_if(drains_, [](const Spawned& task) { return task.done(); });
    rebalances_.rest();
    co_await yield();
  }
}

Task<void> Shard::run() {
  ConsumerOptions consumer;
  consumer.group = options_.group;
  consumer.client = options_.client;
  consumer.session_timeout = options_.session_timeout;
  consumer.from_latest = options_.from_latest;
  consumer.instance = options_.instance;
  for (const auto& subscription : subscriptions_) {
    if (std::ranges::find(consumer.topics, subscription.topic) == consumer.topics.end())
      consumer.topics.push_back(subscription.topic);
  }
  consumer_ = log_->consumer(loop_, std::move(consumer));
  rebalances_.begin("start", 0);

  committer_ = loop_.spawn("commit", commit_loop());
  poller_ = loop_.spawn("poll", poll_loop());
  TaskGroup group{"the shard's work"};
  group.spawn(poller_.finished());
  group.spawn(committer_.finished());
  co_await group.wait(true);
  std::exception_ptr failure;
  for (const auto* task : {&poller_, &committer_}) {
    if (!task->done() || !task->error()) continue;
    try {
      std::rethrow_exception(task->error());
    } catch (const Cancelled&) {
    } catch (...) {
      failure = std::current_exception();
    }
  }
  stop();
  auto patience = loop_.spawn("patience", end_at_deadline());
  if (failure) committer_.cancel();
  co_await group.wait();
  for (auto& task : drains_) co_await task.finished();

  if (!failure && !past_deadline_) {
    leaving_ = loop_.spawn("stop", leave());
    co_await leaving_.finished();
    failure = leaving_.error();
  }
  co_await end_reopened();
  if (past_deadline_) failure = all_committed_ ? nullptr : std::make_exception_ptr(not_stopped());
  if (failure || past_deadline_) co_await outbox_.abandon(stop_until_);
  patience.cancel();
  co_await patience.finished();
  if (failure) std::rethrow_exception(failure);
}

Task<void> Shard::leave() {
  rebalances_.end();
  rebalances_.begin("stop", held_.size());
  co_await finish(all_held(), "released at stop");
  rebalances_.moved(0, false);
  rebalances_.end();
  if (options_.exactly_once) co_await commit({});  // what no event sent, after a transaction that did not count
  co_await outbox_.close(stop_until_);
  all_committed_ = true;
  co_await consumer_->close();
}

// Guarantee kept here: a stop ends, whatever it waits for. What it has not committed by then is delivered again.
Task<void> Shard::end_at_deadline() {
  co_await sleep_until(stop_until_ + kLastCommit);
  for (const auto& line : loop_.describe_tasks()) log::debug("At the end of drain_timeout: {}", line);
  past_deadline_ = true;
  if (all_committed_)
    log::warn("The log does not answer: the group {} hears that this member has left only when its session is over",
              options_.group);
  poller_.cancel();
  committer_.cancel();
  for (auto& task : drains_) task.cancel();
  leaving_.cancel();
}

Failure Shard::not_stopped() const {
  const auto& trouble = commit_trouble_ ? commit_trouble_ : outbox_.trouble();
  return Failure(ErrorKind::kTimeout, fmt::format("the log has not taken the last commit within {} (setting "
                                                  "drain_timeout){}; up to {} records are delivered again",
                                                  format_duration(options_.drain_timeout),
                                                  trouble ? ": " + trouble->message : "", uncommitted(all_held())));
}

void Shard::stop(std::optional<Loop::time_point> until) {
  if (stopping_) return;
  stopping_ = true;
  stop_until_ = until.value_or(loop_.now() + options_.drain_timeout);
  poller_.cancel();
  commit_now_.notify_all();
}

}  // namespace mephisto::detail
