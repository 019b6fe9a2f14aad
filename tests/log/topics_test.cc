// Conformance: topics, their names and sizes, and what is reported about topics that do not exist.
#include <gmock/gmock.h>

#include "drivers.h"
#include "mephisto/sync.h"

namespace mephisto::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

class LogTopics : public LogTest {};

TEST_P(LogTopics, ANewLogHasNone) { EXPECT_THAT(must(log->topics()), SizeIs(0)); }

TEST_P(LogTopics, ATopicKeepsItsSettings) {
  const auto before = now();
  auto info = must(
      log->create_topic("orders", {.partitions = 3, .retention = 90min, .retention_bytes = 12345, .compact = true}));
  for (const auto& seen : {info, must(log->topic("orders")), must(log->topics()).at(0)}) {
    EXPECT_EQ(seen.name, "orders");
    EXPECT_EQ(seen.config.partitions, 3);
    EXPECT_EQ(seen.config.retention, 90min);
    EXPECT_EQ(seen.config.retention_bytes, 12345);
    EXPECT_TRUE(seen.config.compact);
    if (driver.can.tell_history) {
      EXPECT_GE(seen.created, before);
      EXPECT_LE(seen.created, now());
    }
  }
}

TEST_P(LogTopics, AreListedByName) {
  for (const auto* name : {"b", "a.b", "a", "C"}) create(name);
  std::vector<std::string> names;
  for (const auto& topic : must(log->topics())) names.push_back(topic.name);
  EXPECT_THAT(names, ElementsAre("C", "a", "a.b", "b"));
}

TEST_P(LogTopics, CreatingOneAgainIsFineAndKeepsItsRecords) {
  create("orders", 2);
  append({"orders", 1}, 3);
  const auto created = must(log->topic("orders")).created;
  create("orders", 2);
  EXPECT_EQ(must(log->topic("orders")).created, created);
  EXPECT_EQ(must(log->watermarks({"orders", 1})).end, 3);
  EXPECT_THAT(must(log->topics()), SizeIs(1));
}

TEST_P(LogTopics, TheOffsetsOfSeveralPartitionsAreToldInTheirOrder) {
  create("orders", 3);
  create("bills", 1);
  append({"orders", 2}, 3);
  append({"bills", 0}, 1);
  std::vector<std::int64_t> ends;
  for (const auto& one : must(log->watermarks_of({{"orders", 2}, {"bills", 0}, {"orders", 0}})))
    ends.push_back(one.end);
  EXPECT_THAT(ends, ElementsAre(3, 1, 0));
  EXPECT_THAT(must(log->watermarks_of({})), SizeIs(0));
  EXPECT_EQ(kind_of(log->watermarks_of({{"orders", 0}, {"none", 0}})), ErrorKind::kNotFound);
}

TEST_P(LogTopics, CreatingOneAgainWithOtherRetentionChangesIt) {
  create("orders", {.partitions = 2, .retention = 1h, .retention_bytes = 5000});
  append({"orders", 0}, 2);
  create("orders", {.partitions = 2, .retention = 2h, .compact = true});
  auto config = must(log->topic("orders")).config;
  EXPECT_EQ(config.retention, 2h);
  EXPECT_EQ(config.retention_bytes, std::nullopt);
  EXPECT_TRUE(config.compact);
  EXPECT_EQ(must(log->watermarks({"orders", 0})).end, 2);
}

TEST_P(LogTopics, CreatingOneAgainWithOtherPartitionsIsRefusedWithBothNumbers) {
  create("orders", 4);
  EXPECT_EQ(kind_of(log->create_topic("orders", {.partitions = 8})), ErrorKind::kInvalid);
  EXPECT_THAT(last_error, AllOf(HasSubstr("orders"), HasSubstr("4"), HasSubstr("8")));
  // Only Kafka can add partitions, and nobody can remove some.
  EXPECT_EQ(last_error.contains("add partitions"), log->url().starts_with("kafka:"));
  EXPECT_EQ(kind_of(log->create_topic("orders", {.partitions = 2})), ErrorKind::kInvalid);
  EXPECT_THAT(last_error, Not(HasSubstr("add partitions")));
  EXPECT_EQ(must(log->topic("orders")).config.partitions, 4);
}

TEST_P(LogTopics, ManyCallersThatCreateOneAtTheSameTimeGetTheSame) {
  std::vector<Task<Result<TopicInfo>>> tasks;
  for (int i = 0; i < 10; ++i) tasks.push_back(log->create_topic("orders", {.partitions = 2}));
  for (auto& result : await(when_all(std::move(tasks)))) EXPECT_EQ(value_or_throw(result).config.partitions, 2);
  EXPECT_THAT(must(log->topics()), SizeIs(1));
}

TEST_P(LogTopics, AnExistingOneCanBeTakenAsItIs) {
  create("orders", {.partitions = 2, .retention = 1h, .retention_bytes = 5000});
  const TopicConfig other{.partitions = 8, .retention = 2h, .compact = true};
  const auto taken = must(log->create_topic("orders", other, IfExists::kKeep));
  for (const auto& seen : {taken, must(log->topic("orders"))}) {
    EXPECT_EQ(seen.config.partitions, 2);
    EXPECT_EQ(seen.config.retention, 1h);
    EXPECT_EQ(seen.config.retention_bytes, 5000);
    EXPECT_FALSE(seen.config.compact);
  }
}

TEST_P(LogTopics, CallersThatCreateDifferentOnesOfANameAtTheSameTimeGetTheFirst) {
  std::vector<Task<Result<TopicInfo>>> tasks;
  for (int i = 0; i < 10; ++i) {
    const TopicConfig config{.partitions = 1 + i % 5, .retention = std::chrono::hours{1 + i}};
    tasks.push_back(log->create_topic("orders", config, IfExists::kKeep));
  }
  const auto results = await(when_all(std::move(tasks)));
  const auto first = must(log->topic("orders")).config;
  EXPECT_EQ(first.partitions, 1 + (first.retention.value() / 1h - 1) % 5) << "partitions and retention of one caller";
  for (const auto& result : results) {
    const auto& got = value_or_throw(result).config;
    EXPECT_EQ(got.partitions, first.partitions);
    EXPECT_EQ(got.retention, first.retention);
  }
}

TEST_P(LogTopics, ANameMayBeOfLettersDigitsDotsDashesAndUnderscoresUpTo249) {
  for (const auto& name : {std::string{"a"}, std::string{"A-b_c.9"}, std::string{"..."}, std::string(249, 'x')}) {
    EXPECT_EQ(kind_of(log->create_topic(name, {.partitions = 1})), std::nullopt) << name << ": " << last_error;
    append({name, 0}, 1);
    EXPECT_THAT(read({name, 0}), SizeIs(1)) << name;
  }
}

TEST_P(LogTopics, ABadNameIsRefusedWithTheReason) {
  const std::string bad[] = {"",
                             ".",
                             "..",
                             "a b",
                             "a/b",
                             "ä",
                             std::string("a\0b", 3),
                             "a\n",
                             std::string(250, 'x'),
                             std::string(600, 'x'),
                             std::string(5000, 'x')};
  for (const auto& name : bad) {
    std::optional<ErrorKind> kind;
    EXPECT_NO_THROW(kind = kind_of(log->create_topic(name, {.partitions = 1}))) << name.size() << " bytes";
    EXPECT_EQ(kind, ErrorKind::kInvalid) << name;
  }
  EXPECT_THAT(must(log->topics()), SizeIs(0));
}

TEST_P(LogTopics, PartitionsAreFromOneToTheLimit) {
  for (int partitions : {0, -1, kMaxPartitions + 1, 1 << 30}) {
    EXPECT_EQ(kind_of(log->create_topic("orders", {.partitions = partitions})), ErrorKind::kInvalid) << partitions;
  }
  EXPECT_THAT(last_error, HasSubstr(std::to_string(kMaxPartitions)));
  const int most = driver.can.make_thousands ? kMaxPartitions : 512;
  create("orders", most);
  append({"orders", most - 1}, 1);
  EXPECT_EQ(must(log->watermarks({"orders", most - 1})).end, 1);
}

TEST_P(LogTopics, OneMoreThanTheLimitIsRefused) {
  if (!driver.can.make_thousands) GTEST_SKIP() << "how many there may be is for the brokers to say";
  std::vector<Task<Result<TopicInfo>>> tasks;
  for (int i = 0; i < kMaxTopics; ++i) tasks.push_back(log->create_topic(fmt::format("t{}", i), {.partitions = 1}));
  for (auto& result : await(when_all(std::move(tasks)))) ASSERT_TRUE(result) << result.error().message;
  EXPECT_EQ(kind_of(log->create_topic("one-more", {.partitions = 1})), ErrorKind::kInvalid);
  EXPECT_THAT(last_error, AllOf(HasSubstr("one-more"), HasSubstr(std::to_string(kMaxTopics))));
  create("t5");
  must(log->delete_topic("t7"));
  create("one-more");
}

TEST_P(LogTopics, WhatIsNotThereIsNotFound) {
  create("orders", 2);
  const TopicPartition missing[] = {{"orderz", 0}, {"orders", 2}, {"orders", -1}, {"", 0}, {std::string(600, 'x'), 0}};
  for (const auto& partition : missing) {
    std::optional<ErrorKind> kind;
    EXPECT_NO_THROW(kind = kind_of(log->watermarks(partition))) << partition.str();
    EXPECT_EQ(kind, ErrorKind::kNotFound) << partition.str();
    EXPECT_NO_THROW(kind = kind_of(log->offset_at(partition, now()))) << partition.str();
    EXPECT_EQ(kind, ErrorKind::kNotFound) << partition.str();
    EXPECT_NO_THROW(kind = kind_of(send(out(partition, numbered(1, now()))))) << partition.str();
    EXPECT_EQ(kind, ErrorKind::kNotFound) << partition.str();
  }
  EXPECT_EQ(kind_of(log->topic("orderz")), ErrorKind::kNotFound);
  EXPECT_THAT(last_error, HasSubstr("orderz"));
  EXPECT_EQ(kind_of(log->delete_topic("orderz")), ErrorKind::kNotFound);
  EXPECT_EQ(kind_of(log->watermarks({"orders", 7})), ErrorKind::kNotFound);
  EXPECT_THAT(last_error, AllOf(HasSubstr("orders"), HasSubstr("7")));
}

TEST_P(LogTopics, OneUnknownPartitionKeepsTheWholeAppendOut) {
  create("orders", 1);
  std::vector<OutBatch> batches;
  batches.push_back(out_batch({"orders", 0}, numbered(2, now())));
  batches.push_back(out_batch({"orders", 1}, numbered(2, now())));
  EXPECT_EQ(kind_of(send(std::move(batches))), ErrorKind::kNotFound);
  EXPECT_EQ(must(log->watermarks({"orders", 0})).end, 0);
}

TEST_P(LogTopics, ABadAppendDoesNotHarmTheOnesBesideIt) {
  create("orders");
  std::vector<Task<Result<std::vector<AppendResult>>>> tasks;
  tasks.push_back(send(out({"orders", 0}, numbered(1, now(), "a"))));
  tasks.push_back(send(out({"orderz", 0}, numbered(1, now()))));
  tasks.push_back(send(out({std::string(600, 'x'), 0}, numbered(1, now()))));
  tasks.push_back(send(out({"orders", 0}, numbered(1, now(), "b"))));
  auto results = await(when_all(std::move(tasks)));
  EXPECT_TRUE(results[0]) << results[0].error().message;
  EXPECT_FALSE(results[1]);
  EXPECT_FALSE(results[2]);
  EXPECT_TRUE(results[3]) << results[3].error().message;
  EXPECT_THAT(values(read({"orders", 0})), ElementsAre("a0", "b0"));
}

TEST_P(LogTopics, ADeletedOneIsGoneWithItsRecordsAndCommits) {
  create("orders", 2);
  create("orders2");
  append({"orders", 1}, 5);
  append({"orders2", 0}, 1);
  auto member = this->member("billing", "one", {"orders"});
  until({&member}, [&] { return member.all_read().size() == 5; });
  ASSERT_TRUE(await(member.commit()));
  await(member.close());
  must(log->delete_topic("orders"));
  EXPECT_EQ(kind_of(log->topic("orders")), ErrorKind::kNotFound);
  EXPECT_EQ(kind_of(log->watermarks({"orders", 1})), ErrorKind::kNotFound);
  EXPECT_THAT(must(log->topics()), SizeIs(1));
  EXPECT_TRUE(comes_true([&] { return committed_offset("billing", {"orders", 1}) == -1; }));

  create("orders", 3);
  EXPECT_EQ(must(log->watermarks({"orders", 1})).end, 0);
  EXPECT_EQ(committed_offset("billing", {"orders", 1}), -1);
  append({"orders", 1}, 1, "new");
  EXPECT_THAT(values(read({"orders", 1})), ElementsAre("new0"));
  EXPECT_THAT(values(read({"orders2", 0})), ElementsAre("r0"));
}

TEST_P(LogTopics, AMemberGivesUpADeletedTopicAndTakesItWhenItIsMadeAgain) {
  create("orders");
  append({"orders", 0}, 3, "old");
  auto member = this->member("billing", "one", {"orders"});
  member.hold_on = true;  // its release is checked below
  until({&member}, [&] { return member.all_read().size() == 3; });
  must(log->delete_topic("orders"));
  until({&member}, [&] { return !member.revoked.empty() || member.lost > 0; });
  if (!member.revoked.empty()) (void)await(member.give_up());  // its commit may be refused, because its topic is gone
  member.read.clear();

  create("orders");
  append({"orders", 0}, 2, "new");
  until({&member}, [&] { return member.all_read().size() == 2; });
  EXPECT_THAT(values(member.all_read()), ElementsAre("new0", "new1"));
}

TEST_P(LogTopics, AMemberNoticesThatATopicWasDeletedAndCreatedAgain) {
  if (!driver.can.know_topics_apart) GTEST_SKIP() << "a topic is known to members by its name only";
  create("orders");
  append({"orders", 0}, 3, "old");
  auto member = this->member("billing", "one", {"orders"});
  until({&member}, [&] { return member.all_read().size() == 3; });
  member.read.clear();
  must(log->delete_topic("orders"));
  create("orders");
  append({"orders", 0}, 2, "new");
  until({&member}, [&] { return member.all_read().size() == 2; });
  EXPECT_THAT(values(member.all_read()), ElementsAre("new0", "new1"));
}

MEPHISTO_ON_EVERY_DRIVER(LogTopics);

TEST(OpenLog, RefusesWhatIsNotALogUrl) {
  for (const auto* url : {"", "orders", "local:/tmp/x", "locl:///tmp/x", "://x", "local://", "redis://x"}) {
    try {
      open_log(url);
      ADD_FAILURE() << url << " was opened";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), ErrorKind::kInvalid) << url;
      EXPECT_THAT(failure.what(), HasSubstr("local://")) << url;
    }
  }
}

TEST(OpenLog, SuggestsTheNearestDriver) {
  try {
    open_log("memroy://x");
    ADD_FAILURE();
  } catch (const Failure& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("memory"));
  }
}

TEST(OpenLog, AllOpeningsOfOneUrlShareALog) {
  auto log = open_log("memory://shared");
  EXPECT_EQ(open_log("memory://shared"), log);
  EXPECT_NE(open_log("memory://other"), log);
  EXPECT_EQ(log->url(), "memory://shared");
}

// LMDB must not open one folder twice in a process: closing one of them would release the other's locks.
TEST(OpenLog, AFolderIsTheSameHoweverItIsSpelled) {
  TempDir folder;
  auto log = open_log("local://" + folder / "log");
  EXPECT_EQ(open_log("local://" + folder / "./log"), log);
  EXPECT_EQ(open_log("local://" + folder / "log/"), log);
  EXPECT_EQ(open_log("local://" + folder / "other/../log"), log);
  std::filesystem::create_symlink(folder / "log", folder / "link");
  EXPECT_EQ(open_log("local://" + folder / "link"), log);
}

}  // namespace
}  // namespace mephisto::test
