// How the client handles brokers' errors, on librdkafka's own stand-in for a cluster, which answers with the errors
// that a test wants. It does not know idempotence and transactions, so duplicates are tested in kafka_doubles_test.cc;
// conformance_test.cc and the chaos runs use brokers.
#include <gmock/gmock.h>

#include "kafka_mock.h"

namespace mephisto::test {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const TopicPartition kZero{"orders", 0};

class KafkaErrors : public ::testing::Test, public Mock, public World {
 protected:
  KafkaErrors() : World(driver_on(*this)) {}

  std::optional<ErrorKind> append_kind(const std::string& prefix) {
    return kind_of(send(out(kZero, numbered(1, now(), prefix))));
  }
  std::vector<std::string> written() { return values(read(kZero)); }
  // A member that has the partition. Takes three seconds, during which the stand-in waits for other members.
  Member owner(const std::string& group) {
    auto options = in_group(group, "one", {"orders"});
    options.session_timeout = 10s;
    Member one{*log, loop, options};
    if (!until({&one}, [&] { return one.owns(kZero); })) throw Failure(ErrorKind::kTimeout, "no partition");
    return one;
  }
  std::optional<ErrorKind> commit_kind(Member& member, std::int64_t offset) {
    return kind_of(member.member->commit({{member.id_of(kZero), offset, ""}}));
  }
  std::optional<ErrorKind> transact_kind(Member& member, std::int64_t offset) {
    return kind_of(send_with(out(kZero, numbered(1, now(), fmt::format("t{}-", offset))), *member.member,
                             {{member.id_of(kZero), offset, ""}}));
  }
};

TEST_F(KafkaErrors, AnAppendThatABrokerCannotTakeAtPresentIsRepeatedAndThereOnce) {
  fail(kProduce,
       {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR__TRANSPORT});
  EXPECT_EQ(append_kind("a"), std::nullopt) << last_error;
  EXPECT_THAT(written(), ElementsAre("a0"));
}

TEST_F(KafkaErrors, AnAppendFollowsItsPartitionToAnotherLeader) {
  EXPECT_EQ(append_kind("a"), std::nullopt) << last_error;
  lead_from(2);
  EXPECT_EQ(append_kind("b"), std::nullopt) << last_error;
  lead_from(1);
  EXPECT_EQ(append_kind("c"), std::nullopt) << last_error;
  EXPECT_THAT(written(), ElementsAre("a0", "b0", "c0"));
}

TEST_F(KafkaErrors, ARecordThatABrokerDoesNotTakeIsAnErrorThatSaysWhatToDoAndTheNextIsTaken) {
  fail(kProduce, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
  EXPECT_EQ(append_kind("a"), ErrorKind::kInvalid);
  EXPECT_THAT(last_error, ::testing::AllOf(HasSubstr("orders/0"), HasSubstr("max.message.bytes")));
  EXPECT_EQ(append_kind("b"), std::nullopt) << last_error;
  fail(kProduce, {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED});
  EXPECT_EQ(append_kind("c"), ErrorKind::kInvalid);
  EXPECT_THAT(last_error, ::testing::AllOf(HasSubstr("orders/0"), HasSubstr("needs the right")));
  EXPECT_THAT(written(), ElementsAre("b0"));
}

// Microseconds decide which of them the failed producer was sending. An append that comes after its failure uses
// another producer.
TEST_F(KafkaErrors, AppendsThatWaitForEachOtherAllEndWhenTheirProducerFailsForGood) {
  fail(kInitProducerId, {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED});
  std::vector<Task<Result<std::vector<AppendResult>>>> appends;
  for (const auto* prefix : {"a", "b"}) appends.push_back(send(out(kZero, numbered(1, now(), prefix))));
  const auto results = await(when_all(std::move(appends)));
  std::vector<std::string> expected;
  if (results[0]) expected.emplace_back("a0");
  if (results[1]) expected.emplace_back("b0");
  EXPECT_TRUE(until({}, [&] { return append_kind("c") == std::nullopt; })) << last_error;
  expected.emplace_back("c0");
  EXPECT_THAT(written(), ::testing::ElementsAreArray(expected));
}

TEST_F(KafkaErrors, AReaderGoesOnAfterErrors) {
  append(kZero, 3);
  for (const auto& properties : {std::map<std::string, std::string>{}, kReadByLibrdkafka}) {
    log = open_log(url(), properties);
    fail(kFetch, {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
                  RD_KAFKA_RESP_ERR_UNKNOWN, RD_KAFKA_RESP_ERR__TRANSPORT});
    fail(kListOffsets, {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION});
    EXPECT_THAT(written(), ElementsAre("r0", "r1", "r2"));
  }
}

TEST_F(KafkaErrors, AReaderFollowsItsPartitionToAnotherLeader) {
  append(kZero, 1);
  Member reader{*log, loop, {.client = "one", .partitions = {{kZero, 0}}}};
  EXPECT_TRUE(until({&reader}, [&] { return reader.all_read().size() == 1; }));
  for (const int leader : {1, 2, 1}) {
    lead_from(leader);
    EXPECT_TRUE(until({}, [&] { return append_kind(fmt::format("at{}-", leader)) == std::nullopt; })) << last_error;
    const auto before = reader.all_read().size();
    EXPECT_TRUE(until({&reader}, [&] { return reader.all_read().size() > before; }));
  }
}

TEST_F(KafkaErrors, ACommitDistinguishesAnExpelledMemberFromOneThatMayTryAgain) {
  append(kZero, 4);
  auto one = owner("billing");
  for (const auto error : {RD_KAFKA_RESP_ERR_NOT_COORDINATOR, RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
                           RD_KAFKA_RESP_ERR__TRANSPORT}) {
    fail(kOffsetCommit, {error});
    EXPECT_THAT(commit_kind(one, 1), AnyOf(std::nullopt, ErrorKind::kUnavailable)) << rd_kafka_err2name(error);
    EXPECT_TRUE(until({&one}, [&] { return commit_kind(one, 1) == std::nullopt; })) << last_error;
  }
  fail(kOffsetCommit, {RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE});
  EXPECT_EQ(commit_kind(one, 2), ErrorKind::kInvalid);
  EXPECT_THAT(last_error, HasSubstr("offset.metadata.max.bytes"));
  for (const auto error : {RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION,
                           RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID}) {
    fail(kOffsetCommit, {error});
    EXPECT_EQ(commit_kind(one, 2), ErrorKind::kFenced) << rd_kafka_err2name(error);
    EXPECT_THAT(last_error, HasSubstr("billing"));
  }
  EXPECT_EQ(committed_by("billing", kZero), 1);
}

TEST_F(KafkaErrors, ACommitFollowsTheGroupToAnotherCoordinator) {
  append(kZero, 4);
  coordinate_from(1, "billing");
  auto one = owner("billing");
  EXPECT_EQ(commit_kind(one, 1), std::nullopt) << last_error;
  coordinate_from(2, "billing");
  EXPECT_TRUE(until({&one}, [&] { return commit_kind(one, 3) == std::nullopt; })) << last_error;
  EXPECT_EQ(committed_by("billing", kZero), 3);
}

TEST_F(KafkaErrors, ATransactionDistinguishesAnExpelledMemberFromAnUnknownOutcome) {
  append(kZero, 4);
  auto one = owner("billing");
  fail(kInitProducerId, {RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, RD_KAFKA_RESP_ERR_NOT_COORDINATOR});
  fail(kAddPartitionsToTxn, {RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS});
  EXPECT_EQ(transact_kind(one, 1), std::nullopt) << last_error;
  for (const auto error : {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID}) {
    fail(kTxnOffsetCommit, {error});
    EXPECT_EQ(transact_kind(one, 2), ErrorKind::kFenced) << rd_kafka_err2name(error);
  }
  // The record is refused alone too, when the client looks for the refused one.
  fail(kProduce, {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE});
  EXPECT_EQ(transact_kind(one, 2), ErrorKind::kInvalid);
  EXPECT_EQ(transact_kind(one, 2), std::nullopt) << last_error;
  // There is another producer with its id, or the coordinator has forgotten the transaction: whether it counts has to
  // be looked up.
  fail(kEndTxn, {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH});
  EXPECT_EQ(transact_kind(one, 3), ErrorKind::kIndefinite) << last_error;
  EXPECT_EQ(transact_kind(one, 3), std::nullopt) << last_error;
}

}  // namespace
}  // namespace mephisto::test
