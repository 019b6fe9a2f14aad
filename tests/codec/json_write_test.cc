// Values on the wire, in both of Faust's dialects.
#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <list>

#include "mephisto/codec/json_write.h"

namespace mephisto {
namespace {

using std::chrono::sys_days;
using std::chrono::year;

struct Point {
  static constexpr std::string_view kNamespace = "gold.Point";
  int x = 0;
  int y = 0;
};
struct PlainPoint {
  int x = 0;
  int y = 0;
};
struct Nothing {};
struct NamedNothing {
  static constexpr std::string_view kNamespace = "gold.Nothing";
};
struct Line {
  static constexpr std::string_view kNamespace = "gold.Line";
  Point from;
  Point to;
};
struct Circle {
  static constexpr std::string_view kNamespace = "gold.Circle";
  double radius = 0;
};
enum class Side { buy, sell };

std::string stdlib(const auto& value) { return to_json(value, Dialect::kStdlib); }

TEST(JsonWrite, ARecordEndsWithItsFaustNamespace) {
  EXPECT_EQ(to_json(Point{1, 2}), R"({"x":1,"y":2,"__faust":{"ns":"gold.Point"}})");
}
TEST(JsonWrite, PythonsDialectOfARecordHasNoSpacesEither) {
  EXPECT_EQ(stdlib(Point{1, 2}), R"({"x":1,"y":2,"__faust":{"ns":"gold.Point"}})");
}
TEST(JsonWrite, ARecordWithoutANamespaceCarriesNoMetadata) { EXPECT_EQ(to_json(PlainPoint{1, 2}), R"({"x":1,"y":2})"); }
TEST(JsonWrite, ARecordWithoutFieldsIsAnEmptyObject) { EXPECT_EQ(to_json(Nothing{}), "{}"); }
TEST(JsonWrite, ARecordWithoutFieldsStillCarriesItsNamespace) {
  EXPECT_EQ(to_json(NamedNothing{}), R"({"__faust":{"ns":"gold.Nothing"}})");
}

TEST(JsonWrite, NestedRecordsEachCarryTheirNamespace) {
  EXPECT_EQ(
      to_json(Line{{1, 2}, {3, 4}}),
      R"({"from":{"x":1,"y":2,"__faust":{"ns":"gold.Point"}},"to":{"x":3,"y":4,"__faust":{"ns":"gold.Point"}},"__faust":{"ns":"gold.Line"}})");
}

TEST(JsonWrite, AVariantIsWrittenAsTheRecordItHolds) {
  std::variant<Point, Circle> shape = Circle{1.5};
  EXPECT_EQ(to_json(shape), R"({"radius":1.5,"__faust":{"ns":"gold.Circle"}})");
}

TEST(JsonWrite, AVariantThatHoldsNothingIsNull) {
  std::variant<None, Circle> shape;
  EXPECT_EQ(to_json(shape), "null");
}

TEST(JsonWrite, BooleansAreLowerCase) { EXPECT_EQ(to_json(std::vector<bool>{true, false}), "[true,false]"); }
TEST(JsonWrite, AnEmptyOptionalIsNull) { EXPECT_EQ(to_json(std::optional<int>{}), "null"); }
TEST(JsonWrite, AFilledOptionalIsItsValue) { EXPECT_EQ(to_json(std::optional<int>{7}), "7"); }
TEST(JsonWrite, AnEnumIsItsName) { EXPECT_EQ(to_json(Side::sell), R"("sell")"); }
TEST(JsonWrite, NoneIsNull) { EXPECT_EQ(to_json(None{}), "null"); }
TEST(JsonWrite, JsonIsWrittenAsItStands) { EXPECT_EQ(to_json(Json{R"({"a":[1,2.50]})"}), R"({"a":[1,2.50]})"); }
TEST(JsonWrite, StringLiteralsAndViewsAreStrings) {
  EXPECT_EQ(to_json("abc") + to_json(std::string_view{"d"}), R"("abc""d")");
}

TEST(JsonWrite, TheLimitsOfEveryIntegerWidthAreWrittenInFull) {
  EXPECT_EQ(to_json(std::numeric_limits<std::int8_t>::min()), "-128");
  EXPECT_EQ(to_json(std::numeric_limits<std::uint8_t>::max()), "255");
  EXPECT_EQ(to_json(std::numeric_limits<std::int16_t>::min()), "-32768");
  EXPECT_EQ(to_json(std::numeric_limits<std::uint16_t>::max()), "65535");
  EXPECT_EQ(to_json(std::numeric_limits<std::int32_t>::min()), "-2147483648");
  EXPECT_EQ(to_json(std::numeric_limits<std::uint32_t>::max()), "4294967295");
  EXPECT_EQ(to_json(std::numeric_limits<std::int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(to_json(std::numeric_limits<std::uint64_t>::max()), "18446744073709551615");
}

TEST(JsonWrite, SmallDoublesHaveShortExponentsInOrjson) { EXPECT_EQ(to_json(1e-7), "1e-7"); }
TEST(JsonWrite, SmallDoublesHaveTwoDigitExponentsInPython) { EXPECT_EQ(stdlib(1e-7), "1e-07"); }
TEST(JsonWrite, LargeDoublesHaveTheSameExponentInBothDialects) {
  EXPECT_EQ(to_json(1e20) + stdlib(1e20), "1e+201e+20");
}
TEST(JsonWrite, WholeDoublesKeepTheirPoint) { EXPECT_EQ(to_json(1.0) + stdlib(1.0), "1.01.0"); }
TEST(JsonWrite, NegativeZeroKeepsItsSign) { EXPECT_EQ(to_json(-0.0), "-0.0"); }
TEST(JsonWrite, FloatsHaveNoMoreDigitsThanTheyHold) { EXPECT_EQ(to_json(0.1F), "0.1"); }

TEST(JsonWrite, OrjsonLeavesTextOutsideAsciiAsUtf8) {
  EXPECT_EQ(to_json(std::string{"caf\xc3\xa9 \xf0\x9f\x98\x80"}), "\"caf\xc3\xa9 \xf0\x9f\x98\x80\"");
}
TEST(JsonWrite, PythonEscapesTextOutsideAscii) { EXPECT_EQ(stdlib(std::string{"caf\xc3\xa9"}), R"("caf\u00e9")"); }
TEST(JsonWrite, PythonEscapesTextOutsideTheBasicPlaneAsSurrogates) {
  EXPECT_EQ(stdlib(std::string{"\xf0\x9f\x98\x80"}), R"("\ud83d\ude00")");
}

TEST(JsonWrite, QuotesBackslashesAndControlCharactersAreEscaped) {
  EXPECT_EQ(to_json(std::string{"\"\\/\b\f\n\r\t\x01\x1f"} + '\0'), R"("\"\\/\b\f\n\r\t\u0001\u001f\u0000")");
}

TEST(JsonWrite, AnEscapeAfterEveryNumberOfPlainCharactersIsFound) {
  for (std::size_t plain = 0; plain < 40; ++plain) {
    auto run = std::string(plain, 'x');
    EXPECT_EQ(to_json(run + "\"" + run), "\"" + run + "\\\"" + run + "\"");
  }
}

TEST(JsonWrite, BrokenUtf8IsNotReadBeyondItsEnd) {
  std::string_view cut = std::string_view{"\xf0\x9f\x98\x80"}.substr(0, 1);
  EXPECT_THROW(stdlib(cut), Failure);
}

TEST(JsonWrite, WhatIsOnlyShownIsNeverRefused) {
  EXPECT_EQ(to_json(std::string{"a\xff\xc3"}, Dialect::kShown), "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
  EXPECT_EQ(to_json(std::vector{1e-7, std::nan("")}, Dialect::kShown), "[1e-7,null]");
}

TEST(JsonWrite, TextBytesAreAString) { EXPECT_EQ(to_json(Bytes{"ab"}), R"("ab")"); }
TEST(JsonWrite, OtherBytesArePythonsRepr) { EXPECT_EQ(to_json(Bytes{"ab\xff"}), R"("b'ab\\xff'")"); }
TEST(JsonWrite, BytesThatLookLikeAReprAreWrittenAsAReprThemselves) {
  EXPECT_EQ(to_json(Bytes{"b'x'"}), R"x("b\"b'x'\"")x");
}
TEST(JsonWrite, DecimalsAreStringsOfTheirDigits) { EXPECT_EQ(to_json(Decimal{"1.10"}), R"("1.10")"); }

TEST(JsonWrite, UuidsAreLowerCase) {
  EXPECT_EQ(to_json(Uuid::parse("00112233-4455-6677-8899-AABBCCDDEEFF").value()),
            R"("00112233-4455-6677-8899-aabbccddeeff")");
}

TEST(JsonWrite, DatesStandAloneInOrjson) { EXPECT_EQ(to_json(year{2020} / 1 / 2), R"("2020-01-02")"); }
TEST(JsonWrite, DatesAreMidnightInPython) { EXPECT_EQ(stdlib(year{2020} / 1 / 2), R"("2020-01-02T00:00:00")"); }

TEST(JsonWrite, TimesOfWholeSecondsHaveNoFraction) {
  Microtime time =
      sys_days{year{2020} / 1 / 2} + std::chrono::hours{3} + std::chrono::minutes{4} + std::chrono::seconds{5};
  EXPECT_EQ(to_json(time) + stdlib(time), R"("2020-01-02T03:04:05Z""2020-01-02T03:04:05Z")");
}

TEST(JsonWrite, FractionsOfSecondsHaveSixDigits) {
  Microtime time = sys_days{year{2020} / 1 / 2} + std::chrono::microseconds{60};
  EXPECT_EQ(to_json(time), R"("2020-01-02T00:00:00.000060Z")");
}

TEST(JsonWrite, MillisecondTimestampsHaveSixDigitsToo) {
  Timestamp time = sys_days{year{2020} / 1 / 2} + std::chrono::milliseconds{7};
  EXPECT_EQ(to_json(time), R"("2020-01-02T00:00:00.007000Z")");
}

TEST(JsonWrite, TimesBefore1970HaveTheirFraction) {
  EXPECT_EQ(to_json(Microtime{std::chrono::microseconds{-1}}), R"("1969-12-31T23:59:59.999999Z")");
}

TEST(JsonWrite, WholeMicrosecondsOfFinerClocksAreWritten) {
  EXPECT_EQ(to_json(std::chrono::sys_time<std::chrono::nanoseconds>{std::chrono::nanoseconds{-1000}}),
            R"("1969-12-31T23:59:59.999999Z")");
}

TEST(JsonWrite, DurationsAreSecondsAsFausts) {
  EXPECT_EQ(to_json(std::chrono::milliseconds{1500}) + to_json(std::chrono::minutes{2}) +
                to_json(std::chrono::microseconds{-1}),
            "1.5120.0-1e-6");
  EXPECT_EQ(to_json(std::chrono::duration<double>{0.25}), "0.25");
}

TEST(JsonWrite, PairsAndTuplesAreArrays) {
  EXPECT_EQ(to_json(std::pair{1, std::string{"a"}}), R"([1,"a"])");
  EXPECT_EQ(to_json(std::tuple{1, 2.5, std::optional<int>{}}), "[1,2.5,null]");
  EXPECT_EQ(to_json(std::tuple<>{}), "[]");
}

TEST(JsonWrite, EveryListLikeContainerIsAnArray) {
  EXPECT_EQ(to_json(std::vector<int>{}), "[]");
  EXPECT_EQ(to_json(std::deque<int>{1, 2}), "[1,2]");
  EXPECT_EQ(to_json(std::list<int>{1, 2}), "[1,2]");
  EXPECT_EQ(to_json(std::set<int>{2, 1}), "[1,2]");
  EXPECT_EQ(to_json(std::array<int, 2>{1, 2}), "[1,2]");
}

TEST(JsonWrite, MapsAreObjects) {
  EXPECT_EQ(to_json(std::map<std::string, int>{{"b", 2}, {"a", 1}}), R"({"a":1,"b":2})");
}
TEST(JsonWrite, AnEmptyMapIsAnEmptyObject) { EXPECT_EQ(to_json(std::unordered_map<std::string, int>{}), "{}"); }
TEST(JsonWrite, NumbersAsKeysAreStrings) { EXPECT_EQ(to_json(std::map<int, bool>{{-5, true}}), R"({"-5":true})"); }
TEST(JsonWrite, EnumsAsKeysAreNames) { EXPECT_EQ(to_json(std::map<Side, int>{{Side::buy, 1}}), R"({"buy":1})"); }
TEST(JsonWrite, KeysAreEscapedLikeOtherStrings) {
  EXPECT_EQ(stdlib(std::map<std::string, int>{{"\"\xc3\xa9", 1}}), R"({"\"\u00e9":1})");
}

TEST(JsonWrite, UuidsAsKeysAreText) {
  EXPECT_EQ(to_json(std::map<Uuid, int>{{Uuid{}, 1}}), R"({"00000000-0000-0000-0000-000000000000":1})");
}

TEST(JsonWrite, WritingAppendsToWhatTheBufferHolds) {
  Buffer out;
  out.append("key=");
  json::write(out, PlainPoint{1, 2});
  EXPECT_EQ(out.view(), R"(key={"x":1,"y":2})");
}

}  // namespace
}  // namespace mephisto
