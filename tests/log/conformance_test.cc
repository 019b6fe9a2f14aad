// The conformance suite, first part: what is appended to a partition is read from it. The other parts are topics_test,
// consuming_test, groups_test, commits_test and maintenance_test. Each runs on every driver of drivers.h.
#include <gmock/gmock.h>

#include "drivers.h"
#include "mephisto/codec/json_read.h"
#include "mephisto/sync.h"

namespace mephisto::test {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

const TopicPartition kOrders{"orders", 0};

Timestamp at(std::int64_t ms) { return Timestamp{std::chrono::milliseconds{ms}}; }

class LogRecords : public LogTest {};

TEST_P(LogRecords, KeyValueHeadersAndTimeComeBackAsTheyWere) {
  create("orders");
  std::vector<Row> rows{
      {"AAPL", R"({"price":1.5})", at(1'700'000'000'123), {{"trace", "abc"}, {"kind", "new"}}},
      {std::string("\0\xff\n", 3), std::string("\0\0", 2), at(driver.can.keep_time_zero ? 0 : 1), {{"", ""}}},
      {"schlüssel", std::string(100'000, 'x'), at(-5), {}}};
  append(kOrders, rows);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].offset = static_cast<std::int64_t>(i);
  EXPECT_EQ(read(kOrders), rows);
}

TEST_P(LogRecords, NullAndEmptyAreDistinguished) {
  create("orders");
  append(kOrders, {{std::nullopt, std::nullopt, at(1), {{"null", std::nullopt}, {"empty", ""}}},
                   {"", "", at(2), {}},
                   {std::nullopt, "", at(3), {}},
                   {"", std::nullopt, at(4), {}}});
  auto rows = read(kOrders);
  ASSERT_THAT(rows, SizeIs(4));
  EXPECT_EQ(rows[0], (Row{std::nullopt, std::nullopt, at(1), {{"null", std::nullopt}, {"empty", ""}}, 0}));
  EXPECT_EQ(rows[1], (Row{"", "", at(2), {}, 1}));
  EXPECT_EQ(rows[2], (Row{std::nullopt, "", at(3), {}, 2}));
  EXPECT_EQ(rows[3], (Row{"", std::nullopt, at(4), {}, 3}));
}

TEST_P(LogRecords, HeaderNamesMayRepeatAndKeepTheirOrder) {
  create("orders");
  std::vector<Header> headers{{"a", "1"}, {"b", std::nullopt}, {"a", "2"}, {"a", std::nullopt}, {"c", "3"}};
  append(kOrders, {{"k", "v", at(1), headers}});
  EXPECT_EQ(read(kOrders).at(0).headers, headers);
}

TEST_P(LogRecords, OffsetsAreConsecutiveOverBatches) {
  create("orders");
  EXPECT_EQ(append(kOrders, 3, "a"), 0);
  EXPECT_EQ(append(kOrders, 1, "b"), 3);
  EXPECT_EQ(append(kOrders, 2, "c"), 4);
  auto rows = read(kOrders);
  EXPECT_THAT(offsets(rows), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(values(rows), ElementsAre("a0", "a1", "a2", "b0", "c0", "c1"));
}

TEST_P(LogRecords, AnAppendReturnsTheFirstOffsetAndLastTimeOfEachOfItsBatchesInOrder) {
  create("orders", 2);
  std::vector<OutBatch> batches;
  batches.push_back(out_batch({"orders", 1}, {{"k", "first", at(10), {}}, {"k", "second", at(11), {}}}));
  batches.push_back(out_batch({"orders", 0}, {{"k", "other", at(20), {}}}));
  batches.push_back(out_batch({"orders", 1}, {{"k", "third", at(30), {}}, {"k", "fourth", at(29), {}}}));
  auto appended = must(send(std::move(batches)));
  ASSERT_THAT(appended, SizeIs(3));
  EXPECT_EQ(appended[0].offset, 0);
  EXPECT_EQ(appended[0].timestamp, at(11));
  EXPECT_EQ(appended[1].offset, 0);
  EXPECT_EQ(appended[1].timestamp, at(20));
  EXPECT_EQ(appended[2].offset, 2);
  EXPECT_EQ(appended[2].timestamp, at(29)) << "of the batch's last record, as log.h says";
  EXPECT_THAT(values(read({"orders", 1})), ElementsAre("first", "second", "third", "fourth"));
}

TEST_P(LogRecords, AnAppendOfNothingIsDoneAndChangesNothing) {
  create("orders");
  append(kOrders, 2, "a");
  EXPECT_THAT(must(send({})), SizeIs(0));
  must(send(out(kOrders, {})));
  EXPECT_EQ(append(kOrders, 1, "b"), 2);
  EXPECT_THAT(values(read(kOrders)), ElementsAre("a0", "a1", "b0"));
}

TEST_P(LogRecords, PartitionsAndTopicsDoNotSeeEachOther) {
  create("orders", 2);
  create("orders.late", 2);
  append({"orders", 0}, 1, "a");
  append({"orders", 1}, 1, "b");
  append({"orders.late", 0}, 1, "c");
  EXPECT_THAT(values(read({"orders", 0})), ElementsAre("a0"));
  EXPECT_THAT(values(read({"orders", 1})), ElementsAre("b0"));
  EXPECT_THAT(values(read({"orders.late", 0})), ElementsAre("c0"));
  EXPECT_THAT(read({"orders.late", 1}), SizeIs(0));
}

TEST_P(LogRecords, ReadToEndGivesWhatIsThereFromAnOffset) {
  create("orders");
  std::vector<std::string> all;
  const auto read_from = [&](std::int64_t offset) {
    all.clear();
    return await(
        read_to_end(*log, kOrders, offset, "test", [&](const RecordView& record) { all.emplace_back(record.value); }));
  };
  EXPECT_EQ(read_from(-1), 0);
  append(kOrders, 2, "a");
  append(kOrders, 2, "b");
  EXPECT_EQ(read_from(-1), 4);
  EXPECT_THAT(all, ElementsAre("a0", "a1", "b0", "b1"));
  EXPECT_EQ(read_from(3), 4);
  EXPECT_THAT(all, ElementsAre("b1"));
  EXPECT_EQ(read_from(4), 4);
  EXPECT_THAT(all, SizeIs(0));
}

TEST_P(LogRecords, WatermarksAreStartAndEnd) {
  create("orders");
  auto empty = must(log->watermarks(kOrders));
  EXPECT_EQ(empty.start, 0);
  EXPECT_EQ(empty.end, 0);
  append(kOrders, 7);
  auto filled = must(log->watermarks(kOrders));
  EXPECT_EQ(filled.start, 0);
  EXPECT_EQ(filled.end, 7);
}

TEST_P(LogRecords, OffsetAtATimeIsThatOfTheFirstRecordThenOrLater) {
  create("orders");
  EXPECT_EQ(must(log->offset_at(kOrders, at(5))), 0) << "the end of an empty partition";
  append(kOrders, {{"k", "0", at(100), {}}, {"k", "1", at(200), {}}, {"k", "2", at(300), {}}});
  append(kOrders, {{"k", "3", at(250), {}}, {"k", "4", at(500), {}}});
  append(kOrders, {{"k", "5", at(400), {}}});
  EXPECT_EQ(must(log->offset_at(kOrders, at(-1))), 0);
  EXPECT_EQ(must(log->offset_at(kOrders, at(100))), 0);
  EXPECT_EQ(must(log->offset_at(kOrders, at(101))), 1);
  EXPECT_EQ(must(log->offset_at(kOrders, at(300))), 2);
  EXPECT_EQ(must(log->offset_at(kOrders, at(301))), 4) << "the late record at 250 does not count";
  EXPECT_EQ(must(log->offset_at(kOrders, at(500))), 4);
  EXPECT_EQ(must(log->offset_at(kOrders, at(501))), 6) << "there is none: the end";
}

TEST_P(LogRecords, AppendsThatRunAtOnceEachStayTogether) {
  constexpr int kProducers = 40;
  create("orders");
  std::vector<Task<Result<std::vector<AppendResult>>>> tasks;
  for (int i = 0; i < kProducers; ++i) tasks.push_back(send(out(kOrders, numbered(3, now(), fmt::format("p{}-", i)))));
  std::set<std::int64_t> bases;
  auto results = await(when_all(std::move(tasks)));
  auto rows = read(kOrders);
  ASSERT_THAT(rows, SizeIs(3 * kProducers));
  for (int i = 0; i < kProducers; ++i) {
    auto base = value_or_throw(results[static_cast<std::size_t>(i)]).at(0).offset;
    EXPECT_TRUE(bases.insert(base).second);
    for (int n = 0; n < 3; ++n)
      EXPECT_EQ(rows.at(static_cast<std::size_t>(base + n)).value, fmt::format("p{}-{}", i, n));
  }
}

TEST_P(LogRecords, AppendsOfOneTaskKeepTheirOrder) {
  create("orders");
  std::vector<Task<Result<std::vector<AppendResult>>>> tasks;
  for (int i = 0; i < 20; ++i) tasks.push_back(send(out(kOrders, {{"k", std::to_string(i), now(), {}}})));
  await(when_all(std::move(tasks)));
  auto rows = read(kOrders);
  ASSERT_THAT(rows, SizeIs(20));
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i].value, std::to_string(i));
}

TEST_P(LogRecords, AFetchBringsNoMoreThanWasAskedForAndABatch) {
  constexpr std::size_t kBatch = 10'000;
  create("orders");
  std::vector<OutBatch> batches;
  for (int i = 0; i < 100; ++i) batches.push_back(out_batch(kOrders, {{"k", std::string(kBatch, 'x'), now(), {}}}));
  must(send(std::move(batches)));
  ReaderOptions options;
  options.partitions[kOrders] = 0;
  Member reader{*log, loop, options};
  int polls = 0;
  while (reader.read[kOrders].size() < 100 && polls < 100) {
    auto polled = next(reader, 5 * kBatch);
    std::size_t bytes = 0;
    for (const auto& batch : polled.batches) bytes += batch->bytes;
    EXPECT_LE(bytes, 6 * kBatch + 1000);
    ++polls;
  }
  EXPECT_GE(polls, 16) << "100 batches, at most six at a time";
  EXPECT_THAT(reader.read[kOrders], SizeIs(100));
}

TEST_P(LogRecords, ABatchLargerThanAFetchStillComesWhole) {
  create("orders");
  append(kOrders, {{"k", std::string(300'000, 'x'), now(), {}}, {"k", std::string(300'000, 'y'), now(), {}}});
  append(kOrders, 1, "next");
  ReaderOptions options;
  options.partitions[kOrders] = 0;
  Member reader{*log, loop, options};
  next(reader, 1);
  if (driver.can.keep_batches) EXPECT_THAT(offsets(reader.read[kOrders]), ElementsAre(0, 1));
  for (int polls = 1; polls < (driver.can.keep_batches ? 2 : 3) && reader.read[kOrders].size() < 3; ++polls)
    next(reader, 1);
  EXPECT_THAT(offsets(reader.read[kOrders]), ElementsAre(0, 1, 2));
}

TEST_P(LogRecords, AFullPartitionDoesNotStarveAnother) {
  create("orders", 4);
  ReaderOptions options;
  std::vector<OutBatch> batches;
  for (int partition = 0; partition < 4; ++partition) {
    options.partitions[{"orders", partition}] = 0;
    for (int i = 0; i < 20; ++i)
      batches.push_back(out_batch({"orders", partition}, {{"k", std::string(50'000, 'x'), now(), {}}}));
  }
  must(send(std::move(batches)));
  Member reader{*log, loop, options};
  // Brokers send one partition's records sooner than another's, and all must arrive.
  const int enough = driver.can.keep_batches ? 4 : 80;
  for (int polls = 0; polls < enough && reader.read.size() < 4; ++polls) next(reader, 100'000);
  EXPECT_THAT(reader.read, SizeIs(4)) << "each partition had its turn";
}

TEST_P(LogRecords, ReadingInTheMiddleOfABatchStartsThere) {
  create("orders");
  append(kOrders, 5, "a");
  append(kOrders, 5, "b");
  EXPECT_THAT(values(read(kOrders, 3)), ElementsAre("a3", "a4", "b0", "b1", "b2", "b3", "b4"));
  EXPECT_THAT(values(read(kOrders, 9)), ElementsAre("b4"));
}

TEST_P(LogRecords, ABatchsViewsLiveAsLongAsTheBatch) {
  create_expiring("orders");
  append(kOrders, {{"key", std::string(200'000, 'v'), at(1000), {{"h", "w"}}}});
  ReaderOptions options;
  options.partitions[kOrders] = 0;
  auto consumer = log->reader(loop, options);
  std::shared_ptr<Batch> batch;
  for (int i = 0; i < 100 && !batch; ++i) {
    auto polled = await(consumer->poll(1 << 20, driver.wait));
    if (!polled.batches.empty()) batch = polled.batches[0];
  }
  ASSERT_TRUE(batch);
  consumer.reset();
  expire(kOrders, 1);  // the record is of 1970
  EXPECT_EQ(must(log->watermarks(kOrders)).start, 1);
  append(kOrders, {{"other", std::string(200'000, 'w'), now(), {}}});
  producer.reset();
  log.reset();
  ASSERT_THAT(batch->records, SizeIs(1));
  EXPECT_EQ(to_row(batch->records[0]), (Row{"key", std::string(200'000, 'v'), at(1000), {{"h", "w"}}, 0}));
  EXPECT_GE(batch->bytes, 200'000U);
}

TEST_P(LogRecords, AValueCanBeReadInPlaceAsJson) {
  create("orders");
  append(kOrders, {{"k", "[1,2]", now(), {}}, {"k", "[3]", now(), {}}});
  ReaderOptions options;
  options.partitions[kOrders] = 0;
  auto consumer = log->reader(loop, options);
  std::vector<std::shared_ptr<Batch>> batches;
  for (int polls = 0;
       polls < (driver.can.keep_batches ? 2 : 10) && (batches.empty() || batches.back()->next_offset < 2); ++polls) {
    for (auto& batch : await(consumer->poll(1 << 20, driver.patience)).batches) batches.push_back(std::move(batch));
  }
  if (driver.can.keep_batches) ASSERT_THAT(batches, SizeIs(1));
  ASSERT_FALSE(batches.empty() || batches.back()->records.empty());
  const auto& last = batches.back()->records.back().value;
  unsigned sum = 0;
  for (std::size_t i = 0; i < kJsonPadding; ++i)
    sum += static_cast<unsigned char>(last.data()[last.size() + i]);  // ASan checks the read
  EXPECT_EQ(sum, 0U);
  EXPECT_EQ(from_json<std::vector<int>>(last), (std::vector<int>{3}));
}

TEST_P(LogRecords, ARecordOfExactlyTheLimitIsTakenAndOneByteMoreIsNot) {
  create("orders");
  const std::string key = "key";
  const std::vector<Header> headers{{"name", "value"}};
  const auto room = kMaxRecordBytes - key.size();
  EXPECT_EQ(kind_of(send(out(kOrders, {{key, std::string(room + 1, 'x'), now(), headers}}))), ErrorKind::kInvalid);
  EXPECT_THAT(last_error, ::testing::HasSubstr("orders/0"));
  EXPECT_EQ(must(log->watermarks(kOrders)).end, 0);
  EXPECT_EQ(kind_of(send(out(kOrders, {{key, std::string(room, 'x'), now(), headers}}))), std::nullopt) << last_error;
  EXPECT_EQ(must(log->watermarks(kOrders)).end, 1);
}

TEST_P(LogRecords, TooManyHeaderBytesAreRefused) {
  create("orders");
  std::vector<Header> headers;
  for (int i = 0; i < 70; ++i) headers.push_back({"name", std::string(1000, 'h')});
  EXPECT_EQ(kind_of(send(out(kOrders, {{"k", "v", now(), headers}}))), ErrorKind::kInvalid);
  EXPECT_THAT(last_error, ::testing::AllOf(::testing::HasSubstr("headers"), ::testing::HasSubstr("orders/0"),
                                           ::testing::HasSubstr("65536")));
  headers.resize(60);
  append(kOrders, {{"k", "v", now(), headers}});
  EXPECT_EQ(read(kOrders).at(0).headers, headers);
}

TEST_P(LogRecords, OneRecordThatIsTooLargeKeepsTheWholeAppendOut) {
  create("orders", 2);
  std::vector<OutBatch> batches;
  batches.push_back(out_batch({"orders", 0}, numbered(2, now())));
  batches.push_back(out_batch({"orders", 1}, {{"k", std::string(kMaxRecordBytes + 1, 'x'), now(), {}}}));
  EXPECT_EQ(kind_of(send(std::move(batches))), ErrorKind::kInvalid);
  EXPECT_EQ(must(log->watermarks({"orders", 0})).end, 0);
}

TEST_P(LogRecords, WhatSeveralPartitionsGetInOneAppendIsSeenAtOnce) {
  if (!driver.can.append_atomically) GTEST_SKIP() << "a broker takes each partition for itself";
  create("orders", 2);
  ReaderOptions options;
  options.partitions = {{{"orders", 0}, 0}, {{"orders", 1}, 0}};
  Member reader{*log, loop, options};
  auto writing = loop.spawn("writer", [](World& world) -> Task<void> {
    for (int i = 0; i < 30; ++i) {
      std::vector<OutBatch> batches;
      for (int partition = 0; partition < 2; ++partition)
        batches.push_back(out_batch({"orders", partition}, numbered(1, world.now())));
      value_or_throw(co_await world.send(std::move(batches)));
    }
  }(*this));
  until({&reader}, [&] {
    EXPECT_EQ(reader.read[(TopicPartition{"orders", 0})].size(), reader.read[(TopicPartition{"orders", 1})].size());
    return reader.all_read().size() == 60;
  });
  await(writing.join());
}

MEPHISTO_ON_EVERY_DRIVER(LogRecords);

}  // namespace
}  // namespace mephisto::test
