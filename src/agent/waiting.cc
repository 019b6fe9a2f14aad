// Finds the reason why an agent has not processed a record yet.
#include <fmt/format.h>

#include <algorithm>

#include "mephisto/agent/agent_runtime.h"
#include "runtime/tasks.h"

namespace mephisto::detail {
namespace {

// The task that the handler finally waits for. Of the tasks that work for its event, it is the last one started, except
// for the clocks of timeouts.
const TaskContext& innermost(TaskContext& handler) {
  if (handler.current_unit == nullptr) return handler;
  const TaskContext* found = &handler;
  for (const auto* task : tasks_of(handler.loop())) {
    if (task->current_unit != handler.current_unit || task->waiting_for() == nullptr) continue;
    if (task != &handler && std::string_view{task->waiting_for()} == "a timer" && found != &handler) continue;
    found = task;
  }
  return *found;
}

Reason waits(const std::string& who, TaskContext& handler) {
  const auto& task = innermost(handler);
  if (task.waiting_for() == nullptr) return {"agent", who + " is processing it", std::nullopt};
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(handler.loop().now() - task.waiting_since());
  return {"agent", fmt::format("{} waits for {}", who, task.waiting_for()), since.count()};
}

}  // namespace

bool Instance::holds(const Lane& lane, std::int64_t offset) const {
  const auto is = [&](const Slot& slot) { return slot.is(lane, offset); };
  return is(slot_) || std::ranges::any_of(held_, is);
}

const Slot* Instance::find(const Lane& lane, std::int64_t offset) const {
  if (slot_.is(lane, offset)) return &slot_;
  for (const auto* slots : {&held_, &unacked_}) {
    for (const auto& slot : *slots) {
      if (slot.is(lane, offset)) return &slot;
    }
  }
  return nullptr;
}

std::optional<Timestamp> AgentRuntime::oldest(const Lane& lane) const {
  if (lane.tracker.window() == 0 && lane.pending == 0) return std::nullopt;
  const auto offset = lane.tracker.committable();
  for (const auto& slot : stopped_) {
    if (slot.is(lane, offset)) return slot.record().timestamp();
  }
  for (const auto& [partition, queue] : queues_) {
    if (&queue->lanes != lane.queue) continue;
    for (const auto* instance : queue->running) {
      const auto* slot = instance == nullptr ? nullptr : instance->find(lane, offset);
      if (slot != nullptr) return slot->record().timestamp();
    }
  }
  return lane.queue->time_of(lane, offset);
}

bool Instance::waits_for_ack(const Lane& lane, std::int64_t offset) const {
  return std::ranges::any_of(unacked_, [&](const Slot& slot) { return slot.is(lane, offset); });
}

Reason AgentRuntime::waiting(const Lane& lane) const {
  const auto offset = lane.tracker.committable();
  const auto& name = agent_.name();
  if (lane.stopped)
    return {
        "stopped",
        fmt::format("agent {} failed on it, and its error policy stops the partition until the worker is started again",
                    name),
        std::nullopt};
  const Queue* queue = nullptr;
  for (const auto& [partition, one] : queues_) {
    if (&one->lanes == lane.queue) queue = one.get();
  }
  if (queue == nullptr) return {"agent", fmt::format("agent {} is ending", name), std::nullopt};
  const auto who = [&](std::size_t index) {
    return queue->running.size() == 1 ? "agent " + name : fmt::format("agent {} instance {}", name, index + 1);
  };
  for (std::size_t i = 0; i < queue->running.size(); ++i) {
    const auto* instance = queue->running[i];
    if (instance == nullptr) continue;
    if (instance->holds(lane, offset)) return waits(who(i), instance->context());
    if (instance->waits_for_ack(lane, offset))
      return {"agent", fmt::format("{} has not acknowledged it (noack)", who(i)), std::nullopt};
  }
  if (const auto* retry = queue->lanes.retrying(lane, offset)) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(retry->due - shard_.loop().now());
    return {"retry",
            fmt::format("agent {} failed on it and tries it again in {} ({} of {})", name, format_duration(left),
                        retry->slot.attempt, agent_.options().on_error.retries),
            std::nullopt};
  }
  if (queue->lanes.waits_for_key(lane, offset))
    return {"key", fmt::format("agent {} works on an earlier record with its key", name), std::nullopt};
  if (auto other = queue->lanes.waits_for_other_topic(lane); !other.empty())
    return {"other topic",
            fmt::format("agent {} takes the records of its topics by their time: it waits {}", name, other),
            std::nullopt};
  // No instance processes the record. The first instance's reason for waiting is also the record's.
  if (const auto* first = queue->running.empty() ? nullptr : queue->running.front();
      first != nullptr && first->context().current_unit != nullptr) {
    auto reason = waits(who(0), first->context());
    return {"instances", "agent " + name + " has no free instance: " + reason.text, reason.ms};
  }
  return {"instances", fmt::format("agent {} has not taken it yet", name), std::nullopt};
}

}  // namespace mephisto::detail
