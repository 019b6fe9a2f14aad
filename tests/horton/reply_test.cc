// What a reply of AlphaVantage is: data, or one of four errors.
#include <gmock/gmock.h>

#include "horton/alphavantage.h"

namespace horton {
namespace {

using ::testing::HasSubstr;
using Kind = ApiError::Kind;

// The error that `body` is; kind and message.
std::pair<Kind, std::string> error_of(std::string_view body) {
  try {
    parse_reply(body);
  } catch (const ApiError& error) {
    return {error.kind(), error.what()};
  }
  ADD_FAILURE() << "taken for data: " << body;
  return {};
}

TEST(Reply, WithDataIsTheDataInSnakeCase) {
  auto data = parse_reply(R"({"Symbol": "IBM", "PERatio": "22.5", "DividendDate": "None"})");
  EXPECT_EQ(boost::json::value(data), boost::json::parse(R"({"symbol": "IBM", "pe_ratio": 22.5, "dividend_date": null})"));
}

TEST(Reply, WithANoteIsAQuotaError) {
  auto [kind, message] = error_of(R"({"Note": "Thank you! Our standard API call frequency is 5 calls per minute."})");
  EXPECT_EQ(kind, Kind::kQuota);
  EXPECT_THAT(message, HasSubstr("5 calls per minute"));
}

TEST(Reply, WithAnInformationIsAQuotaError) { EXPECT_EQ(error_of(R"({"Information": "Our standard API rate limit is 25 requests per day."})").first, Kind::kQuota); }

// However long one waits, these are never answered.
TEST(Reply, WithAnInformationThatTheKeyMayNotIsABadCall) {
  EXPECT_EQ(error_of(R"({"Information": "Thank you for using Alpha Vantage! This is a premium endpoint. You may subscribe to any of the premium plans."})").first, Kind::kBadCall);
  EXPECT_EQ(error_of(R"({"Information": "The **demo** API key is for demo purposes only. Please claim your free API key."})").first, Kind::kBadCall);
}

TEST(Reply, KeepsTheKeyToItselfAndTheDataWhole) {
  const std::string notice = "We have detected your API key as demo, and much more than is shown of it, because the text goes on and on until it is cut off somewhere near demo. ";
  try {
    parse_reply(R"({"Information": ")" + notice + notice + R"("})", "demo");
    FAIL() << "taken for data";
  } catch (const ApiError& error) {
    EXPECT_THAT(error.what(), HasSubstr("API key as ***"));
    EXPECT_THAT(error.what(), ::testing::Not(HasSubstr("dem")));
  }
  EXPECT_EQ(parse_reply(R"({"Symbol": "X", "Description": "demographics"})", "demo").at("description"), boost::json::value("demographics"));
}

TEST(Reply, WithAnErrorMessageIsABadCall) {
  auto [kind, message] = error_of(R"({"Error Message": "Invalid API call. Please retry."})");
  EXPECT_EQ(kind, Kind::kBadCall);
  EXPECT_THAT(message, HasSubstr("Invalid API call"));
}

TEST(Reply, WithAnErrorMessageThatIsNoTextIsABadCall) { EXPECT_EQ(error_of(R"({"Error Message": {"code": 1}})").first, Kind::kBadCall); }

TEST(Reply, OfAnEmptyObjectIsAnUnknownSymbol) {
  EXPECT_EQ(error_of("{}").first, Kind::kUnknownSymbol);
  EXPECT_EQ(error_of(" { } \n").first, Kind::kUnknownSymbol);
}

TEST(Reply, OfAnythingElseIsGarbage) {
  for (const char* body : {"", "null", "[]", "17", "\"text\"", "{\"Symbol\": \"IB", "{\"Symbol\": \"IBM\"} and more", "\xff\xfe"})
    EXPECT_EQ(error_of(body).first, Kind::kGarbage) << body;
}

TEST(Reply, OfHtmlIsGarbageThatIsShown) {
  auto [kind, message] = error_of("<html><body><h1>502 Bad Gateway</h1></body></html>");
  EXPECT_EQ(kind, Kind::kGarbage);
  EXPECT_THAT(message, HasSubstr("502 Bad Gateway"));
}

TEST(Reply, OfGarbageIsShownShortened) { EXPECT_LT(error_of(std::string(100'000, 'x')).second.size(), 300U); }

TEST(Reply, MayCarryAnInformationInside) {
  auto data = parse_reply(R"json({"Meta Data": {"1. Information": "Daily Prices", "Information": "x"}, "Time Series (Daily)": {"2018-12-31": {"4. close": "113.67"}}})json");
  EXPECT_EQ(data.at("time_series_daily").at("2018-12-31").at("close"), boost::json::value(113.67));
  EXPECT_EQ(data.at("meta_data").at("information"), boost::json::value("x"));
}

TEST(Reply, MayCarryAFieldCalledInformationAmongOthers) {
  EXPECT_NO_THROW(parse_reply(R"({"Symbol": "IT", "Name": "Gartner", "Sector": "TECHNOLOGY", "Information": "Research and advice"})"));
}

}  // namespace
}  // namespace horton
