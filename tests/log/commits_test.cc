// Conformance: the next owner starts at the committed offset, and only an owner may commit.
#include <gmock/gmock.h>

#include "drivers.h"
#include "mephisto/sync.h"

namespace mephisto::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const TopicPartition kZero{"orders", 0};
const TopicPartition kOne{"orders", 1};

class LogCommits : public LogTest {
 protected:
  // A member that owns two partitions with four records each, and has read them.
  void join(Member& member) {
    until({&member}, [&] { return member.owns(kZero) && member.owns(kOne) && member.all_read().size() == 8; });
  }
  void fill() {
    create("orders", 2);
    append(kZero, 4, "a");
    append(kOne, 4, "b");
  }
  // Waits until each member has one of the partitions. Returns the one that `first` keeps; it had both.
  TopicPartition share(Member& first, Member& second) {
    until({&first, &second}, [&] { return first.owned("orders").size() == 1 && second.owned("orders").size() == 1; });
    return first.owns(kZero) ? kZero : kOne;
  }
  std::vector<OutBatch> two_outputs() {
    std::vector<OutBatch> batches;
    batches.push_back(out_batch({"out", 0}, numbered(2, now(), "x")));
    batches.push_back(out_batch({"out", 2}, numbered(1, now(), "y")));
    return batches;
  }
  std::int64_t written() {
    std::int64_t records = 0;
    for (int partition = 0; partition < 3; ++partition) records += must(log->watermarks({"out", partition})).end;
    return records;
  }
};

TEST_P(LogCommits, TheNextOwnerStartsThereWithTheNote) {
  fill();
  const auto before = now();
  auto first = member("billing", "one", {"orders"});
  join(first);
  ASSERT_TRUE(await(first.member->commit({{first.id_of(kZero), 3, "done: 5,7"}})));
  auto commit = committed("billing", kZero);
  ASSERT_TRUE(commit);
  EXPECT_EQ(commit->offset, 3);
  EXPECT_EQ(commit->metadata, "done: 5,7");
  if (driver.can.tell_history) {
    EXPECT_GE(commit->time, before);
    EXPECT_LE(commit->time, now());
  }
  EXPECT_FALSE(committed("billing", kOne));
  await(first.close());

  auto second = member("billing", "two", {"orders"});
  until({&second}, [&] { return second.all_read().size() == 5; });
  EXPECT_EQ(second.stays.at(second.id_of(kZero)).assigned.offset, 3);
  EXPECT_EQ(second.stays.at(second.id_of(kZero)).assigned.metadata, "done: 5,7");
  EXPECT_EQ(second.stays.at(second.id_of(kOne)).assigned.offset, 0);
  EXPECT_EQ(second.stays.at(second.id_of(kOne)).assigned.metadata, "");
  EXPECT_THAT(values(second.read[kZero]), ElementsAre("a3"));
}

TEST_P(LogCommits, TheNoteIsKeptToTheByte) {
  fill();
  auto first = member("billing", "one", {"orders"});
  join(first);
  const std::string longest(std::min<std::size_t>(10'000, log->max_acks_ahead_bytes()), 'n');
  for (const auto& note : {std::string{"\"quoted\"\\ \n\t"}, std::string{"schlüssel"}, longest}) {
    ASSERT_TRUE(await(first.member->commit({{first.id_of(kZero), 1, note}})));
    EXPECT_EQ(committed("billing", kZero).value().metadata, note);
  }
}

TEST_P(LogCommits, TheLastOneCounts) {
  fill();
  auto first = member("billing", "one", {"orders"});
  join(first);
  for (std::int64_t offset : {2, 4, 1}) ASSERT_TRUE(await(first.member->commit({{first.id_of(kZero), offset, ""}})));
  EXPECT_EQ(committed_offset("billing", kZero), 1);
}

TEST_P(LogCommits, SurviveAGroupWithoutMembers) {
  fill();
  {
    auto first = member("billing", "one", {"orders"});
    join(first);
    ASSERT_TRUE(await(first.commit("note")));
    await(first.close());
  }
  EXPECT_EQ(committed_offset("billing", kZero), 4);
  auto second = member("billing", "one", {"orders"});
  settle({&second});
  EXPECT_THAT(second.all_read(), IsEmpty());
  append(kOne, 1, "new");
  settle({&second});
  EXPECT_THAT(values(second.all_read()), ElementsAre("new0"));
}

TEST_P(LogCommits, AreRefusedOnceThePartitionIsReleased) {
  fill();
  auto first = member("billing", "one", {"orders"});
  join(first);
  auto id = first.id_of(kZero);
  auto second = member("billing", "two", {"orders"});
  auto moved = share(first, second) == kZero ? kOne : kZero;
  if (moved == kOne) id = first.assignments[1].partition == kOne ? first.assignments[1].id : first.assignments[0].id;
  EXPECT_EQ(kind_of(first.member->commit({{id, 1, ""}})), ErrorKind::kFenced);
  EXPECT_EQ(committed_offset("billing", moved), 4) << "the commit it was released with stands";
}

TEST_P(LogCommits, OfAnExpelledMemberAreFenced) {
  fill();
  auto first = member("billing", "one", {"orders"});
  join(first);
  ASSERT_TRUE(await(first.member->commit({{first.id_of(kZero), 1, ""}})));
  await(driver.expel(*log, "billing", "one"));
  auto second = member("billing", "two", {"orders"});
  until({&second}, [&] { return second.owned("orders").size() == 2; });
  EXPECT_EQ(kind_of(first.member->commit({{first.id_of(kZero), 2, ""}})), ErrorKind::kFenced);
  EXPECT_EQ(kind_of(first.member->release({{first.id_of(kZero), 2, ""}})), ErrorKind::kFenced);
  EXPECT_EQ(committed_offset("billing", kZero), 1);
  EXPECT_TRUE(await(second.member->commit({{second.id_of(kZero), 3, ""}})));
  EXPECT_EQ(committed_offset("billing", kZero), 3);
}

TEST_P(LogCommits, OfAnEarlierAssignmentAreFencedEvenWhenThePartitionCameBack) {
  fill();
  auto first = member("billing", "one", {"orders"});
  join(first);
  auto old = first.id_of(kZero);
  await(driver.expel(*log, "billing", "one"));
  until({&first}, [&] { return first.lost == 2 && first.owns(kZero); });
  EXPECT_EQ(kind_of(first.member->commit({{old, 2, ""}})), ErrorKind::kFenced);
  EXPECT_EQ(committed_offset("billing", kZero), -1);
  EXPECT_TRUE(await(first.member->commit({{first.id_of(kZero), 2, ""}})));
}

TEST_P(LogCommits, OfSeveralPartitionsAreAllOrNothing) {
  fill();
  auto first = member("billing", "one", {"orders"});
  join(first);
  auto zero = first.id_of(kZero);
  auto one = first.id_of(kOne);
  ASSERT_TRUE(await(first.member->commit({{zero, 1, ""}, {one, 2, ""}})));
  first.hold_on = true;
  auto second = member("billing", "two", {"orders"});
  until({&first, &second}, [&] { return first.revoked.size() == (driver.can.keep_partitions ? 1 : 2); });
  first.stays.at(zero).next = 1;
  first.stays.at(one).next = 2;
  ASSERT_TRUE(await(first.give_up()));
  if (!driver.can.keep_partitions) share(first, second);
  const auto kept = first.owns(kZero) ? kZero : kOne;
  (kept == kZero ? zero : one) = first.id_of(kept);
  EXPECT_EQ(kind_of(first.member->commit({{zero, 3, ""}, {one, 3, ""}})), ErrorKind::kFenced);
  EXPECT_EQ(committed_offset("billing", kept), kept == kZero ? 1 : 2);
}

TEST_P(LogCommits, AfterClosingAreFenced) {
  fill();
  auto first = member("billing", "one", {"orders"});
  join(first);
  auto id = first.id_of(kZero);
  await(first.close());
  EXPECT_EQ(kind_of(first.member->commit({{id, 2, ""}})), ErrorKind::kFenced);
  EXPECT_EQ(committed_offset("billing", kZero), -1);
}

TEST_P(LogCommits, OfNothingAreFine) {
  fill();
  auto first = member("billing", "one", {"orders"});
  join(first);
  EXPECT_TRUE(await(first.member->commit({})));
}

TEST_P(LogCommits, ATransactionWritesItsOutputsAndOffsets) {
  fill();
  create("out", 3);
  auto first = member("billing", "one", {"orders"});
  join(first);
  auto appended =
      must(send_with(two_outputs(), *first.member, {{first.id_of(kZero), 4, "note"}, {first.id_of(kOne), 2, ""}}));
  ASSERT_THAT(appended, SizeIs(2));
  EXPECT_THAT(values(read({"out", 0})), ElementsAre("x0", "x1"));
  EXPECT_THAT(values(read({"out", 2})), ElementsAre("y0"));
  EXPECT_EQ(committed_offset("billing", kZero), 4);
  EXPECT_EQ(committed("billing", kZero).value().metadata, "note");
  EXPECT_EQ(committed_offset("billing", kOne), 2);
}

// On Kafka a transaction ends with a marker, which is no record.
TEST_P(LogCommits, AReaderGetsToTheEndThatIsReadable) {
  fill();
  create("out", 3);
  auto first = member("billing", "one", {"orders"});
  join(first);
  must(send_with(two_outputs(), *first.member, {{first.id_of(kZero), 4, ""}, {first.id_of(kOne), 4, ""}}));
  const auto readable = must(log->readable({"out", 0}));
  EXPECT_EQ(readable.start, 0);
  EXPECT_GE(readable.end, 2);
  auto reader = log->reader(loop, {.partitions = {{{"out", 0}, 0}}});
  std::int64_t next = 0;
  for (const auto until = loop.now() + 30s; next < readable.end && loop.now() < until;) {
    for (const auto& batch : await(reader->poll(1 << 20, 100ms)).batches) next = batch->next_offset;
  }
  EXPECT_EQ(next, readable.end);
}

TEST_P(LogCommits, ATransactionWithoutOutputsOnlyCommits) {
  fill();
  auto first = member("billing", "one", {"orders"});
  join(first);
  EXPECT_THAT(must(send_with({}, *first.member, {{first.id_of(kZero), 4, ""}})), IsEmpty());
  EXPECT_EQ(committed_offset("billing", kZero), 4);
}

TEST_P(LogCommits, AFencedTransactionWritesNothing) {
  fill();
  create("out", 3);
  auto first = member("billing", "one", {"orders"});
  join(first);
  await(driver.expel(*log, "billing", "one"));
  auto result = send_with(two_outputs(), *first.member, {{first.id_of(kZero), 4, ""}});
  EXPECT_EQ(kind_of(std::move(result)), ErrorKind::kFenced);
  EXPECT_EQ(written(), 0);
  EXPECT_EQ(committed_offset("billing", kZero), -1);
}

TEST_P(LogCommits, OneFencedPartitionKeepsTheWholeTransactionOut) {
  fill();
  create("out", 3);
  auto first = member("billing", "one", {"orders"});
  join(first);
  auto zero = first.id_of(kZero);
  auto one = first.id_of(kOne);
  auto second = member("billing", "two", {"orders"});
  const auto kept = share(first, second);
  (kept == kZero ? zero : one) = first.id_of(kept);
  EXPECT_EQ(kind_of(send_with(two_outputs(), *first.member, {{zero, 1, ""}, {one, 1, ""}})), ErrorKind::kFenced);
  EXPECT_EQ(written(), 0);
  EXPECT_EQ(committed_offset("billing", kept), driver.can.keep_partitions ? -1 : 4)
      << "4 where it gave up and got back what it keeps";
}

TEST_P(LogCommits, ATransactionWithAnUnknownTopicCommitsNothing) {
  fill();
  create("out", 3);
  auto first = member("billing", "one", {"orders"});
  join(first);
  auto batches = two_outputs();
  batches.push_back(out_batch({"nowhere", 0}, numbered(1, now())));
  EXPECT_EQ(kind_of(send_with(std::move(batches), *first.member, {{first.id_of(kZero), 4, ""}})), ErrorKind::kNotFound);
  EXPECT_EQ(written(), 0);
  EXPECT_EQ(committed_offset("billing", kZero), -1);
}

TEST_P(LogCommits, ATransactionWithARecordTooLargeCommitsNothing) {
  fill();
  create("out", 3);
  auto first = member("billing", "one", {"orders"});
  join(first);
  auto batches = two_outputs();
  batches.push_back(out_batch({"out", 1}, {{"k", std::string(kMaxRecordBytes + 1, 'x'), now(), {}}}));
  EXPECT_EQ(kind_of(send_with(std::move(batches), *first.member, {{first.id_of(kZero), 4, ""}})), ErrorKind::kInvalid);
  EXPECT_EQ(written(), 0);
  EXPECT_EQ(committed_offset("billing", kZero), -1);
}

// Members consume, transform and produce while others join and leave: each input has exactly one output.
TEST_P(LogCommits, TransactionsMakeExactlyOneOutputOfEachInputWhileMembersChange) {
  create("orders", 4);
  create("out", 3);
  for (int partition = 0; partition < 4; ++partition) append({"orders", partition}, 25, fmt::format("p{}-", partition));
  std::vector<std::unique_ptr<Member>> members;
  auto add = [&] {
    members.push_back(
        std::make_unique<Member>(*log, loop, in_group("billing", fmt::format("m{}", members.size()), {"orders"})));
  };
  auto work = [&](Member& member) -> Task<void> {
    auto before = member.read;
    auto polled = co_await member.step(driver.wait, 200);
    for (const auto& batch : polled.batches) {
      auto outputs = out({"out", 0}, {});
      for (const auto& record : batch->records) outputs[0].records.add(record.key, record.value, record.timestamp());
      auto done = co_await send_with(std::move(outputs), *member.member, {{batch->assignment, batch->next_offset, ""}});
      if (!done) EXPECT_EQ(done.error().kind, ErrorKind::kFenced);
    }
  };
  add();
  ReaderOptions from_start;
  from_start.partitions[{"out", 0}] = 0;
  Member reader{*log, loop, from_start};
  const auto deadline =
      loop.now() + 3 * driver.patience;  // two records at a time, and each of three members waits for its turn
  for (int turn = 0; reader.all_read().size() < 100 && loop.now() < deadline; ++turn) {
    if (turn == 1 || turn == 3) add();
    if (turn == 5) await(driver.expel(*log, "billing", "m0"));
    for (auto& member : members) await(work(*member));
    await(reader.step(1ms));
  }
  auto outputs = values(read({"out", 0}));
  EXPECT_THAT(outputs, SizeIs(100));
  EXPECT_EQ(std::set<std::string>(outputs.begin(), outputs.end()).size(), 100U);
}

MEPHISTO_ON_EVERY_DRIVER(LogCommits);

}  // namespace
}  // namespace mephisto::test
