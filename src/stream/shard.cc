#include "mephisto/detail/shard.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/crash_point.h"
#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

constexpr std::chrono::milliseconds kPollWait{1000};
constexpr std::chrono::milliseconds kRetryAfter{200};

}  // namespace

Shard::Shard(Loop& loop, std::shared_ptr<Log> log, ShardOptions options)
    : loop_(loop), log_(std::move(log)), options_(std::move(options)), outbox_(loop_, *log_, log_->producer(loop_), options_.topic_defaults, options_.exactly_once) {
  Outbox::current_pointer() = &outbox_;
}

Shard::~Shard() = default;

void Shard::subscribe(Subscription subscription) { subscriptions_.push_back(std::move(subscription)); }

void Shard::adopt(LaneQueue& queue) {
  queue.on_ack = [this](Slot& slot) {
    if (!slot.staged.empty()) outbox_.accept(slot);
    if (++acked_since_commit_ >= options_.commit_every) commit_now_.notify_all();
    if (!acked_.empty()) acked_.notify_all();
  };
  queue.on_free = [this](std::size_t bytes) {
    bytes_in_flight_ -= bytes;
    if (!freed_.empty()) freed_.notify_all();
  };
}

std::size_t Shard::budget_left() const { return bytes_in_flight_ >= options_.memory_budget ? 0 : options_.memory_budget - bytes_in_flight_; }

void Shard::set_state(Held& held, LaneState state) {
  log::debug("{}: {} -> {} (generation {})", held.assigned.partition.str(), to_string(held.state), to_string(state), held.assigned.generation);
  held.state = state;
  for (auto& lane : held.lanes) lane->state = state;
}

void Shard::check_account(const Lane& lane) const {
  if (lane.account.balanced()) return;
  const auto& a = lane.account;
  throw Failure(ErrorKind::kFatal, fmt::format("the account of {} does not add up: consumed {} != acked {} + in flight {} + dead-lettered {} + skipped {}",
                                               lane.assigned.partition.str(), a.consumed, a.acked, a.in_flight, a.dead_lettered, a.skipped));
}

void Shard::handle_assigned(std::vector<Assigned> assigned) {
  std::vector<TopicPartition> partitions;
  for (auto& one : assigned) {
    auto held = std::make_shared<Held>();
    held->assigned = one;
    held->committed = one.offset;
    held->committed_metadata = one.metadata;
    for (const auto& subscription : subscriptions_) {
      if (subscription.topic != one.partition.topic) continue;
      auto& queue = subscription.queue(one.partition);
      auto lane = std::make_shared<Lane>(one, queue);
      queue.add_lane(lane);
      held->lanes.push_back(std::move(lane));
    }
    set_state(*held, LaneState::kRunning);
    partitions.push_back(one.partition);
    held_.emplace(one.id, std::move(held));
  }
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
  for (auto& lane : held->lanes) lane->queue->remove_lane(*lane);
  held_.erase(place);
  for (const auto& subscription : subscriptions_) {
    if (subscription.topic == held->assigned.partition.topic && subscription.closed) subscription.closed(held->assigned.partition);
  }
  log::debug("{}: {}", held->assigned.partition.str(), why);
}

void Shard::handle_lost(const std::vector<AssignmentId>& lost) {
  std::vector<TopicPartition> partitions;
  for (auto id : lost) {
    if (auto place = held_.find(id); place != held_.end()) partitions.push_back(place->second->assigned.partition);
  }
  if (partitions.empty()) return;
  log::warn("{} partitions were given to others while this worker gave no sign of life; what it was doing with them does not count", partitions.size());
  if (on_revoked) on_revoked(partitions);
  for (auto id : lost) close(id, "lost");
}

void Shard::deliver(std::shared_ptr<Batch> batch) {
  auto place = held_.find(batch->assignment);
  if (place == held_.end() || place->second->state != LaneState::kRunning) return;  // of an earlier stay
  auto& lanes = place->second->lanes;
  for (auto& lane : lanes) {
    bytes_in_flight_ += batch->bytes;
    lane->queue->push(lane, batch);
  }
}

// Waits until nothing of these partitions is in flight, or the time for draining is over.
Task<bool> Shard::settled(const std::vector<AssignmentId>& ids) {
  const auto deadline = loop_.now() + options_.drain_timeout;
  for (;;) {
    std::uint64_t in_flight = 0;
    for (auto id : ids) {
      auto place = held_.find(id);
      if (place == held_.end()) continue;
      for (const auto& lane : place->second->lanes) in_flight += lane->stopped ? 0 : lane->account.in_flight;
    }
    if (in_flight == 0) co_return true;
    if (loop_.now() >= deadline) {
      log::warn("{} records are still being processed after {}: their partitions are given up, the records will be delivered again", in_flight,
                format_duration(options_.drain_timeout));
      co_return false;
    }
    co_await acked_.wait_until(deadline, "events in flight to be done");
  }
}

Task<void> Shard::drain(std::vector<AssignmentId> revoked) {
  std::vector<TopicPartition> partitions;
  for (auto id : revoked) {
    auto place = held_.find(id);
    if (place == held_.end()) continue;
    set_state(*place->second, LaneState::kDraining);
    for (auto& lane : place->second->lanes) lane->queue->drop_pending(*lane);
    partitions.push_back(place->second->assigned.partition);
  }
  if (on_revoked) on_revoked(partitions);
  co_await settled(revoked);
  co_await commit(revoked, true);
  for (auto id : revoked) close(id, "released");
}

std::vector<AssignmentId> Shard::all_held() const {
  std::vector<AssignmentId> ids;
  for (const auto& [id, held] : held_) ids.push_back(id);
  return ids;
}

// Commits the first offset that is not done of each partition (of all its agents the lowest). Guarantee kept here: what was sent for
// the records before it is durable first (at least once), or becomes so in the same transaction (exactly once).
Task<void> Shard::commit(const std::vector<AssignmentId>& only, bool release) {
  while (committing_) co_await commit_done_.wait("the commit before");
  committing_ = true;
  struct Done {
    Shard& shard;
    ~Done() {
      shard.committing_ = false;
      shard.commit_done_.notify_all();
    }
  } done{*this};

  acked_since_commit_ = 0;
  std::vector<AssignmentCommit> commits;
  std::vector<std::shared_ptr<Held>> helds;
  for (auto id : only) {
    auto place = held_.find(id);
    if (place == held_.end()) continue;
    auto& held = *place->second;
    AssignmentCommit one{id, std::numeric_limits<std::int64_t>::max(), ""};
    for (const auto& lane : held.lanes) {
      check_account(*lane);
      one.offset = std::min(one.offset, lane->tracker.committable());
    }
    if (held.lanes.empty()) continue;
    // With several agents on a topic, what lies behind the lowest offset is delivered again to all of them.
    if (held.lanes.size() == 1) one.metadata = held.lanes[0]->tracker.metadata();
    if (!release && one.offset == held.committed && one.metadata == held.committed_metadata) continue;
    commits.push_back(std::move(one));
    helds.push_back(place->second);
  }
  auto taken = options_.exactly_once ? outbox_.take() : Outbox::Taken{};
  if (commits.empty() && taken.batches.empty()) co_return;

  for (;;) {
    Result<void> result;
    if (options_.exactly_once) {
      auto appended = co_await outbox_.producer().transact(taken.batches, *consumer_, commits);
      if (!appended && appended.error().kind == ErrorKind::kNotFound && co_await outbox_.drop_gone(taken)) continue;
      if (appended || !appended.error().retriable()) outbox_.settle(taken, appended);
      if (!appended) result = std::unexpected(appended.error());
      if (result && release) result = co_await consumer_->release(commits);
    } else {
      co_await outbox_.flush();
      crash_point("commit.before");
      result = release ? co_await consumer_->release(commits) : co_await consumer_->commit(commits);
    }
    if (result) {
      for (std::size_t i = 0; i < commits.size(); ++i) {
        helds[i]->committed = commits[i].offset;
        helds[i]->committed_metadata = commits[i].metadata;
      }
      co_return;
    }
    if (result.error().kind == ErrorKind::kFenced) {
      log::warn("A commit was refused: {}", result.error().message);
      co_return;
    }
    if (!result.error().retriable()) throw Failure(result.error());
    log::warn("Cannot commit: {}; trying again", result.error().message);
    co_await sleep_for(kRetryAfter);
  }
}

Task<void> Shard::commit_loop() {
  for (;;) {
    co_await commit_now_.wait_until(loop_.now() + options_.commit_interval, "the next commit");
    std::vector<AssignmentId> running;
    for (const auto& [id, held] : held_) {
      if (held->state == LaneState::kRunning) running.push_back(id);
    }
    co_await commit(running, false);
  }
}

Task<void> Shard::run() {
  ConsumerOptions consumer;
  consumer.group = options_.group;
  consumer.client = options_.client;
  consumer.session_timeout = options_.session_timeout;
  consumer.from_latest = options_.from_latest;
  for (const auto& subscription : subscriptions_) {
    if (std::ranges::find(consumer.topics, subscription.topic) == consumer.topics.end()) consumer.topics.push_back(subscription.topic);
  }
  consumer_ = log_->consumer(loop_, std::move(consumer));

  std::exception_ptr failure;
  auto committer = loop_.spawn("commit", commit_loop());
  poller_ = loop_.spawn("poll", [](Shard& self) -> Task<void> {
    while (!self.stopping_) {
      if (self.budget_left() == 0) {
        co_await self.freed_.wait_until(self.loop_.now() + kPollWait, "memory_budget to have room");
      }
      auto polled = co_await self.consumer_->poll(self.budget_left(), kPollWait);
      self.handle_lost(polled.lost);
      if (!polled.revoked.empty()) self.drains_.push_back(self.loop_.spawn("drain", self.drain(std::move(polled.revoked))));
      if (!polled.assigned.empty()) self.handle_assigned(std::move(polled.assigned));
      for (auto& batch : polled.batches) self.deliver(std::move(batch));
      std::erase_if(self.drains_, [](const Spawned& task) { return task.done() && !task.error(); });
      for (const auto& task : self.drains_) {
        if (task.done()) std::rethrow_exception(task.error());
      }
      co_await yield();
    }
  }(*this));

  TaskGroup group{"the shard's work"};
  group.spawn(poller_.join());
  group.spawn(committer.join());
  co_await group.wait(true);
  for (const auto* task : {&poller_, &committer}) {
    if (!task->done() || !task->error()) continue;
    try {
      std::rethrow_exception(task->error());
    } catch (const Cancelled&) {
    } catch (...) {
      failure = std::current_exception();
    }
  }
  stopping_ = true;
  poller_.cancel();
  committer.cancel();
  co_await group.wait();
  for (auto& task : drains_) co_await task.finished();

  if (!failure) {
    auto ids = all_held();
    for (auto id : ids) {
      auto& held = *held_[id];
      set_state(held, LaneState::kDraining);
      for (auto& lane : held.lanes) lane->queue->drop_pending(*lane);
    }
    co_await settled(ids);
    try {
      co_await commit(ids, true);
      for (auto id : ids) close(id, "released at stop");
      co_await outbox_.close();
      co_await consumer_->close();
    } catch (...) {
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

void Shard::stop() {
  stopping_ = true;
  poller_.cancel();
}

std::vector<LaneStatus> Shard::status() const {
  std::vector<LaneStatus> lines;
  for (const auto& [id, held] : held_) {
    std::size_t i = 0;
    for (const auto& subscription : subscriptions_) {
      if (subscription.topic != held->assigned.partition.topic) continue;
      const auto& lane = *held->lanes[i++];
      lines.push_back({subscription.name, held->assigned.partition, held->assigned.generation, lane.state, lane.tracker.committable(), lane.account});
    }
  }
  return lines;
}

}  // namespace mephisto::detail
