#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "log/consuming.h"
#include "log/engine.h"
#include "mephisto/log/reply_topics.h"
#include "mephisto/logging.h"
#include "runtime/tasks.h"

namespace mephisto {
namespace {

std::map<std::string, int> partition_counts(const std::map<std::string, store::Topic>& topics) {
  std::map<std::string, int> counts;
  for (const auto& [name, topic] : topics) counts[name] = topic.config.partitions;
  return counts;
}

}  // namespace

KvConsumer::KvConsumer(std::shared_ptr<KvLog> log, Loop& loop, MemberOptions options)
    : log_(std::move(log)), kv_(log_->kv()), loop_(loop), options_(std::move(options)) {
  value_or_throw(store::check_group_name(options_.group));
  kv_.watch(loop_, &changed_);
}

KvConsumer::KvConsumer(std::shared_ptr<KvLog> log, Loop& loop, ReaderOptions options)
    : log_(std::move(log)), kv_(log_->kv()), loop_(loop) {
  options_.client = std::move(options.client);
  for (const auto& [partition, offset] : options.partitions) add(partition, offset);
  kv_.watch(loop_, &changed_);
}

KvConsumer::~KvConsumer() {
  kv_.unwatch(&changed_);
  kv_.drop_lease(lease_);
}

std::map<std::string, store::Topic> KvConsumer::subscribed(KvReader& tx) const {
  std::map<std::string, store::Topic> topics;
  for (const auto& name : options_.topics) {
    if (auto topic = store::find_topic(tx, name)) topics.emplace(name, std::move(*topic));
  }
  return topics;
}

// A member's own lease does not expire: a member that can check is alive.
bool KvConsumer::alive(GroupMember member) const {
  if (member.id == member_) member.session_ms = std::numeric_limits<std::int64_t>::max();
  return kv_.alive(member);
}

Task<void> KvConsumer::join() {
  member_ = options_.client + "-" + kv_.new_id().str();
  kv_.drop_lease(lease_);
  lease_ = kv_.take_lease(member_);
  auto result = co_await submit(kv_, [&](KvWriter& tx) -> Result<void> {
    auto group = store::group(tx, options_.group);
    for (const auto& member : std::vector{group.members}) {
      if (!kv_.alive(member)) group.leave(member.id, true);
    }
    const auto topics = subscribed(tx);
    unborn_.clear();
    for (const auto& name : options_.topics) {
      if (!topics.contains(name)) unborn_.insert(name);
    }
    group.join({member_, options_.client, options_.topics, lease_, options_.session_timeout.count()});
    store::put_group(tx, options_.group, group);
    return {};
  });
  value_or_throw(std::move(result));
  known_members_.clear();
  log::debug("Joined group {} as {}", options_.group, member_);
}

void KvConsumer::lose_all(PollResult& polled) {
  for (const auto& [id, held] : held_) polled.lost.push_back(id);
  held_.clear();
}

AssignmentId KvConsumer::add(TopicPartition partition, std::int64_t offset) {
  // An asker's topic stays for as long as it is read: see KvLog::maintain.
  if (is_reply_topic(partition.topic) && lease_ == 0) lease_ = kv_.take_lease(partition.topic);
  const auto id = new_assignment();
  added_.emplace(id, std::pair{std::move(partition), offset});
  changed_.notify_all();
  return id;
}

void KvConsumer::remove(AssignmentId assignment) {
  added_.erase(assignment);
  held_.erase(assignment);
}

void KvConsumer::begin_added(PollResult& polled) {
  std::vector<std::pair<PartitionAssignment, Held>> found;
  kv_.read([&](KvReader& tx) {
    for (const auto& [id, one] : added_) {
      const auto& [partition, from] = one;
      auto topic = store::find_topic(tx, partition.topic);
      if (!topic || partition.partition < 0 || partition.partition >= topic->config.partitions) {
        throw Failure(ErrorKind::kNotFound, fmt::format("there is no partition {}", partition.str()));
      }
      auto offset = from < 0 ? store::partition(tx, topic->id, partition.partition).start : from;
      found.push_back({{.id = id, .partition = partition, .offset = offset},
                       {.partition = partition, .topic = topic->id, .next = offset}});
    }
  });
  added_.clear();
  drained_ = false;
  for (auto& [assigned, held] : found) {
    held_.emplace(assigned.id, std::move(held));
    polled.assigned.push_back(std::move(assigned));
  }
}

Task<void> KvConsumer::expire_dead() {
  std::vector<std::string> dead;
  kv_.read([&](KvReader& tx) {
    for (const auto& member : store::group(tx, options_.group).members) {
      if (!alive(member)) dead.push_back(member.id);
    }
  });
  if (dead.empty()) co_return;
  auto result = co_await submit(kv_, [&](KvWriter& tx) -> Result<void> {
    auto group = store::group(tx, options_.group);
    bool changed = false;
    for (const auto& id : dead) {
      const auto* member = group.find(id);
      if (member == nullptr || alive(*member)) continue;
      log::warn("Member {} of group {} sends no heartbeat: its partitions move to other members", member->client,
                options_.group);
      changed |= group.leave(id, true);
    }
    if (changed) store::put_group(tx, options_.group, group);
    return {};
  });
  value_or_throw(std::move(result));
}

// The group reads all records from now on: in the partitions of other members too, and even if this member ends before
// its first commit. A topic that is newly created is read from its beginning.
void KvConsumer::begin_at_latest(KvWriter& tx, const Group& group, const store::Topic& topic, Timestamp now) const {
  if (std::ranges::find(group.ownerships, topic.name, &Ownership::topic) != group.ownerships.end()) return;
  for (int number = 0; number < topic.config.partitions; ++number) {
    if (store::commit(tx, options_.group, topic, number)) continue;
    const auto place = store::partition(tx, topic.id, number);
    store::put_commit(tx, options_.group, topic, number, unborn_.contains(topic.name) ? place.start : place.end, "",
                      now);
  }
}

Task<void> KvConsumer::acquire(PollResult& polled) {
  std::set<TopicPartition> kept;
  for (const auto& [id, held] : held_) kept.insert(held.partition);
  std::vector<PartitionAssignment> acquired;
  std::vector<std::uint32_t> topic_ids;
  const auto now = loop_.timestamp();
  auto result = co_await submit(kv_, [&](KvWriter& tx) -> Result<void> {
    acquired.clear();
    topic_ids.clear();
    auto group = store::group(tx, options_.group);
    if (group.find(member_) == nullptr) return {};
    bool changed = false;
    // The group's state says that we own the partition, but we do not hold it: we never got the result of a release or
    // an acquisition.
    for (auto& ownership : group.ownerships) {
      if (ownership.owner != member_ || kept.contains({ownership.topic, ownership.partition})) continue;
      ownership.owner.clear();
      changed = true;
    }
    auto topics = subscribed(tx);
    std::set<TopicPartition> met;  // other partitions are new to the group: nobody could have read them before
    if (options_.from_latest) {
      for (const auto& [name, topic] : topics) begin_at_latest(tx, group, topic, now);
      for (const auto& one : group.ownerships) met.insert({one.topic, one.partition});
    }
    for (auto& partition : group.acquire(member_, partition_counts(topics))) {
      changed = true;
      const auto& topic = topics.at(partition.topic);
      auto place = store::partition(tx, topic.id, partition.partition);
      auto committed = store::commit(tx, options_.group, topic, partition.partition);
      PartitionAssignment one{new_assignment(), partition, place.start, "", group.generation};
      if (committed) {
        one.offset = std::max(committed->offset, place.start);
        if (committed->offset < place.start) {
          log::warn("{}: committed offset {} was deleted by retention; continuing at {}", partition.str(),
                    committed->offset, place.start);
        } else if (committed->offset > place.end) {
          return fail(
              ErrorKind::kInvalid,
              fmt::format("{}: committed offset {} is after the partition's end {}: the topic was recreated or the log "
                          "was replaced; reset the group's offset (lag --reset)",
                          partition.str(), committed->offset, place.end));
        } else {
          one.metadata = committed->metadata;
        }
      } else if (met.contains(partition)) {
        one.offset = place.end;
        store::put_commit(tx, options_.group, topic, partition.partition, place.end, "", now);
      }
      acquired.push_back(std::move(one));
      topic_ids.push_back(topic.id);
    }
    if (changed) store::put_group(tx, options_.group, group);
    return {};
  });
  value_or_throw(std::move(result));
  for (std::size_t i = 0; i < acquired.size(); ++i) {
    auto& one = acquired[i];
    held_.emplace(one.id, Held{.partition = one.partition,
                               .topic = topic_ids[i],
                               .epoch = one.generation,
                               .next = one.offset,
                               .paused = true});
    polled.assigned.push_back(std::move(one));
  }
}

void KvConsumer::note_change(const Group& group, std::size_t meant, PollResult& polled) {
  const bool first = known_members_.empty();
  if (!first && group.generation == known_generation_ && meant == known_meant_) return;
  auto& change = polled.change.emplace();
  change.members = group.members.size();
  change.meant = meant;
  std::map<std::string, std::string> members;
  for (const auto& member : group.members) {
    if (!first && !known_members_.contains(member.id)) change.joined.push_back(member.client);
    members.emplace(member.id, member.client);
  }
  for (const auto& member : group.former.value_or(std::vector<FormerMember>{})) {
    if (!first && member.generation > known_generation_)
      (member.died ? change.died : change.left).push_back(member.client);
  }
  known_members_ = std::move(members);
  known_generation_ = group.generation;
  known_meant_ = meant;
}

Task<void> KvConsumer::sync(PollResult& polled) {
  if (closed_) co_return;
  std::string state;
  Group group;
  std::map<std::string, store::Topic> topics;
  kv_.read([&](KvReader& tx) {
    state = store::group_state(tx, options_.group, options_.topics);
    if (state == synced_) return;
    group = store::group(tx, options_.group);
    topics = subscribed(tx);
  });
  if (state == synced_) co_return;
  if (group.find(member_) == nullptr) {
    if (!held_.empty())
      log::warn("Group {} has removed this member ({}): joining again", options_.group, options_.client);
    lose_all(polled);
    co_await join();
    co_await acquire(polled);
    co_return;
  }

  auto targets = assign_range(group.members, partition_counts(topics))[member_];
  note_change(group, targets.size(), polled);
  std::set<TopicPartition> kept;
  for (auto place = held_.begin(); place != held_.end();) {
    auto& [id, held] = *place;
    auto topic = topics.find(held.partition.topic);
    const bool ours =
        topic != topics.end() && topic->second.id == held.topic && group.check(member_, held.partition, held.epoch);
    if (!ours && !held.releasing) {
      polled.lost.push_back(id);
      place = held_.erase(place);
      continue;
    }
    kept.insert(held.partition);
    if (!held.revoking && !std::ranges::binary_search(targets, held.partition)) {
      held.revoking = true;
      polled.revoked.push_back(id);
    }
    ++place;
  }
  const bool free = std::ranges::any_of(targets, [&](const TopicPartition& target) {
    auto* ownership = group.ownership(target);
    return ownership == nullptr || ownership->owner.empty();
  });
  const bool unknown = std::ranges::any_of(group.ownerships, [&](const Ownership& one) {
    return one.owner == member_ && !kept.contains({one.topic, one.partition});
  });
  if (free || unknown) co_await acquire(polled);
  synced_ = std::move(state);
}

Task<void> KvConsumer::advance(std::size_t max_bytes, PollResult& polled) {
  if (auto damaged = std::exchange(damaged_, std::nullopt)) throw Failure(std::move(*damaged));
  if (in_group() && loop_.now() >= next_check_) {
    next_check_ = loop_.now() + options_.session_timeout / 4;
    co_await expire_dead();
  }
  const auto tick = kv_.tick();
  if (tick != seen_tick_) {
    if (in_group()) co_await sync(polled);
    seen_tick_ = tick;
    drained_ = false;
  }
  if (!added_.empty()) begin_added(polled);
  if (!drained_ && max_bytes > 0) drained_ = !fetch(max_bytes, polled);
}

Task<PollResult> KvConsumer::poll(std::size_t max_bytes, std::chrono::milliseconds wait) {
  PollResult polled;
  const auto deadline = loop_.now() + wait;
  while (!closed_) {
    try {
      co_await advance(max_bytes, polled);
    } catch (const Failure&) {
      if (!brings_something(polled)) throw;  // otherwise the next poll reports it
    }
    if (brings_something(polled)) break;
    if (damaged_) continue;
    if (loop_.now() >= deadline) break;
    if (kv_.tick() != seen_tick_ || !added_.empty()) continue;
    auto until = in_group() ? std::min(deadline, next_check_) : deadline;
    co_await changed_.wait_until(until, kWaitsForRecords);
  }
  co_return closed_ ? PollResult{} : std::move(polled);
}

void KvConsumer::pause(AssignmentId assignment) {
  if (auto place = held_.find(assignment); place != held_.end()) place->second.paused = true;
}

void KvConsumer::resume(AssignmentId assignment) {
  auto place = held_.find(assignment);
  if (place == held_.end() || !place->second.paused) return;
  place->second.paused = false;
  drained_ = false;
  changed_.notify_all();
}

Task<void> KvConsumer::close() {
  closed_ = true;
  changed_.notify_all();
  if (in_group() && !member_.empty()) {
    auto result = co_await submit(kv_, [&](KvWriter& tx) -> Result<void> {
      auto group = store::group(tx, options_.group);
      if (group.leave(member_)) store::put_group(tx, options_.group, group);
      return {};
    });
    if (!result)
      log::warn("Cannot leave group {}: {}; its partitions move to other members when its lease expires",
                options_.group, result.error().message);
  }
  kv_.drop_lease(std::exchange(lease_, 0));
  held_.clear();
}

}  // namespace mephisto
