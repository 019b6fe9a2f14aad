// The stored form of records: whatever is written can be read, and damage is reported, never read as data.
#include "mephisto/log/record_batch.h"

#include <gmock/gmock.h>

#include <cstring>

#include "base/hash.h"
#include "drivers.h"
#include "mephisto/base/ids.h"
#include "mephisto/codec/json_read.h"

namespace mephisto::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::size_t kHeader = 40;
constexpr std::size_t kPadding = 64;

Timestamp at(std::int64_t ms) { return Timestamp{std::chrono::milliseconds{ms}}; }

std::string random_text(Random& random, std::size_t longest) {
  std::string text(random.below(longest + 1), '\0');
  for (auto& c : text) c = static_cast<char>(random.next());
  return text;
}

std::optional<std::string> maybe_text(Random& random, std::size_t longest) {
  if (random.below(5) == 0) return std::nullopt;
  return random_text(random, longest);
}

Row random_row(Random& random) {
  constexpr std::int64_t kTimes[] = {
      0, 1, -1, 1'700'000'000'000, -62'135'596'800'000, 253'402'300'799'999, std::int64_t{1} << 52};
  Row row{maybe_text(random, 20),
          maybe_text(random, random.below(10) == 0 ? 20'000 : 60),
          at(kTimes[random.below(std::size(kTimes))] + static_cast<std::int64_t>(random.below(1000))),
          {}};
  for (auto n = random.below(4); n > 0; --n)
    row.headers.push_back({random_text(random, random.below(8) == 0 ? 300 : 6), maybe_text(random, 12)});
  return row;
}

std::string stored(const std::vector<Row>& rows) {
  auto buffer = out_batch({"t", 0}, rows).records.finish();
  return std::string{buffer.view()};
}

// The rows of a stored batch, or the kind of its error. It reads a copy of the exact size, so that ASan detects a read
// past its end.
Result<std::vector<Row>> rows_of(std::string_view bytes, std::int64_t base = 0, std::int64_t from = 0,
                                 bool verify = true) {
  std::unique_ptr<char[]> exact{new char[bytes.size()]};
  std::memcpy(exact.get(), bytes.data(), bytes.size());
  std::vector<RecordView> records;
  if (auto read = read_batch({exact.get(), bytes.size()}, base, from, records, verify); !read) {
    EXPECT_THAT(records, IsEmpty());
    return std::unexpected(read.error());
  }
  std::vector<Row> rows;
  for (const auto& record : records) {
    rows.push_back(to_row(record));
    if (record.has_value()) {  // parsers read past the value
      const auto* end = record.value.data() + record.value.size();
      EXPECT_LE(end + kJsonPadding, exact.get() + bytes.size());
    }
  }
  return rows;
}

void reseal(std::string& bytes) {
  auto crc = crc32c(std::string_view{bytes}.substr(4, bytes.size() - 4 - kPadding));
  std::memcpy(bytes.data(), &crc, sizeof crc);
}

TEST(RecordBatch, RandomRecordsComeBackAsTheyWere) {
  Random random{1};
  for (int round = 0; round < 300; ++round) {
    std::vector<Row> rows;
    const auto base = static_cast<std::int64_t>(random.below(1ULL << 40));
    for (auto n = 1 + random.below(20); n > 0; --n) rows.push_back(random_row(random));
    auto bytes = stored(rows);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].offset = base + static_cast<std::int64_t>(i);
    ASSERT_EQ(rows_of(bytes, base), rows);

    const auto from = random.below(rows.size() + 2);
    rows.erase(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(std::min<std::uint64_t>(from, rows.size())));
    ASSERT_EQ(rows_of(bytes, base, base + static_cast<std::int64_t>(from)), rows);
  }
}

TEST(RecordBatch, TimesMayBeAsFarApartAsTheyCan) {
  const std::vector<Row> rows{
      {"a", "1", Timestamp::max(), {}, 0}, {"b", "2", Timestamp::min(), {}, 1}, {"c", "3", at(0), {}, 2}};
  EXPECT_EQ(value_or_throw(rows_of(stored(rows))), rows);
}

TEST(RecordBatch, TheHeaderHasCountSpanAndTimes) {
  auto bytes = stored({{"k", "v", at(50), {}}, {"k", "v", at(20), {}}, {"k", "v", at(90), {}}, {"k", "v", at(70), {}}});
  auto header = value_or_throw(read_batch_header(bytes));
  EXPECT_EQ(header.count, 4U);
  EXPECT_EQ(header.span, 4U);
  EXPECT_EQ(header.base_timestamp, 50);
  EXPECT_EQ(header.max_timestamp, 90);
  EXPECT_EQ(header.payload_bytes, bytes.size() - kHeader - kPadding);
}

TEST(RecordBatch, AnEmptyOneCanBeRead) {
  BatchBuilder builder;
  EXPECT_TRUE(builder.empty());
  auto bytes = builder.finish();
  EXPECT_EQ(rows_of(bytes.view()), std::vector<Row>{});
}

TEST(RecordBatch, FinishingLeavesAnEmptyBuilder) {
  BatchBuilder builder;
  builder.add("k", std::string(1000, 'v'), at(5), std::vector<Header>{{"h", "w"}});
  auto first = builder.finish();
  EXPECT_TRUE(builder.empty());
  EXPECT_EQ(builder.bytes(), 0U);
  EXPECT_EQ(builder.largest(), 0U);
  EXPECT_EQ(builder.largest_headers(), 0U);
  builder.add("k2", "v2", at(3));
  auto second = builder.finish();
  EXPECT_EQ(second.view(), stored({{"k2", "v2", at(3), {}}})) << "nothing of the first one is in it";
}

TEST(RecordBatch, LookingAtTheStoredFormChangesNothing) {
  BatchBuilder builder;
  builder.add("a", "1", at(1));
  const std::string once{std::string_view{builder.stored()}};
  const std::string twice{std::string_view{builder.stored()}};
  EXPECT_EQ(once, twice);
  EXPECT_EQ(once, stored({{"a", "1", at(1), {}}}));
  builder.add("b", "2", at(2));
  auto finished = builder.finish();
  EXPECT_EQ(finished.view(), stored({{"a", "1", at(1), {}}, {"b", "2", at(2), {}}}));
}

TEST(RecordBatch, AValueCanBeWrittenInPlace) {
  BatchBuilder builder;
  for (int i = 0; i < 3; ++i) {
    auto& buffer = builder.begin("k", at(i), std::vector<Header>{{"h", "w"}});
    for (int n = 0; n < i; ++n) buffer.append(std::string(5000, static_cast<char>('a' + i)));
    builder.end();
  }
  auto rows = value_or_throw(rows_of(builder.finish().view()));
  EXPECT_THAT(values(rows), ElementsAre("", std::string(5000, 'b'), std::string(10'000, 'c')));
  EXPECT_EQ(rows[2].headers, (std::vector<Header>{{"h", "w"}}));
}

TEST(RecordBatch, HeadersCanBeTakenOverAsTheyAreAndAddedTo) {
  std::vector<Header> some{{"a", "1"}, {"b", std::nullopt}};
  auto bytes = stored({{"k", "v", at(1), some}});
  std::vector<RecordView> records;
  ASSERT_TRUE(read_batch(bytes, 0, 0, records));
  BatchBuilder builder;
  builder.begin("k", at(1), std::vector<Header>{{"c", ""}}, records[0].headers).append("x");
  builder.end();
  auto rows = value_or_throw(rows_of(builder.finish().view()));
  EXPECT_EQ(rows.at(0).headers, (std::vector<Header>{{"a", "1"}, {"b", std::nullopt}, {"c", ""}}));
}

TEST(RecordBatch, AHeaderIsFoundByItsLastUse) {
  auto bytes = stored({{"k", "v", at(1), {{"a", "1"}, {"b", "2"}, {"a", std::nullopt}, {"c", "3"}, {"c", "4"}}}});
  std::vector<RecordView> records;
  ASSERT_TRUE(read_batch(bytes, 0, 0, records));
  const auto& headers = records[0].headers;
  ASSERT_TRUE(headers.find("a"));
  EXPECT_TRUE(headers.find("a")->null);
  EXPECT_EQ(headers.find("b")->value, "2");
  EXPECT_EQ(headers.find("c")->value, "4");
  EXPECT_FALSE(headers.find("d"));
  EXPECT_THAT(headers.list(), SizeIs(5));
  EXPECT_TRUE(HeadersView{}.empty());
  EXPECT_THAT(HeadersView{}.list(), IsEmpty());
  EXPECT_FALSE(HeadersView{}.find("a"));
}

TEST(RecordBatch, AnAbandonedRecordLeavesNoTrace) {
  BatchBuilder builder;
  builder.add("a", "1", at(10));
  builder.begin("gone", at(1'000'000), std::vector<Header>{{"h", std::string(kMaxHeaderBytes, 'h')}})
      .append(std::string(1000, 'x'));
  builder.abandon();
  builder.add("b", "2", at(5));
  EXPECT_EQ(builder.max_timestamp(), 10) << "retention would keep the batch for the time of a record that is not in it";
  EXPECT_LE(builder.largest_headers(), kMaxHeaderBytes) << "the batch would be refused for headers that are not in it";
  EXPECT_EQ(builder.count(), 2U);
  auto finished = builder.finish();
  EXPECT_EQ(finished.view(), stored({{"a", "1", at(10), {}}, {"b", "2", at(5), {}}}));
}

TEST(RecordBatch, AnAbandonedFirstRecordLeavesNoTraceEither) {
  BatchBuilder builder;
  builder.begin("gone", at(1'000'000));
  builder.abandon();
  EXPECT_TRUE(builder.empty());
  builder.add("b", "2", at(5));
  auto finished = builder.finish();
  EXPECT_EQ(finished.view(), stored({{"b", "2", at(5), {}}}));
}

TEST(RecordBatch, RecordsCanStandAtChosenOffsetsWithGaps) {
  auto original =
      stored({{"a", "1", at(10), {{"h", "w"}}}, {"b", std::nullopt, at(9), {}}, {std::nullopt, "", at(30), {}}});
  std::vector<RecordView> records;
  ASSERT_TRUE(read_batch(original, 100, 0, records));
  BatchBuilder builder;
  builder.add_at(2, records[0]);
  builder.add_at(7, records[1]);
  builder.add_at(1000, records[2]);
  EXPECT_EQ(builder.span(), 1001U);
  builder.set_span(2000);
  auto finished = builder.finish();
  EXPECT_EQ(value_or_throw(read_batch_header(finished.view())).span, 2000U);
  auto rows = value_or_throw(rows_of(finished.view(), 50));
  EXPECT_EQ(rows, (std::vector<Row>{{"a", "1", at(10), {{"h", "w"}}, 52},
                                    {"b", std::nullopt, at(9), {}, 57},
                                    {std::nullopt, "", at(30), {}, 1050}}));
}

TEST(RecordBatch, SizesAreOfTheLargestRecord) {
  BatchBuilder builder;
  builder.add("key", std::string(1000, 'v'), at(1), std::vector<Header>{{"name", "value"}});
  builder.add("k", "v", at(1));
  EXPECT_EQ(builder.largest(), 3U + 1000);
  EXPECT_GE(builder.largest_headers(), 9U);
  EXPECT_GE(builder.bytes(), builder.largest() + 2);
}

TEST(RecordBatch, EveryCutIsCorrupt) {
  Random random{2};
  auto bytes = stored({random_row(random), random_row(random), random_row(random)});
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    auto read = rows_of(std::string_view{bytes}.substr(0, size));
    ASSERT_FALSE(read) << size;
    EXPECT_EQ(read.error().kind, ErrorKind::kCorrupt) << size;
  }
  EXPECT_FALSE(rows_of(bytes + "x"));
}

TEST(RecordBatch, EveryFlippedBitIsReportedAndNothingIsRead) {
  Random random{3};
  auto bytes =
      stored({{"key", "value", at(5), {{"h", "w"}}}, random_row(random), {"k", std::string(50, 'v'), at(6), {}}});
  for (std::size_t i = 0; i < bytes.size() - kPadding; ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      auto damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ 1 << bit);
      auto read = rows_of(damaged);
      ASSERT_FALSE(read) << "byte " << i << " bit " << bit;
      if (i != 8) EXPECT_EQ(read.error().kind, ErrorKind::kCorrupt) << "byte " << i;  // byte 8 is the version
    }
  }
}

TEST(RecordBatch, ANewerVersionIsRefusedWithAWordOnIt) {
  auto bytes = stored({{"k", "v", at(1), {}}});
  bytes[8] = 2;
  reseal(bytes);
  auto read = rows_of(bytes);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind, ErrorKind::kInvalid);
  EXPECT_THAT(read.error().message, HasSubstr("version 2"));
}

// Damage under a matching checksum. No disk causes it by chance, but a hostile or buggy writer could. It may be refused
// or read as something else, but reading never goes beyond the batch or its offsets.
TEST(RecordBatch, DamageWithAFittingChecksumStaysWithinTheBatch) {
  Random random{4};
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<Row> rows;
    for (auto n = 1 + random.below(4); n > 0; --n)
      rows.push_back({maybe_text(random, 5),
                      maybe_text(random, 20),
                      at(static_cast<std::int64_t>(random.below(1000))),
                      {{"h", maybe_text(random, 5)}}});
    auto bytes = stored(rows);
    for (auto n = 1 + random.below(6); n > 0; --n) {
      auto place = 8 + random.below(bytes.size() - kPadding - 8);
      if (place == 8) continue;  // the version
      bytes[place] = random.below(2) == 0 ? '\xff' : static_cast<char>(random.next());
    }
    reseal(bytes);
    const auto base = static_cast<std::int64_t>(random.below(1ULL << 62));
    auto header = read_batch_header(bytes);
    ASSERT_TRUE(header);
    auto read = rows_of(bytes, base);
    if (!read) {
      EXPECT_EQ(read.error().kind, ErrorKind::kCorrupt);
      ++refused;
      continue;
    }
    for (const auto& row : *read) {
      ASSERT_GE(row.offset, base);
      ASSERT_LT(row.offset, base + header->span);
    }
  }
  EXPECT_GT(refused, 1000);
}

// A stored batch of one record whose first bytes (offset and time) are `start`.
std::string batch_starting_with(const std::string& start) {
  auto bytes = stored({{"k", "v", at(1), {}}});
  bytes.replace(kHeader, 2, start);
  auto payload = static_cast<std::uint32_t>(bytes.size() - kHeader - kPadding);
  std::memcpy(bytes.data() + 4, &payload, sizeof payload);
  reseal(bytes);
  return bytes;
}

TEST(RecordBatch, AnOffsetBeyondTheBatchIsCorruptHoweverLarge) {
  EXPECT_TRUE(rows_of(batch_starting_with(std::string("\0\0", 2)), 1000));
  for (const auto& delta : {std::string("\x01"), std::string(4, '\xff') + '\x0f', std::string(8, '\xff') + '\x7f',
                            std::string(9, '\xff') + '\x01'}) {
    auto read = rows_of(batch_starting_with(delta + '\0'), 1000);
    ASSERT_FALSE(read) << delta.size() << " bytes of offset";
    EXPECT_EQ(read.error().kind, ErrorKind::kCorrupt);
  }
  EXPECT_FALSE(rows_of(batch_starting_with(std::string(12, '\xff') + std::string(2, '\0'))))
      << "a number too long for 64 bits";
}

TEST(RecordBatch, OffsetsThatDoNotAscendAreCorrupt) {
  auto bytes = stored({{"k", "v", at(1), {}}, {"k", "v", at(1), {}}});
  const auto second = kHeader + (bytes.size() - kHeader - kPadding) / 2;
  ASSERT_EQ(bytes[second], 1) << "its offset";
  bytes[second] = 0;
  reseal(bytes);
  auto read = rows_of(bytes);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind, ErrorKind::kCorrupt);
}

TEST(RecordBatch, BytesAfterTheLastRecordAreCorrupt) {
  auto bytes = stored({{"k", "v", at(1), {}}, {"k", "v", at(1), {}}});
  bytes[12] = 1;  // the number of records
  reseal(bytes);
  auto read = rows_of(bytes);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind, ErrorKind::kCorrupt);
}

TEST(RecordBatch, ATimeBeyondAllTimeDoesNoHarm) {
  auto bytes = batch_starting_with(std::string(1, '\0') + std::string(9, '\xff') + '\x01');
  for (auto base :
       {std::numeric_limits<std::int64_t>::min(), std::int64_t{0}, std::numeric_limits<std::int64_t>::max()}) {
    std::memcpy(bytes.data() + 24, &base, sizeof base);
    reseal(bytes);
    (void)rows_of(bytes);  // refused or read as some time: UBSan checks it
  }
}

TEST(RecordBatch, RandomBytesAreNeverABatch) {
  Random random{5};
  for (int round = 0; round < 2000; ++round) EXPECT_FALSE(rows_of(random_text(random, 400)));
}

TEST(RecordBatch, BrokenHeadersInsideARecordEndTheirList) {
  Random random{6};
  for (int round = 0; round < 5000; ++round) {
    auto text = random_text(random, 30);
    std::unique_ptr<char[]> exact{new char[text.size() + 1]};
    std::memcpy(exact.get(), text.data(), text.size());
    HeadersView headers{exact.get(), static_cast<std::uint32_t>(text.size())};
    std::size_t bytes = 0;
    for (const auto& header : headers.list()) bytes += header.name.size() + header.value.size();
    EXPECT_LE(bytes, text.size());
    (void)headers.find("a");
    (void)headers.copy();
  }
}

TEST(RecordBatch, ManyRecordsNeedFewBytesEach) {
  BatchBuilder builder;
  for (int i = 0; i < 10'000; ++i) builder.add("key", "value", at(1'700'000'000'000 + i));
  auto bytes = builder.finish();
  EXPECT_LT(bytes.size(), 10'000U * (3 + 5 + 11)) << "eight bytes of value and key, at most eleven around them";
  EXPECT_THAT(value_or_throw(rows_of(bytes.view())), SizeIs(10'000));
}

}  // namespace
}  // namespace mephisto::test
