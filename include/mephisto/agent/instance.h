// An instance of an agent: one running coroutine of its handler.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mephisto/stream.h"
#include "mephisto/stream/delivery.h"
#include "mephisto/stream/tracer.h"

namespace mephisto::detail {

class AgentRuntime;

// A cheap test that rules out almost all values that are not a request in an envelope (Faust without headers).
// Instance::unwrap() examines the others.
inline bool maybe_envelope(std::string_view value) {
  return value.starts_with('{') && value.find("ReqRepRequest") != std::string_view::npos;
}

// One running coroutine of an agent, with the event (or batch of events) that it processes.
class Instance {
 public:
  // Call it on the task that runs the handler.
  Instance(AgentRuntime& runtime, LaneQueue& queue);
  ~Instance() {
    end_trace();
    for (auto& slot : unacked_) queue_.drop(slot);
  }
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  LaneQueue& queue() { return queue_; }
  TaskContext& context() const { return context_; }
  // Whether it processes the record, alone or in a batch. waits_for_ack(): with manual_ack, whether it has processed
  // the record and the acknowledgement is missing.
  bool holds(const Lane& lane, std::int64_t offset) const;
  // That record, if it is in flight here; otherwise null.
  const Slot* find(const Lane& lane, std::int64_t offset) const;
  bool waits_for_ack(const Lane& lane, std::int64_t offset) const;
  Slot& slot() { return slot_; }
  std::vector<Slot>& held() { return held_; }
  bool manual_ack = false;

  // Acknowledges the held events and takes the next record.
  bool advance() {
    if (slot_) acknowledge();
    if (!held_.empty()) acknowledge_held();
    return queue_.pick(slot_);
  }
  // Waits for the next record, after advance() has found none. False at the end of the stream.
  Task<bool> wait_for_record();
  // Takes another record without acknowledging: the current one joins the batch.
  bool advance_in_batch() {
    if (slot_) hold();
    return queue_.pick(slot_);
  }
  // Whether the handler must let the loop's other tasks run, although there is a next record. The clock is read only
  // now and then. Then the time that the handler takes for the next event is measured, too.
  bool must_yield() { return ++untimed_ < read_clock_at_ ? false : look_at_clock(); }
  void yielded() { ++untimed_; }
  // must_yield() was called, and there was no record.
  void found_none();
  // The handler begins with an event (or a batch) for which it has waited: its time is measured.
  void begin_timing();
  void batch_is_full();
  // The handler is done with the event, or has failed.
  void end_timing();
  void hold() {
    if (tracer_ != nullptr) tracer_->forget(slot_);
    held_.push_back(std::exchange(slot_, {}));
  }
  // The unit of work of the current event or batch that needs the state of another unit; null if it does not.
  Slot* in_conflict();
  // Discards what the current event or batch has done. return_events(): gives the events back to the queue.
  void discard();
  void return_events();
  void acknowledge();
  void acknowledge_held();
  void decode_failed(const Error& error);
  // The value of a request in an envelope (Faust without headers), unpadded; empty if the record is not such a request.
  std::string_view unwrap();
  bool closed() const { return queue_.closed(); }
  AgentRuntime& runtime() { return runtime_; }
  // From now on the handler sends for this event. This also holds if a task of its own asks the stream (timeout).
  void work_on(Slot* slot) {
    context_.current_unit = slot;
    TaskContext::current()->current_unit = slot;
    if (tracer_ != nullptr) trace(slot);
  }
  // The trace of the event or batch that it worked on ends. given_back(): it was not finished.
  void end_trace() {
    if (traced_ != nullptr) tracer_->end(*std::exchange(traced_, nullptr));
  }
  void given_back() const {
    if (traced_ != nullptr) tracer_->given_back(*traced_);
  }

 private:
  static constexpr std::uint32_t kReadClockEvery = 16;
  static constexpr std::uint32_t kTimeEvery = 64;

  bool look_at_clock();
  void trace(Slot* slot);

  AgentRuntime& runtime_;
  LaneQueue& queue_;
  TaskContext& context_;
  Tracer* tracer_;                      // the shard's; null: nothing is traced
  const UnitOfWork* traced_ = nullptr;  // that it works on, if that is traced
  std::uint32_t untimed_ = 0;           // events since the one whose time was measured
  std::uint32_t read_clock_at_ = kReadClockEvery;
  std::optional<Loop::time_point> timed_since_;
  Slot slot_;
  std::vector<Slot> held_;
  std::vector<Slot> unacked_;  // with manual_ack: events without an acknowledgement, in flight until the worker stops
  std::string unwrapped_;
};

}  // namespace mephisto::detail
