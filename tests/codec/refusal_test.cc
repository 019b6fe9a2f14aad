// Which values are refused when they are written: where, and why.
#include <gtest/gtest.h>

#include "mephisto/codec.h"

namespace mephisto {
namespace {

enum class Status { kOk = 200, kNotFound = 404 };

struct Line {
  std::string item;
  double price = 0;
};
struct Order {
  std::vector<Line> lines;
  std::map<std::string, std::optional<double>> extras;
  std::pair<int, double> best{};
};
struct Node {
  std::vector<Node> children;
};

// The message of the refusal.
template <class T>
std::string message(const T& value) {
  try {
    return "no error: " + to_json(value);
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), ErrorKind::kInvalid);
    return failure.what();
  }
}
template <class T>
bool refused(const T& value) {
  return !message(value).starts_with("no error");
}

constexpr std::string_view kNoNumber = " is not a number in JSON: use std::optional for a value that may be absent";

TEST(Refusal, SaysWhereAndWhy) {
  EXPECT_EQ(message(Order{.lines = {{"a", 1}, {"b", std::nan("")}}, .extras = {}}),
            std::string{"Order.lines[1].price: NaN"}.append(kNoNumber));
  EXPECT_EQ(message(Order{.lines = {}, .extras = {{"tax", 1}, {"toll", HUGE_VAL}}}),
            std::string{"Order.extras.toll: infinity"}.append(kNoNumber));
  EXPECT_EQ(message(Order{.lines = {}, .extras = {}, .best = {1, -HUGE_VAL}}),
            std::string{"Order.best[1]: infinity"}.append(kNoNumber));
  EXPECT_EQ(message(std::nan("")), std::string{"double: NaN"}.append(kNoNumber));
}

TEST(Refusal, NaNAndInfinitiesWhereverTheyAre) {
  const auto nan = std::nan("");
  EXPECT_TRUE(refused(nan));
  EXPECT_TRUE(refused(std::nanf("")));
  EXPECT_TRUE(refused(-HUGE_VALF));
  EXPECT_TRUE(refused(std::optional{nan}));
  EXPECT_TRUE(refused(std::vector{1.0, nan}));
  EXPECT_TRUE(refused(std::array{nan}));
  EXPECT_TRUE(refused(std::tuple{1, nan}));
  EXPECT_TRUE(refused(std::map<std::string, double>{{"a", nan}}));
  EXPECT_TRUE(refused(std::chrono::duration<double>{nan}));
  EXPECT_FALSE(refused(std::optional<double>{}));
}

TEST(Refusal, IsTheSameInPythonsDialect) { EXPECT_THROW(to_json(std::nan(""), Dialect::kStdlib), Failure); }

TEST(Refusal, EnumeratorsWithoutAName) {
  EXPECT_EQ(message(static_cast<Status>(1000)),
            "Status: 1000 has no name in its enum: mephisto::enumerators lists names outside of -128 to 1023");
  EXPECT_TRUE(
      message(std::map<Status, int>{{static_cast<Status>(201), 1}})
          .ends_with("[key]: 201 has no name in its enum: mephisto::enumerators lists names outside of -128 to 1023"));
  EXPECT_FALSE(refused(Status::kNotFound));
}

TEST(Refusal, TimesAndDatesThatTheCalendarOfOthersDoesNotHave) {
  using namespace std::chrono;
  EXPECT_FALSE(refused(sys_days{year{1} / 1 / 1}));
  EXPECT_TRUE(refused(sys_days{year{0} / 12 / 31}));
  EXPECT_FALSE(refused(Microtime{sys_days{year{10000} / 1 / 1}} - microseconds{1}));
  EXPECT_TRUE(refused(Microtime{sys_days{year{10000} / 1 / 1}}));
  EXPECT_TRUE(refused(Microtime::max()));
  EXPECT_TRUE(refused(sys_seconds::max()));
  EXPECT_TRUE(refused(sys_time<hours>::min()));
  EXPECT_TRUE(refused(sys_days::max()));
  EXPECT_TRUE(refused(sys_time<nanoseconds>{nanoseconds{1}}));
  EXPECT_TRUE(refused(year{2026} / 2 / 29));
  EXPECT_TRUE(refused(year{2026} / 13 / 1));
  EXPECT_TRUE(refused(year{10000} / 1 / 1));
  EXPECT_TRUE(refused(year{-1} / 1 / 1));
  EXPECT_TRUE(refused(year_month_day{}));
  EXPECT_FALSE(refused(year{2024} / 2 / 29));
}

TEST(Refusal, DurationsThatADoubleOfSecondsDoesNotHold) {
  EXPECT_TRUE(refused(std::chrono::nanoseconds::max()));
  EXPECT_TRUE(refused(std::chrono::seconds::max()));
  EXPECT_TRUE(refused(std::chrono::hours::max()));
  EXPECT_FALSE(refused(std::chrono::nanoseconds{86'400'000'000'001}));
}

TEST(Refusal, TextThatIsNotUtf8) {
  for (std::string text : {"\xff", "a\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"}) {
    EXPECT_TRUE(refused(text));
    EXPECT_TRUE(refused(Line{text, 1}));
    EXPECT_TRUE(refused(std::map<std::string, int>{{text, 1}}));
    EXPECT_FALSE(refused(Bytes{text}));
  }
  EXPECT_EQ(message(Line{"abc\xff", 1}),
            "Line.item: the text is not valid UTF-8 (byte 4): use mephisto::Bytes for other bytes");
}

TEST(Refusal, TextsThatAreNotDecimals) {
  for (auto text : {"", "abc", "1,5", "1.2.3", "NaN", "Infinity", "1e", " 1", "1 ", "0x10", "1e9999999999999999999"})
    EXPECT_TRUE(refused(Decimal{text})) << text;
  for (auto text : {"0", "-1.10", "+5", ".5", "5.", "1E+3", "1e999999999999999999"})
    EXPECT_FALSE(refused(Decimal{text})) << text;
}

TEST(Refusal, RawTextThatIsNotJson) {
  for (auto text : {"", " ", "[-Infinity]", "NaN", "[1,]", "{\"a\":1} x", "1 2", "{a:1}", "\"\xff\"", "\"\\ud800\"",
                    "'a'", "01", "nul", "[1}"})
    EXPECT_TRUE(refused(Json{text})) << text;
  for (auto text : {"null", " [1, 2]\n", "{}", "-0", "18446744073709551615", "-9223372036854775808", "1e308",
                    "0.1000000000000000055511151231257827"})
    EXPECT_FALSE(refused(Json{text})) << text;
}

TEST(Refusal, RawJsonThatOthersReadAsSomethingElse) {
  for (auto text :
       {"18446744073709551616", "-9223372036854775809", "[1e400]", R"({"a":1,"a":2})", R"([{"a":{"b":1,"\u0062":2}}])"})
    EXPECT_TRUE(refused(Json{text})) << text;
}

TEST(Refusal, NullInAnOptional) {
  EXPECT_TRUE(refused(std::optional{Json{"null"}}));
  EXPECT_TRUE(refused(std::optional{Json{" null\n"}}));
  EXPECT_FALSE(refused(std::optional{Json{"[null]"}}));
  EXPECT_FALSE(refused(std::optional<Json>{}));
  EXPECT_FALSE(refused(Json{"null"}));
}

Node chain(int length) {
  Node node;
  for (int i = 1; i < length; ++i) {
    Node outer;
    outer.children.push_back(std::move(node));
    node = std::move(outer);
  }
  return node;
}

// Each node is an object and a list.
TEST(Refusal, WhatIsNestedDeeperThanIsRead) {
  EXPECT_FALSE(refused(chain(31)));
  EXPECT_TRUE(refused(chain(32)));
  EXPECT_EQ(message(chain(5000)),
            "Node: the value is nested too deep: it has more than 63 objects and lists in each other");
  EXPECT_FALSE(refused(chain(31)));
  EXPECT_FALSE(refused(Json{std::string(63, '[') + std::string(63, ']')}));
  EXPECT_TRUE(refused(Json{std::string(64, '[') + std::string(64, ']')}));
  EXPECT_TRUE(refused(std::vector{Json{std::string(63, '[') + std::string(63, ']')}}));
  EXPECT_TRUE(refused(Json{std::string(100'000, '[') + std::string(100'000, ']')}));
}

TEST(Refusal, CodecRawTakesAndGivesTheSameTypes) {
  const auto raw = Codec::raw();
  Buffer out;
  EXPECT_THROW(raw.dump(Json{"1"}, out), Failure);
  EXPECT_THROW(raw.dump(1, out), Failure);
  raw.dump(std::string{"\xff"}, out);
  raw.dump(Bytes{"\xfe"}, out);
  EXPECT_EQ(out.view(), "\xff\xfe");
}

}  // namespace
}  // namespace mephisto
