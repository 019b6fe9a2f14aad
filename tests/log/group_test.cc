// The rules of a group on plain values: assignment, and who may take, release and commit which partitions.
#include "log/group.h"

#include <gmock/gmock.h>

#include <set>

#include "drivers.h"
#include "mephisto/base/ids.h"

namespace mephisto::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const TopicPartition kZero{"orders", 0};
const TopicPartition kOne{"orders", 1};
const std::map<std::string, int> kOrders2{{"orders", 2}};

GroupMember subscriber(const std::string& id, std::vector<std::string> topics = {"orders"}) {
  return {id, "client of " + id, std::move(topics), 0, 2000};
}

// Kafka's RangeAssignor, as in its Java code: start and length of each consumer's run.
std::map<std::string, std::vector<TopicPartition>> range_of_kafka(const std::vector<GroupMember>& members,
                                                                  const std::map<std::string, int>& partitions) {
  std::map<std::string, std::vector<TopicPartition>> assignment;
  for (const auto& [topic, count] : partitions) {
    std::set<std::string> consumers;
    for (const auto& member : members) {
      if (std::ranges::count(member.topics, topic) > 0) consumers.insert(member.id);
    }
    if (consumers.empty()) continue;
    const int size = static_cast<int>(consumers.size());
    const int per_consumer = count / size;
    const int with_extra = count % size;
    int i = 0;
    for (const auto& consumer : consumers) {
      const int start = per_consumer * i + std::min(i, with_extra);
      const int length = per_consumer + (i + 1 > with_extra ? 0 : 1);
      for (int n = start; n < start + length; ++n) assignment[consumer].push_back({topic, n});
      ++i;
    }
  }
  return assignment;
}

std::vector<GroupMember> random_members(Random& random, const std::vector<std::string>& topics) {
  std::set<std::string> ids;
  for (auto n = random.below(9); n > 0; --n) ids.insert(fmt::format("m{:x}", random.below(1000)));
  std::vector<GroupMember> members;
  for (const auto& id : ids) {
    GroupMember member = subscriber(id, {});
    for (const auto& topic : topics) {
      if (random.below(3) != 0) member.topics.push_back(topic);
    }
    members.push_back(std::move(member));
  }
  return members;
}

TEST(AssignRange, IsKafkas) {
  Random random{1};
  for (int round = 0; round < 3000; ++round) {
    auto members = random_members(random, {"a", "b", "c"});
    std::map<std::string, int> partitions;
    for (const auto* topic : {"a", "b", "c"}) {
      if (random.below(4) != 0) partitions[topic] = static_cast<int>(1 + random.below(20));
    }
    auto ours = assign_range(members, partitions);
    std::erase_if(ours, [](const auto& one) { return one.second.empty(); });
    auto theirs = range_of_kafka(members, partitions);
    std::erase_if(theirs, [](const auto& one) { return one.second.empty(); });
    ASSERT_EQ(ours, theirs) << "round " << round;
  }
}

TEST(AssignRange, GivesEachPartitionToExactlyOneSubscriberAndNearlyEqualShares) {
  Random random{2};
  for (int round = 0; round < 500; ++round) {
    auto members = random_members(random, {"a"});
    const int count = static_cast<int>(1 + random.below(600));
    std::set<int> given;
    std::size_t least = SIZE_MAX;
    std::size_t most = 0;
    auto targets = assign_range(members, {{"a", count}});
    for (const auto& member : members) {
      const bool subscribes = !member.topics.empty();
      const auto& mine = targets[member.id];
      if (!subscribes) {
        EXPECT_THAT(mine, IsEmpty());
        continue;
      }
      least = std::min(least, mine.size());
      most = std::max(most, mine.size());
      for (const auto& partition : mine) EXPECT_TRUE(given.insert(partition.partition).second);
    }
    if (most > 0) {
      EXPECT_EQ(given.size(), static_cast<std::size_t>(count));
      EXPECT_LE(most - least, 1U);
    }
  }
}

TEST(AssignRange, NobodyGetsNothing) {
  EXPECT_THAT(assign_range({}, {{"a", 3}}), IsEmpty());
  EXPECT_THAT(assign_range({subscriber("m", {})}, {{"a", 3}}), IsEmpty());
}

TEST(GroupRules, MembersAreKeptByIdHoweverTheyCome) {
  Group group;
  for (const auto* id : {"c", "a", "b"}) group.join(subscriber(id));
  EXPECT_EQ(group.members[0].id, "a");
  EXPECT_EQ(group.members[2].id, "c");
  EXPECT_EQ(group.find("b")->client, "client of b");
  EXPECT_EQ(group.find("d"), nullptr);
}

TEST(GroupRules, EveryChangeOfMembersIsANewGeneration) {
  Group group;
  group.join(subscriber("a"));
  EXPECT_EQ(group.generation, 1);
  group.join(subscriber("b"));
  EXPECT_EQ(group.generation, 2);
  EXPECT_FALSE(group.leave("nobody"));
  EXPECT_EQ(group.generation, 2);
  EXPECT_TRUE(group.leave("a"));
  EXPECT_EQ(group.generation, 3);
}

TEST(GroupRules, AMemberAcquiresWhatIsMeantForItOnce) {
  Group group;
  group.join(subscriber("a"));
  EXPECT_THAT(group.acquire("a", kOrders2), ElementsAre(kZero, kOne));
  EXPECT_THAT(group.acquire("a", kOrders2), IsEmpty());
  EXPECT_THAT(group.acquire("stranger", kOrders2), IsEmpty());
  EXPECT_TRUE(group.check("a", kZero, 1));
}

TEST(GroupRules, WhatAnotherStillHasMustBeReleasedFirst) {
  Group group;
  group.join(subscriber("a"));
  group.acquire("a", kOrders2);
  group.join(subscriber("b"));
  EXPECT_THAT(group.acquire("b", kOrders2), IsEmpty());
  EXPECT_TRUE(group.check("a", kOne, 1)) << "the old owner may commit until it has given it up";
  group.release("b", kOne);
  EXPECT_TRUE(group.check("a", kOne, 1)) << "only the owner can release";
  group.release("a", kOne);
  EXPECT_FALSE(group.check("a", kOne, 1));
  EXPECT_THAT(group.acquire("a", kOrders2), IsEmpty()) << "it is meant for the other now";
  EXPECT_THAT(group.acquire("b", kOrders2), ElementsAre(kOne));
  EXPECT_TRUE(group.check("b", kOne, 2));
  EXPECT_TRUE(group.check("a", kZero, 1)) << "what stayed keeps its epoch";
}

TEST(GroupRules, AMemberThatIsOutOwnsNothing) {
  Group group;
  group.join(subscriber("a"));
  group.acquire("a", kOrders2);
  group.leave("a");
  auto owned = group.check("a", kZero, 1);
  ASSERT_FALSE(owned);
  EXPECT_EQ(owned.error().kind, ErrorKind::kFenced);
  EXPECT_THAT(owned.error().message, ::testing::HasSubstr("orders/0"));
}

TEST(GroupRules, AnEarlierEpochOfTheSameMemberIsFenced) {
  Group group;
  group.join(subscriber("a"));
  group.acquire("a", kOrders2);
  group.join(subscriber("b"));
  group.release("a", kOne);
  group.leave("b");
  EXPECT_THAT(group.acquire("a", kOrders2), ElementsAre(kOne));
  EXPECT_FALSE(group.check("a", kOne, 1));
  EXPECT_TRUE(group.check("a", kOne, 3));
}

TEST(GroupRules, APartitionNobodyHadIsFenced) {
  EXPECT_EQ(Group{}.check("a", kZero, 0).error().kind, ErrorKind::kFenced);
}

// Members join, leave, take and release at random. A partition never has two owners, and only the owner's current
// assignment passes the check. Once every member has done its part, each partition is where it is meant to be.
TEST(GroupRules, HoldUnderRandomChanges) {
  Random random{3};
  const std::map<std::string, int> partitions{{"orders", 7}, {"refunds", 3}};
  for (int round = 0; round < 60; ++round) {
    Group group;
    std::map<TopicPartition, std::pair<std::string, std::int64_t>> owners;  // the reference
    std::set<std::string> members;
    auto take = [&](const std::string& id) {
      for (const auto& partition : group.acquire(id, partitions)) {
        ASSERT_FALSE(owners.contains(partition)) << partition.str() << " has two owners";
        owners[partition] = {id, group.generation};
      }
    };
    auto give_up = [&](const std::string& id) {
      auto targets = assign_range(group.members, partitions)[id];
      for (auto place = owners.begin(); place != owners.end();) {
        if (place->second.first != id || std::ranges::count(targets, place->first) > 0) {
          ++place;
          continue;
        }
        group.release(id, place->first);
        place = owners.erase(place);
      }
    };
    auto some = [&] {
      auto place = members.begin();
      std::advance(place, static_cast<std::ptrdiff_t>(random.below(members.size())));
      return *place;
    };
    for (int step = 0; step < 60; ++step) {
      switch (random.below(5)) {
        case 0: {
          auto id = fmt::format("m{}", random.below(100'000));
          if (members.insert(id).second)
            group.join(subscriber(id, random.below(3) == 0 ? std::vector<std::string>{"orders"}
                                                           : std::vector<std::string>{"orders", "refunds"}));
          break;
        }
        case 1:
          if (!members.empty()) {
            auto id = some();
            members.erase(id);
            EXPECT_TRUE(group.leave(id));
            std::erase_if(owners, [&](const auto& one) { return one.second.first == id; });
          }
          break;
        case 2:
          if (!members.empty()) give_up(some());
          break;
        default:
          if (!members.empty()) take(some());
      }
      for (const auto& [topic, count] : partitions) {
        for (int number = 0; number < count; ++number) {
          TopicPartition partition{topic, number};
          auto owner = owners.find(partition);
          for (const auto& id : members) {
            for (std::int64_t epoch = group.generation - 3; epoch <= group.generation + 1; ++epoch) {
              const bool expected = owner != owners.end() && owner->second == std::pair{id, epoch};
              ASSERT_EQ(group.check(id, partition, epoch).has_value(), expected);
            }
          }
        }
      }
    }
    for (const auto& id : members) give_up(id);
    for (const auto& id : members) take(id);
    auto targets = assign_range(group.members, partitions);
    std::size_t meant = 0;
    for (const auto& id : members) {
      for (const auto& partition : targets[id]) {
        EXPECT_EQ(owners[partition].first, id);
        ++meant;
      }
    }
    EXPECT_EQ(owners.size(), meant);
  }
}

}  // namespace
}  // namespace mephisto::test
