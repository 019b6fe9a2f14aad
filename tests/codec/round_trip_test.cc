// One rule for values of every type, sound or not. A value that is written reads back as the same value by both
// readers, and all programs read its JSON as the same. Any other value is refused when it is written.
#include <gtest/gtest.h>

#include "any_value.h"

namespace mephisto::any_value {
namespace {

// The same JSON, however it is spaced and escaped.
Json plain(const Json& json) { return value_or_throw(from_json<Json>(json.text)); }
template <class T>
bool same(const T& a, const T& b) {
  if constexpr (std::is_same_v<T, Json>)
    return plain(a) == plain(b);
  else if constexpr (json::nests_freely<T>() && json::ListLike<T>)
    return std::ranges::equal(a, b, same<typename T::value_type>);
  else if constexpr (std::is_same_v<T, std::optional<Json>>)
    return a.has_value() == b.has_value() && (!a || same(*a, *b));
  else if constexpr (std::is_floating_point_v<T>)
    return a == b && std::signbit(a) == std::signbit(b);
  else
    return a == b;
}

// How many of some random values were sent.
template <class T>
int sent(Dialect dialect) {
  static_assert(json::is_sound<T> && json::is_sound<Wrapped<T>>);
  Random random{20261129};
  int count = 0;
  for (int i = 0; i < 3000; ++i) {
    const Wrapped<T> value{Any<T>::make(random)};
    std::string text;
    try {
      text = to_json(value, dialect);
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), ErrorKind::kInvalid);
      const std::string_view why{failure.what()};
      EXPECT_TRUE(why.find(".field") != why.npos || why.find("nested too deep") != why.npos) << why;
      continue;
    }
    ++count;
    const tests::Exact exact{text};
    Wrapped<T> read;
    const auto complete = json::read_any_shape(exact.view(), read);
    EXPECT_TRUE(complete) << text << "\n" << complete.error().message;
    EXPECT_TRUE(complete && same(read.field, value.field)) << text;
    if constexpr (json::fast::readable<Wrapped<T>>()) {
      Wrapped<T> quickly;
      if (json::fast::read(exact.view(), quickly)) EXPECT_TRUE(same(quickly.field, value.field)) << text;
    }
    EXPECT_EQ(to_json(Json{text}), text);
    if (testing::Test::HasFailure()) break;
  }
  return count;
}

template <class T>
class RoundTrip : public testing::Test {};
// Every value of these types is sent.
template <class T>
class WholeRoundTrip : public testing::Test {};

using Sound = testing::Types<bool, std::int8_t, std::uint8_t, std::int16_t, std::uint32_t, std::int64_t, std::uint64_t,
                             Flag, Uuid, Bytes, std::vector<Bytes>, std::optional<std::int64_t>,
                             std::map<std::int16_t, bool>, std::pair<bool, std::uint64_t>, std::set<std::int8_t>,
                             std::vector<bool>, std::array<int, 3>, std::tuple<>, std::map<Uuid, Flag>>;
using Mixed = any_value::AllKinds<testing::Types>;
TYPED_TEST_SUITE(WholeRoundTrip, Sound);
TYPED_TEST_SUITE(RoundTrip, Mixed);

TYPED_TEST(WholeRoundTrip, EveryValueIsSentAndReadsBackTheSame) {
  EXPECT_EQ(sent<TypeParam>(Dialect::kOrjson), 3000);
  EXPECT_EQ(sent<TypeParam>(Dialect::kStdlib), 3000);
}

TYPED_TEST(RoundTrip, AValueIsRefusedOrReadsBackTheSame) {
  for (const auto dialect : {Dialect::kOrjson, Dialect::kStdlib}) {
    const auto count = sent<TypeParam>(dialect);
    EXPECT_GT(count, 30);
    EXPECT_LT(count, 3000);
  }
}

}  // namespace
}  // namespace mephisto::any_value
