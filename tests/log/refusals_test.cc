// Records that a log never takes: the call names them, and takes the others.
#include <gmock/gmock.h>

#include "log/drivers.h"

namespace mephisto::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAreArray;

class Refusals : public LogTest {
 protected:
  // The numbers of the refused rows of a batch.
  static std::vector<std::uint32_t> refused(const OutBatch& batch) {
    std::vector<std::uint32_t> rows;
    for (const auto& one : batch.refused) {
      for (std::uint32_t n = 0; n < one.count; ++n) rows.push_back(one.row + n);
    }
    return rows;
  }
  // As a sender does after a call that named refused records: the same batches without them.
  static std::vector<OutBatch> without_refused(std::vector<OutBatch> batches) {
    std::vector<OutBatch> rest;
    for (auto& batch : batches) {
      const auto rows = refused(batch);
      std::vector<RecordView> records;
      BatchBuilder::Cursor cursor;
      batch.records.read(cursor, batch.records.count(), batch.records.bytes(), records);
      OutBatch kept{batch.partition, {}};
      kept.appended = batch.appended;
      for (std::uint32_t row = 0; row < records.size(); ++row) {
        if (std::ranges::find(rows, row) != rows.end()) continue;
        const auto& record = records[row];
        kept.records.add(record.has_key() ? std::optional{record.key} : std::nullopt, record.value, record.timestamp(),
                         record.headers.copy());
      }
      if (!kept.records.empty()) rest.push_back(std::move(kept));
    }
    return rest;
  }
  Result<std::vector<AppendResult>> append(std::vector<OutBatch>& batches) {
    return loop.run([](Producer& by, std::vector<OutBatch>& all) -> Task<Result<std::vector<AppendResult>>> {
      co_return co_await by.append(all);
    }(*producer, batches));
  }
  Result<std::vector<AppendResult>> transact(std::vector<OutBatch>& batches, mephisto::Member& member,
                                             std::vector<AssignmentCommit> commits) {
    Transaction transaction{std::move(batches), std::move(commits)};
    auto result = await(member.transact(transaction));
    batches = std::move(transaction.batches);
    return result;
  }
  // A topic has these records and no others. Brokers refuse a whole request, so its other records may come after those
  // of the next one.
  void expect_all(const TopicPartition& partition, const std::vector<std::string>& expected) {
    if (driver.can.append_atomically)
      EXPECT_EQ(values(read(partition)), expected) << "lost, doubled or out of order";
    else
      EXPECT_THAT(values(read(partition)), UnorderedElementsAreArray(expected)) << "lost or doubled";
  }
  void create_compacted(const std::string& topic) {
    TopicConfig config;
    config.partitions = 1;
    config.compact = true;
    create(topic, config);
  }
  Row keyed(const std::string& value) const { return {"k" + value, value, now(), {}}; }
  Row keyless(const std::string& value) const { return {std::nullopt, value, now(), {}}; }
};
MEPHISTO_ON_EVERY_DRIVER(Refusals);

TEST_P(Refusals, ACompactedTopicTakesNoRecordWithoutAKey) {
  create_compacted("compacted");
  auto batches = out({"compacted", 0}, {keyed("0"), keyless("1"), keyed("2"), keyless("3"), keyed("4")});
  const auto failed = append(batches);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, ErrorKind::kInvalid) << failed.error().message;
  EXPECT_THAT(refused(batches[0]), ElementsAre(1, 3));
  for (const auto& one : batches[0].refused)
    EXPECT_THAT(one.error.message, AllOf(HasSubstr("compacted"), HasSubstr("no record without a key")));
  auto rest = without_refused(std::move(batches));
  const auto done = append(rest);
  ASSERT_TRUE(done) << done.error().message;
  expect_all({"compacted", 0}, {"0", "2", "4"});
}

TEST_P(Refusals, OneOfManyIsFound) {
  create_compacted("compacted");
  create("plain");
  std::vector<Row> many;
  for (int i = 0; i < 700; ++i) many.push_back(i == 431 ? keyless("431") : keyed(std::to_string(i)));
  auto batches = out({"compacted", 0}, many);
  batches.push_back(out_batch({"plain", 0}, numbered(5, now())));
  ASSERT_FALSE(append(batches));
  EXPECT_THAT(refused(batches[0]), ElementsAre(431));
  EXPECT_THAT(refused(batches[1]), IsEmpty());
  auto rest = without_refused(std::move(batches));
  const auto done = append(rest);
  ASSERT_TRUE(done) << done.error().message;
  many.erase(many.begin() + 431);
  expect_all({"compacted", 0}, values(many));
  EXPECT_EQ(read({"plain", 0}).size(), 5U);
}

TEST_P(Refusals, ATransactionNamesThemAndDoesNotCount) {
  create("in");
  create_compacted("compacted");
  World::append({"in", 0}, 3);
  auto reader = member("g", "one", {"in"});
  until({&reader}, [&] { return reader.all_read().size() == 3; });
  const std::vector<AssignmentCommit> commits{{reader.id_of({"in", 0}), 3, ""}};
  auto batches = out({"compacted", 0}, {keyed("0"), keyless("1"), keyed("2")});
  const auto failed = transact(batches, *reader.member, commits);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, ErrorKind::kInvalid) << failed.error().message;
  EXPECT_THAT(refused(batches[0]), ElementsAre(1));
  EXPECT_EQ(committed_offset("g", {"in", 0}), -1);
  auto rest = without_refused(std::move(batches));
  const auto done = transact(rest, *reader.member, commits);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_THAT(values(read({"compacted", 0})), ElementsAre("0", "2"));
  EXPECT_EQ(committed_offset("g", {"in", 0}), 3);
  await(reader.close());
}

TEST_P(Refusals, WhatIsTooLargeIsNamedAlone) {
  create("plain");
  auto large = keyed("large");
  large.value = std::string(kMaxRecordBytes + 1, 'x');
  auto many_headers = keyed("headers");
  many_headers.headers.push_back({"h", std::string(kMaxHeaderBytes, 'h')});
  auto batches = out({"plain", 0}, {keyed("0"), large, keyed("2"), many_headers});
  const auto failed = append(batches);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, ErrorKind::kInvalid) << failed.error().message;
  EXPECT_THAT(refused(batches[0]), ElementsAre(1, 3));
  auto rest = without_refused(std::move(batches));
  ASSERT_TRUE(append(rest));
  EXPECT_THAT(values(read({"plain", 0})), ElementsAre("0", "2"));
}

TEST_P(Refusals, WhatIsForATopicOrAPartitionThatIsNotThereIsNamed) {
  create("plain");
  std::vector<OutBatch> batches;
  batches.push_back(out_batch({"plain", 0}, {keyed("0")}));
  batches.push_back(out_batch({"plain", 7}, {keyed("1")}));
  batches.push_back(out_batch({"nowhere", 0}, {keyed("2"), keyed("3")}));
  const auto failed = append(batches);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().kind, ErrorKind::kNotFound) << failed.error().message;
  EXPECT_THAT(refused(batches[0]), IsEmpty());
  EXPECT_THAT(refused(batches[1]), ElementsAre(0));
  EXPECT_THAT(refused(batches[2]), ElementsAre(0, 1));
  auto rest = without_refused(std::move(batches));
  ASSERT_TRUE(append(rest));
  EXPECT_THAT(values(read({"plain", 0})), ElementsAre("0"));
}

TEST_P(Refusals, ATransactionHasNoOutputOfAnEventWithoutItsOffset) {
  create("in");
  create("out");
  World::append({"in", 0}, 5);
  auto reader = member("g", "one", {"in"});
  until({&reader}, [&] { return reader.all_read().size() == 5; });
  const auto assignment = reader.id_of({"in", 0});
  const auto with = [&](std::int64_t offset, std::vector<AssignmentCommit> commits) {
    auto batches = out({"out", 0}, {keyed("0")});
    batches[0].origins.push_back({.assignment = assignment, .offset = offset});
    return transact(batches, *reader.member, std::move(commits));
  };
  for (const auto& commits :
       std::vector<std::vector<AssignmentCommit>>{{}, {{assignment + 1, 5, ""}}, {{assignment, 2, ""}}}) {
    const auto failed = with(2, commits);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().kind, ErrorKind::kFenced) << failed.error().message;
  }
  EXPECT_THAT(read({"out", 0}), IsEmpty());
  EXPECT_EQ(committed_offset("g", {"in", 0}), -1);
  EXPECT_TRUE(with(2, {{assignment, 3, ""}}));
  EXPECT_TRUE(with(4, {{assignment, 3, "1"}})) << "what is done beyond the offset is in the metadata";
  EXPECT_EQ(read({"out", 0}).size(), 2U);
  await(reader.close());
}

// Records that Kafka's brokers refuse because of a topic's own settings.
class RefusalsOfBrokers : public Refusals {
 protected:
  void create_with(const std::string& topic, const std::string& name, const std::string& value) {
    create(topic);
    KafkaCluster::given()->configure(topic, name, value);
  }
  // A hundred records of a kilobyte; the topic does not take one of them.
  std::vector<Row> with(const Row& bad) const {
    std::vector<Row> rows;
    for (int i = 0; i < 100; ++i) rows.push_back(keyed(fmt::format("{:01000}", i)));
    rows.insert(rows.begin() + 37, bad);
    return rows;
  }
  void expect_one_refused(const std::string& topic, const Row& bad) {
    const auto rows = with(bad);
    auto batches = out({topic, 0}, rows);
    ASSERT_FALSE(append(batches));
    EXPECT_THAT(refused(batches[0]), ElementsAre(37));
    auto rest = without_refused(std::move(batches));
    const auto done = append(rest);
    ASSERT_TRUE(done) << done.error().message;
    auto expected = values(rows);
    expected.erase(expected.begin() + 37);
    expect_all({topic, 0}, expected);
  }
  void expect_one_refused_in_a_transaction(const std::string& topic, const Row& bad) {
    create("in");
    World::append({"in", 0}, 1);
    auto reader = member("g", "one", {"in"});
    until({&reader}, [&] { return reader.all_read().size() == 1; });
    const std::vector<AssignmentCommit> commits{{reader.id_of({"in", 0}), 1, ""}};
    const auto rows = with(bad);
    auto batches = out({topic, 0}, rows);
    auto failed = transact(batches, *reader.member, commits);
    for (int again = 0; again < 20 && !failed && failed.error().retriable(); ++again)
      failed = transact(batches, *reader.member, commits);
    ASSERT_FALSE(failed);
    EXPECT_THAT(refused(batches[0]), ElementsAre(37)) << failed.error().message;
    auto rest = without_refused(std::move(batches));
    auto done = transact(rest, *reader.member, commits);
    for (int again = 0; again < 20 && !done && done.error().retriable(); ++again)
      done = transact(rest, *reader.member, commits);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(read({topic, 0}).size(), 100U);
    EXPECT_EQ(committed_offset("g", {"in", 0}), 1);
    await(reader.close());
  }
};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RefusalsOfBrokers);
INSTANTIATE_TEST_SUITE_P(Log, RefusalsOfBrokers, ::testing::ValuesIn([] {
                           auto all = drivers();
                           std::erase_if(all, [](const Driver& one) { return one.name != "kafka"; });
                           return all;
                         }()),
                         [](const auto& info) { return info.param.name; });

TEST_P(RefusalsOfBrokers, ARecordAboveMaxMessageBytesIsNamedAlone) {
  create_with("small", "max.message.bytes", "20000");
  expect_one_refused("small", {"k", std::string(30'000, 'x'), now(), {}});
}

TEST_P(RefusalsOfBrokers, ARecordAboveMaxMessageBytesIsNamedInATransaction) {
  create_with("small", "max.message.bytes", "20000");
  expect_one_refused_in_a_transaction("small", {"k", std::string(30'000, 'x'), now(), {}});
}

TEST_P(RefusalsOfBrokers, ATimeThatIsTooOldIsNamedAlone) {
  create_with("young", "message.timestamp.before.max.ms", "3600000");
  expect_one_refused("young", {"k", "old", Timestamp{1000ms}, {}});
}

TEST_P(RefusalsOfBrokers, ATimeThatIsTooOldIsNamedInATransaction) {
  create_with("young", "message.timestamp.before.max.ms", "3600000");
  expect_one_refused_in_a_transaction("young", {"k", "old", Timestamp{1000ms}, {}});
}

}  // namespace
}  // namespace mephisto::test
