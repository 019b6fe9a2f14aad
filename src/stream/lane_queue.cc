// The way of a record through the queue of an agent:
// 1. push() adds a fetched batch.
// 2. pick() takes the next record: first retries that are due and records whose key is free (runnable_), then the
// records of the batches in their order.
// 3. take_from_batches() drops batches of closed lanes, sets batches of full lanes aside (blocked_), and passes over
// records that are done already or are for another agent.
// 4. must_wait_for_key() parks a record while another one holds its key.
// 5. acknowledge(), retry() or return_to_queue() ends its processing; drop() frees its memory and passes its key on.
#include <fmt/format.h>

#include <algorithm>

#include "mephisto/base/assert.h"
#include "mephisto/stream/delivery.h"
#include "mephisto/stream/lane_merge.h"
#include "mephisto/stream/refusals.h"

namespace mephisto::detail {

std::string only_for(const std::string& agent, const std::string& topic) { return agent + "@" + topic; }

bool Slot::is(const Lane& other, std::int64_t offset) const {
  return *this && &lane() == &other && record().offset == offset;
}

std::string Slot::position() const { return fmt::format("{}@{}", lane().assigned.partition.str(), record().offset); }

void Refusals::add(const Lane& lane, std::int64_t offset, std::string why) {
  all_.try_emplace({lane.assigned.partition, lane.number, offset}, std::move(why));
}

std::optional<std::string> Refusals::take(const Slot& slot) {
  if (all_.empty()) return std::nullopt;
  auto found = all_.extract({slot.lane().assigned.partition, slot.lane().number, slot.record().offset});
  return found.empty() ? std::nullopt : std::optional{std::move(found.mapped())};
}

void Refusals::forget_before(const TopicPartition& partition, std::int64_t offset) {
  std::erase_if(all_, [&](const auto& one) { return one.first.partition == partition && one.first.offset < offset; });
}

LaneQueue::LaneQueue(Options options) : options_(std::move(options)) {
  if (!options_.order.topics.empty()) merge_ = std::make_unique<LaneMerge>(options_.order, ready_);
}

LaneQueue::~LaneQueue() {
  *alive_ = false;
  for (auto* batch : batches_) unuse(batch);
  for (auto* batch : blocked_) unuse(batch);
  if (merge_) {
    for (auto* batch : merge_->drop(nullptr)) unuse(batch);
  }
}

void LaneQueue::add_lane(std::shared_ptr<Lane> lane) {
  if (merge_) merge_->add(lane);
  lanes_.push_back(std::move(lane));
}

void LaneQueue::remove_lane(const Lane& lane) {
  if (merge_) merge_->remove(lane);
  std::erase_if(lanes_, [&](const auto& one) { return one.get() == &lane; });
}

void LaneQueue::push(std::shared_ptr<Lane> lane, std::shared_ptr<Batch> batch) {
  lane->pending += static_cast<std::int64_t>(batch->records.size());
  ahead_ += batch->bytes;
  auto* delivered = new DeliveredBatch{std::move(batch), std::move(lane), 0, 1};
  if (merge_)
    merge_->push(delivered);
  else
    batches_.push_back(delivered);
  ready_.notify_all();
}

void LaneQueue::drop_pending(Lane& lane) {
  auto drop = [&](std::deque<DeliveredBatch*>& queue) {
    for (auto*& batch : queue) {
      if (batch->lane.get() != &lane) continue;
      if (&queue == &batches_) ahead_ -= batch->batch->bytes;
      unuse(batch);
      batch = nullptr;
    }
    std::erase(queue, nullptr);
  };
  drop(batches_);
  drop(blocked_);
  if (merge_) {
    for (auto* batch : merge_->drop(&lane)) {
      ahead_ -= batch->batch->bytes;
      unuse(batch);
    }
  }
  lane.pending = 0;
}

void LaneQueue::unuse(DeliveredBatch* batch) {
  if (owner != nullptr) owner->taken(*batch->lane, batch->batch->bytes);
  if (--batch->users > 0) return;
  if (owner != nullptr) owner->freed(*batch->lane, batch->batch->bytes);
  delete batch;
}

DeliveredBatch* LaneQueue::pop_batch() {
  auto* batch = batches_.front();
  batches_.pop_front();
  ahead_ -= batch->batch->bytes;
  return batch;
}

// On the path of each record.
[[gnu::always_inline]] bool LaneQueue::take_record(DeliveredBatch* batch, Slot& slot) {
  auto& lane = *batch->lane;
  const auto index = batch->next++;
  const auto& record = batch->batch->records[index];
  const auto offset = record.offset;
  --lane.pending;
  if (lane.tracker.done_before(offset)) return false;
  const auto sequence = lane.tracker.deliver(offset);
  lane.times.add(record.timestamp_ms);
  ++lane.account.consumed;
  if (!record.headers.empty() && is_for_another(lane, record)) {
    ++lane.account.skipped;
    lane.tracker.ack(sequence);
    return false;
  }
  slot.batch = BatchUse{batch};
  slot.index = index;
  slot.sequence = sequence;
  ++lane.account.in_flight;
  return true;
}

bool LaneQueue::take_from_batches(Slot& slot) {
  while (!batches_.empty()) {
    auto* batch = batches_.front();
    auto& lane = *batch->lane;
    auto& records = batch->batch->records;
    MEPHISTO_ASSERT(lane.state != AssignmentState::kAssigned && lane.state != AssignmentState::kRestoring,
                    "the log delivers no record before its assignment runs");
    if (lane.state != AssignmentState::kRunning || lane.stopped) {
      lane.pending -= static_cast<std::int64_t>(records.size() - batch->next);
      unuse(pop_batch());
      continue;
    }
    if (batch->next == records.size()) {
      lane.tracker.skip_to(batch->batch->next_offset);
      unuse(pop_batch());
      continue;
    }
    // If a batch of the same lane waits, this one waits too, because the records of a lane are delivered in order.
    const bool behind = !blocked_.empty() && std::ranges::any_of(blocked_, [&](const DeliveredBatch* one) {
      return one->lane.get() == &lane;
    });
    if (behind || lane.held > 0 || is_full(lane)) {
      blocked_.push_back(pop_batch());
      continue;
    }
    if (take_record(batch, slot)) return true;
  }
  return false;
}

// The queue's one instance has no other record in flight, so that no lane is full and no key is held.
bool LaneQueue::take_by_time(Slot& slot) {
  while (auto* batch = merge_->next()) {
    if (batch->next < batch->batch->records.size()) {
      if (take_record(batch, slot)) return true;
      continue;
    }
    merge_->pop();
    batch->lane->tracker.skip_to(batch->batch->next_offset);
    ahead_ -= batch->batch->bytes;
    unuse(batch);
  }
  return false;
}

std::string LaneQueue::waits_for_other_topic(const Lane& lane) const { return merge_ ? merge_->waiting(lane) : ""; }

bool LaneQueue::is_for_another(const Lane& lane, const RecordView& record) const {
  const auto header = record.headers.find(kOnlyFor);
  if (!header) return false;
  const auto at = header->value.rfind('@');
  return at != std::string_view::npos && header->value.substr(at + 1) == lane.assigned.partition.topic &&
         header->value.substr(0, at) != options_.agent;
}

bool LaneQueue::is_full(const Lane& lane) const {
  if (lane.account.in_flight == 0)
    return false;  // the next record is the first that is not done; it adds no range to the metadata
  if (lane.tracker.window() >= options_.max_window) return true;
  return lane.max_acks_ahead &&
         lane.tracker.longest_acks_ahead(lane.assigned.offset, lane.account.in_flight + 1) > *lane.max_acks_ahead;
}

bool LaneQueue::must_wait_for_key(Slot& slot) {
  if (!slot.record().has_key() || (keys_.empty() && !options_.ordered_by_key)) return false;
  auto found = keys_.find(std::string{slot.record().key});
  if (found == keys_.end()) {
    if (options_.ordered_by_key) hold_key(slot);
    return false;
  }
  found->second.push_back(std::move(slot));
  slot = Slot{};
  return true;
}

void LaneQueue::hold_key(Slot& slot) {
  if (slot.record().has_key() && !slot.parked_key)
    slot.parked_key = keys_.try_emplace(std::string{slot.record().key}).second;
}

void LaneQueue::release_key(const Slot& slot) {
  if (!slot.parked_key) return;
  auto found = keys_.find(std::string{slot.record().key});
  if (found == keys_.end()) return;
  if (found->second.empty()) {
    keys_.erase(found);
    return;
  }
  auto next = std::move(found->second.front());
  found->second.pop_front();
  next.parked_key = true;
  runnable_.push_back(std::move(next));
  ready_.notify_all();
}

bool LaneQueue::pick(Slot& slot) {
  while (!runnable_.empty()) {
    slot = std::move(runnable_.front());
    runnable_.pop_front();
    if (slot.lane().open()) return true;
    drop(slot);
  }
  while (take_from_batches(slot)) {
    if (!must_wait_for_key(slot)) return true;
  }
  if (merge_ && take_by_time(slot)) return true;
  if (owner != nullptr) owner->starved(*this);
  return false;
}

void LaneQueue::finish(Slot& slot, Outcome outcome) {
  acknowledge(slot, outcome);
  drop(slot);
}

void LaneQueue::acknowledge(Slot& slot, Outcome outcome) {
  auto& lane = slot.lane();
  slot.done = true;
  if (!lane.open()) return;
  if (owner != nullptr) owner->acknowledged(slot);
  MEPHISTO_ASSERT(lane.account.in_flight > 0, "an event is acknowledged once");
  --lane.account.in_flight;
  switch (outcome) {
    case Outcome::kAcked: ++lane.account.acked; break;
    case Outcome::kDeadLettered: ++lane.account.dead_lettered; break;
    case Outcome::kSkipped: ++lane.account.skipped; break;
  }
  if (outcome != Outcome::kAcked) lane.failures.insert(slot.record().offset);
  lane.tracker.ack(slot.sequence);
  if (slot.holds_lane) {
    MEPHISTO_ASSERT(lane.held > 0, "an event releases its lane once");
    --lane.held;
  }
  slot.holds_lane = false;
  if (!blocked_.empty() && !is_full(lane)) {
    for (const auto* batch : blocked_) ahead_ += batch->batch->bytes;
    batches_.insert(batches_.begin(), blocked_.begin(), blocked_.end());
    blocked_.clear();
    ready_.notify_all();
  }
}

void LaneQueue::drop(Slot& slot) {
  if (slot.parked_key) release_key(slot);
  // The slot's use of the batch frees it. The shard must learn of the free memory before that.
  if (auto* batch = slot.batch.get(); batch->users == 1 && owner != nullptr)
    owner->freed(*batch->lane, batch->batch->bytes);
  slot.reset();
}

void LaneQueue::forget(const Lane& lane) {
  const auto of_lane = [&](const Slot& slot) { return &slot.lane() == &lane; };
  std::deque<Slot> gone;
  const auto take = [&](std::deque<Slot>& slots) {
    for (auto& slot : slots) {
      if (of_lane(slot)) gone.push_back(std::move(slot));
    }
    std::erase_if(slots, [](const Slot& slot) { return !slot; });
  };
  take(runnable_);
  for (auto& [key, slots] : keys_) take(slots);
  for (auto& slot : gone) drop(slot);
}

void LaneQueue::retry(Slot slot, Loop::duration delay) {
  slot.discard();
  if (delay <= Loop::duration{0}) {
    // Before all others, but after the earlier records of its lane.
    auto before = runnable_.begin();
    for (auto one = runnable_.begin(); one != runnable_.end(); ++one) {
      if (one->batch->lane == slot.batch->lane && one->sequence < slot.sequence) before = std::next(one);
    }
    runnable_.insert(before, std::move(slot));
    ready_.notify_all();
    return;
  }
  hold_key(slot);  // records with the same key must not overtake it
  auto& loop = *Loop::current();
  auto entry = retrying_.insert(retrying_.end(), {std::move(slot), loop.now() + delay});
  loop.spawn("retry",
             [](LaneQueue& self, std::shared_ptr<bool> alive, std::list<Retrying>::iterator waiting,
                Loop::time_point at) -> Task<void> {
               co_await sleep_until(at);
               if (!*alive) co_return;
               auto due = std::move(waiting->slot);
               self.retrying_.erase(waiting);
               if (!due.lane().open()) {  // the assignment has ended
                 self.drop(due);
                 co_return;
               }
               self.runnable_.push_back(std::move(due));
               self.ready_.notify_all();
             }(*this, alive_, entry, entry->due));
}

const LaneQueue::Retrying* LaneQueue::retrying(const Lane& lane, std::int64_t offset) const {
  for (const auto& one : retrying_) {
    if (one.slot.is(lane, offset)) return &one;
  }
  return nullptr;
}

bool LaneQueue::waits_for_key(const Lane& lane, std::int64_t offset) const {
  const auto is = [&](const Slot& slot) { return slot.is(lane, offset); };
  return std::ranges::any_of(keys_, [&](const auto& key) { return std::ranges::any_of(key.second, is); });
}

void LaneQueue::return_to_queue(Slot slot) {
  auto& lane = slot.lane();
  if (lane.state == AssignmentState::kRunning && !slot.done) return retry(std::move(slot), Loop::duration{0});
  if (lane.open() && !slot.done) {
    MEPHISTO_ASSERT(lane.account.in_flight > 0, "only an event in flight is returned");
    --lane.account.consumed;
    --lane.account.in_flight;
    ++lane.given_back;
    if (owner != nullptr) owner->returned();
  }
  drop(slot);
}

void LaneQueue::close() {
  closed_ = true;
  if (merge_) merge_->close();
  ready_.notify_all();
}

}  // namespace mephisto::detail
