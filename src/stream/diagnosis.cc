#include <fmt/format.h>

#include <algorithm>

#include "mephisto/stream/lane_merge.h"
#include "mephisto/stream/shard.h"

namespace mephisto::detail {
namespace {

constexpr std::chrono::seconds kLongCommit{1};  // a shorter commit is no reason worth reporting

}  // namespace

std::optional<Timestamp> LaneQueue::time_of(const Lane& lane, std::int64_t offset) const {
  const auto among = [&](const auto& slots) -> const Slot* {
    const auto found = std::ranges::find_if(slots, [&](const Slot& slot) { return slot.is(lane, offset); });
    return found == slots.end() ? nullptr : &*found;
  };
  const auto* slot = among(runnable_);
  if (const auto* failed = retrying(lane, offset); slot == nullptr && failed != nullptr) slot = &failed->slot;
  for (auto key = keys_.begin(); slot == nullptr && key != keys_.end(); ++key) slot = among(key->second);
  if (slot != nullptr) return slot->record().timestamp();
  // It is not delivered yet.
  const DeliveredBatch* batch = merge_ ? merge_->first(lane) : nullptr;
  for (const auto* batches : {&blocked_, &batches_}) {
    const auto found = std::ranges::find(*batches, &lane, [](const auto* one) { return one->lane.get(); });
    if (batch == nullptr && found != batches->end()) batch = *found;
  }
  if (batch == nullptr || batch->next == batch->batch->records.size()) return std::nullopt;
  return batch->batch->records[batch->next].timestamp();
}

// The agent with the lowest committable offset decides the partition's offset.
std::vector<PartitionDiagnosis> Shard::diagnose() const {
  std::vector<PartitionDiagnosis> all;
  for (const auto& [id, assignment] : assigned_.all()) {
    const Lane* behind = nullptr;
    const ShardAgent* agent = nullptr;
    assigned_.each_lane(*assignment, [&](const ShardAgent& one, const Lane& lane) {
      if (behind != nullptr && behind->tracker.committable() <= lane.tracker.committable()) return;
      behind = &lane;
      agent = &one;
    });
    if (behind == nullptr) continue;
    const auto& partition = assignment->partition();
    all.push_back({partition.topic, partition.partition, options_.client, assignment->committed,
                   behind->tracker.committable(), behind->tracker.next(), reasons(*assignment, *behind, *agent)});
  }
  if (!member_) return all;
  for (const auto& one : member_->held_up()) {
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(loop_.now() - one.since).count();
    all.push_back(
        {one.partition.topic, one.partition.partition, options_.client, -1, -1, -1, {{"transaction", one.why, ms}}});
  }
  return all;
}

std::vector<Reason> Shard::reasons(const Assignment& assignment, const Lane& lane, const ShardAgent& agent) const {
  std::vector<Reason> all;
  const auto ago = [&](Loop::time_point since) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(loop_.now() - since).count();
  };
  if (const auto& sending = outbox_.appender().trouble())
    all.push_back({"log", "the log does not accept sent records: " + sending->message, ago(sending->since)});
  if (const auto& committing = committer_.trouble())
    all.push_back({"log", "the log does not accept commits: " + committing->message, ago(committing->since)});
  if (read_trouble_)
    all.push_back({"log", "the log cannot be read: " + read_trouble_->message, ago(read_trouble_->since)});
  if (assignment.state() == AssignmentState::kRestoring) {
    std::string text = "the state of this partition is restored first";
    for (const auto* participant : assigned_.participants()) {
      if (const auto progress = participant->progress(assignment); !progress.empty()) text += "; " + progress;
    }
    all.push_back({"restoring", std::move(text), ago(assignment.since())});
  }
  if (assignment.state() == AssignmentState::kDraining)
    all.push_back({"draining", "the partition is being released; its records in flight are finished first",
                   ago(assignment.since())});
  if (lane.tracker.window() > 0 || lane.pending > 0) all.push_back(agent.waiting(lane));
  if (flow_.budget_left() == 0) {
    all.push_back({"memory",
                   fmt::format("reading is paused: all {} KiB of the shard's share of memory_budget are in use",
                               options_.memory_budget >> 10),
                   std::nullopt});
  } else if (assignment.flow.paused && assignment.flow.bytes >= flow_.share_of_budget() / 2) {
    all.push_back({"memory",
                   fmt::format("reading of this partition is paused: {} KiB of its {} KiB of memory_budget are in use",
                               assignment.flow.bytes >> 10, flow_.share_of_budget() >> 10),
                   std::nullopt});
  }
  if (const auto since = committer_.since(); since && loop_.now() - *since >= kLongCommit)
    all.push_back({"commit", options_.exactly_once ? "a transaction is open" : "a commit is under way", ago(*since)});
  return all;
}

}  // namespace mephisto::detail
