#include "mephisto/stream/refused_events.h"

#include <fmt/format.h>

#include "mephisto/base/assert.h"
#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

constexpr std::chrono::seconds kPollWait{1};
constexpr std::chrono::milliseconds kRetryAfter{200};
// If a record cannot be read again within this time, compaction has deleted it.
constexpr std::chrono::seconds kReadAgain{10};

// One record in a batch of its own. Its bytes count for no memory budget.
std::shared_ptr<Batch> alone(const RecordView& record, std::vector<std::shared_ptr<const void>> pins) {
  auto batch = std::make_shared<Batch>();
  batch->records.push_back(record);
  batch->next_offset = record.offset + 1;
  batch->pins = std::move(pins);
  return batch;
}

}  // namespace

void RefusedEvents::done_together(const std::vector<Slot>& slots) {
  if (transactional()) return;  // if a transaction is refused, all its events are delivered again
  std::vector<EventId> events;
  for (const auto& slot : slots) events.push_back({slot.lane().assigned.id, slot.lane().number, slot.record().offset});
  slots.back().lane().together.insert_or_assign(slots.back().record().offset, std::move(events));
}

// Guarantee kept here: an error never loses an event silently. Under exactly once nothing of the transaction counts,
// and the event fails when it is processed again. The same holds with state, if the event is acknowledged: its changes
// are among those of others. At least once its acknowledgement is taken back before a commit passes it.
void RefusedEvents::add(const Origin& origin, const Error& error) {
  const auto* assignment = assigned_.find(origin.assignment);
  if (assignment == nullptr) return;  // the new owner's output will be refused too
  const auto why = "the log refused what it sent: " + error.message;
  auto& lane = *assignment->lanes.at(origin.lane);
  if (options_.exactly_once) return in_flight_.add(lane, origin.offset, why);
  if (assigned_.stateful()) {
    if (lane.failures.contains(origin.offset)) return;  // it has failed already, and its changes do not count
    must_rewind_ |= lane.tracker.acknowledged(origin.offset).has_value();
    return in_flight_.add(lane, origin.offset, why);
  }
  auto batch = lane.together.extract(origin.offset);
  if (batch.empty()) return reopen({origin.assignment, origin.lane, origin.offset}, why);
  for (const auto& one : batch.mapped()) reopen(one, why);
}

void RefusedEvents::reopen(const EventId& event, const std::string& why) {
  const auto* assignment = assigned_.find(event.assignment);
  if (assignment == nullptr) return;
  const auto lane = assignment->lanes.at(event.lane);
  if (lane->failures.contains(event.offset)) return;  // the event has failed already
  const auto sequence = lane->tracker.reopen(event.offset);
  if (!sequence) return in_flight_.add(*lane, event.offset, why);  // in flight
  MEPHISTO_ASSERT(lane->account.acked > 0, "only an acknowledged event is reopened");
  --lane->account.acked;
  ++lane->account.in_flight;
  ++lane->reopened;
  ++reopened_;
  std::erase_if(failing_, [](const Spawned& task) { return task.done(); });
  // If the partition is being released, the event is delivered again anyway.
  if (lane->open()) failing_.push_back(loop_.spawn("refused", fail_reopened(lane, *sequence, event.offset, why)));
}

Task<void> RefusedEvents::fail_reopened(std::shared_ptr<Lane> lane, std::uint64_t sequence, std::int64_t offset,
                                        std::string why) {
  const auto batch = co_await read_again(*lane, offset);
  if (!lane->open()) co_return;
  Slot slot;
  slot.batch = BatchUse{new DeliveredBatch{batch, lane, 1}};
  slot.sequence = sequence;
  std::uint32_t number = 0;
  for (const auto& subscription : assigned_.subscriptions()) {
    if (subscription.topic == lane->assigned.partition.topic && number++ == lane->number)
      subscription.agent->refused(slot, why);
  }
}

// The event's record; without its bytes if the log no longer has it.
Task<std::shared_ptr<Batch>> RefusedEvents::read_again(const Lane& lane, std::int64_t offset) {
  ReaderOptions options;
  options.client = options_.client;
  options.partitions[lane.assigned.partition] = offset;
  const auto reader = log_.reader(loop_, std::move(options));
  const auto until = loop_.now() + kReadAgain;
  while (lane.open() && loop_.now() < until) {
    std::optional<Error> failed;
    try {
      for (const auto& batch : (co_await reader->poll(1, kPollWait)).batches) {
        if (batch->records.empty()) continue;
        const auto& first = batch->records.front();
        if (first.offset != offset) co_return alone({.offset = offset}, {});
        co_return alone(first, {batch});
      }
    } catch (const Failure& failure) {
      failed = failure.error();
    }
    if (!failed) continue;
    log::warn("Cannot read {}@{} again, whose output the log refused: {}", lane.assigned.partition.str(), offset,
              failed->message);
    co_await sleep_for(kRetryAfter);
  }
  co_return alone({.offset = offset}, {});
}

void RefusedEvents::forget_before(Assignment& assignment, std::int64_t offset) {
  in_flight_.forget_before(assignment.partition(), offset);
  for (auto& lane : assignment.lanes) {
    lane->failures.erase(lane->failures.begin(), lane->failures.lower_bound(offset));
    lane->together.erase(lane->together.begin(), lane->together.lower_bound(offset));
  }
}

Task<void> RefusedEvents::end() {
  for (auto& task : failing_) task.cancel();
  for (auto& task : failing_) co_await task.finished();
}

}  // namespace mephisto::detail
