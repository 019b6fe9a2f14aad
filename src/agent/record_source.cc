// How streams take records: the part that does not depend on the type of their values.
#include "mephisto/agent/instance.h"

#include <algorithm>

#include "mephisto/agent.h"

namespace mephisto {
namespace detail {
namespace {

// The record that was taken, if any. From now on the handler works for it.
const RecordView* taken(Instance& instance, bool any) {
  instance.work_on(any ? &instance.slot() : nullptr);
  return any ? &instance.slot().record() : nullptr;
}

}  // namespace

RecordSource::RecordSource(Instance& instance) : instance_(instance), slot_(&instance.slot()) {}

const RecordView* RecordSource::try_next() {
  if (instance_.must_yield()) return nullptr;
  const auto* record = taken(instance_, instance_.advance());
  if (record == nullptr) instance_.found_none();
  return record;
}

const RecordView* RecordSource::next_in_batch() { return taken(instance_, instance_.advance_in_batch()); }

const RecordView* RecordSource::next_after(const Error& error) {
  instance_.decode_failed(error);
  return taken(instance_, instance_.queue().pick(*slot_));
}

std::string_view RecordSource::unwrap(const RecordView& record) {
  return maybe_envelope(record.value) ? instance_.unwrap() : std::string_view{};
}

Task<void> RecordSource::wait_next(void* event) {
  if (instance_.must_yield()) {
    co_await yield();
    instance_.yielded();
  }
  if (take(taken(instance_, instance_.advance()), event)) co_return;
  instance_.found_none();
  do {
    if (instance_.closed()) co_return;
    co_await instance_.queue().ready().wait("events");
  } while (!take(taken(instance_, instance_.advance()), event));
  instance_.begin_timing();
}

Task<bool> RecordSource::wait_in_batch(Loop::time_point deadline) {
  if (instance_.closed() || Loop::current()->now() >= deadline) co_return false;
  co_await instance_.queue().ready().wait_until(deadline, "more events for a batch");
  co_return true;
}

void RecordSource::end_batch() {
  if (instance_.slot()) instance_.hold();
  instance_.batch_is_full();
  auto& held = instance_.held();
  const auto last = held.back().lane().assigned.id;
  held.back().mixed = std::ranges::any_of(held, [&](const Slot& slot) { return slot.lane().assigned.id != last; });
  instance_.work_on(&held.back());
}

const TopicPartition& partition_of(const Slot& slot) { return slot.lane().assigned.partition; }
int attempt_of(const Slot& slot) { return slot.attempt; }
void acknowledge_now(Slot& slot) {
  if (!slot.done) slot.lane().queue->acknowledge(slot, Outcome::kAcked);
}
void acknowledge_by_hand(Instance& instance) {
  if (instance.queue().takes_by_time())
    throw Failure(ErrorKind::kInvalid, "noack() does not work in an agent with by_time");
  instance.manual_ack = true;
}
Slot* event_of(Instance& instance) { return instance.slot() ? &instance.slot() : nullptr; }

SendOptions same_key() {
  SendOptions options;
  if (auto* slot = current_slot(); slot != nullptr && slot->record().has_key())
    options.key = std::string{slot->record().key};
  return options;
}

}  // namespace detail

AgentBase::AgentBase(std::string name, detail::TopicSpec topic, AgentOptions options)
    : name_(std::move(name)), topic_(std::move(topic)), options_(std::move(options)) {}
AgentBase::~AgentBase() = default;

bool in_event() { return detail::current_slot() != nullptr; }

}  // namespace mephisto
