// Properties that hold for every record, checked with seeded random records.
#include <gtest/gtest.h>

#include "records.h"

namespace mephisto::random_records {
namespace {

constexpr int kRecords = 2000;

void expect_round_trip(Dialect dialect) {
  Random random{20261123};
  for (int i = 0; i < kRecords; ++i) {
    auto order = any_order(random);
    auto text = to_json(order, dialect);
    auto read = from_json<Order>(text);
    ASSERT_TRUE(read) << "record " << i << ": " << read.error().message << "\n" << text;
    ASSERT_EQ(*read, order) << "record " << i << "\n" << text;
  }
}

TEST(JsonRandom, RecordsRoundTripInOrjsonsDialect) { expect_round_trip(Dialect::kOrjson); }
TEST(JsonRandom, RecordsRoundTripInPythonsDialect) { expect_round_trip(Dialect::kStdlib); }

TEST(JsonRandom, WhatWasReadIsWrittenAsTheSameBytes) {
  Random random{1};
  for (int i = 0; i < kRecords; ++i) {
    auto text = to_json(any_order(random));
    auto read = from_json<Order>(text);
    ASSERT_TRUE(read) << text;
    ASSERT_EQ(to_json(*read), text);
  }
}

TEST(JsonRandom, EveryRecordIsAlsoReadableAsAnyJsonValue) {
  Random random{2};
  for (int i = 0; i < kRecords; ++i) {
    auto text = to_json(any_order(random));
    auto read = from_json<Json>(text);
    ASSERT_TRUE(read) << text;
    ASSERT_EQ(read->text, text);
  }
}

TEST(JsonRandom, ReadingIntoAUsedRecordLeavesNothingOfWhatItHeld) {
  Random random{3};
  Order used;
  for (int i = 0; i < kRecords; ++i) {
    auto order = any_order(random);
    ASSERT_TRUE(json::read_padded(json::padded_copy(to_json(order)), used));
    ASSERT_EQ(used, order);
  }
}

TEST(JsonRandom, PythonsDialectIsPlainAscii) {
  Random random{4};
  for (int i = 0; i < kRecords; ++i) {
    auto order = any_order(random);
    order.anything = {};  // is written unchanged
    auto text = to_json(order, Dialect::kStdlib);
    ASSERT_TRUE(std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7f; })) << text;
  }
}

TEST(JsonRandom, FloatsRoundTripToTheBit) {
  Random random{5};
  for (int i = 0; i < 200'000; ++i) {
    auto value = std::bit_cast<float>(static_cast<std::uint32_t>(random.next()));
    if (!std::isfinite(value)) continue;
    auto read = from_json<float>(to_json(value));
    ASSERT_TRUE(read) << to_json(value) << ": " << read.error().message;
    ASSERT_EQ(std::bit_cast<std::uint32_t>(*read), std::bit_cast<std::uint32_t>(value)) << to_json(value);
  }
}

TEST(JsonRandom, DoublesRoundTripToTheBitInBothDialects) {
  Random random{6};
  for (int i = 0; i < 100'000; ++i) {
    auto value = std::bit_cast<double>(random.next());
    if (!std::isfinite(value)) continue;
    for (auto dialect : {Dialect::kOrjson, Dialect::kStdlib}) {
      auto read = from_json<double>(to_json(value, dialect));
      ASSERT_TRUE(read) << to_json(value, dialect) << ": " << read.error().message;
      ASSERT_EQ(std::bit_cast<std::uint64_t>(*read), std::bit_cast<std::uint64_t>(value)) << to_json(value, dialect);
    }
  }
}

}  // namespace
}  // namespace mephisto::random_records
