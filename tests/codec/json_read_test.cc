// What is accepted from the wire: both of Faust's dialects (the older one has spaces), and what other programs may
// write.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "mephisto/codec/json_read.h"

namespace mephisto {
namespace {

using std::chrono::sys_days;
using std::chrono::year;
using testing::ElementsAre;

struct Point {
  static constexpr std::string_view kNamespace = "gold.Point";
  int x = 0;
  int y = 0;
  bool operator==(const Point&) const = default;
};
struct Circle {
  static constexpr std::string_view kNamespace = "gold.Circle";
  double radius = 0;
  std::optional<Point> centre;
  bool operator==(const Circle&) const = default;
};
using Shape = std::variant<Point, Circle>;
struct Note {
  std::optional<std::string> text = "default";
  None nothing;
  bool operator==(const Note&) const = default;
};
struct Holder {
  Shape shape;
  int after = 0;
};
enum class Side { buy, sell };

// The value of `text`. The test fails if it cannot be read.
template <class T>
T read(std::string_view text) {
  auto value = from_json<T>(text);
  EXPECT_TRUE(value) << text << ": " << value.error().message;
  return value ? *value : T{};
}

TEST(JsonRead, ARecordReadsFromFaustsBytes) {
  EXPECT_EQ(read<Point>(R"({"x":1,"y":2,"__faust":{"ns":"gold.Point"}})"), (Point{1, 2}));
}
TEST(JsonRead, SpacesAfterCommasAndColonsAreAccepted) {
  EXPECT_EQ(read<Point>(R"({"x": 1, "y": 2, "__faust": {"ns": "gold.Point"}})"), (Point{1, 2}));
}
TEST(JsonRead, SpaceAroundTheValueIsAccepted) {
  EXPECT_EQ(read<Point>("\r\n\t {\"x\" : 1 ,\n\"y\":2 } \n"), (Point{1, 2}));
}
TEST(JsonRead, FieldsMayComeInAnyOrder) { EXPECT_EQ(read<Point>(R"({"y":2,"x":1})"), (Point{1, 2})); }
TEST(JsonRead, TheFaustMetadataMayComeFirst) {
  EXPECT_EQ(read<Point>(R"({"__faust":{"ns":"gold.Point"},"x":1,"y":2})"), (Point{1, 2}));
}
TEST(JsonRead, ForeignMetadataIsIgnored) {
  EXPECT_EQ(read<Point>(R"({"x":1,"y":2,"__faust":{"ns":"other.Thing","more":[1]}})"), (Point{1, 2}));
}
TEST(JsonRead, UnknownFieldsOfEveryShapeAreSkipped) {
  EXPECT_EQ(read<Point>(R"({"a":[1,{"x":9}],"x":1,"b":{"y":[{}]},"c":"}","d":null,"e":-1.5e3,"y":2,"f":true})"),
            (Point{1, 2}));
}

TEST(JsonRead, EscapedKeyNamesAreRecognised) { EXPECT_EQ(read<Point>(R"({"\u0078":1,"\u0079":2})"), (Point{1, 2})); }
TEST(JsonRead, KeysThatBeginLikeAFieldAreOtherFields) {
  EXPECT_EQ(read<Point>(R"({"xx":9,"x\"":8,"x":1,"y":2})"), (Point{1, 2}));
}

TEST(JsonRead, AMissingOptionalIsEmpty) { EXPECT_EQ(read<Circle>(R"({"radius":1})").centre, std::nullopt); }
TEST(JsonRead, AMissingOptionalKeepsItsDefault) { EXPECT_EQ(read<Note>("{}").text, "default"); }
TEST(JsonRead, AMissingOptionalDoesNotKeepWhatTheRecordHeldBefore) {
  Circle circle{1, Point{1, 2}};
  ASSERT_TRUE(json::read_padded(json::padded_copy(R"({"radius":2})"), circle));
  EXPECT_EQ(circle, (Circle{2, {}}));
}
TEST(JsonRead, AnExplicitNullEmptiesAnOptional) { EXPECT_EQ(read<Note>(R"({"text":null})").text, std::nullopt); }
TEST(JsonRead, AnOptionalReadsItsValue) { EXPECT_EQ(read<Note>(R"({"text":"hi"})").text, "hi"); }
TEST(JsonRead, NoneReadsAnything) {
  for (auto text : {"null", "7", "\"x\"", "true", "[1,[2]]", R"({"a":{"b":null}})"})
    EXPECT_TRUE(from_json<None>(text)) << text;
}

TEST(JsonRead, BooleansRead) { EXPECT_TRUE(read<bool>("true")); }
TEST(JsonRead, AWholeNumberIsADoubleToo) { EXPECT_EQ(read<double>("3"), 3.0); }
TEST(JsonRead, ExponentsInEitherDialectRead) {
  EXPECT_THAT(read<std::vector<double>>("[1e-7,1e-07,1E+20,1e20]"), ElementsAre(1e-7, 1e-7, 1e20, 1e20));
}
TEST(JsonRead, PythonsNameForWhatIsNoNumberReads) {
  auto numbers = read<std::vector<double>>("[NaN,Infinity,-Infinity]");
  ASSERT_EQ(numbers.size(), 3U);
  EXPECT_TRUE(std::isnan(numbers[0]));
  EXPECT_EQ(numbers[1], HUGE_VAL);
  EXPECT_EQ(numbers[2], -HUGE_VAL);
}
TEST(JsonRead, PythonsNaNReadsAsAWholeValueToo) { EXPECT_TRUE(std::isnan(read<double>("NaN"))); }
TEST(JsonRead, ANullNumberOfOrjsonIsAnEmptyOptional) { EXPECT_EQ(read<std::optional<double>>("null"), std::nullopt); }

TEST(JsonRead, TheLimitsOfEveryIntegerWidthRead) {
  EXPECT_EQ(read<std::int8_t>("-128"), -128);
  EXPECT_EQ(read<std::uint8_t>("255"), 255);
  EXPECT_EQ(read<std::int16_t>("-32768"), -32768);
  EXPECT_EQ(read<std::uint16_t>("65535"), 65535);
  EXPECT_EQ(read<std::int32_t>("-2147483648"), std::numeric_limits<std::int32_t>::min());
  EXPECT_EQ(read<std::uint32_t>("4294967295"), 4294967295U);
  EXPECT_EQ(read<std::int64_t>("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(read<std::uint64_t>("18446744073709551615"), std::numeric_limits<std::uint64_t>::max());
}

TEST(JsonRead, EveryEscapeOfStringsIsUndone) {
  EXPECT_EQ(read<std::string>(R"("\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00")"), "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80");
}
TEST(JsonRead, RawUtf8InStringsReads) {
  EXPECT_EQ(read<std::string>("\"\xc3\xa9\xf0\x9f\x98\x80\""), "\xc3\xa9\xf0\x9f\x98\x80");
}
TEST(JsonRead, ZeroBytesInStringsAreKept) { EXPECT_EQ(read<std::string>(R"("a\u0000b")"), std::string("a\0b", 3)); }

TEST(JsonRead, DecimalsReadFromStrings) { EXPECT_EQ(read<Decimal>(R"("1.10")").text, "1.10"); }
TEST(JsonRead, DecimalsReadFromNumbersDigitForDigit) {
  EXPECT_EQ(read<std::vector<Decimal>>("[1.10 , -2e5]"), (std::vector<Decimal>{{"1.10"}, {"-2e5"}}));
}
TEST(JsonRead, ADecimalReadsFromANumberThatIsTheWholeValue) { EXPECT_EQ(read<Decimal>("1.10").text, "1.10"); }
TEST(JsonRead, UuidsReadInEitherCase) {
  EXPECT_EQ(read<Uuid>(R"("00112233-4455-6677-8899-AABBCCDDEEFF")").str(), "00112233-4455-6677-8899-aabbccddeeff");
}

TEST(JsonRead, TextBytesRead) { EXPECT_EQ(read<Bytes>(R"("ab")").data, "ab"); }
TEST(JsonRead, PythonsReprOfBytesIsUndone) { EXPECT_EQ(read<Bytes>(R"("b'ab\\xff\\n\\\\'")").data, "ab\xff\n\\"); }
TEST(JsonRead, PythonsReprOfBytesWithAQuoteIsUndone) { EXPECT_EQ(read<Bytes>(R"("b\"it's\"")").data, "it's"); }
TEST(JsonRead, BytesThatLookLikeAReprSurviveARoundTrip) {
  for (std::string data : {"b'x'", "b\"x\"", "b''", "b'", "b\"it's\""})
    EXPECT_EQ(read<Bytes>(to_json(Bytes{data})).data, data);
}

TEST(JsonRead, DatesOfBothDialectsRead) {
  EXPECT_EQ(read<std::chrono::year_month_day>(R"("2020-01-02")"), year{2020} / 1 / 2);
  EXPECT_EQ(read<std::chrono::year_month_day>(R"("2020-01-02T00:00:00")"), year{2020} / 1 / 2);
}

TEST(JsonRead, TimesWithAZoneAreConvertedToUtc) {
  EXPECT_EQ(read<Microtime>(R"("2020-01-02T03:04:05.5+01:00")"),
            sys_days{year{2020} / 1 / 2} + std::chrono::milliseconds{7445500});
}

TEST(JsonRead, TimesWithoutAZoneAreUtc) {
  EXPECT_EQ(read<Timestamp>(R"("2020-01-02T00:00:01")"), sys_days{year{2020} / 1 / 2} + std::chrono::seconds{1});
}
TEST(JsonRead, TimesFinerThanTheFieldRoundDown) {
  EXPECT_EQ(read<std::chrono::sys_seconds>(R"("1969-12-31T23:59:59.9Z")"),
            std::chrono::sys_seconds{std::chrono::seconds{-1}});
}

TEST(JsonRead, EnumsReadFromTheirNames) { EXPECT_EQ(read<Side>(R"("sell")"), Side::sell); }
TEST(JsonRead, MapsRead) {
  EXPECT_EQ((read<std::map<std::string, int>>(R"({"a":1,"\u0062":2})")),
            (std::map<std::string, int>{{"a", 1}, {"b", 2}}));
}
TEST(JsonRead, MapsWithNumbersAsKeysRead) {
  EXPECT_EQ((read<std::map<std::int8_t, int>>(R"({"-128":1})")), (std::map<std::int8_t, int>{{-128, 1}}));
}
TEST(JsonRead, MapsWithEnumsAsKeysRead) {
  EXPECT_EQ((read<std::map<Side, int>>(R"({"sell":1})")), (std::map<Side, int>{{Side::sell, 1}}));
}
TEST(JsonRead, MapsWithUuidsAsKeysRead) {
  EXPECT_EQ((read<std::map<Uuid, int>>(R"({"00000000-0000-0000-0000-000000000000":1})")),
            (std::map<Uuid, int>{{Uuid{}, 1}}));
}
TEST(JsonRead, SetsRead) { EXPECT_THAT(read<std::set<int>>("[2,1,2]"), ElementsAre(1, 2)); }
TEST(JsonRead, PairsAndTuplesRead) {
  EXPECT_EQ((read<std::pair<int, std::string>>(R"([1,"a"])")), (std::pair{1, std::string{"a"}}));
  EXPECT_EQ((read<std::tuple<int, double, std::optional<int>>>("[ 1 , 2.5 , null ]")),
            (std::tuple{1, 2.5, std::optional<int>{}}));
}
TEST(JsonRead, DurationsReadToTheNearestUnit) {
  EXPECT_EQ(read<std::chrono::milliseconds>("0.3"), std::chrono::milliseconds{300});
  EXPECT_EQ(read<std::chrono::milliseconds>("0.30000000000000004"), std::chrono::milliseconds{300});
  EXPECT_EQ(read<std::chrono::hours>("7200"), std::chrono::hours{2});
  EXPECT_EQ(read<std::chrono::duration<double>>("1.25"), std::chrono::duration<double>{1.25});
}
TEST(JsonRead, FixedArraysRead) { EXPECT_THAT((read<std::array<int, 3>>("[1,2,3]")), ElementsAre(1, 2, 3)); }
TEST(JsonRead, EmptyArraysAndObjectsRead) {
  EXPECT_TRUE(read<std::vector<int>>("[ ]").empty());
  EXPECT_TRUE((read<std::map<std::string, int>>("{ }").empty()));
}

TEST(JsonRead, AVariantIsRecognisedByItsNamespace) {
  EXPECT_EQ(read<Shape>(R"({"radius":2.5,"__faust":{"ns":"gold.Circle"}})"), (Shape{Circle{2.5, {}}}));
}
TEST(JsonRead, TheNamespaceOfAVariantMayComeFirst) {
  EXPECT_EQ(read<Shape>(R"({"__faust":{"ns":"gold.Point"},"x":1,"y":2})"), (Shape{Point{1, 2}}));
}
TEST(JsonRead, ANestedRecordsNamespaceIsNotTakenForTheVariants) {
  EXPECT_EQ(read<Shape>(
                R"({"centre":{"x":1,"y":2,"__faust":{"ns":"gold.Point"}},"radius":1,"__faust":{"ns":"gold.Circle"}})"),
            (Shape{Circle{1, Point{1, 2}}}));
}
TEST(JsonRead, WhatFollowsAVariantReads) {
  EXPECT_EQ(read<Holder>(R"({"shape":{"x":1,"y":2,"__faust":{"ns":"gold.Point"}},"after":7})").after, 7);
}
TEST(JsonRead, VariantsInListsRead) {
  auto shapes = read<std::vector<Shape>>(
      R"([{"x":1,"y":2,"__faust":{"ns":"gold.Point"}} , {"radius":1.0,"__faust":{"ns":"gold.Circle"}}])");
  EXPECT_THAT(shapes, ElementsAre(Shape{Point{1, 2}}, Shape{Circle{1, {}}}));
}
TEST(JsonRead, NullIsTheEmptyAlternativeOfAVariant) {
  EXPECT_EQ((read<std::variant<None, Point>>("null")), (std::variant<None, Point>{}));
}
TEST(JsonRead, AVariantWithAnEmptyAlternativeReadsItsRecords) {
  EXPECT_EQ((read<std::variant<None, Point>>(R"({"x":1,"y":2,"__faust":{"ns":"gold.Point"}})")),
            (std::variant<None, Point>{Point{1, 2}}));
}

TEST(JsonRead, JsonKeepsNumbersDigitForDigit) {
  EXPECT_EQ(read<Json>("[1.10,1e-07,123456789012345678901234567890,-0]").text,
            "[1.10,1e-07,123456789012345678901234567890,-0]");
}
TEST(JsonRead, JsonKeepsNumbersThatNoDoubleHolds) { EXPECT_EQ(read<Json>("[1e400]").text, "[1e400]"); }
TEST(JsonRead, JsonDropsSpaceAndUnneededEscapes) {
  EXPECT_EQ(read<Json>(R"( { "a" : [ 1 , "\u00e9" ] } )").text, "{\"a\":[1,\"\xc3\xa9\"]}");
}
TEST(JsonRead, JsonReadsSingleValues) {
  for (std::string text : {"null", "true", "false", "7", "\"x\""}) EXPECT_EQ(read<Json>(text).text, text);
}

TEST(JsonRead, NestingUpTo64Reads) {
  EXPECT_EQ(read<Json>(std::string(64, '[') + std::string(64, ']')).text.size(), 128U);
}

TEST(JsonRead, ManySmallValuesAfterALargeOneRead) {
  EXPECT_EQ(read<std::string>("\"" + std::string(1 << 20, 'x') + "\"").size(), 1U << 20);
  EXPECT_EQ(read<int>("7"), 7);
}

TEST(JsonRead, ReadingInPlaceTakesOnlyTheGivenText) {
  std::string bytes = R"({"x":1,"y":2}{"x":3,"y":4})" + std::string(kJsonPadding, '#');
  Point point;
  EXPECT_TRUE(json::read_padded(std::string_view{bytes}.substr(0, 13), point));
  EXPECT_EQ(point, (Point{1, 2}));
}

// If they were rounded to a double first, they would become the neighbours of the right floats.
TEST(JsonRead, FloatsAreRoundedOnce) {
  EXPECT_EQ(from_json<float>("7.038531e-26").value(), 7.038531e-26F);
  EXPECT_EQ(from_json<std::vector<float>>("[ -7.038531e-26  ]").value().at(0), -7.038531e-26F);
  EXPECT_EQ(from_json<float>("1e-45").value(), 1e-45F);
  EXPECT_EQ(from_json<float>("1e-60").value(), 0.0F);
}

// simdjson 3.0 of Debian 12 returns 0.1439… for the first one.
TEST(JsonRead, LongFractionsAreExact) {
  EXPECT_EQ(from_json<double>("0.70072631734787010659").value(), 0.70072631734787010659);
  EXPECT_EQ(from_json<double>("-0.094461166116520187874").value(), -0.094461166116520187874);
  // The fast reader refuses two spaces.
  EXPECT_EQ(from_json<std::vector<double>>("[ 0.70072631734787010659  ]").value().at(0), 0.70072631734787010659);
}

}  // namespace
}  // namespace mephisto
