#include "mephisto/table/standby_plan.h"

#include <algorithm>
#include <map>

#include "log/group.h"

namespace mephisto::detail {
namespace {

// HOST:PID of HOST:PID:SHARD. The members of a process end together.
std::string_view worker_of(std::string_view client) { return client.substr(0, client.rfind(':')); }

}  // namespace

std::set<int> partitions_to_follow(const std::vector<MemberInfo>& members, const std::string& client,
                                   const std::string& topic, int partitions, int replicas) {
  std::vector<GroupMember> all;
  for (const auto& member : members) all.push_back({.id = member.id, .client = member.client, .topics = {topic}});
  std::ranges::sort(all, {}, &GroupMember::id);
  // What remains of the group after the ends of workers, and who gets which partition then.
  std::map<std::set<std::string_view>, std::vector<const GroupMember*>> owners_without;
  const auto owner = [&](int partition, const std::set<std::string_view>& ended) {
    auto& owners = owners_without[ended];
    if (owners.empty()) {
      auto left = all;
      std::erase_if(left, [&](const GroupMember& one) { return ended.contains(worker_of(one.client)); });
      owners.resize(static_cast<std::size_t>(partitions));
      for (const auto& [id, targets] : assign_range(left, {{topic, partitions}})) {
        const auto* member = &*std::ranges::find(all, id, &GroupMember::id);
        for (const auto& target : targets) owners[static_cast<std::size_t>(target.partition)] = member;
      }
    }
    return owners[static_cast<std::size_t>(partition)];
  };
  std::set<int> followed;
  for (int partition = 0; partition < partitions; ++partition) {
    std::set<std::string_view> ended;
    const auto* member = owner(partition, ended);
    for (int i = 0; member != nullptr && i < replicas; ++i) {
      ended.insert(worker_of(member->client));
      member = owner(partition, ended);
      if (member != nullptr && member->client == client) followed.insert(partition);
    }
  }
  return followed;
}

}  // namespace mephisto::detail
