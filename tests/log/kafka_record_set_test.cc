// What Kafka's brokers send, read in place: records, compression, transactions, and damage.
#include <gmock/gmock.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

#include "log/kafka/decompress.h"
#include "log/kafka/record_set.h"
#include "tests/log/kafka_records.h"

namespace mephisto::test {
namespace {

using kafka::AbortedTransaction;
using kafka::RecordSet;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

RecordSet set_of(const std::string& bytes, std::vector<AbortedTransaction> aborted = {}) {
  auto copy = std::make_shared<char[]>(bytes.size() + kafka::kSetPadding);
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  return {std::move(copy), bytes.size(), std::move(aborted)};
}

// All records of a set from offset `from` on.
Batch read_all(RecordSet set, std::int64_t from = 0) {
  Batch batch;
  while (!set.empty()) value_or_throw(set.take(from, batch));
  return batch;
}

std::vector<std::string> values_of(const Batch& batch) {
  std::vector<std::string> values;
  for (const auto& record : batch.records) values.emplace_back(record.value);
  return values;
}

KafkaBatch numbered(std::int64_t base, int count, std::int16_t attributes = 0, std::int64_t producer = -1) {
  KafkaBatch batch{
      .base = base, .attributes = attributes, .base_time = 1000, .max_time = 2000, .producer = producer, .records = {}};
  for (int i = 0; i < count; ++i)
    batch.records.push_back({.offset_delta = i,
                             .time_delta = i,
                             .key = std::nullopt,
                             .value = "v" + std::to_string(base + i),
                             .headers = {}});
  return batch;
}

std::optional<ErrorKind> kind_of(const std::string& bytes) {
  auto set = set_of(bytes);
  Batch batch;
  auto taken = set.take(0, batch);
  EXPECT_TRUE(taken || batch.records.empty());
  return taken ? std::nullopt : std::optional{taken.error().kind};
}

TEST(KafkaRecordSet, ARecordIsWhatWasSent) {
  const auto batch = read_all(set_of(stored(
      {.base = 7,
       .base_time = 1'790'000'000'000,
       .max_time = 1'790'000'000'005,
       .records = {{.offset_delta = 0,
                    .time_delta = 5,
                    .key = "key",
                    .value = "value",
                    .headers = {{"name", "text"}, {"null", std::nullopt}, {"", ""}}},
                   {.offset_delta = 1, .time_delta = -3, .key = std::nullopt, .value = std::nullopt, .headers = {}},
                   {.offset_delta = 2, .time_delta = 0, .key = "", .value = "", .headers = {{"other", "one"}}}}})));
  ASSERT_EQ(batch.records.size(), 3);
  const auto& [first, second, third] = std::tie(batch.records[0], batch.records[1], batch.records[2]);
  EXPECT_EQ(first.offset, 7);
  EXPECT_EQ(first.timestamp_ms, 1'790'000'000'005);
  EXPECT_EQ(first.key, "key");
  EXPECT_EQ(first.value, "value");
  EXPECT_THAT(first.headers.copy(), ElementsAre(Header{"name", "text"}, Header{"null", std::nullopt}, Header{"", ""}));
  EXPECT_EQ(second.offset, 8);
  EXPECT_EQ(second.timestamp_ms, 1'789'999'999'997);
  EXPECT_FALSE(second.has_key());
  EXPECT_FALSE(second.has_value());
  EXPECT_TRUE(second.headers.empty());
  EXPECT_TRUE(third.has_key());
  EXPECT_TRUE(third.has_value());
  EXPECT_EQ(third.key, "");
  EXPECT_THAT(third.headers.copy(), ElementsAre(Header{"other", "one"}));
  EXPECT_EQ(batch.next_offset, 10);
  EXPECT_GE(batch.bytes, 3 * sizeof(RecordView));
}

TEST(KafkaRecordSet, TheTimeIsTheBrokersWhereTheTopicSaysSo) {
  const auto batch = read_all(set_of(stored(numbered(0, 2, 0x08))));
  EXPECT_EQ(batch.records[0].timestamp_ms, 2000);
  EXPECT_EQ(batch.records[1].timestamp_ms, 2000);
}

TEST(KafkaRecordSet, RecordsBeforeTheOffsetAreLeftOut) {
  const auto batch = read_all(set_of(stored(numbered(0, 3)) + stored(numbered(3, 3))), 2);
  EXPECT_THAT(values_of(batch), ElementsAre("v2", "v3", "v4", "v5"));
}

TEST(KafkaRecordSet, ABatchIsTakenAtATimeAndItsMemoryIsKept) {
  auto first = std::make_unique<Batch>();
  {
    auto set = set_of(stored(numbered(0, 2)) + stored(numbered(2, 2)));
    ASSERT_TRUE(set.take(0, *first));
    EXPECT_EQ(first->next_offset, 2);
    EXPECT_FALSE(set.empty());
  }
  EXPECT_THAT(values_of(*first), ElementsAre("v0", "v1"));
}

TEST(KafkaRecordSet, CompactionLeavesGaps) {
  auto batch = numbered(10, 3);
  batch.records.erase(batch.records.begin() + 1);
  batch.last_delta = 9;
  const auto read = read_all(set_of(stored(batch) + stored({.base = 20, .last_delta = 4, .records = {}})));
  EXPECT_THAT(values_of(read), ElementsAre("v10", "v12"));
  EXPECT_EQ(read.next_offset, 25);
}

TEST(KafkaRecordSet, WhatATransactionWroteThatWasAbortedIsNotSeen) {
  constexpr std::int16_t kTransactional = 0x10;
  // Producer 1 aborts, commits, and aborts; producer 2 commits in between; producer 3 sends without transactions.
  const auto bytes = stored(numbered(0, 1, kTransactional, 1)) + stored(numbered(1, 1, kTransactional, 2)) +
                     stored(numbered(2, 1, 0, 3)) + mark(3, 1, false) + stored(numbered(4, 1, kTransactional, 1)) +
                     mark(5, 1, true) + mark(6, 2, true) + stored(numbered(7, 2, kTransactional, 1)) +
                     mark(9, 1, false);
  const auto batch = read_all(set_of(bytes, {{1, 0}, {1, 7}}));
  EXPECT_THAT(values_of(batch), ElementsAre("v1", "v2", "v4"));
  EXPECT_EQ(batch.next_offset, 10);
  // Brokers list them in the order in which they ended.
  const auto around = stored(numbered(0, 1, kTransactional, 1)) + stored(numbered(1, 1, kTransactional, 2)) +
                      mark(2, 2, false) + stored(numbered(3, 1, kTransactional, 2)) + mark(4, 1, false) +
                      mark(5, 2, true);
  EXPECT_THAT(values_of(read_all(set_of(around, {{2, 1}, {1, 0}}))), ElementsAre("v3"));
  // From the middle of the first transaction, where the broker lists the second one only.
  EXPECT_THAT(values_of(read_all(set_of(bytes.substr(bytes.find(stored(numbered(2, 1, 0, 3)))), {{1, 7}}), 2)),
              ElementsAre("v2", "v4"));
}

std::string gzip(const std::string& plain) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string packed(plain.size() + 100, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// The two gzip members are one text, too.
std::string gzip_twice(const std::string& plain) { return gzip(plain.substr(0, 1000)) + gzip(plain.substr(1000)); }

std::string snappy(const std::string& plain) {
  std::string packed(snappy_max_compressed_length(plain.size()), '\0');
  auto size = packed.size();
  snappy_compress(plain.data(), plain.size(), packed.data(), &size);
  packed.resize(size);
  return packed;
}

// Java's clients frame it in blocks of their own.
std::string xerial(const std::string& plain) {
  auto packed = std::string{"\x82SNAPPY\0", 8} + big_endian(1, 4) + big_endian(1, 4);
  for (std::size_t at = 0; at < plain.size(); at += 40) {
    const auto block = snappy(plain.substr(at, 40));
    packed += big_endian(block.size(), 4) + block;
  }
  return packed;
}

std::string lz4(const std::string& plain) {
  std::string packed(LZ4F_compressFrameBound(plain.size(), nullptr), '\0');
  packed.resize(LZ4F_compressFrame(packed.data(), packed.size(), plain.data(), plain.size(), nullptr));
  return packed;
}

std::string zstd(const std::string& plain) {
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 3));
  return packed;
}

TEST(KafkaRecordSet, EveryCompressionIsUndone) {
  using Pack = std::string (*)(const std::string&);
  for (const auto& [codec, pack] : std::vector<std::pair<std::int16_t, Pack>>{
           {1, gzip}, {1, gzip_twice}, {2, snappy}, {2, xerial}, {3, lz4}, {4, zstd}}) {
    auto batch = numbered(0, 500, codec);
    // Longer than the room that is reserved at first.
    batch.records.push_back(
        {.offset_delta = 500, .key = "long", .value = std::string(100'000, 'x'), .headers = {{"name", "value"}}});
    const auto packed = pack(records_of(batch));
    ASSERT_LT(packed.size(), 50'000);
    const auto read = read_all(set_of(stored(batch, packed) + stored(numbered(501, 1))));
    ASSERT_EQ(read.records.size(), 502) << codec;
    EXPECT_EQ(read.records[499].value, "v499");
    EXPECT_EQ(read.records[500].value, std::string(100'000, 'x'));
    EXPECT_THAT(read.records[500].headers.copy(), ElementsAre(Header{"name", "value"}));
    EXPECT_EQ(read.records[501].value, "v501");
    for (const auto& cut : {packed.substr(0, packed.size() / 2), std::string{"nothing of the kind"}, std::string{}})
      EXPECT_EQ(kind_of(stored(batch, cut)), ErrorKind::kCorrupt) << codec;
  }
  EXPECT_EQ(kind_of(stored(numbered(0, 1, 5), "text")), ErrorKind::kCorrupt);
}

TEST(KafkaRecordSet, ExtentIsThatOfWholeBatches) {
  const auto one = stored(numbered(5, 2));
  const auto two = one + stored(numbered(7, 3));
  auto extent = kafka::extent_of(two);
  EXPECT_EQ(extent.bytes, two.size());
  EXPECT_EQ(extent.next, 10);
  extent = kafka::extent_of(two.substr(0, two.size() - 1));
  EXPECT_EQ(extent.bytes, one.size());
  EXPECT_EQ(extent.next, 7);
  extent = kafka::extent_of(one.substr(0, 30));
  EXPECT_EQ(extent.bytes, 0);
  EXPECT_EQ(extent.first, one.size());
  EXPECT_EQ(kafka::extent_of(one.substr(0, 11)).first, 0);
}

TEST(KafkaRecordSet, DamageIsReportedAndNothingOfTheBatchIsDelivered) {
  const auto sound = stored(numbered(0, 3));
  EXPECT_EQ(kind_of(sound), std::nullopt);
  auto flipped = sound;
  flipped[70] ^= 1;
  EXPECT_EQ(kind_of(flipped), ErrorKind::kCorrupt);

  // The checksum is right, and the data under it is wrong.
  auto more = numbered(0, 3);
  auto text = stored(more);
  text.replace(57, 4, big_endian(4, 4));
  seal(text);
  EXPECT_EQ(kind_of(text), ErrorKind::kCorrupt);
  text.replace(57, 4, big_endian(1'000'000'000, 4));
  seal(text);
  EXPECT_EQ(kind_of(text), ErrorKind::kCorrupt);
  for (const std::string& record :
       {zigzag(100), zigzag(-5), std::string(20, '\xff'), zigzag(6) + '\0' + zigzag(0) + zigzag(0) + zigzag(50) + "key",
        zigzag(3) + '\0' + zigzag(0) + zigzag(0)}) {
    EXPECT_EQ(kind_of(stored(numbered(0, 1), record)), ErrorKind::kCorrupt) << ::testing::PrintToString(record);
  }
}

TEST(KafkaRecordSet, AnOlderFormatIsRefusedWithWhatToDo) {
  auto old = stored(numbered(3, 1));
  old[16] = 1;
  auto set = set_of(old);
  Batch batch;
  for (int i = 0; i < 2; ++i) {
    const auto taken = set.take(0, batch);
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().kind, ErrorKind::kInvalid);
    EXPECT_THAT(taken.error().message, HasSubstr("kafka.properties.check.crcs"));
  }
  EXPECT_THAT(batch.records, IsEmpty());
}

}  // namespace
}  // namespace mephisto::test
