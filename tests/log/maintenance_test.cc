// Conformance: what retention and compaction delete, what they must not delete, and how readers of deleted records
// continue.
#include <gmock/gmock.h>

#include "drivers.h"

namespace mephisto::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const TopicPartition kOrders{"orders", 0};

class LogDeletedRecords : public LogTest {
 protected:
  Row row(const std::string& key, std::optional<std::string> value, std::chrono::milliseconds age = 0ms) {
    return {key, std::move(value), now() - age, {}};
  }
  std::int64_t start() { return must(log->watermarks(kOrders)).start; }
  std::int64_t end() { return must(log->watermarks(kOrders)).end; }
};

TEST_P(LogDeletedRecords, WithoutLimitsNothingIsDeleted) {
  create("orders");
  append(kOrders, {row("k", "ancient", 24h * 3650)});
  append(kOrders, {row("k", "new")});
  if (driver.can.maintain) {
    must(log->maintain());
  } else {
    create("limited", {.partitions = 1, .retention = 1h});
    append({"limited", 0}, {row("k", "ancient", 24h * 3650)});
    until({}, [&] { return must(log->watermarks({"limited", 0})).start == 1; });  // the broker has checked all topics
  }
  EXPECT_THAT(values(read(kOrders)), ElementsAre("ancient", "new"));
}

TEST_P(LogDeletedRecords, OffsetsGoOnWhereEverythingWasDeleted) {
  create_expiring("orders");
  append(kOrders, {row("k", "old", 3h), row("k", "old", 3h)});
  expire(kOrders, 2);
  EXPECT_EQ(start(), 2);
  EXPECT_EQ(end(), 2);
  EXPECT_THAT(read(kOrders), IsEmpty());
  EXPECT_EQ(append(kOrders, {row("k", "new")}), 2);
  EXPECT_THAT(offsets(read(kOrders, 0)), ElementsAre(2));
  EXPECT_EQ(must(log->offset_at(kOrders, now() - 24h)), 2);
}

TEST_P(LogDeletedRecords, AMemberWhoseCommitWasDeletedGoesOnAtTheStart) {
  create_expiring("orders");
  for (int i = 0; i < 3; ++i) append(kOrders, {row("k", "old", 2h)});
  {
    auto one = member("billing", "one", {"orders"});
    until({&one}, [&] { return one.all_read().size() == 3; });
    ASSERT_TRUE(await(one.member->commit({{one.id_of(kOrders), 1, "note"}})));
    await(one.close());
  }
  append(kOrders, {row("k", "new")});
  expire(kOrders, 3);
  auto two = member("billing", "two", {"orders"});
  until({&two}, [&] { return two.all_read().size() == 1; });
  EXPECT_EQ(two.assignments[0].offset, 3);
  EXPECT_EQ(two.assignments[0].metadata, "") << "the note is of what is gone";
  EXPECT_THAT(values(two.all_read()), ElementsAre("new"));
}

TEST_P(LogDeletedRecords, AReaderInTheMiddleSkipsWhatIsDeletedUnderIt) {
  create_expiring("orders");
  for (int i = 0; i < 4; ++i) append(kOrders, {row("k", fmt::format("old{}", i), 2h)});
  append(kOrders, {row("k", "new")});
  ReaderOptions options;
  options.partitions[kOrders] = 0;
  Member reader{*log, loop, options};
  until({&reader}, [&] {
    await(reader.step(driver.wait, 1));
    return !reader.all_read().empty();
  });
  expire(kOrders, 4);
  settle({&reader});
  EXPECT_EQ(values(reader.all_read()).back(), "new");
}

MEPHISTO_ON_EVERY_DRIVER(LogDeletedRecords);

class LogMaintenance : public LogDeletedRecords {
 protected:
  void SetUp() override {
    if (!driver.can.maintain) GTEST_SKIP() << "what is deleted when is for the brokers to say";
  }
  void maintain() { must(log->maintain()); }
  // The last value of each key.
  std::map<std::string, std::string> state() {
    std::map<std::string, std::string> last;
    for (const auto& one : read(kOrders)) {
      if (one.value)
        last[*one.key] = *one.value;
      else
        last.erase(*one.key);
    }
    return last;
  }
};

TEST_P(LogMaintenance, RetentionByTimeDeletesOldBatches) {
  create("orders", {.partitions = 2, .retention = 1h});
  append(kOrders, {row("k", "old", 3h)});
  append(kOrders, {row("k", "older", 4h), row("k", "young", 1min)});  // kept whole because of its youngest record
  append(kOrders, {row("k", "old again", 3h)});
  append(kOrders, {row("k", "new")});
  append({"orders", 1}, {row("k", "old", 2h)});
  append({"orders", 1}, {row("k", "new")});
  maintain();
  EXPECT_EQ(start(), 1);
  EXPECT_EQ(end(), 5);
  auto rows = read(kOrders);
  EXPECT_THAT(values(rows), ElementsAre("older", "young", "old again", "new"));
  EXPECT_THAT(offsets(rows), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(values(read({"orders", 1})), ElementsAre("new"));
}

// A clock was three days ahead for a moment.
TEST_P(LogMaintenance, WhatAWrongClockWroteIsDeletedWithWhatCameAfterIt) {
  create("orders", {.partitions = 2, .retention = 1h});
  append(kOrders, {row("k", "ahead", -72h)});
  append(kOrders, {row("k", "ahead", -73h)});
  append({"orders", 1}, {row("k", "ahead", -72h)});
  maintain();
  EXPECT_EQ(start(), 0) << "it may be as young as now";
  append(kOrders, {row("k", "old", 3h)});
  append(kOrders, {row("k", "new")});
  append({"orders", 1}, {row("k", "new")});
  maintain();
  EXPECT_THAT(values(read(kOrders)), ElementsAre("new"));
  EXPECT_THAT(values(read({"orders", 1})), ElementsAre("ahead", "new"));
}

TEST_P(LogMaintenance, RetentionBySizeKeepsTheNewestOfEachPartition) {
  create("orders", {.partitions = 2, .retention_bytes = 35'000});
  for (int i = 0; i < 10; ++i) append(kOrders, {row("k", std::string(10'000, static_cast<char>('0' + i)))});
  append({"orders", 1}, {row("k", std::string(20'000, 'x'))});
  maintain();
  EXPECT_THAT(offsets(read(kOrders)), ElementsAre(7, 8, 9));
  EXPECT_EQ(start(), 7);
  EXPECT_THAT(read({"orders", 1}), SizeIs(1));
  maintain();
  EXPECT_EQ(start(), 7) << "once is enough";
}

TEST_P(LogMaintenance, RetentionBySizeKeepsAtLeastTheLastBatch) {
  create("orders", {.partitions = 1, .retention_bytes = 1000});
  append(kOrders, {row("k", std::string(50'000, 'a'))});
  append(kOrders, {row("k", std::string(50'000, 'b'))});
  maintain();
  EXPECT_THAT(offsets(read(kOrders)), ElementsAre(1));
}

TEST_P(LogMaintenance, SizesStayRightWhenNothingIsAppended) {
  create("orders", {.partitions = 1, .retention_bytes = 1000});
  append(kOrders, {row("k", std::string(300, 'a'))});
  for (int i = 0; i < 20; ++i) must(send(out(kOrders, {})));
  append(kOrders, {row("k", std::string(300, 'b'))});
  maintain();
  EXPECT_THAT(offsets(read(kOrders)), ElementsAre(0, 1)) << "about 800 bytes are within 1000";
}

TEST_P(LogMaintenance, RetentionDeletesManyBatches) {
  create("orders", {.partitions = 1, .retention = 1h});
  std::vector<OutBatch> batches;
  for (int i = 0; i < 2500; ++i) batches.push_back(out_batch(kOrders, {row("k", "old", 2h)}));
  must(send(std::move(batches)));
  append(kOrders, {row("k", "new")});
  maintain();
  EXPECT_EQ(start(), 2500);
  EXPECT_THAT(values(read(kOrders)), ElementsAre("new"));
}

TEST_P(LogMaintenance, CompactionKeepsTheLastOfEachKeyAndItsOffset) {
  create("orders", {.partitions = 1, .compact = true});
  append(kOrders, {row("a", "1"), row("b", "1"), row("a", "2")});
  append(kOrders, {row("c", "1")});
  append(kOrders, {row("b", "2"), row("a", "3")});
  append(kOrders, {row("d", "1")});
  maintain();
  auto rows = read(kOrders);
  EXPECT_THAT(offsets(rows), ElementsAre(3, 4, 5, 6));
  EXPECT_THAT(values(rows), ElementsAre("1", "2", "3", "1"));
  EXPECT_EQ(end(), 7);
  EXPECT_EQ(append(kOrders, {row("e", "1")}), 7);
  EXPECT_THAT(offsets(read(kOrders, 2)), ElementsAre(3, 4, 5, 6, 7));
  EXPECT_THAT(offsets(read(kOrders, 5)), ElementsAre(5, 6, 7));
}

TEST_P(LogMaintenance, CompactionKeepsKeysHeadersAndTimes) {
  create("orders", {.partitions = 1, .compact = true});
  std::vector<Row> rows{{"a", "1", now() - 5h, {{"h", "1"}, {"h", std::nullopt}}, 0},
                        {"a", "2", now() - 9h, {{"h", "2"}}, 1},
                        {"", "empty key", now(), {}, 2},
                        {"b", "", now() - 1h, {{"", ""}}, 3}};
  append(kOrders, {rows[0], rows[1], rows[2]});
  append(kOrders, {rows[3]});
  maintain();
  EXPECT_EQ(read(kOrders), (std::vector<Row>{rows[1], rows[2], rows[3]}));
}

// They were appended before the topic was compacted.
TEST_P(LogMaintenance, CompactionKeepsRecordsWithoutAKey) {
  create("orders", {.partitions = 1});
  append(kOrders, {{std::nullopt, "1", now(), {}}, row("a", "1")});
  append(kOrders, {{std::nullopt, "2", now(), {}}, row("a", "2")});
  create("orders", {.partitions = 1, .compact = true});
  maintain();
  EXPECT_THAT(values(read(kOrders)), ElementsAre("1", "2", "2"));
}

TEST_P(LogMaintenance, ATombstoneDeletesItsKeyAndGoesWhenItIsOld) {
  create("orders", {.partitions = 1, .compact = true});
  append(kOrders, {row("gone", "1", 48h), row("stays", "1", 48h), row("just gone", "1", 48h)});
  append(kOrders, {row("gone", std::nullopt, 47h)});
  append(kOrders, {row("just gone", std::nullopt, 1h)});
  append(kOrders, {row("x", "1")});
  maintain();
  EXPECT_THAT(offsets(read(kOrders)), ElementsAre(1, 3, 4, 5))
      << "a reader that has seen the value must see the tombstone";
  EXPECT_EQ(state(), (std::map<std::string, std::string>{{"stays", "1"}, {"x", "1"}}));
  append(kOrders, {row("y", "1")});
  maintain();
  EXPECT_THAT(offsets(read(kOrders)), ElementsAre(1, 4, 5, 6));
  EXPECT_EQ(state(), (std::map<std::string, std::string>{{"stays", "1"}, {"x", "1"}, {"y", "1"}}));
}

TEST_P(LogMaintenance, CompactionLeavesReadersWhereTheyAre) {
  create("orders", {.partitions = 1, .compact = true});
  for (int i = 0; i < 6; ++i) append(kOrders, {row("k", std::to_string(i)), row(fmt::format("own{}", i), "1")});
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.all_read().size() == 12; });
  ASSERT_TRUE(await(one.member->commit({{one.id_of(kOrders), 4, ""}})));
  maintain();
  append(kOrders, {row("k", "new")});
  settle({&one});
  EXPECT_EQ(one.read[kOrders].back().offset, 12);
  await(one.close());
  auto two = member("billing", "two", {"orders"});
  until({&two}, [&] { return two.all_read().size() == 6; });
  EXPECT_THAT(offsets(two.all_read()), ElementsAre(5, 7, 9, 10, 11, 12));
}

TEST_P(LogMaintenance, CompactionAgainAndAgainAgreesWithAMap) {
  create("orders", {.partitions = 1, .compact = true});
  Random random{7};
  std::map<std::string, std::string> expected;
  std::map<std::string, std::int64_t> last_offset;
  for (int round = 0; round < 12; ++round) {
    std::vector<OutBatch> batches;
    std::int64_t next = end();
    for (int batch = 0; batch < 5; ++batch) {
      std::vector<Row> rows;
      for (std::uint64_t i = 0; i < 1 + random.below(6); ++i) {
        auto key = fmt::format("k{}", random.below(12));
        last_offset[key] = next++;
        if (random.below(4) == 0) {
          rows.push_back(row(key, std::nullopt, 48h));
          expected.erase(key);
        } else {
          rows.push_back(
              row(key, std::string(random.below(3) == 0 ? 100'000 : 10, 'v') + fmt::format("{}-{}", round, i), 48h));
          expected[key] = *rows.back().value;
        }
      }
      batches.push_back(out_batch(kOrders, rows));
    }
    must(send(std::move(batches)));
    ASSERT_EQ(end(), next);
    maintain();
    ASSERT_EQ(state(), expected) << "round " << round;
    for (const auto& one : read(kOrders))
      EXPECT_EQ(one.offset, last_offset[*one.key]) << "one record of each key, where it was";
  }
}

TEST_P(LogMaintenance, CompactionKeepsOffsetsRightAcrossGapsOfAnySize) {
  constexpr std::int64_t kGap = 3'000'000'000;
  create("orders", {.partitions = 1, .compact = true});
  for (const auto* key : {"a", "b", "a", "c"}) {
    auto batches = out(kOrders, {row(key, "1")});
    batches[0].records.set_span(kGap);  // as compaction leaves it
    must(send(std::move(batches)));
  }
  append(kOrders, {row("c", "2")});
  maintain();
  EXPECT_THAT(offsets(read(kOrders)), ElementsAre(kGap, 2 * kGap, 4 * kGap));
  EXPECT_EQ(end(), 4 * kGap + 1);
  append(kOrders, {row("a", "2")});
  maintain();
  EXPECT_THAT(offsets(read(kOrders)), ElementsAre(kGap, 4 * kGap, 4 * kGap + 1));
  EXPECT_THAT(offsets(read(kOrders, 2 * kGap + 5)), ElementsAre(4 * kGap, 4 * kGap + 1));
}

TEST_P(LogMaintenance, APartitionOfWhichNothingIsLeftIsReadToItsEnd) {
  create("orders", {.partitions = 1, .compact = true});
  append(kOrders, {row("a", std::nullopt, 48h)});
  append(kOrders, {row("b", std::nullopt, 48h)});
  maintain();
  EXPECT_THAT(read(kOrders), IsEmpty());
  EXPECT_EQ(append(kOrders, {row("c", "1")}), 2);
  EXPECT_THAT(offsets(read(kOrders, 0)), ElementsAre(2));
}

TEST_P(LogMaintenance, CompactionAndRetentionGoTogether) {
  create("orders", {.partitions = 1, .retention = 1h, .compact = true});
  append(kOrders, {row("a", "old", 3h)});
  append(kOrders, {row("b", "1", 1min), row("b", "2", 1min)});
  append(kOrders, {row("b", "3")});
  maintain();
  EXPECT_THAT(offsets(read(kOrders)), ElementsAre(3));
  EXPECT_EQ(end(), 4);
}

MEPHISTO_ON_EVERY_DRIVER(LogMaintenance);

class ReplyTopics : public ::testing::Test, public World {
 protected:
  ReplyTopics() : World(drivers().at(0)) {}
  void pass(std::chrono::milliseconds time) {
    await([](std::chrono::milliseconds span) -> Task<void> { co_await sleep_for(span); }(time));
    must(log->maintain());
  }
  std::vector<std::string> topics() {
    std::vector<std::string> names;
    for (const auto& info : must(log->topics())) names.push_back(info.name);
    return names;
  }
};

TEST_F(ReplyTopics, AreDeletedSoonWhereNobodyReadsThem) {
  create("f-reply-1", {.partitions = 1, .retention = 1h});
  create("f-reply-2", {.partitions = 1, .retention = 1h});
  create("f-reply-for-ever");
  create("orders", {.partitions = 1, .retention = 1h});
  append({"f-reply-1", 0}, 1);
  ReaderOptions options;
  options.partitions[{"f-reply-2", 0}] = 0;
  auto asker = std::make_unique<Member>(*log, loop, options);
  pass(30s);
  EXPECT_THAT(topics(), ElementsAre("f-reply-1", "f-reply-2", "f-reply-for-ever", "orders"))
      << "an asker may be about to read what it has made";
  pass(2min);
  EXPECT_THAT(topics(), ElementsAre("f-reply-2", "f-reply-for-ever", "orders"));
  pass(100h);
  EXPECT_THAT(topics(), ElementsAre("f-reply-2", "f-reply-for-ever", "orders")) << "its asker lives";
  asker.reset();
  pass(1s);
  EXPECT_THAT(topics(), ElementsAre("f-reply-for-ever", "orders"));
}

}  // namespace
}  // namespace mephisto::test
