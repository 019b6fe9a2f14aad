#include "log/group.h"

#include <fmt/format.h>

#include <algorithm>

namespace mephisto {

const GroupMember* Group::find(const std::string& member) const {
  auto found = std::ranges::find(members, member, &GroupMember::id);
  return found == members.end() ? nullptr : &*found;
}

Ownership* Group::ownership(const TopicPartition& partition) {
  auto found = std::ranges::find_if(
      ownerships, [&](const Ownership& o) { return o.partition == partition.partition && o.topic == partition.topic; });
  return found == ownerships.end() ? nullptr : &*found;
}

void Group::join(GroupMember member) {
  ++generation;
  members.push_back(std::move(member));
  std::ranges::sort(members, {}, &GroupMember::id);
}

bool Group::leave(const std::string& member, bool died) {
  constexpr std::size_t kKept = 16;
  const auto* leaves = find(member);
  if (leaves == nullptr) return false;
  ++generation;
  if (!former) former.emplace();
  if (former->size() == kKept) former->erase(former->begin());
  former->push_back({leaves->client, generation, died});
  std::erase_if(members, [&](const GroupMember& m) { return m.id == member; });
  for (auto& ownership : ownerships) {
    if (ownership.owner == member) ownership.owner.clear();
  }
  return true;
}

std::vector<TopicPartition> Group::acquire(const std::string& member, const std::map<std::string, int>& partitions) {
  std::vector<TopicPartition> acquired;
  auto targets = assign_range(members, partitions);
  for (const auto& target : targets[member]) {
    auto* found = ownership(target);
    if (found == nullptr) found = &ownerships.emplace_back(Ownership{target.topic, target.partition, "", 0});
    if (!found->owner.empty()) continue;
    found->owner = member;
    found->epoch = generation;
    acquired.push_back(target);
  }
  return acquired;
}

void Group::release(const std::string& member, const TopicPartition& partition) {
  auto* found = ownership(partition);
  if (found != nullptr && found->owner == member) found->owner.clear();
}

Result<void> Group::check(const std::string& member, const TopicPartition& partition, std::int64_t epoch) const {
  auto* found = const_cast<Group*>(this)->ownership(partition);
  if (found != nullptr && found->owner == member && found->epoch == epoch) return {};
  return fail(
      ErrorKind::kFenced,
      fmt::format("this member no longer owns {} (its lease expired, or it released the partition)", partition.str()));
}

std::map<std::string, std::vector<TopicPartition>> assign_range(const std::vector<GroupMember>& members,
                                                                const std::map<std::string, int>& partitions) {
  std::map<std::string, std::vector<TopicPartition>> targets;
  for (const auto& [topic, count] : partitions) {
    std::vector<const GroupMember*> subscribers;
    for (const auto& member : members) {
      if (std::ranges::find(member.topics, topic) != member.topics.end()) subscribers.push_back(&member);
    }
    if (subscribers.empty()) continue;
    const int each = count / static_cast<int>(subscribers.size());
    const int extra = count % static_cast<int>(subscribers.size());
    int next = 0;
    for (int i = 0; i < static_cast<int>(subscribers.size()); ++i) {
      for (int n = each + (i < extra ? 1 : 0); n > 0; --n)
        targets[subscribers[static_cast<std::size_t>(i)]->id].push_back({topic, next++});
    }
  }
  return targets;
}

}  // namespace mephisto
