// The meaning of AlphaVantage's replies: data, or an error of one of several kinds.
#include <gmock/gmock.h>

#include "horton/alphavantage.h"

namespace horton {
namespace {

using ::testing::HasSubstr;
using Kind = ApiError::Kind;

// The error that `body` stands for: kind and message.
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
  EXPECT_EQ(boost::json::value(data),
            boost::json::parse(R"({"symbol": "IBM", "pe_ratio": 22.5, "dividend_date": null})"));
}

TEST(Reply, WithANoteIsAQuotaError) {
  auto [kind, message] = error_of(R"({"Note": "Thank you! Our standard API call frequency is 5 calls per minute."})");
  EXPECT_EQ(kind, Kind::kQuota);
  EXPECT_THAT(message, HasSubstr("5 calls per minute"));
}

TEST(Reply, WithAnInformationIsAQuotaError) {
  EXPECT_EQ(error_of(R"({"Information": "Our standard API rate limit is 25 requests per day."})").first, Kind::kQuota);
}

struct Notice {
  const char* text;
  Kind kind;
};

class Notices : public ::testing::TestWithParam<Notice> {};

TEST_P(Notices, IsWhatItsWordingSays) {
  for (const char* name : {"Note", "Information"}) {
    auto [kind, message] = error_of(boost::json::serialize(boost::json::object{{name, GetParam().text}}));
    EXPECT_EQ(kind, GetParam().kind) << GetParam().text;
    EXPECT_THAT(message, HasSubstr(std::string{GetParam().text}.substr(0, 40)));
  }
}

INSTANTIATE_TEST_SUITE_P(
    OfAlphaVantage, Notices,
    ::testing::Values(Notice{"Thank you for using Alpha Vantage! Our standard API call frequency is 5 calls per minute "
                             "and 500 calls per day. Please visit https://www.alphavantage.co/premium/ if "
                             "you would like to target a higher API call frequency.",
                             Kind::kQuota},
                      Notice{"We have detected your API key as *** and our standard API rate limit is 25 requests per "
                             "day. Please subscribe to any of the premium plans to instantly remove all "
                             "daily "
                             "rate limits.",
                             Kind::kQuota},
                      Notice{"Please consider spreading out your free API requests more sparingly (1 request per "
                             "second). You may subscribe to any of the premium plans to lift the free key rate "
                             "limit (25 requests per day) and instantly unlock all premium endpoints",
                             Kind::kQuota},
                      Notice{"Please consider optimizing your API call frequency.", Kind::kQuota},
                      Notice{"Thank you for using Alpha Vantage! This is a premium endpoint. You may subscribe to any "
                             "of the premium plans to instantly unlock all premium endpoints",
                             Kind::kPremium},
                      Notice{"The outputsize=full parameter value is a premium feature for the TIME_SERIES_DAILY "
                             "endpoint. You may subscribe to any of the premium plans.",
                             Kind::kPremium},
                      Notice{"Realtime data is only available to premium users.", Kind::kPremium},
                      Notice{"The **demo** API key is for demo purposes only. Please claim your free API key at "
                             "(https://www.alphavantage.co/support/#api-key).",
                             Kind::kKey},
                      Notice{"Your API key has been blocked because it went beyond the rate limit again and again. "
                             "Please contact support@alphavantage.co.",
                             Kind::kKey},
                      Notice{"the parameter apikey is invalid or missing. Please claim your free API key.", Kind::kKey},
                      Notice{"Invalid inputs. Please refer to the API documentation "
                             "https://www.alphavantage.co/documentation#newsapi and try again.",
                             Kind::kBadCall},
                      Notice{"We are moving to a new data centre this weekend.", Kind::kNotice},
                      Notice{"Thank you for using Alpha Vantage!", Kind::kNotice}, Notice{"", Kind::kNotice}));

TEST(Reply, WithAnErrorMessageAboutTheKeySaysSo) {
  EXPECT_EQ(
      error_of(R"({"Error Message": "the parameter apikey is invalid or missing. Please claim your free API key."})")
          .first,
      Kind::kKey);
}

// A refused request is not repeated, because each request uses up one of the day's 25.
TEST(Reply, ThatRefusesIsNotRequestedAgain) {
  for (auto kind : {Kind::kPremium, Kind::kKey, Kind::kBadCall}) {
    const ApiError error{kind, "no"};
    EXPECT_EQ(static_cast<const mephisto::Failure&>(error).kind(), mephisto::ErrorKind::kInvalid);
  }
}

TEST(Reply, MayBeginWithAByteOrderMark) {
  EXPECT_EQ(parse_reply("\xef\xbb\xbf {\"Symbol\": \"IBM\"}").at("symbol"), boost::json::value("IBM"));
}

TEST(Reply, KeepsTheKeyToItselfAndTheDataWhole) {
  const std::string notice =
      "We have detected your API key as demo, and much more than is shown of it, because the text goes on and on until "
      "it is cut off somewhere near demo. ";
  try {
    parse_reply(R"({"Information": ")" + notice + notice + R"("})", "demo");
    FAIL() << "taken for data";
  } catch (const ApiError& error) {
    EXPECT_THAT(error.what(), HasSubstr("API key as ***"));
    EXPECT_THAT(error.what(), ::testing::Not(HasSubstr("dem")));
  }
  EXPECT_EQ(parse_reply(R"({"Symbol": "X", "Description": "demographics"})", "demo").at("description"),
            boost::json::value("demographics"));
}

TEST(Reply, WithAnErrorMessageIsABadCall) {
  auto [kind, message] = error_of(R"({"Error Message": "Invalid API call. Please retry."})");
  EXPECT_EQ(kind, Kind::kBadCall);
  EXPECT_THAT(message, HasSubstr("Invalid API call"));
}

TEST(Reply, WithAnErrorMessageThatIsNoTextIsABadCall) {
  EXPECT_EQ(error_of(R"({"Error Message": {"code": 1}})").first, Kind::kBadCall);
}

TEST(Reply, OfAnEmptyObjectIsAnUnknownSymbol) {
  EXPECT_EQ(error_of("{}").first, Kind::kUnknownSymbol);
  EXPECT_EQ(error_of(" { } \n").first, Kind::kUnknownSymbol);
}

TEST(Reply, OfAnythingElseIsGarbage) {
  for (const char* body :
       {"", "null", "[]", "17", "\"text\"", "{\"Symbol\": \"IB", "{\"Symbol\": \"IBM\"} and more", "\xff\xfe"})
    EXPECT_EQ(error_of(body).first, Kind::kGarbage) << body;
}

TEST(Reply, OfHtmlIsGarbageThatIsShown) {
  auto [kind, message] = error_of("<html><body><h1>502 Bad Gateway</h1></body></html>");
  EXPECT_EQ(kind, Kind::kGarbage);
  EXPECT_THAT(message, HasSubstr("502 Bad Gateway"));
}

TEST(Reply, OfGarbageIsShownShortened) { EXPECT_LT(error_of(std::string(100'000, 'x')).second.size(), 300U); }

TEST(Reply, MayCarryAnInformationInside) {
  auto data = parse_reply(
      R"json({"Meta Data": {"1. Information": "Daily Prices", "Information": "x"}, "Time Series (Daily)": {"2018-12-31": {"4. close": "113.67"}}})json");
  EXPECT_EQ(data.at("time_series_daily").at("2018-12-31").at("close"), boost::json::value(113.67));
  EXPECT_EQ(data.at("meta_data").at("information"), boost::json::value("Daily Prices"));
  EXPECT_EQ(data.at("meta_data").at("information_2"), boost::json::value("x"));
}

TEST(Reply, MayCarryAFieldCalledInformationAmongOthers) {
  EXPECT_NO_THROW(parse_reply(
      R"({"Symbol": "IT", "Name": "Gartner", "Sector": "TECHNOLOGY", "Information": "Research and advice"})"));
}

}  // namespace
}  // namespace horton
