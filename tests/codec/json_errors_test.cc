// The errors for wrong JSON text: where it is wrong, and what was found there.
#include <gtest/gtest.h>

#include <array>

#include "mephisto/codec/json_read.h"

namespace mephisto {
namespace {

struct Price {
  double amount = 0;
  std::string currency;
};
struct Item {
  Price price;
  int count = 0;
};
struct Order {
  std::vector<Item> items;
  std::map<std::string, Price> extras;
};
struct Node {
  std::vector<Node> children;
};
struct Text {
  std::string text;
};
struct Point {
  static constexpr std::string_view kNamespace = "gold.Point";
  int x = 0;
  int y;
};
struct Circle {
  static constexpr std::string_view kNamespace = "gold.Circle";
  double radius = 0;
};
using Shape = std::variant<Point, Circle>;
struct Drawing {
  Shape shape;
};
enum class Side { buy, sell };

// The message of the error that reading `text` returns.
template <class T>
std::string message(std::string_view text) {
  auto value = from_json<T>(text);
  return value ? "no error" : value.error().message;
}

TEST(JsonErrors, AreOfTheKindDecode) { EXPECT_EQ(from_json<int>("x").error().kind, ErrorKind::kDecode); }

TEST(JsonErrors, AWrongTypeSaysWhereAndWhatWasFound) {
  EXPECT_EQ(message<Item>(R"({"price":{"amount":"12,5","currency":"EUR"},"count":1})"),
            R"(price.amount: expected a number, found "12,5")");
}

TEST(JsonErrors, AMissingFieldIsNamed) {
  EXPECT_EQ(message<Item>(R"({"price":{"amount":1}})"),
            "price.currency: the field is missing, and it has no initial value to take instead");
}
TEST(JsonErrors, TheFirstOfSeveralMissingFieldsIsNamed) {
  EXPECT_EQ(message<Item>("{}"), "price: the field is missing, and it has no initial value to take instead");
}
TEST(JsonErrors, ANullForARequiredFieldIsAWrongType) {
  EXPECT_EQ(message<Text>(R"({"text":null})"), "text: expected a string, found null");
}

TEST(JsonErrors, EveryTypeSaysWhatItExpected) {
  EXPECT_EQ(message<bool>("1"), "expected true or false, found 1");
  EXPECT_EQ(message<int>("\"1\""), R"(expected a whole number, found "1")");
  EXPECT_EQ(message<unsigned>("true"), "expected a whole number from 0, found true");
  EXPECT_EQ(message<double>("null"), "expected a number, found null");
  EXPECT_EQ(message<std::string>("7"), "expected a string, found 7");
  EXPECT_EQ(message<Price>("7"), "expected an object, found 7");
  EXPECT_EQ(message<std::vector<int>>("7"), "expected an array, found 7");
  EXPECT_EQ((message<std::map<std::string, int>>("7")), "expected an object, found 7");
  EXPECT_EQ(message<Shape>("7"), "expected an object, found 7");
  EXPECT_EQ(message<Decimal>("true"), "expected a decimal number, found true");
  EXPECT_EQ(message<Uuid>("7"), "expected a UUID, found 7");
  EXPECT_EQ(message<Microtime>("7"), "expected a time, found 7");
  EXPECT_EQ(message<Side>("7"), "expected a name, found 7");
  EXPECT_EQ(message<Bytes>("7"), "expected a string, found 7");
}

TEST(JsonErrors, AnObjectOrArrayInTheWrongPlaceIsCalledThat) {
  EXPECT_EQ(message<int>(R"({"a":1})"), "expected a whole number, found an object");
  EXPECT_EQ(message<Text>(R"({"text":[1,2]})"), "text: expected a string, found an array");
}

TEST(JsonErrors, AFractionIsNoWholeNumber) { EXPECT_EQ(message<int>("1.5"), "expected a whole number, found 1.5"); }
TEST(JsonErrors, ANegativeNumberIsNoNumberFromZero) {
  EXPECT_EQ(message<unsigned>("-1"), "expected a whole number from 0, found -1");
}

TEST(JsonErrors, NumbersThatDoNotFitNameTheLimits) {
  EXPECT_EQ(message<std::int8_t>("128"), "128 does not fit: the number must be from -128 to 127");
  EXPECT_EQ(message<std::int8_t>("-129"), "-129 does not fit: the number must be from -128 to 127");
  EXPECT_EQ(message<std::uint8_t>("256"), "256 is too large: the number must be at most 255");
  EXPECT_EQ(message<std::int16_t>("32768"), "32768 does not fit: the number must be from -32768 to 32767");
  EXPECT_EQ(message<std::uint16_t>("65536"), "65536 is too large: the number must be at most 65535");
  EXPECT_EQ(message<std::int32_t>("2147483648"),
            "2147483648 does not fit: the number must be from -2147483648 to 2147483647");
  EXPECT_EQ(message<std::uint32_t>("4294967296"), "4294967296 is too large: the number must be at most 4294967295");
}

TEST(JsonErrors, NumbersBeyond64BitsAreRefused) {
  EXPECT_NE(message<std::int64_t>("9223372036854775808"), "no error");
  EXPECT_NE(message<std::int64_t>("-9223372036854775809"), "no error");
  EXPECT_NE(message<std::uint64_t>("18446744073709551616"), "no error");
}

TEST(JsonErrors, NumbersBeyond64BitsAreNotCalledNoWholeNumbers) {
  EXPECT_NE(message<std::int64_t>("9223372036854775808"), "expected a whole number, found 9223372036854775808");
}

TEST(JsonErrors, ANumberTooLargeForAFloatIsRefused) { EXPECT_NE(message<float>("1e300"), "no error"); }
TEST(JsonErrors, ANumberTooLargeForADoubleIsRefused) {
  EXPECT_EQ(message<double>("1e400"), "expected a number, found 1e400");
}
TEST(JsonErrors, LongInputIsCutInMessages) {
  EXPECT_LT(message<int>("\"" + std::string(1000, 'x') + "\"").size(), 120U);
}

TEST(JsonErrors, AFieldGivenTwiceIsNamed) {
  EXPECT_EQ(message<Text>(R"({"text":"a","text":"b"})"), "text: the name is there twice, and may be there once");
}
TEST(JsonErrors, AFieldGivenTwiceIsFoundUnderItsEscapedNameToo) {
  EXPECT_EQ(message<Text>(R"({"text":"a","t\u0065xt":"b"})"), "text: the name is there twice, and may be there once");
}
TEST(JsonErrors, AMapKeyGivenTwiceIsNamed) {
  EXPECT_EQ((message<std::map<std::string, int>>(R"({"a":1,"b":2,"a":3})")),
            "a: the name is there twice, and may be there once");
}

TEST(JsonErrors, TheElementOfAnArrayIsNamedByItsIndex) {
  EXPECT_EQ(message<Order>(
                R"({"items":[{"price":{"amount":1,"currency":""},"count":1},{"price":{"amount":true}}],"extras":{}})"),
            "items[1].price.amount: expected a number, found true");
}
TEST(JsonErrors, TheElementOfAnArrayInAnArrayIsNamedByBothIndices) {
  EXPECT_EQ(message<std::vector<std::vector<int>>>("[[1],[2,3,null]]"), "[1][2]: expected a whole number, found null");
}
TEST(JsonErrors, TheEntryOfAMapIsNamedByItsKey) {
  EXPECT_EQ(message<Order>(R"({"items":[],"extras":{"tax":{"amount":1,"currency":"EUR"},"toll":{"amount":1}}})"),
            "extras.toll.currency: the field is missing, and it has no initial value to take instead");
}
TEST(JsonErrors, AKeyThatIsNoNumberIsNamed) {
  EXPECT_EQ((message<std::map<int, int>>(R"({"a":1})")), "a: the key is not a whole number that fits");
}
TEST(JsonErrors, AKeyThatDoesNotFitIsNamed) {
  EXPECT_EQ((message<std::map<std::int8_t, int>>(R"({"128":1})")), "128: the key is not a whole number that fits");
}
TEST(JsonErrors, AKeyThatIsNoUuidIsNamed) {
  EXPECT_EQ((message<std::map<Uuid, int>>(R"({"x":1})")), "x: the key is not a UUID");
}
TEST(JsonErrors, AKeyThatIsNoEnumeratorIsNamed) {
  EXPECT_EQ((message<std::map<Side, int>>(R"({"hold":1})")), "hold: the enum has no such name");
}

TEST(JsonErrors, AnUnknownEnumeratorIsShownWithThoseThereAre) {
  EXPECT_EQ(message<Side>(R"("hold")"), R"(expected one of buy, sell, found "hold")");
}
TEST(JsonErrors, AnUnknownNamespaceOfAVariantIsShown) {
  EXPECT_EQ(message<Shape>(R"({"x":1,"__faust":{"ns":"gold.Square"}})"),
            R"(expected a record of type gold.Point, gold.Circle (in __faust.ns), found "gold.Square")");
}
TEST(JsonErrors, AVariantWithoutANamespaceIsReported) {
  EXPECT_EQ(message<Shape>(R"({"x":1,"y":2})"), "the object has no __faust.ns, which must name the type of the record");
}
TEST(JsonErrors, TheFieldOfAVariantsRecordIsNamed) {
  EXPECT_EQ(message<Shape>(R"({"x":1,"__faust":{"ns":"gold.Point"}})"),
            "y: the field is missing, and it has no initial value to take instead");
}
TEST(JsonErrors, ThePathGoesThroughAVariant) {
  EXPECT_EQ(message<Drawing>(R"({"shape":{"radius":"wide","__faust":{"ns":"gold.Circle"}}})"),
            R"(shape.radius: expected a number, found "wide")");
}

TEST(JsonErrors, ATextThatIsNoUuidIsShown) { EXPECT_EQ(message<Uuid>(R"("xyz")"), R"(expected a UUID, found "xyz")"); }
TEST(JsonErrors, ATextThatIsNoTimeIsShown) {
  EXPECT_EQ(message<Microtime>(R"("noon")"), R"(expected an ISO 8601 time, found "noon")");
}
TEST(JsonErrors, ATextThatIsNoDecimalIsShown) {
  EXPECT_EQ(message<Decimal>(R"("1,5")"), R"(expected a decimal number, found "1,5")");
}
TEST(JsonErrors, ControlCharactersOfTheInputAreMadeVisible) {
  EXPECT_EQ(message<Uuid>(R"("\u001b[2J")"), R"(expected a UUID, found "\x1b[2J")");
}

TEST(JsonErrors, AFixedArrayThatIsTooLongIsReported) {
  EXPECT_EQ((message<std::array<int, 2>>("[1,2,3]")), "expected an array of 2, found one of more than 2");
}
TEST(JsonErrors, AFixedArrayThatIsTooShortIsReported) {
  EXPECT_EQ((message<std::array<int, 2>>("[1]")), "expected an array of 2, found one of 1");
}

TEST(JsonErrors, APairOfAnotherSizeIsReported) {
  EXPECT_EQ((message<std::pair<int, int>>("[1,2,3]")), "expected an array of 2, found one of more than 2");
  EXPECT_EQ((message<std::pair<int, int>>("[1]")), "expected an array of 2, found one of 1");
  EXPECT_EQ((message<std::pair<int, int>>("[1,true]")), "[1]: expected a whole number, found true");
  EXPECT_EQ((message<std::pair<int, int>>("7")), "expected an array, found 7");
}
TEST(JsonErrors, ADurationThatDoesNotFitIsReported) {
  EXPECT_NE(message<std::chrono::nanoseconds>("1e10"), "no error");
  EXPECT_EQ(message<std::chrono::seconds>("true"), "expected a number, found true");
}
TEST(JsonErrors, ATimeThatDoesNotFitIsReported) {
  EXPECT_EQ(message<std::chrono::sys_time<std::chrono::nanoseconds>>(R"("9999-01-01")"),
            R"(the time "9999-01-01" does not fit into the type of the field)");
}

TEST(JsonErrors, JsonHasNoNaN) {
  for (auto text : {"[NaN]", "NaN", "[-Infinity]", R"({"a":Infinity})"})
    EXPECT_NE(message<Json>(text), "no error") << text;
}

TEST(JsonErrors, EmptyInputIsReported) { EXPECT_EQ(message<Price>(""), "the text is empty, but JSON is expected"); }
TEST(JsonErrors, BlankInputIsReported) { EXPECT_EQ(message<Price>(" \n"), "the text is empty, but JSON is expected"); }
TEST(JsonErrors, BadUtf8IsReportedWithItsPlace) {
  const auto bad = [](int byte) {
    return "the text is not valid UTF-8 (byte " + std::to_string(byte) + "): its sender must encode it as UTF-8";
  };
  EXPECT_EQ(message<Text>("{\"text\":\"\xff\"}"), bad(10));
  EXPECT_EQ(message<Text>("{\"text\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\xc3\"}"), bad(19));
  EXPECT_EQ(message<Text>("{\"text\":\"\xed\xa0\x80\"}"), bad(10));
  EXPECT_EQ(message<Text>("{\"text\":\"\",\"other\":\"\xc3\"}"), bad(21)) << "in a field that is skipped";
}
TEST(JsonErrors, AnUnclosedStringIsReported) {
  EXPECT_EQ(message<Text>(R"({"text":"a)"), "the JSON is broken: a string is not closed");
}
TEST(JsonErrors, AnUnclosedObjectIsReported) {
  EXPECT_EQ(message<Text>(R"({"text":"a")"), "the JSON is broken: an array or object is not closed");
}
TEST(JsonErrors, AnUnclosedArrayIsReported) {
  EXPECT_EQ(message<std::vector<int>>("[1,2"), "the JSON is broken: an array or object is not closed");
}
TEST(JsonErrors, AControlCharacterInAStringIsReported) {
  EXPECT_EQ(message<Text>("{\"text\":\"a\nb\"}"),
            "the JSON is broken: a string has a control character that is not escaped");
}
TEST(JsonErrors, ABadEscapeIsReported) {
  EXPECT_EQ(message<Text>(R"({"text":"\q"})"),
            "text: the JSON is broken: a string has an escape that JSON does not have");
}
TEST(JsonErrors, ALoneSurrogateIsReported) {
  EXPECT_EQ(message<Text>(R"({"text":"\ud800"})"),
            "text: the JSON is broken: a string has an escape that JSON does not have");
}
TEST(JsonErrors, ABrokenValueOfAnUnknownFieldIsRefused) {
  for (auto other : {"1.5.5", "tru", "[1 2]", R"({"a" 1})", R"({"a":[1})", R"(",a":1])", R"("\q")", "01", "[1,]"}) {
    EXPECT_NE(message<Text>(std::string{R"({"other":)"} + other + R"(,"text":"a"})"), "no error") << other;
    EXPECT_NE(message<Text>(std::string{R"({"\u006fther":)"} + other + R"(,"text":"a"})"), "no error") << other;
  }
}
TEST(JsonErrors, BrokenPunctuationIsRefused) {
  for (auto text : {R"({"text":"a",})", R"({"text" "a"})", R"({"text":})", R"({text:"a"})", R"({"text":"a" "b":1})",
                    R"({,"text":"a"})", "{", "}"}) {
    EXPECT_NE(message<Text>(text), "no error") << text;
  }
}
TEST(JsonErrors, BrokenListsAreRefused) {
  for (auto text : {"[1,]", "[1 2]", "[,1]", "[", "]", "[1,2}", "[1]]", "[1],", "[01]", "[+1]", "[1.]"})
    EXPECT_NE(message<std::vector<int>>(text), "no error") << text;
}
TEST(JsonErrors, WordsThatAreNoValuesAreRefused) {
  for (auto text : {"nul", "nulll", "True", "tru", "none", "[1,nan]"})
    EXPECT_NE(message<Json>(text), "no error") << text;
}

TEST(JsonErrors, AValueAfterAnObjectIsReported) {
  EXPECT_EQ(message<Text>(R"({"text":"a"} x)"), "the JSON is broken: more text follows after the value");
}
TEST(JsonErrors, ASecondObjectIsReported) {
  EXPECT_EQ(message<Text>(R"({"text":"a"}{"text":"b"})"), "the JSON is broken: more text follows after the value");
}
TEST(JsonErrors, AValueAfterANumberIsReported) {
  EXPECT_EQ(message<int>("3 4"), "the JSON is broken: more text follows after the value");
}
TEST(JsonErrors, ANullByteAfterTheValueIsRefused) {
  EXPECT_NE(message<Text>(std::string_view{"{\"text\":\"a\"}\0", 13}), "no error");
}

TEST(JsonErrors, ListsNestedDeeperThan64AreRefused) {
  EXPECT_EQ(message<Json>(std::string(65, '[') + std::string(65, ']')),
            "the value is nested too deep: at most 64 objects and lists in each other");
}
TEST(JsonErrors, ObjectsNestedDeeperThan64AreRefused) {
  std::string text = "1";
  for (int i = 0; i < 65; ++i) text = R"({"a":)" + text + "}";
  EXPECT_EQ(message<Json>(text), "the value is nested too deep: at most 64 objects and lists in each other");
}
TEST(JsonErrors, RecordsNestedDeeperThan64AreRefused) {
  std::string text = R"({"children":[]})";
  for (int i = 0; i < 40; ++i) text = R"({"children":[)" + text + "]}";
  EXPECT_TRUE(
      message<Node>(text).ends_with(": the value is nested too deep: at most 64 objects and lists in each other"))
      << message<Node>(text);
}
TEST(JsonErrors, AHundredThousandOpenBracketsAreRefused) {
  EXPECT_NE(message<Json>(std::string(100'000, '[')), "no error");
}

}  // namespace
}  // namespace mephisto
