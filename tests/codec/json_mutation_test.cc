// Damaged text: whatever arrives, reading ends with a value or an error. It never looks beyond the text and its
// padding.
#include <gtest/gtest.h>

#include "damage.h"
#include "records.h"

namespace mephisto::random_records {
namespace {

constexpr int kMutations = 10'000;

using tests::damaged;

// Reads `text` from a buffer that ends directly after the padding.
template <class T>
Result<T> read_exact(std::string_view text, char padding = '\0') {
  tests::Exact exact{text, padding};
  T value{};
  auto done = json::read_padded(exact.view(), value);
  if (!done) return std::unexpected(done.error());
  return value;
}

// The text that would be sent. Empty if that is refused, as it is for numbers in Json that other programs round.
template <class T>
std::optional<std::string> sent(const T& value) {
  try {
    return to_json(value);
  } catch (const Failure&) {
    return std::nullopt;
  }
}

// Reads every mutation and returns how many were refused. Each refusal must say why, and each value that is sent must
// survive a round trip.
template <class T>
int refused_mutations(std::uint64_t seed, T (*make)(Random&)) {
  Random random{seed};
  int refused = 0;
  for (int i = 0; i < kMutations; ++i) {
    auto text = damaged(to_json(make(random)), random);
    auto value = read_exact<T>(text);
    if (value) {
      if (const auto again = sent(*value)) EXPECT_EQ(from_json<T>(*again), *value) << text;
    } else {
      ++refused;
      EXPECT_EQ(value.error().kind, ErrorKind::kDecode);
      EXPECT_FALSE(value.error().message.empty());
    }
  }
  return refused;
}

TEST(JsonMutation, DamagedRecordsAreReadOrRefused) {
  EXPECT_GT(refused_mutations<Order>(1, any_order), kMutations / 4);
}

TEST(JsonMutation, DamagedVariantsAreReadOrRefused) {
  EXPECT_GT(refused_mutations<Outcome>(2, any_outcome), kMutations / 4);
}

TEST(JsonMutation, DamagedJsonOfAnyShapeIsReadOrRefused) {
  auto make = +[](Random& random) { return Json{to_json(any_order(random))}; };
  EXPECT_GT(refused_mutations<Json>(3, make), kMutations / 4);
}

TEST(JsonMutation, EveryTruncationOfARecordIsRefused) {
  Random random{4};
  for (int i = 0; i < 20; ++i) {
    auto text = to_json(any_order(random));
    for (std::size_t size = 0; size < text.size(); ++size)
      ASSERT_FALSE(read_exact<Order>(text.substr(0, size))) << text.substr(0, size);
  }
}

TEST(JsonMutation, TheContentOfThePaddingMakesNoDifference) {
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
