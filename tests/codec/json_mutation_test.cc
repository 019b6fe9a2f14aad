// Damaged text: whatever arrives, reading ends with a value or an error, and never looks beyond the text and its padding.
// The buffers are exactly as large as promised, so that AddressSanitizer sees any read beyond them.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "records.h"

namespace mephisto::random_records {
namespace {

constexpr int kMutations = 10'000;

// One to four small damages of `text`.
std::string damaged(std::string text, Random& random) {
  static constexpr std::string_view kBytes = "{}[]\",:\\ 0-.eE+tfnu_\n\t\x01\x7f\x80\xc3\xff";
  for (auto left = 1 + random.below(4); left > 0; --left) {
    auto at = random.below(text.size() + 1);
    auto length = std::min<std::uint64_t>(random.below(8), text.size() - at);
    char byte = kBytes[random.below(kBytes.size())];
    switch (random.below(6)) {
      case 0: text.resize(at); break;
      case 1: text.erase(at, length); break;
      case 2: text.insert(at, text.substr(at, length)); break;
      case 3: text.insert(at, 1, byte); break;
      case 4: text.insert(at, text.substr(random.below(text.size() + 1), random.below(30))); break;
      default:
        if (at < text.size()) text[at] = random.below(4) == 0 ? static_cast<char>(random.next()) : byte;
    }
  }
  return text;
}

// Reads `text` from a buffer that ends right behind the padding, which is filled with `padding`.
template <class T>
Result<T> read_exact(std::string_view text, char padding = '\0') {
  std::unique_ptr<char[]> bytes{new char[text.size() + kJsonPadding]};
  std::memcpy(bytes.get(), text.data(), text.size());
  std::memset(bytes.get() + text.size(), padding, kJsonPadding);
  T value{};
  auto done = json::read_padded({bytes.get(), text.size()}, value);
  if (!done) return std::unexpected(done.error());
  return value;
}

// Reads every mutation; gives how many were refused. Each refusal must say why, and each value must survive a round trip.
template <class T>
int refused_mutations(std::uint64_t seed, T (*make)(Random&)) {
  Random random{seed};
  int refused = 0;
  for (int i = 0; i < kMutations; ++i) {
    auto text = damaged(to_json(make(random)), random);
    auto value = read_exact<T>(text);
    if (value) {
      auto again = from_json<T>(to_json(*value));
      EXPECT_TRUE(again && *again == *value) << text;
    } else {
      ++refused;
      EXPECT_EQ(value.error().kind, ErrorKind::kDecode);
      EXPECT_FALSE(value.error().message.empty());
    }
  }
  return refused;
}

TEST(JsonMutation, DamagedRecordsAreReadOrRefused) { EXPECT_GT(refused_mutations<Order>(1, any_order), kMutations / 4); }

TEST(JsonMutation, DamagedVariantsAreReadOrRefused) { EXPECT_GT(refused_mutations<Outcome>(2, any_outcome), kMutations / 4); }

TEST(JsonMutation, DamagedJsonOfAnyShapeIsReadOrRefused) {
  auto make = +[](Random& random) { return Json{to_json(any_order(random))}; };
  EXPECT_GT(refused_mutations<Json>(3, make), kMutations / 4);
}

TEST(JsonMutation, EveryTruncationOfARecordIsRefused) {
  Random random{4};
  for (int i = 0; i < 20; ++i) {
    auto text = to_json(any_order(random));
    for (std::size_t size = 0; size < text.size(); ++size) ASSERT_FALSE(read_exact<Order>(text.substr(0, size))) << text.substr(0, size);
  }
}

TEST(JsonMutation, WhatStandsInThePaddingMakesNoDifference) {
  Random random{5};
  for (int i = 0; i < 1000; ++i) {
    auto text = damaged(to_json(any_order(random)), random);
    auto plain = read_exact<Order>(text);
    for (char padding : {'}', ']', '"', '1', ' ', '\xff'}) {
      auto other = read_exact<Order>(text, padding);
      ASSERT_EQ(plain.has_value(), other.has_value()) << text;
      if (plain) ASSERT_EQ(*plain, *other) << text;
    }
  }
}

TEST(JsonMutation, RandomBytesAreRefused) {
  Random random{6};
  for (int i = 0; i < kMutations; ++i) {
    std::string text;
    for (auto left = random.below(40); left > 0; --left) text += static_cast<char>(random.next());
    EXPECT_FALSE(read_exact<Order>(text));
  }
}

TEST(JsonMutation, AReaderThatMetBrokenTextReadsTheNextOneRight) {
  Random random{7};
  for (int i = 0; i < 1000; ++i) {
    auto order = any_order(random);
    (void)read_exact<Order>(damaged(to_json(order), random));
    auto read = read_exact<Order>(to_json(order));
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_EQ(*read, order);
  }
}

}  // namespace
}  // namespace mephisto::random_records
