// The fast reader against the complete one: it takes the usual shape, and nothing that the other reader would read
// differently.
#include "mephisto/codec/json_fast.h"

#include <gtest/gtest.h>

#include "damage.h"
#include "records.h"

namespace mephisto::tests {
namespace {

using random_records::any_double;
using random_records::any_fill;
using random_records::any_time;
using random_records::Fill;
using random_records::Side;

struct Quote {
  std::string symbol;
  double price = 0;
  float ratio = 0;
  std::int64_t volume = 0;
  std::uint8_t tiny = 0;
  bool open = false;
  Side side = Side::buy;
  std::optional<std::string> note;
  std::optional<Fill> last;
  std::vector<Fill> fills;
  std::vector<std::optional<int>> levels;
  Microtime created{};
  std::chrono::year_month_day day{};
  Decimal total;
  Uuid id;
  bool operator==(const Quote&) const = default;
};

std::string plain_text(Random& random) {
  std::string text;
  for (auto left = random.below(40); left > 0; --left) {
    const auto kind = random.below(10);
    text += kind == 0   ? "\xc3\xa9"
            : kind == 1 ? "\xf0\x9f\x98\x80"
                        : std::string(1, static_cast<char>('a' + random.below(26)));
  }
  return text;
}

Quote any_quote(Random& random) {
  Quote quote;
  quote.symbol = plain_text(random);
  quote.price = random.below(2) == 0 ? any_double(random) : static_cast<double>(random.below(100'000)) / 100;
  quote.ratio = static_cast<float>(random.uniform() * 1e6);
  quote.volume = static_cast<std::int64_t>(random.next() >> (8 + random.below(56)));
  if (random.below(2) == 0) quote.volume = -quote.volume;
  quote.tiny = static_cast<std::uint8_t>(random.next());
  quote.open = random.below(2) == 0;
  quote.side = static_cast<Side>(random.below(3));
  if (random.below(2) == 0) quote.note = plain_text(random);
  auto fill = [&] { return Fill{static_cast<std::int64_t>(random.below(1'000'000'000)), any_double(random)}; };
  if (random.below(2) == 0) quote.last = fill();
  for (auto left = random.below(4); left > 0; --left) quote.fills.push_back(fill());
  for (auto left = random.below(4); left > 0; --left)
    quote.levels.push_back(random.below(3) == 0 ? std::nullopt : std::optional{static_cast<int>(random.next())});
  quote.created = any_time(random);
  quote.day = std::chrono::floor<std::chrono::days>(any_time(random));
  quote.total = {std::to_string(static_cast<std::int64_t>(random.next())) + "." + std::to_string(random.below(1000))};
  quote.id = Uuid::random(random);
  return quote;
}

template <class T>
bool fast(std::string_view text, T& value) {
  return json::fast::read(Exact{text}.view(), value);
}

// The result of the complete reader; empty if it refuses the text.
template <class T>
std::optional<T> complete(std::string_view text) {
  T value{};
  if (!json::read_any_shape(json::padded_copy(text), value)) return std::nullopt;
  return value;
}

TEST(JsonFast, TakesEveryRecordThatIsWrittenPlainly) {
  Random random{1};
  for (int i = 0; i < 5000; ++i) {
    auto quote = any_quote(random);
    Quote read;
    ASSERT_TRUE(fast(to_json(quote), read)) << to_json(quote);
    ASSERT_EQ(read, quote) << to_json(quote);
  }
}

TEST(JsonFast, TakesPythonsSpaces) {
  Fill fill;
  ASSERT_TRUE(fast(R"({"quantity": 5, "price": 1.5, "__faust": {"ns": "test.Fill"}})", fill));
  EXPECT_EQ(fill, (Fill{5, 1.5}));
}

TEST(JsonFast, LeavesNothingOfWhatTheRecordHeld) {
  Random random{2};
  Quote used;
  for (int i = 0; i < 2000; ++i) {
    auto quote = any_quote(random);
    ASSERT_TRUE(fast(to_json(quote), used));
    ASSERT_EQ(used, quote);
  }
}

TEST(JsonFast, TakesNothingThatTheCompleteReaderReadsOtherwise) {
  Random random{3};
  int taken = 0;
  for (int i = 0; i < 100'000; ++i) {
    auto text = damaged(to_json(any_quote(random)), random);
    Quote read;
    if (!fast(text, read)) continue;
    ++taken;
    auto expected = complete<Quote>(text);
    ASSERT_TRUE(expected) << text;
    ASSERT_EQ(read, *expected) << text;
  }
  EXPECT_GT(taken, 1000);
}

TEST(JsonFast, ReadsNumbersToTheBit) {
  Random random{4};
  static constexpr std::string_view kDigits = "0123456789.-+eE";
  int taken = 0;
  for (int i = 0; i < 500'000; ++i) {
    std::string text =
        random.below(2) == 0 ? to_json(any_double(random)) : std::to_string(random.next() >> random.below(64));
    for (auto left = random.below(3); left > 0; --left)
      text.insert(random.below(text.size() + 1), 1, kDigits[random.below(kDigits.size())]);
    double real = 0;
    if (fast(text, real)) {
      ++taken;
      auto expected = complete<double>(text);
      ASSERT_TRUE(expected) << text;
      ASSERT_EQ(std::bit_cast<std::uint64_t>(real), std::bit_cast<std::uint64_t>(*expected)) << text;
    }
    float single = 0;
    if (fast(text, single))
      ASSERT_EQ(std::bit_cast<std::uint32_t>(single), std::bit_cast<std::uint32_t>(*complete<float>(text))) << text;
    std::int32_t whole = 0;
    if (fast(text, whole)) ASSERT_EQ(whole, complete<std::int32_t>(text)) << text;
    std::uint64_t wide = 0;
    if (fast(text, wide)) ASSERT_EQ(wide, complete<std::uint64_t>(text)) << text;
  }
  EXPECT_GT(taken, 100'000);
}

TEST(JsonFast, IsNotMisledByTheBytesAfterTheText) {
  for (char padding : {'"', '}', '0', ' ', '\xff'}) {
    for (std::string_view text : {R"({"quantity":5,"price":1)", R"({"quantity":5,"price":1.5)", R"({"quantity":)",
                                  R"({"quantity":5,"price":1.5 )", "{"}) {
      Fill fill;
      EXPECT_FALSE(json::fast::read(Exact{text, padding}.view(), fill)) << text << padding;
    }
    int number = 0;
    if (json::fast::read(Exact{"12", padding}.view(), number)) EXPECT_EQ(number, 12) << padding;
  }
}

TEST(JsonFast, RefusesBrokenUtf8) {
  std::string text;
  EXPECT_FALSE(fast("\"\xff\"", text));
  EXPECT_FALSE(fast("\"0123456789012345\xc3\"", text));
  EXPECT_TRUE(fast("\"0123456789012345\xc3\xa9\"", text));
}

}  // namespace
}  // namespace mephisto::tests
