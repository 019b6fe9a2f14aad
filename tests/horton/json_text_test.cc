// JSON with numbers in the usual notation.
#include "horton/json_text.h"

#include <gtest/gtest.h>

namespace horton {
namespace {

namespace json = boost::json;

std::string text_of(double number) { return json_text(json::value(number)); }

TEST(JsonText, WritesNumbersAsPeopleDo) {
  EXPECT_EQ(text_of(101.52), "101.52");
  EXPECT_EQ(text_of(-0.0), "-0");
  EXPECT_EQ(text_of(6), "6");
  EXPECT_EQ(text_of(-2.5), "-2.5");
  EXPECT_EQ(text_of(0.0000125), "0.0000125");
  EXPECT_EQ(text_of(1e20), "100000000000000000000");
  EXPECT_EQ(text_of(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(json_text(json::value(2877482139000)), "2877482139000");
}

TEST(JsonText, WritesOnlyZerosShort) {
  EXPECT_EQ(text_of(1e300), "1e+300");
  EXPECT_EQ(text_of(5e-324), "5e-324");
}

TEST(JsonText, IsReadBackAsTheSame) {
  const auto value = json::parse(
      R"({"a": [], "b": {}, "c": [1, [2.5, {"{": "["}], null, true], "d\"e": "\u001b\n", "f": 1.0152E2, "g": "007", "h": {"i": {}, "j": [[]]}})");
  EXPECT_EQ(json::parse(json_text(value)), value);
  EXPECT_EQ(json_text(json::parse(R"(["007", "1.5", 1.5])")), R"(["007","1.5",1.5])");
}

}  // namespace
}  // namespace horton
