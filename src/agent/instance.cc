// The events of an instance: what happens to them when its handler asks for the next ones, and how long it took.
#include "mephisto/agent/instance.h"

#include <algorithm>

#include "mephisto/agent/agent_runtime.h"
#include "mephisto/stream/refusals.h"

namespace mephisto::detail {

Instance::Instance(AgentRuntime& runtime, LaneQueue& queue)
    : runtime_(runtime), queue_(queue), context_(*TaskContext::current()), tracer_(runtime.shard().tracer()) {}

[[gnu::noinline]] void Instance::trace(Slot* slot) {
  end_trace();
  if (slot == nullptr) return;
  const auto& agent = runtime_.name();
  if (slot == &slot_ ? tracer_->begin(slot_, agent) : tracer_->begin_batch(held_, agent)) traced_ = slot;
}

// Guarantee kept here: on the path of most records the clock is not read. The event for which the handler has waited is
// measured. Of events that wait for the handler, one in kTimeEvery is, and stands for those before it.
bool Instance::look_at_clock() {
  if (timed_since_) {
    --untimed_;  // the event that begins now is not a part of what is measured
    end_timing();
    ++untimed_;
    return false;
  }
  const bool must_yield = Loop::current()->turn_is_over();
  if (must_yield) {
    --untimed_;  // no event is taken now
  } else if (untimed_ < kTimeEvery) {
    read_clock_at_ = untimed_ + kReadClockEvery;
  } else {
    timed_since_ = Loop::current()->now();
    read_clock_at_ = 0;
  }
  return must_yield;
}

void Instance::found_none() {
  --untimed_;
  timed_since_.reset();
  read_clock_at_ = untimed_ + kReadClockEvery;
}

void Instance::begin_timing() {
  ++untimed_;
  timed_since_ = Loop::current()->now();
  read_clock_at_ = 0;
}

// The wait for the rest of the batch is not the handler's time.
void Instance::batch_is_full() {
  if (timed_since_) timed_since_ = Loop::current()->now();
}

void Instance::end_timing() {
  if (!timed_since_) return;
  runtime_.handled(Loop::current()->now() - *timed_since_, untimed_);
  timed_since_.reset();
  untimed_ = 0;
  read_clock_at_ = kReadClockEvery;
}

Task<bool> Instance::wait_for_record() {
  do {
    if (closed()) co_return false;
    co_await queue_.ready().wait("events");
  } while (!advance());
  co_return true;
}

void Instance::acknowledge() {
  if (slot_.done) return queue_.drop(slot_);
  if (slot_.conflict != nullptr) throw UnitConflict{};  // the handler has caught it
  if (!queue_.refusals->empty()) {
    if (auto why = queue_.refusals->take(slot_)) return runtime_.failed(slot_, FailureKind::kOutput, *why);
  }
  if (manual_ack) {
    unacked_.push_back(std::exchange(slot_, {}));
    return;
  }
  // If the event is a request and the handler gave no result, that is an answer too.
  if (!slot_.answered && !slot_.record().headers.empty()) answer_null(slot_);
  queue_.finish(slot_, Outcome::kAcked);
}

Slot* Instance::in_conflict() {
  if (slot_ && slot_.conflict != nullptr) return &slot_;
  for (auto& slot : held_) {
    if (slot.conflict != nullptr) return &slot;
  }
  return nullptr;
}

void Instance::discard() {
  const auto discard_one = [](Slot& slot) {
    if (!slot.staged.empty()) slot.answered = false;  // its reply is discarded with the rest
    slot.discard();
  };
  if (slot_) discard_one(slot_);
  for (auto& slot : held_) discard_one(slot);
}

void Instance::return_events() {
  if (slot_) queue_.return_to_queue(std::exchange(slot_, {}));
  for (auto& slot : held_) queue_.return_to_queue(std::exchange(slot, {}));
  held_.clear();
}

void Instance::acknowledge_held() {
  if (in_conflict() != nullptr) throw UnitConflict{};
  // A batch is done as a whole. If a part of it has moved to another worker, its output does not count (exactly once),
  // and the rest is delivered again.
  const bool whole = std::ranges::all_of(held_, [](const Slot& slot) { return slot.lane().open(); });
  std::optional<std::string> refused;
  for (const auto& slot : held_) {
    if (auto why = queue_.refusals->take(slot)) refused = std::move(why);
  }
  if (whole && refused) {
    for (auto& slot : held_) runtime_.failed(slot, FailureKind::kOutput, *refused);
    held_.clear();
    return;
  }
  if (whole && held_.size() > 1 && held_.back().sent) runtime_.shard().done_together(held_);
  for (auto& slot : held_) {
    if (!whole) {
      queue_.return_to_queue(std::move(slot));
      continue;
    }
    if (!slot.answered && !slot.record().headers.empty()) answer_null(slot);
    queue_.finish(slot, Outcome::kAcked);
  }
  held_.clear();
}

void Instance::decode_failed(const Error& error) { runtime_.failed(slot_, FailureKind::kDecode, error.message); }

}  // namespace mephisto::detail
