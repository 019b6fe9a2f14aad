// JSON to BSON and back, and BSON that other programs may have stored.
#include "horton/bson.h"

#include <gmock/gmock.h>

#include "mephisto/error.h"

namespace horton {
namespace {

namespace json = boost::json;

json::object object(std::string_view text) { return json::parse(text).as_object(); }

class KeptByBson : public ::testing::TestWithParam<const char*> {};

TEST_P(KeptByBson, ComesBackAsItWas) {
  EXPECT_EQ(json::value(from_bson(*to_bson(object(GetParam())))), json::value(object(GetParam())));
}

INSTANTIATE_TEST_SUITE_P(
    All, KeptByBson,
    ::testing::Values("{}", R"({"a": null, "b": true, "c": false})",
                      R"({"n": [0, -1, 2147483648, 9223372036854775807, -9223372036854775808]})",
                      R"({"n": [0.1, -0.5, 1e300, 1.0]})",
                      R"({"t": ["", "é", "a\u0000b", "2026-11-24T20:30:00Z", "\ud83d\ude00"]})",
                      R"({"o": {"a": {"b": [[], {}, [1, [2]]]}}, "52_week_high": 1.5, "größe": 1, "": 0, "a b": 2})"));

TEST(Bson, KeepsWholeNumbersWholeAndOthersNot) {
  const auto back = from_bson(*to_bson(object(R"({"whole": 5, "decimal": 5.0})")));
  EXPECT_TRUE(back.at("whole").is_int64());
  EXPECT_TRUE(back.at("decimal").is_double());
}

TEST(Bson, MakesFloatingPointOfWholeNumbersThatItDoesNotHave) {
  EXPECT_EQ(from_bson(*to_bson(object(R"({"n": 18446744073709551615})"))).at("n"), json::value(18446744073709551615.0));
}

TEST(Bson, KeepsTheOrderOfFields) {
  const auto back = from_bson(*to_bson(object(R"({"b": 1, "a": 2, "c": 3})")));
  EXPECT_EQ(json::serialize(back), R"({"b":1,"a":2,"c":3})");
}

void expect_refusal(const json::object& object, const char* says) {
  try {
    to_bson(object);
    ADD_FAILURE() << "taken, not refused for " << says;
  } catch (const mephisto::Failure& failure) {
    EXPECT_EQ(failure.kind(), mephisto::ErrorKind::kInvalid);
    EXPECT_THAT(failure.what(), ::testing::HasSubstr(says));
  }
}

TEST(Bson, RefusesTextAndNamesThatAreNotUtf8) {
  expect_refusal({{"name", "Nestl\xe9"}}, "UTF-8");
  expect_refusal({{"Nestl\xe9", 1}}, "UTF-8");
}

TEST(Bson, RefusesANameWithAZeroByte) { expect_refusal({{std::string_view{"a\0b", 3}, 1}}, "zero byte"); }

// Values that documents of other programs may have.
TEST(Bson, ShowsTypesThatJsonLacks) {
  const Bson bson{bson_new()};
  bson_oid_t id;
  bson_oid_init_from_string(&id, "65a1b2c3d4e5f60718293a4b");
  BSON_APPEND_OID(bson.get(), "_id", &id);
  BSON_APPEND_DATE_TIME(bson.get(), "date", 1'000'000'000'123);
  BSON_APPEND_INT32(bson.get(), "small", -7);
  bson_decimal128_t decimal;
  bson_decimal128_from_string("12.5", &decimal);
  BSON_APPEND_DECIMAL128(bson.get(), "decimal", &decimal);
  BSON_APPEND_DOUBLE(bson.get(), "nothing", std::numeric_limits<double>::quiet_NaN());
  BSON_APPEND_REGEX(bson.get(), "regex", "^a", "i");
  EXPECT_EQ(
      json::value(from_bson(*bson)),
      json::parse(
          R"({"_id": "65a1b2c3d4e5f60718293a4b", "date": "2001-09-09T01:46:40.123000Z", "small": -7, "decimal": 12.5, "nothing": null,
      "regex": {"$regularExpression": {"pattern": "^a", "options": "i"}}})"));
}

}  // namespace
}  // namespace horton
