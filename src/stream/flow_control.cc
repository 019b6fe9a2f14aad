#include "mephisto/stream/flow_control.h"

#include <algorithm>

#include "mephisto/base/assert.h"

namespace mephisto::detail {
namespace {

constexpr std::size_t kAhead = 2 * FlowControl::kFetchBytes;  // of an assignment, so that its agent never pauses
constexpr std::size_t kAheadOfAgent = 8 * kAhead;             // of all assignments of an agent

}  // namespace

bool FlowControl::any_awaited() const {
  return std::ranges::any_of(assignments_, [](const auto& one) {
    return std::ranges::any_of(one.second->lanes, [](const auto& lane) { return lane->awaited; });
  });
}

Assignment* FlowControl::find(const Lane& lane) const {
  const auto found = assignments_.find(lane.assigned.id);
  return found == assignments_.end() ? nullptr : found->second.get();
}

void FlowControl::arrived(Assignment& assignment, std::shared_ptr<Batch> batch) {
  for (auto& lane : assignment.lanes) {
    bytes_in_flight_ += batch->bytes;
    assignment.flow.bytes += batch->bytes;
    assignment.flow.ahead += batch->bytes;
    lane->bytes += batch->bytes;
    lane->queue->push(lane, batch);
    if (!lane->queue->has_enough && lane->queue->ahead() >= kAheadOfAgent) set_enough(*lane->queue, true);
  }
  decide(assignment);
}

void FlowControl::taken(const Lane& lane, std::size_t bytes) {
  if (lane.queue->has_enough && lane.queue->ahead() < kAheadOfAgent / 2) set_enough(*lane.queue, false);
  auto* assignment = find(lane);
  if (assignment == nullptr) return;
  MEPHISTO_ASSERT(assignment->flow.ahead >= bytes, "no more bytes are taken than have arrived");
  assignment->flow.ahead -= bytes;
  decide(*assignment);
}

void FlowControl::freed(const Lane& lane, std::size_t bytes) {
  MEPHISTO_ASSERT(bytes_in_flight_ >= bytes, "no more bytes are freed than have arrived");
  bytes_in_flight_ -= bytes;
  if (!room_.empty()) room_.notify_all();
  auto* assignment = find(lane);
  if (assignment == nullptr) return;
  MEPHISTO_ASSERT(assignment->flow.bytes >= bytes, "no more bytes of an assignment are freed than have arrived");
  assignment->flow.bytes -= bytes;
  decide(*assignment);
}

void FlowControl::starved(LaneQueue& queue) {
  if (queue.has_enough) set_enough(queue, false);
  if (queue.takes_by_time() && bytes_in_flight_ >= memory_budget_ && any_awaited()) room_.notify_all();
}

void FlowControl::set_enough(LaneQueue& queue, bool enough) {
  queue.has_enough = enough;
  for (const auto& [id, assignment] : assignments_) decide(*assignment);
}

// A partition with a slow agent must not take the share of the others. Records that are fetched long before they are
// processed use memory without any gain, and have left the processor's cache by then.
void FlowControl::decide(Assignment& assignment) {
  if (!assignment.open()) return;
  auto& flow = assignment.flow;
  const bool enough = std::ranges::all_of(assignment.lanes, [](const auto& lane) { return lane->queue->has_enough; });
  if (!flow.paused && (flow.bytes >= share_of_budget() || flow.ahead >= kAhead || enough)) {
    flow.paused = true;
    reader_->pause(assignment.id());
  } else if (flow.paused && flow.bytes < share_of_budget() / 2 && flow.ahead < kAhead / 2 && !enough) {
    flow.paused = false;
    reader_->resume(assignment.id());
  }
}

}  // namespace mephisto::detail
