#include "mephisto/stream/assigned_partitions.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string_view>

#include "mephisto/base/assert.h"
#include "mephisto/logging.h"

namespace mephisto::detail {
namespace {

constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

// The agent's part of a commit's metadata. The metadata has one part for each agent on the topic:
// `agent:2-4,7;other:0-9`. The part lists the offsets after the committed one that the agent has acknowledged. Mostly
// it is empty.
std::string_view acks_ahead_of(std::string_view metadata, std::string_view agent) {
  while (!metadata.empty()) {
    const auto end = std::min(metadata.find(';'), metadata.size());
    const auto part = metadata.substr(0, end);
    metadata.remove_prefix(std::min(end + 1, metadata.size()));
    if (part.size() > agent.size() && part.starts_with(agent) && part[agent.size()] == ':')
      return part.substr(agent.size() + 1);
  }
  return {};
}

// `open`: the shard goes on with the events in flight.
AgentTotals totals_of(const Lane& lane, bool open) {
  const auto& a = lane.account;
  AgentTotals totals;
  totals.received = a.consumed + lane.given_back + lane.reopened;
  totals.acked = a.acked + lane.reopened;
  totals.dead_lettered = a.dead_lettered;
  totals.skipped = a.skipped;
  totals.given_back = lane.given_back + (open ? 0 : a.in_flight);
  totals.in_flight = open ? a.in_flight : 0;
  totals.bytes = lane.bytes;
  return totals;
}

void check_account(const Lane& lane) {
  if (lane.account.balanced()) return;
  const auto& a = lane.account;
  throw Failure(
      ErrorKind::kFatal,
      fmt::format(
          "the account of {} does not add up: consumed {} != acked {} + in flight {} + dead-lettered {} + skipped {}",
          lane.assigned.partition.str(), a.consumed, a.acked, a.in_flight, a.dead_lettered, a.skipped));
}

}  // namespace

AgentTotals& AgentTotals::operator+=(const AgentTotals& other) {
  received += other.received;
  acked += other.acked;
  dead_lettered += other.dead_lettered;
  skipped += other.skipped;
  given_back += other.given_back;
  in_flight += other.in_flight;
  bytes += other.bytes;
  latency += other.latency;
  return *this;
}

Assignment* AssignedPartitions::find(AssignmentId id) const {
  const auto found = assignments_.find(id);
  return found == assignments_.end() ? nullptr : found->second.get();
}

void AssignedPartitions::enter(Assignment& assignment, AssignmentState state) {
  const auto from = assignment.state();
  if (from == state) return;
  assignment.enter(state, loop_.now());
  auto change = std::ranges::lower_bound(transitions_, std::pair{from, state}, {},
                                         [](const Transition& one) { return std::pair{one.from, one.to}; });
  if (change == transitions_.end() || change->from != from || change->to != state)
    change = transitions_.insert(change, {from, state, 0});
  ++change->count;
}

std::shared_ptr<Assignment> AssignedPartitions::begin(PartitionAssignment given) {
  auto assignment = std::make_shared<Assignment>(given, loop_.now());
  for (const auto& subscription : subscriptions_) {
    if (subscription.topic != given.partition.topic) continue;
    auto& queue = subscription.agent->queue_for(given.partition);
    queue.owner = &owner_;
    queue.refusals = &refusals_;
    const auto number = static_cast<std::uint32_t>(assignment->lanes.size());
    auto lane = std::make_shared<Lane>(given, acks_ahead_of(given.metadata, subscription.agent->name()), queue, number);
    lane->participants = &participants_;
    if (exactly_once_ || stateful()) lane->max_acks_ahead = max_acks_ahead(subscription.topic, *subscription.agent);
    queue.add_lane(lane);
    assignment->lanes.push_back(std::move(lane));
  }
  const auto [unused, fresh] = assignments_.emplace(given.id, assignment);
  MEPHISTO_ASSERT(fresh, "the id of an assignment is used once");
  return assignment;
}

void AssignedPartitions::close(AssignmentId id, AssignmentState end, const char* why) {
  const auto found = assignments_.find(id);
  if (found == assignments_.end()) return;
  const auto assignment = found->second;
  for (auto& lane : assignment->lanes) {
    check_account(*lane);
    lane->queue->drop_pending(*lane);
  }
  if (assignment->state() != AssignmentState::kClosed) enter(*assignment, end);
  for (auto& lane : assignment->lanes) {
    lane->queue->forget(*lane);
    lane->queue->remove_lane(*lane);
  }
  each_subscribed(*assignment,
                  [&](std::size_t i, const Lane& lane) { subscriptions_[i].ended += totals_of(lane, false); });
  assignments_.erase(found);
  if (assignment->restored) {
    for (auto* participant : participants_) participant->closed(*assignment);
  }
  for (const auto& subscription : subscriptions_) {
    if (subscription.topic == assignment->partition().topic) subscription.agent->queue_closed(assignment->partition());
  }
  log::debug("{}: {}", assignment->partition().str(), why);
}

std::vector<TopicPartition> AssignedPartitions::partitions_of(const std::vector<AssignmentId>& ids) const {
  std::vector<TopicPartition> partitions;
  for (const auto id : ids) {
    if (const auto* assignment = find(id)) partitions.push_back(assignment->partition());
  }
  return partitions;
}

std::int64_t AssignedPartitions::uncommitted(const std::vector<AssignmentId>& ids) const {
  std::int64_t records = 0;
  for (const auto id : ids) {
    const auto* assignment = find(id);
    if (assignment == nullptr) continue;
    auto begun = assignment->committed;
    for (const auto& lane : assignment->lanes) begun = std::max(begun, lane->tracker.next());
    records += begun - assignment->committed;
  }
  return records;
}

std::vector<AssignmentId> AssignedPartitions::ids() const {
  std::vector<AssignmentId> ids;
  for (const auto& [id, assignment] : assignments_) ids.push_back(id);
  return ids;
}

// The longest acks ahead that the log accepts in one agent's part of the metadata, without the agent's name.
std::optional<std::size_t> AssignedPartitions::max_acks_ahead(const std::string& topic, const ShardAgent& agent) const {
  const auto all = log_.max_acks_ahead_bytes();
  if (all == kUnlimited) return std::nullopt;
  const auto part = all / static_cast<std::size_t>(std::ranges::count(subscriptions_, topic, &Subscription::topic));
  const auto name = agent.name().size() + 2;
  return part > name ? part - name : 0;
}

// Guarantee kept here, if the log limits the size of the metadata: at least once, acks ahead that do not fit are left
// out, and their records are delivered again. Under exactly once that would duplicate output. There nothing is left
// out, because no lane delivers more records than its metadata can describe.
//
// Gives the first offset that not all agents on the topic have processed, and each agent's acks ahead after it.
AssignmentCommit AssignedPartitions::progress(const Assignment& assignment) const {
  AssignmentCommit commit{assignment.id(), std::numeric_limits<std::int64_t>::max(), ""};
  for (const auto& lane : assignment.lanes) {
    check_account(*lane);
    commit.offset = std::min(commit.offset, lane->tracker.committable());
  }
  each_lane(assignment, [&](const ShardAgent& agent, const Lane& lane) {
    const auto note = lane.tracker.acks_ahead(
        commit.offset, exactly_once_ || stateful()
                           ? kUnlimited
                           : max_acks_ahead(assignment.partition().topic, agent).value_or(kUnlimited));
    if (note.empty()) return;
    if (!commit.metadata.empty()) commit.metadata += ';';
    commit.metadata += agent.name() + ":" + note;
  });
  return commit;
}

// Times that a sender has chosen may be in the future, and those of old records may be unknown (negative).
void AssignedPartitions::count_latency(Assignment& assignment) {
  const auto now = std::chrono::floor<std::chrono::milliseconds>(loop_.wall_time().time_since_epoch());
  each_subscribed(assignment, [&](std::size_t i, Lane& lane) {
    for (const auto& run : lane.times.take_sealed()) {
      if (run.ms >= 0) subscriptions_[i].ended.latency.add(now - std::chrono::milliseconds{run.ms}, run.records);
    }
  });
}

std::vector<AgentTotals> AssignedPartitions::totals() const {
  std::vector<AgentTotals> all;
  for (const auto& subscription : subscriptions_) all.push_back(subscription.ended);
  for (const auto& [id, assignment] : assignments_) {
    each_subscribed(*assignment, [&](std::size_t i, const Lane& lane) { all[i] += totals_of(lane, true); });
  }
  return all;
}

std::vector<LaneStatus> AssignedPartitions::status() const {
  std::vector<LaneStatus> lines;
  for (const auto& [id, assignment] : assignments_) {
    each_lane(*assignment, [&](const ShardAgent& agent, const Lane& lane) {
      lines.push_back({agent.name(), assignment->partition(), assignment->generation(), lane.state,
                       lane.tracker.committable(), lane.account});
    });
  }
  return lines;
}

}  // namespace mephisto::detail
