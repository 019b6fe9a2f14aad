#include "mephisto/stream/lane_merge.h"

#include <fmt/format.h>

#include <algorithm>

#include "mephisto/base/assert.h"
#include "mephisto/base/backoff.h"
#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

constexpr std::chrono::milliseconds kLookAgain{200};
constexpr std::chrono::milliseconds kLookAgainAtLast{5000};

bool is_used_up(const DeliveredBatch& batch) { return batch.next == batch.batch->records.size(); }

std::int64_t time_of(const DeliveredBatch& batch) { return batch.batch->records[batch.next].timestamp_ms; }

}  // namespace

LaneMerge::LaneMerge(TimeOrder order, WaitQueue& ready) : order_(std::move(order)), ready_(ready) {}

void LaneMerge::close() {
  *alive_ = false;
  for (auto& [number, group] : groups_) {
    for (auto& input : group) {
      input.look.cancel();
      input.idle.cancel();
    }
  }
}

void LaneMerge::add(std::shared_ptr<Lane> lane) {
  auto& group = groups_.try_emplace(lane->assigned.partition.partition, order_.topics.size()).first->second;
  const auto topic = std::ranges::find(order_.topics, lane->assigned.partition.topic);
  MEPHISTO_ASSERT(topic != order_.topics.end(), "an agent has lanes of its own topics only");
  group[static_cast<std::size_t>(topic - order_.topics.begin())] = Input{.lane = std::move(lane)};
}

void LaneMerge::remove(const Lane& lane) {
  auto* input = input_of(lane);
  if (input == nullptr) return;
  input->look.cancel();
  input->idle.cancel();
  *input = {};
}

LaneMerge::Input* LaneMerge::input_of(const Lane& lane) {
  const auto group = groups_.find(lane.assigned.partition.partition);
  if (group == groups_.end()) return nullptr;
  const auto input = std::ranges::find(group->second, &lane, [](const Input& one) { return one.lane.get(); });
  return input == group->second.end() ? nullptr : &*input;
}

void LaneMerge::push(DeliveredBatch* batch) {
  auto* input = input_of(*batch->lane);
  MEPHISTO_ASSERT(input != nullptr, "a batch is of a lane of the queue");
  input->batches.push_back({batch, arrivals_++});
  input->lane->awaited = false;
  input->idle.cancel();
  input->idle = {};
  input->idle_is_over = false;
}

void LaneMerge::pop() {
  MEPHISTO_ASSERT(turn_ != groups_.end(), "next() has given the batch");
  for (auto& input : turn_->second) {
    if (input.batches.empty() || !is_used_up(*input.batches.front().batch)) continue;
    input.batches.pop_front();
    break;
  }
  ++turn_;  // the other partitions are not forgotten
}

std::vector<DeliveredBatch*> LaneMerge::drop(const Lane* lane) {
  std::vector<DeliveredBatch*> dropped;
  for (auto& [number, group] : groups_) {
    for (auto& input : group) {
      if (!input.lane || (lane != nullptr && input.lane.get() != lane)) continue;
      for (const auto& one : input.batches) dropped.push_back(one.batch);
      input.batches.clear();
      input.lane->awaited = false;
    }
  }
  return dropped;
}

DeliveredBatch* LaneMerge::next() {
  for (auto left = groups_.size(); left > 0; --left, ++turn_) {
    if (turn_ == groups_.end()) turn_ = groups_.begin();
    if (auto* batch = next_of(turn_->second)) return batch;
  }
  return nullptr;
}

DeliveredBatch* LaneMerge::next_of(Group& group) {
  const Input::Arrived* first = nullptr;
  bool complete = true;
  for (const auto& input : group) {
    const auto* lane = input.lane.get();
    if (lane == nullptr || lane->state != AssignmentState::kRunning || lane->stopped || lane->held > 0) return nullptr;
    if (input.batches.empty()) {
      complete = false;
      continue;
    }
    const auto& one = input.batches.front();
    // The lane's position is that after the batch.
    if (is_used_up(*one.batch)) return one.batch;
    if (first == nullptr || time_of(*one.batch) < time_of(*first->batch)) first = &one;
  }
  if (first == nullptr) return nullptr;
  if (complete) return first->batch;
  bool waits = false;
  for (auto& input : group) {
    if (input.batches.empty() && must_wait(input, first->number)) waits = true;
  }
  return waits ? nullptr : first->batch;
}

// Whether a record of the batch with this number has to wait for the input, which has none.
bool LaneMerge::must_wait(Input& input, std::uint64_t number) {
  auto& lane = *input.lane;
  if (number >= input.known) {
    if (input.look.done())
      input.look = Loop::current()->spawn("the end of " + lane.assigned.partition.str(), look(alive_, input.lane));
    return true;
  }
  lane.awaited = lane.tracker.next() < input.end;
  if (lane.awaited) return true;
  if (order_.idle <= Loop::duration{0} || input.idle_is_over) return false;
  if (input.idle.done())
    input.idle = Loop::current()->spawn("wait for " + lane.assigned.partition.str(), wait_idle(alive_, input.lane));
  return true;
}

Task<void> LaneMerge::look(std::shared_ptr<bool> alive, std::shared_ptr<Lane> lane) {
  const auto readable = order_.readable;
  for (Backoff backoff{kLookAgain, kLookAgainAtLast};;) {
    const auto known = arrivals_;
    Result<Watermarks> marks;
    try {
      marks = co_await readable(lane->assigned.partition);
    } catch (const Failure& failure) {
      marks = std::unexpected(failure.error());
    }
    if (!*alive) co_return;
    auto* input = input_of(*lane);
    if (input == nullptr) co_return;
    if (marks) {
      // A partition that retention has emptied brings no record that would move the lane's position.
      input->end = marks->start < marks->end ? marks->end : 0;
      input->known = known;
      input->look = {};
      ready_.notify_all();
      co_return;
    }
    log::warn("Cannot look up the end of {}, for which records of the other topic wait: {}; trying again",
              lane->assigned.partition.str(), marks.error().message);
    co_await sleep_for(backoff.next());
    if (!*alive) co_return;
  }
}

Task<void> LaneMerge::wait_idle(std::shared_ptr<bool> alive, std::shared_ptr<Lane> lane) {
  co_await sleep_for(order_.idle);
  if (!*alive) co_return;
  auto* input = input_of(*lane);
  if (input == nullptr) co_return;
  input->idle_is_over = true;
  ready_.notify_all();
}

const DeliveredBatch* LaneMerge::first(const Lane& lane) const {
  const auto group = groups_.find(lane.assigned.partition.partition);
  if (group == groups_.end()) return nullptr;
  const auto input = std::ranges::find(group->second, &lane, [](const Input& one) { return one.lane.get(); });
  return input == group->second.end() || input->batches.empty() ? nullptr : input->batches.front().batch;
}

std::string LaneMerge::waiting(const Lane& lane) const {
  const auto group = groups_.find(lane.assigned.partition.partition);
  if (group == groups_.end()) return "";
  for (std::size_t i = 0; i < group->second.size(); ++i) {
    const auto& input = group->second[i];
    const TopicPartition other{order_.topics[i], group->first};
    if (!input.lane || input.lane->state != AssignmentState::kRunning)
      return fmt::format("for {}, which does not run here yet", other.str());
    if (input.lane->held > 0) return fmt::format("for a record of {} that is tried again", other.str());
    if (!input.batches.empty()) continue;
    if (input.lane->awaited) {
      return fmt::format("for the records of {}, which is read up to offset {} of {}", other.str(),
                         input.lane->tracker.next(), input.end);
    }
    if (!input.look.done()) return fmt::format("for the log to tell the end of {}", other.str());
    if (!input.idle.done())
      return fmt::format("for records of {}, at most {}", other.str(),
                         format_duration(std::chrono::duration_cast<std::chrono::milliseconds>(order_.idle)));
  }
  return "";
}

}  // namespace mephisto::detail
