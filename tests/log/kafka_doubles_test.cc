// A producer that ends before it hears what became of its records. Records that the log has are not sent again, and no
// others are left out. The tests use librdkafka's stand-in for a cluster, which keeps sent records as a broker does,
// with both kinds of readers.
#include <gmock/gmock.h>

#include "kafka_mock.h"
#include "mephisto/sync.h"

namespace mephisto::test {
namespace {

using ::testing::ElementsAre;
using ::testing::ElementsAreArray;

constexpr int kPartitions = 3;
constexpr auto kNever = 60s;
constexpr auto kDied = RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;  // what a producer does not survive

TopicPartition partition(int number) { return {"orders", number}; }

Driver driver_on(const Mock& mock, const std::string& reader) {
  auto driver = driver_on(mock);
  if (reader == "librdkafka") driver.properties = kReadByLibrdkafka;
  // The stand-in writes a request even if the one before it was refused, and writes a repeated request twice.
  driver.properties["max.in.flight"] = "1";
  return driver;
}

class KafkaDoubles : public ::testing::TestWithParam<std::string>, public Mock, public World {
 protected:
  KafkaDoubles() : Mock(kPartitions), World(driver_on(*this, GetParam())) {}

  using Appends = std::vector<Task<Result<std::vector<AppendResult>>>>;

  // The broker has what it is asked to write next, and its producer dies before it hears of it.
  Task<void> lose_next_answer(int deaths = 1) {
    answer(kProduce, RD_KAFKA_RESP_ERR_NO_ERROR, kNever);
    return die_when_asked(deaths);
  }
  Task<void> die_when_asked(int deaths = 1) {
    co_await asked(kProduce);
    for (int i = 0; i < deaths; ++i) answer(kProduce, kDied);
    cut();
  }
  // Appends the batches of one call while `fault` happens.
  std::vector<AppendResult> append_during(Task<void> fault, std::vector<OutBatch> batches) {
    auto [result, done] = await(when_all(send(std::move(batches)), std::move(fault)));
    return value_or_throw(std::move(result));
  }
  std::vector<std::string> written(int number = 0) { return values(read(partition(number))); }

  static std::vector<OutBatch> one(const std::string& value) {
    return out(partition(0), {{"key", value, Timestamp{1'700'000'000'000ms}, {}}});
  }
};

std::vector<std::int64_t> offsets(const AppendResult& appended, std::size_t count) {
  auto all = appended.offsets;
  for (std::size_t i = 0; all.size() < count; ++i) all.push_back(appended.offset + static_cast<std::int64_t>(i));
  return all;
}

TEST_P(KafkaDoubles, ARecordThatIsThereIsNotSentAgain) {
  append(partition(0), 2, "before");
  const auto appended = append_during(lose_next_answer(), one("a"));
  EXPECT_THAT(written(), ElementsAre("before0", "before1", "a"));
  EXPECT_EQ(appended.at(0).offset, 2);
  EXPECT_EQ(append(partition(0), 1, "after"), 3);
}

TEST_P(KafkaDoubles, TheFirstRecordOfAProducerIsFound) {
  EXPECT_EQ(append_during(lose_next_answer(), one("a")).at(0).offset, 0);
  EXPECT_THAT(written(), ElementsAre("a"));
}

TEST_P(KafkaDoubles, SeveralRecordsOfEveryKindAreFoundAndKnowTheirOffsets) {
  const std::vector<Row> rows{
      {"k", "v", now(), {}},
      {std::nullopt, "no key", now(), {}},
      {"k", std::nullopt, now(), {}},
      {"", "", now(), {}},
      {"k", "with headers", now(), {{"name", "value"}, {"null", std::nullopt}, {"name", ""}}},
      {"k", "of the first millisecond", Timestamp{0ms}, {}},
      {"k", "v", now(), {}},
  };
  const auto appended = append_during(lose_next_answer(), out(partition(0), rows));
  const auto there = read(partition(0));
  ASSERT_EQ(there.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(there[i].value, rows[i].value);
    EXPECT_EQ(there[i].headers, rows[i].headers);
  }
  EXPECT_EQ(offsets(appended.at(0), rows.size()), test::offsets(there));
}

TEST_P(KafkaDoubles, RecordsWithTheTimeOfTheCallAreFound) {
  auto batches = out(partition(0), numbered(50, now()));
  batches[0].times_chosen = false;
  append_during(lose_next_answer(), std::move(batches));
  EXPECT_THAT(written(), ElementsAreArray(values(numbered(50, now()))));
}

// They need at most two requests: the first one's answer arrives.
TEST_P(KafkaDoubles, TheMissingRestOfABatchIsSentInOrder) {
  const auto rows = numbered(6000, now());
  answer(kProduce, RD_KAFKA_RESP_ERR_NO_ERROR);
  const auto appended = append_during(lose_next_answer(), out(partition(0), rows));
  const auto there = read(partition(0));
  EXPECT_THAT(values(there), ElementsAreArray(values(rows)));
  EXPECT_EQ(offsets(appended.at(0), rows.size()), test::offsets(there));
}

TEST_P(KafkaDoubles, EveryPartitionIsLookedUp) {
  std::vector<OutBatch> batches;
  for (int i = 0; i < kPartitions; ++i)
    batches.push_back(out_batch(partition(i), numbered(5, now(), fmt::format("p{}-", i))));
  answer(kProduce, RD_KAFKA_RESP_ERR_NO_ERROR);
  // The repeated request and the third partition's go out together, in any order. The stand-in must refuse both,
  // because it would write the repeated records once more.
  append_during(lose_next_answer(2), std::move(batches));
  for (int i = 0; i < kPartitions; ++i)
    EXPECT_THAT(written(i), ElementsAreArray(values(numbered(5, now(), fmt::format("p{}-", i))))) << i;
}

// The record before it in the log is a different one.
TEST_P(KafkaDoubles, AMissingRecordIsSentAlthoughAnEqualOneIsThere) {
  value_or_throw(await(send(one("a"))));
  answer(kProduce, kDied);
  EXPECT_EQ(value_or_throw(await(send(one("a")))).at(0).offset, 1);
  EXPECT_THAT(written(), ElementsAre("a", "a"));
}

TEST_P(KafkaDoubles, EqualRecordsAreThereAsOftenAsTheyWereSent) {
  const std::vector<Row> alike(4, Row{"k", "same", Timestamp{1'700'000'000'000ms}, {}});
  append_during(lose_next_answer(), out(partition(0), alike));
  append_during(lose_next_answer(), out(partition(0), alike));
  EXPECT_EQ(written(), std::vector<std::string>(8, "same"));
}

TEST_P(KafkaDoubles, AppendsInFlightStayInOrder) {
  append(partition(0), 1, "before");
  answer(kProduce, RD_KAFKA_RESP_ERR_NO_ERROR, kNever);
  Appends appends;
  for (const auto* prefix : {"a", "b", "c"}) appends.push_back(send(out(partition(0), numbered(3, now(), prefix))));
  auto [results, done] = await(when_all(when_all(std::move(appends)), die_when_asked()));
  for (const auto& result : results) EXPECT_TRUE(result) << result.error().message;
  EXPECT_THAT(written(), ElementsAre("before0", "a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2"));
}

TEST_P(KafkaDoubles, ALogThatCannotBeReadAtFirstIsNoReasonToSendAgain) {
  append(partition(0), 1, "before");
  fail(kFetch, std::vector(5, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION));
  append_during(lose_next_answer(), one("a"));
  EXPECT_THAT(written(), ElementsAre("before0", "a"));
}

TEST_P(KafkaDoubles, ACallerThatGivesUpDoesNotWaitForTheLookup) {
  append(partition(0), 1, "before");
  auto task = loop.spawn("append", [](KafkaDoubles& self) -> Task<void> { (void)co_await self.send(one("a")); }(*this));
  answer(kFetch, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
  await(lose_next_answer());
  await(asked(kFetch));
  const auto told = loop.now();
  task.cancel();
  await(task.finished());
  EXPECT_LT(since(told, loop), 2s);
}

INSTANTIATE_TEST_SUITE_P(Log, KafkaDoubles, ::testing::Values("ours", "librdkafka"),
                         [](const auto& info) { return info.param; });

// Our own reader sees which producer wrote a batch: another program's equal record is not taken for ours.
class KafkaStranger : public ::testing::Test, public Mock, public World {
 protected:
  KafkaStranger() : World(test::driver_on(*this)) {}
};

TEST_F(KafkaStranger, ARecordOfAnotherProgramIsNotTakenForOurs) {
  const std::vector<Row> row{{"key", "a", Timestamp{1'700'000'000'000ms}, {}}};
  const auto stranger = log->producer(loop);
  auto by_stranger = [&](const std::string& value) -> Task<void> {
    auto batches = out(partition(0), {{"key", value, Timestamp{1'700'000'000'000ms}, {}}});
    value_or_throw(co_await stranger->append(batches));
  };
  append(partition(0), 1, "ours");
  await(by_stranger("stranger"));
  fail(kProduce, {kDied});
  answer(kFetch, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
  auto ours = loop.spawn("append", [](KafkaStranger& self, std::vector<Row> rows) -> Task<void> {
    value_or_throw(co_await self.send(out(partition(0), rows)));
  }(*this, row));
  await(asked(kFetch));  // the lookup has begun
  await(by_stranger("a"));
  await(ours.finished());
  EXPECT_THAT(values(read(partition(0))), ElementsAre("ours0", "stranger", "a", "a"));
}

}  // namespace
}  // namespace mephisto::test
