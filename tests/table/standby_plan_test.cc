// Which member follows a partition: the one that gets it next.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "log/group.h"
#include "mephisto/table/standby_plan.h"

namespace mephisto::tests {
namespace {

using detail::partitions_to_follow;
using testing::IsEmpty;

std::vector<MemberInfo> workers(int count, int shards) {
  std::vector<MemberInfo> members;
  for (int worker = 0; worker < count; ++worker) {
    for (int shard = 0; shard < shards; ++shard)
      members.push_back(
          {fmt::format("id-{}", (worker * 7 + shard * 3) % 101), fmt::format("host:{}:{}", worker, shard), {}});
  }
  return members;
}

std::set<int> owned(const std::vector<MemberInfo>& members, const std::string& client, int partitions) {
  std::vector<GroupMember> all;
  for (const auto& one : members) all.push_back({.id = one.id, .client = one.client, .topics = {"t"}});
  std::ranges::sort(all, {}, &GroupMember::id);
  std::set<int> mine;
  for (const auto& [id, targets] : assign_range(all, {{"t", partitions}})) {
    if (std::ranges::find(all, id, &GroupMember::id)->client != client) continue;
    for (const auto& target : targets) mine.insert(target.partition);
  }
  return mine;
}

TEST(StandbyPlan, TheNextOwnerOfEachPartitionIsItsFirstStandby) {
  for (int count = 2; count <= 5; ++count) {
    for (int shards = 1; shards <= 3; ++shards) {
      const auto all = workers(count, shards);
      for (int ended = 0; ended < count; ++ended) {
        auto left = all;
        std::erase_if(left,
                      [&](const MemberInfo& one) { return one.client.starts_with(fmt::format("host:{}:", ended)); });
        std::set<int> lost;
        for (int shard = 0; shard < shards; ++shard)
          lost.merge(owned(all, fmt::format("host:{}:{}", ended, shard), 12));
        for (const auto& one : left) {
          const auto followed = partitions_to_follow(all, one.client, "t", 12, 1);
          for (const int partition : owned(left, one.client, 12)) {
            if (lost.contains(partition)) EXPECT_TRUE(followed.contains(partition)) << one.client << " " << partition;
          }
        }
      }
    }
  }
}

TEST(StandbyPlan, EachPartitionHasAsManyStandbysAsThereAreOtherWorkersForThem) {
  for (int count = 1; count <= 4; ++count) {
    for (int replicas = 0; replicas <= 3; ++replicas) {
      const auto all = workers(count, 2);
      std::map<int, int> standbys;
      for (const auto& one : all) {
        const auto mine = owned(all, one.client, 8);
        for (const int partition : partitions_to_follow(all, one.client, "t", 8, replicas)) {
          ++standbys[partition];
          EXPECT_FALSE(mine.contains(partition));
        }
      }
      for (int partition = 0; partition < 8; ++partition)
        EXPECT_EQ(standbys[partition], std::min(replicas, count - 1)) << count << " workers";
    }
  }
}

TEST(StandbyPlan, ThoseWhoAreNotInTheGroupFollowNothing) {
  EXPECT_THAT(partitions_to_follow(workers(3, 1), "elsewhere:1:0", "t", 8, 2), IsEmpty());
  EXPECT_THAT(partitions_to_follow({}, "host:1:0", "t", 8, 2), IsEmpty());
}

}  // namespace
}  // namespace mephisto::tests
