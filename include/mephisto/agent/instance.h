// An instance of an agent: one running coroutine of its handler.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mephisto/stream.h"
#include "mephisto/stream/delivery.h"

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
  Instance(AgentRuntime& runtime, LaneQueue& queue)
      : runtime_(runtime), queue_(queue), context_(*TaskContext::current()) {}
  ~Instance() {
    for (auto& slot : unacked_) queue_.drop(slot);
  }
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  LaneQueue& queue() { return queue_; }
  TaskContext& context() const { return context_; }
  // Whether it processes the record, alone or in a batch. waits_for_ack(): with manual_ack, whether it has processed
  // the record and the acknowledgement is missing.
  bool holds(const Lane& lane, std::int64_t offset) const;
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
  // now and then.
  bool must_yield() {
    if (++taken_ < kReadClockEvery) return must_yield_;
    taken_ = 0;
    return must_yield_ = Loop::current()->turn_is_over();
  }
  void yielded() { must_yield_ = false; }
  void hold() { held_.push_back(std::exchange(slot_, {})); }
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
  }

 private:
  static constexpr int kReadClockEvery = 16;

  AgentRuntime& runtime_;
  LaneQueue& queue_;
  TaskContext& context_;
  int taken_ = 0;
  bool must_yield_ = false;
  Slot slot_;
  std::vector<Slot> held_;
  std::vector<Slot> unacked_;  // with manual_ack: events without an acknowledgement, in flight until the worker stops
  std::string unwrapped_;
};

}  // namespace mephisto::detail
