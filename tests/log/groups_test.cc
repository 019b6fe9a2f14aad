// Conformance: how the members of a group share partitions and hand them over.
#include <gmock/gmock.h>

#include "drivers.h"

namespace mephisto::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using ::testing::UnorderedElementsAreArray;
using Set = std::set<int>;

class LogGroups : public LogTest {
 protected:
  void fill(const std::string& topic, int partitions, int each) {
    create(topic, partitions);
    std::vector<OutBatch> batches;
    for (int partition = 0; partition < partitions; ++partition)
      if (each > 0)
        batches.push_back(out_batch({topic, partition}, numbered(each, now(), fmt::format("p{}-", partition))));
    must(send(std::move(batches)));
  }
  GroupInfo group(const std::string& name) {
    for (auto& info : must(log->groups())) {
      if (info.name == name) return info;
    }
    return {};
  }
  // Lets `joining` join until `owner` is asked to release its part. `owner` has both partitions of `orders` and holds
  // on to them.
  void await_revoked(Member& owner, Member& joining) {
    std::vector<AssignmentId> leaving{owner.id_of({"orders", 1})};
    if (!driver.can.keep_partitions) leaving.push_back(owner.id_of({"orders", 0}));
    until({&owner, &joining}, [&] { return owner.revoked.size() == leaving.size(); });
    EXPECT_THAT(owner.revoked, UnorderedElementsAreArray(leaving));
  }
};

TEST_P(LogGroups, AMemberAloneHasAllPartitionsFromTheirStart) {
  fill("orders", 4, 2);
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.all_read().size() == 8; });
  EXPECT_EQ(one.owned("orders"), (Set{0, 1, 2, 3}));
  for (const auto& assigned : one.assignments) {
    EXPECT_EQ(assigned.offset, 0);
    EXPECT_EQ(assigned.metadata, "");
    EXPECT_GT(assigned.generation, 0);
  }
}

TEST_P(LogGroups, TwoMembersShareByRange) {
  fill("orders", 5, 1);
  fill("refunds", 2, 1);
  auto one = member("billing", "one", {"orders", "refunds"});
  auto two = member("billing", "two", {"refunds", "orders"});
  until({&one, &two}, [&] {
    return one.owned("orders").size() == 3 && two.owned("orders").size() == 2 && two.owned("refunds").size() == 1;
  });
  EXPECT_EQ(one.owned("orders"), (Set{0, 1, 2}));
  EXPECT_EQ(two.owned("orders"), (Set{3, 4}));
  EXPECT_EQ(one.owned("refunds"), (Set{0}));
  EXPECT_EQ(two.owned("refunds"), (Set{1}));
}

TEST_P(LogGroups, EqualPartitionsOfTopicsGoToTheSameMember) {
  fill("orders", 6, 1);
  fill("customers", 6, 1);
  auto one = member("join", "one", {"orders", "customers"});
  auto two = member("join", "two", {"orders", "customers"});
  auto three = member("join", "three", {"orders", "customers"});
  until({&one, &two, &three}, [&] {
    return one.owned("orders").size() == 2 && two.owned("customers").size() == 2 &&
           three.owned("customers").size() == 2;
  });
  settle({&one, &two, &three});
  for (auto* who : {&one, &two, &three}) {
    EXPECT_EQ(who->owned("orders"), who->owned("customers"));
    EXPECT_THAT(who->owned("orders"), SizeIs(2));
  }
}

TEST_P(LogGroups, AMemberHasOnlyWhatItSubscribesTo) {
  fill("orders", 4, 1);
  fill("refunds", 4, 1);
  auto one = member("billing", "one", {"orders", "refunds"});
  auto two = member("billing", "two", {"refunds"});
  until({&one, &two}, [&] { return two.owned("refunds").size() == 2; });
  settle({&one, &two});
  EXPECT_EQ(one.owned("orders"), (Set{0, 1, 2, 3}));
  EXPECT_EQ(one.owned("refunds"), (Set{0, 1}));
  EXPECT_EQ(two.owned("orders"), (Set{}));
}

TEST_P(LogGroups, MoreMembersThanPartitionsLeavesSomeWithout) {
  fill("orders", 2, 1);
  auto one = member("billing", "one", {"orders"});
  auto two = member("billing", "three", {"orders"});
  auto three = member("billing", "two", {"orders"});
  settle({&one, &two, &three});
  EXPECT_EQ(one.owned("orders").size() + two.owned("orders").size() + three.owned("orders").size(), 2U);
  EXPECT_THAT(three.owned("orders"), IsEmpty());
  await(one.close());
  until({&two, &three}, [&] { return two.owned("orders").size() == 1 && three.owned("orders").size() == 1; });
}

TEST_P(LogGroups, GroupsDoNotDisturbEachOther) {
  fill("orders", 2, 3);
  auto one = member("billing", "one", {"orders"});
  auto two = member("shipping", "one", {"orders"});
  until({&one, &two}, [&] { return one.all_read().size() == 6 && two.all_read().size() == 6; });
  ASSERT_TRUE(await(one.commit()));
  EXPECT_EQ(committed_offset("billing", {"orders", 0}), 3);
  EXPECT_EQ(committed_offset("shipping", {"orders", 0}), -1);
}

TEST_P(LogGroups, AJoiningMemberWaitsUntilTheOwnerHasFinished) {
  fill("orders", 2, 4);
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.all_read().size() == 8; });
  one.hold_on = true;
  auto two = member("billing", "two", {"orders"});
  await_revoked(one, two);
  settle({&one, &two});
  EXPECT_THAT(two.owned("orders"), IsEmpty()) << "the owner has not released it yet";
  const auto moving = one.id_of({"orders", 1});

  // The owner may commit what it still finishes, then hands over with its last commit.
  ASSERT_TRUE(await(one.member->commit({{moving, 2, ""}})));
  EXPECT_EQ(committed_offset("billing", {"orders", 1}), 2);
  one.stays.at(moving).next = 3;
  ASSERT_TRUE(await(one.give_up()));
  until({&one, &two}, [&] { return two.owns({"orders", 1}); });
  until({&two}, [&] { return !two.all_read().empty(); });
  EXPECT_EQ(two.assignments.at(0).offset, 3);
  EXPECT_THAT(offsets(two.all_read()), ElementsAre(3));
  if (!driver.can.keep_partitions) until({&one}, [&] { return !one.owned("orders").empty(); });
  EXPECT_EQ(one.owned("orders"), (Set{0}));
}

TEST_P(LogGroups, ARevokedPartitionBringsNothingMore) {
  fill("orders", 2, 1);
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.all_read().size() == 2; });
  one.hold_on = true;
  auto two = member("billing", "two", {"orders"});
  await_revoked(one, two);
  append({"orders", 1}, 3, "late");
  settle({&one, &two});
  EXPECT_THAT(one.all_read(), SizeIs(2));
}

TEST_P(LogGroups, APartitionReleasedWithoutACommitIsReadAgain) {
  fill("orders", 2, 2);
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.all_read().size() == 4; });
  one.hold_on = true;
  auto two = member("billing", "two", {"orders"});
  await_revoked(one, two);
  std::vector<AssignmentCommit> uncommitted;
  for (auto id : one.revoked) uncommitted.push_back({id, -1, ""});
  ASSERT_TRUE(await(one.member->release(uncommitted)));
  until({&two}, [&] { return two.all_read().size() == 2; });
  EXPECT_EQ(committed_offset("billing", {"orders", 1}), -1);
}

TEST_P(LogGroups, ALeavingMembersPartitionsMove) {
  fill("orders", 4, 0);
  auto one = member("billing", "one", {"orders"});
  auto two = member("billing", "two", {"orders"});
  until({&one, &two}, [&] { return one.owned("orders").size() == 2 && two.owned("orders").size() == 2; });
  for (int partition = 0; partition < 4; ++partition) append({"orders", partition}, 2);
  settle({&one, &two});
  ASSERT_TRUE(await(one.member->commit({{one.id_of({"orders", 0}), 2, ""}, {one.id_of({"orders", 1}), 1, ""}})));
  await(one.close());
  until({&two}, [&] { return two.owned("orders").size() == 4; });
  settle({&two});
  EXPECT_THAT(two.read[(TopicPartition{"orders", 0})], IsEmpty()) << "all committed by the other";
  EXPECT_THAT(offsets(two.read[(TopicPartition{"orders", 1})]), ElementsAre(1));
  EXPECT_THAT(offsets(two.read[(TopicPartition{"orders", 3})]), ElementsAre(0, 1));
  EXPECT_EQ(two.lost, 0) << "what it had it kept";
}

TEST_P(LogGroups, AMemberThatEndsWithoutLeavingIsReplaced) {
  fill("orders", 2, 1);
  auto two = member("billing", "two", {"orders"});
  {
    auto one = member("billing", "one", {"orders"});
    until({&one, &two}, [&] { return one.owned("orders").size() == 1 && two.owned("orders").size() == 1; });
  }
  const auto start = loop.now();
  until({&two}, [&] { return two.owned("orders").size() == 2; });
  EXPECT_LT(since(start, loop), 3s);
}

TEST_P(LogGroups, AClosedMemberStaysOutEvenWhenAPollWasUnderWay) {
  fill("orders", 2, 1);
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.all_read().size() == 2; });
  auto waiting =
      loop.spawn("reader", [](Member& who) -> Task<void> { (void)co_await who.reader->poll(1 << 20, 300ms); }(one));
  await([]() -> Task<void> { co_await yield(); }());
  await(one.close());
  append({"orders", 0}, 1);
  await(waiting.join());
  EXPECT_EQ(group("billing").members.size(), 0U) << "it would hold partitions that nobody reads";
}

TEST_P(LogGroups, AMemberThatIsExpelledLosesAllAndJoinsAgain) {
  fill("orders", 2, 2);
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.all_read().size() == 4; });
  ASSERT_TRUE(await(one.member->commit({{one.id_of({"orders", 0}), 1, ""}})));
  await(driver.expel(*log, "billing", "one"));
  one.read.clear();
  until({&one}, [&] { return one.lost == 2 && one.owned("orders").size() == 2 && one.all_read().size() == 3; });
  EXPECT_THAT(offsets(one.read[(TopicPartition{"orders", 0})]), ElementsAre(1));
  EXPECT_THAT(offsets(one.read[(TopicPartition{"orders", 1})]), ElementsAre(0, 1));
}

TEST_P(LogGroups, AssignmentsOfOnePartitionAreNeverTheSame) {
  fill("orders", 1, 1);
  std::set<AssignmentId> ids;
  for (int stay = 0; stay < 5; ++stay) {
    auto one = member("billing", "one", {"orders"});
    until({&one}, [&] { return one.owns({"orders", 0}); });
    EXPECT_TRUE(ids.insert(one.id_of({"orders", 0})).second);
    await(one.close());
  }
}

TEST_P(LogGroups, ListTheirMembersAndWhatTheyOwn) {
  fill("orders", 3, 1);
  auto one = member("billing", "one", {"orders"});
  auto two = member("billing", "two", {"orders"});
  until({&one, &two}, [&] { return one.owned("orders").size() == 2 && two.owned("orders").size() == 1; });
  auto info = group("billing");
  ASSERT_THAT(info.members, SizeIs(2));
  EXPECT_EQ(info.members[0].client, "one");
  EXPECT_NE(info.members[0].id, info.members[1].id);
  EXPECT_THAT(info.members[0].owned, UnorderedElementsAre(TopicPartition{"orders", 0}, TopicPartition{"orders", 1}));
  EXPECT_THAT(info.members[1].owned, ElementsAre(TopicPartition{"orders", 2}));
  const auto generation = info.generation;
  await(two.close());
  EXPECT_EQ(generation.has_value(), driver.can.tell_history);
  if (driver.can.tell_history) EXPECT_GT(group("billing").generation, generation);
  EXPECT_THAT(group("billing").members, SizeIs(1));
}

TEST_P(LogGroups, AreResetToTheGivenOffsets) {
  fill("orders", 2, 3);
  {
    auto one = member("billing", "one", {"orders"});
    until({&one}, [&] { return one.all_read().size() == 6; });
    ASSERT_TRUE(await(one.commit("a note of what is done")));
    await(one.close());
  }
  must(log->reset("billing", {{{"orders", 1}, 1}}));
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.all_read().size() == 2; });
  EXPECT_THAT(offsets(one.read[(TopicPartition{"orders", 1})]), ElementsAre(1, 2));
  for (const auto& assigned : one.assignments)
    EXPECT_EQ(assigned.metadata, assigned.partition.partition == 1 ? "" : "a note of what is done");
}

TEST_P(LogGroups, AreNotResetWhileAMemberIsAlive) {
  fill("orders", 1, 3);
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.all_read().size() == 3; });
  ASSERT_TRUE(await(one.commit()));
  const auto refused = await(log->reset("billing", {{{"orders", 0}, 0}}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::kFenced);
  EXPECT_THAT(refused.error().message, ::testing::HasSubstr("one"));
  const auto none = await(log->reset("billing", {}));
  ASSERT_FALSE(none) << "also if no offset is given";
  EXPECT_EQ(none.error().kind, ErrorKind::kFenced);
  EXPECT_EQ(group("billing").commits.at(0).offset, 3);
  EXPECT_THAT(group("billing").members, SizeIs(1));
}

TEST_P(LogGroups, AMemberThatIsDeadDoesNotKeepThemFromBeingReset) {
  fill("orders", 1, 3);
  {
    auto one = member("billing", "one", {"orders"});
    until({&one}, [&] { return one.all_read().size() == 3; });
    ASSERT_TRUE(await(one.commit()));
  }
  const auto deadline = loop.now() + driver.patience;
  Result<void> done;
  while (!(done = await(log->reset("billing", {{{"orders", 0}, 2}}))) && loop.now() < deadline)
    await([]() -> Task<void> { co_await sleep_for(10ms); }());
  ASSERT_TRUE(done) << done.error().message;
  must(log->reset("billing", {}));
  EXPECT_THAT(group("billing").members, IsEmpty());
  EXPECT_EQ(group("billing").commits.at(0).offset, 2);
}

TEST_P(LogGroups, AreResetAllOrNothing) {
  fill("orders", 2, 3);
  {
    auto one = member("billing", "one", {"orders"});
    until({&one}, [&] { return one.all_read().size() == 6; });
    ASSERT_TRUE(await(one.commit()));
    await(one.close());
  }
  const auto kind = [&](std::string name, std::map<TopicPartition, std::int64_t> to) {
    auto refused = await(log->reset(std::move(name), std::move(to)));
    return refused ? "done" : to_string(refused.error().kind);
  };
  EXPECT_STREQ(kind("billing", {{{"orders", 0}, 0}, {{"orders", 1}, 4}}), to_string(ErrorKind::kInvalid));
  EXPECT_STREQ(kind("billing", {{{"orders", 0}, -1}}), to_string(ErrorKind::kInvalid));
  EXPECT_STREQ(kind("billing", {{{"orders", 0}, 0}, {{"orders", 2}, 0}}), to_string(ErrorKind::kNotFound));
  EXPECT_STREQ(kind("biling", {{{"orders", 0}, 0}}), to_string(ErrorKind::kNotFound));
  for (const auto& commit : group("billing").commits) EXPECT_EQ(commit.offset, 3);
}

TEST_P(LogGroups, FromLatestStartsAtTheEndOnlyWithoutACommit) {
  fill("orders", 2, 3);
  {
    auto one = member("billing", "one", {"orders"});
    until({&one}, [&] { return one.owned("orders").size() == 2; });
    ASSERT_TRUE(await(one.member->commit({{one.id_of({"orders", 0}), 1, ""}})));
    await(one.close());
  }
  auto options = in_group("billing", "one", {"orders"});
  options.from_latest = true;
  Member late{*log, loop, options};
  settle({&late});
  EXPECT_THAT(offsets(late.read[(TopicPartition{"orders", 0})]), ElementsAre(1, 2));
  EXPECT_THAT(late.read[(TopicPartition{"orders", 1})], IsEmpty());
  append({"orders", 1}, 1, "new");
  settle({&late});
  EXPECT_THAT(values(late.read[(TopicPartition{"orders", 1})]), ElementsAre("new0"));
}

// Nobody could have read it before.
TEST_P(LogGroups, FromLatestReadsANewPartitionOfAKnownTopicFromItsBeginning) {
  if (!driver.can.grow) return;
  fill("orders", 2, 3);
  auto options = in_group("billing", "one", {"orders"});
  options.from_latest = true;
  Member one{*log, loop, options};
  settle({&one});
  await(driver.grow(*log, "orders"));
  append({"orders", 2}, 2, "grown");
  append({"orders", 1}, 1, "new");
  until({&one}, [&] { return one.all_read().size() == 3; });
  EXPECT_THAT(values(one.read[(TopicPartition{"orders", 2})]), ElementsAre("grown0", "grown1"));
  EXPECT_THAT(values(one.read[(TopicPartition{"orders", 1})]), ElementsAre("new0"));
}

TEST_P(LogGroups, FromLatestReadsANewPartitionFromItsBeginningAlsoWhenNobodyWasThere) {
  if (!driver.can.grow) return;
  fill("orders", 1, 3);
  auto options = in_group("billing", "one", {"orders"});
  options.from_latest = true;
  {
    Member one{*log, loop, options};
    settle({&one});
    await(one.close());
  }
  await(driver.grow(*log, "orders"));
  append({"orders", 1}, 1, "grown");
  Member two{*log, loop, options};
  until({&two}, [&] { return two.all_read().size() == 1; });
  EXPECT_THAT(values(two.all_read()), ElementsAre("grown0"));
}

TEST_P(LogGroups, FromLatestReadsATopicThatIsMadeLaterFromItsBeginning) {
  if (!driver.can.grow) return;
  auto options = in_group("billing", "one", {"orders"});
  options.from_latest = true;
  Member one{*log, loop, options};
  settle({&one});
  fill("orders", 2, 3);
  until({&one}, [&] { return one.all_read().size() == 6; });
}

// Two members start together: earlier records are not for them, whichever member gets which partition.
TEST_P(LogGroups, FromLatestSeveralMembersBeginAtTheEnd) {
  fill("orders", 4, 3);
  auto options = in_group("billing", "one", {"orders"});
  options.from_latest = true;
  Member one{*log, loop, options};
  options.client = "two";
  Member two{*log, loop, options};
  until({&one, &two}, [&] { return one.owned("orders").size() == 2 && two.owned("orders").size() == 2; });
  settle({&one, &two});
  EXPECT_THAT(one.all_read(), IsEmpty());
  EXPECT_THAT(two.all_read(), IsEmpty());
}

TEST_P(LogGroups, AMemberHearsWhoJoinedLeftAndDied) {
  if (!driver.can.tell_changes) return;
  create("orders", 2);
  auto one = member("billing", "one", {"orders"});
  settle({&one});
  ASSERT_THAT(one.changes, SizeIs(1));
  EXPECT_EQ(one.changes[0].members, 1U);
  EXPECT_EQ(one.changes[0].meant, 2U);
  EXPECT_THAT(one.changes[0].joined, IsEmpty()) << "not itself";

  auto two = member("billing", "two", {"orders"});
  auto three = member("billing", "three", {"orders"});
  settle({&one, &two, &three});
  std::vector<std::string> joined;
  for (const auto& change : one.changes) joined.insert(joined.end(), change.joined.begin(), change.joined.end());
  EXPECT_THAT(joined, ::testing::UnorderedElementsAre("two", "three"));
  EXPECT_EQ(one.changes.back().members, 3U);

  one.changes.clear();
  await(two.close());
  settle({&one, &three});
  ASSERT_FALSE(one.changes.empty());
  EXPECT_THAT(one.changes[0].left, ElementsAre("two"));
  EXPECT_THAT(one.changes[0].died, IsEmpty());

  one.changes.clear();
  await(driver.expel(*log, "billing", "three"));
  settle({&one});
  ASSERT_FALSE(one.changes.empty());
  EXPECT_THAT(one.changes[0].died, ElementsAre("three"));
  EXPECT_EQ(one.changes.back().meant, 2U);
}

TEST_P(LogGroups, AMemberForWhomNothingIsLeftHearsThatItIsSpare) {
  if (!driver.can.tell_changes) return;
  create("orders", 1);
  auto one = member("billing", "one", {"orders"});
  settle({&one});
  auto two = member("billing", "two", {"orders"});
  settle({&one, &two});
  auto& spare = one.owned("orders").empty() ? one : two;
  auto& busy = one.owned("orders").empty() ? two : one;
  ASSERT_FALSE(spare.changes.empty());
  EXPECT_EQ(spare.changes.back().meant, 0U);
  EXPECT_EQ(busy.changes.back().meant, 1U);
  await(busy.close());
  until({&spare}, [&] { return spare.owned("orders").size() == 1; });
  EXPECT_EQ(spare.changes.back().meant, 1U);
}

TEST_P(LogGroups, FromLatestLosesNothingWhenAMemberEndsBeforeItsFirstCommit) {
  fill("orders", 1, 3);
  auto options = in_group("billing", "one", {"orders"});
  options.from_latest = true;
  {
    Member one{*log, loop, options};
    settle({&one});
    append({"orders", 0}, 2, "new");
    until({&one}, [&] { return one.all_read().size() == 2; });
    await(one.close());
  }
  append({"orders", 0}, 1, "newer");
  Member two{*log, loop, options};
  until({&two}, [&] { return two.owned("orders").size() == 1; });
  settle({&two});
  EXPECT_THAT(values(two.all_read()), ElementsAre("new0", "new1", "newer0"));
}

TEST_P(LogGroups, ALongNameEitherWorksOrIsRefused) {
  fill("orders", 1, 1);
  for (std::size_t length : {249U, 600U}) {
    try {
      auto one = member(std::string(length, 'g'), "one", {"orders"});
      until({&one}, [&] { return one.all_read().size() == 1; });
      EXPECT_TRUE(await(one.commit()));
    } catch (const Failure& failure) {
      EXPECT_EQ(length, 600U) << failure.what();
      EXPECT_EQ(failure.kind(), ErrorKind::kInvalid) << failure.what();
    }
  }
}

TEST_P(LogGroups, ABadNameDoesNotHarmTheWritesBesideIt) {
  create("orders");
  for (int round = 0; round < 20; ++round) {
    auto join = loop.spawn("join", [](World& world) -> Task<void> {
      auto bad = world.member(std::string(600, 'g'), "one", {"orders"});
      co_await bad.step(0ms);
    }(*this));
    auto first = loop.spawn("first", [](World& world) -> Task<void> {
      value_or_throw(co_await world.send(out({"orders", 0}, numbered(1, world.now()))));
    }(*this));
    auto second = loop.spawn("second", [](World& world) -> Task<void> {
      value_or_throw(co_await world.send(out({"orders", 0}, numbered(1, world.now()))));
    }(*this));
    await(join.finished());
    ASSERT_NO_THROW(await(first.join()));
    ASSERT_NO_THROW(await(second.join()));
  }
  EXPECT_EQ(must(log->watermarks({"orders", 0})).end, 40);
}

TEST_P(LogGroups, ShareFiveHundredPartitions) {
  constexpr int kPartitions = 512;
  fill("orders", kPartitions, 1);
  auto one = member("billing", "one", {"orders"});
  auto two = member("billing", "two", {"orders"});
  until({&one, &two},
        [&] { return one.owned("orders").size() == kPartitions / 2 && two.owned("orders").size() == kPartitions / 2; });
  settle({&one, &two});
  EXPECT_EQ(one.all_read().size() + two.all_read().size(), 512U)
      << "what the first had read it handed over with its commit";
  ASSERT_TRUE(await(one.commit()));
  ASSERT_TRUE(await(two.commit()));
  const auto commits = group("billing").commits;
  EXPECT_THAT(commits, SizeIs(kPartitions));
  for (const auto& commit : commits) EXPECT_EQ(commit.offset, 1) << commit.partition.str();
}

MEPHISTO_ON_EVERY_DRIVER(LogGroups);

}  // namespace
}  // namespace mephisto::test
