// The client against a server in this process.
#include <gmock/gmock.h>

#include <functional>

#include "horton/alphavantage.h"

namespace horton {
namespace {

using namespace std::chrono_literals;
using mephisto::HttpReply;
using mephisto::HttpRequest;
using mephisto::Loop;
using mephisto::Task;
using ::testing::HasSubstr;
using ::testing::Not;
using Kind = ApiError::Kind;

const std::string kKey = "s3cret KEY/+&=";

HttpReply reply(std::string body, int status = 200, bool cut = false) {
  HttpReply one;
  one.body = std::move(body);
  one.status = status;
  one.cut = cut;
  return one;
}

// A service whose replies a test chooses; it repeats the last one.
class AlphaVantageTest : public ::testing::Test {
 protected:
  // Runs `body(client)` while the service answers.
  template <class Body>
  void with(std::vector<HttpReply> replies, Body body) {
    Loop loop;
    mephisto::HttpServer server{loop,
                                [&](HttpRequest request) -> Task<HttpReply> {
                                  asked.push_back(request);
                                  co_return replies[std::min(asked.size(), replies.size()) - 1];
                                },
                                0};
    mephisto::HttpOptions options;
    options.first_backoff = 1ms;
    options.last_backoff = 2ms;
    options.deadline = 5s;
    options.retries = 3;
    loop.run([](Loop& on, mephisto::HttpServer& service, mephisto::HttpOptions http, Body& act) -> Task<void> {
      auto serving = on.spawn("service", service.run());
      std::exception_ptr error;
      {
        AlphaVantage client{{parse_endpoint("http://127.0.0.1:" + std::to_string(service.port())).value(), kKey}, http};
        try {
          co_await act(client);
        } catch (...) {
          error = std::current_exception();
        }
      }
      serving.cancel();
      co_await serving.finished();
      if (error) std::rethrow_exception(error);
    }(loop, server, options, body));
  }

  // The error of IBM's overview when the service replies like this.
  std::pair<Kind, std::string> error_of(std::vector<HttpReply> replies) {
    std::pair<Kind, std::string> found{};
    with(std::move(replies), [&](AlphaVantage& client) -> Task<void> {
      try {
        co_await client.security_overview("IBM");
        ADD_FAILURE() << "taken for data";
      } catch (const ApiError& error) {
        found = {error.kind(), error.what()};
      }
    });
    return found;
  }

  std::vector<HttpRequest> asked;
};

const char* const kOverview = R"({"Symbol": "IBM", "Name": "International Business Machines", "PERatio": "22.5"})";

TEST_F(AlphaVantageTest, AsksForAnOverviewWithAllParameters) {
  with({reply(kOverview)}, [&](AlphaVantage& client) -> Task<void> {
    EXPECT_EQ((co_await client.security_overview("IBM")).at("pe_ratio"), boost::json::value(22.5));
  });
  ASSERT_EQ(asked.size(), 1U);
  EXPECT_EQ(asked[0].path, "/query/");
  EXPECT_EQ(asked[0].query, (std::map<std::string, std::string>{
                                {"function", "OVERVIEW"}, {"symbol", "IBM"}, {"datatype", "json"}, {"apikey", kKey}}));
}

TEST_F(AlphaVantageTest, EncodesWhatMayNotStandInAUrl) {
  with({reply(R"({"Symbol": "B&R #1"})")},
       [&](AlphaVantage& client) -> Task<void> { co_await client.security_overview("B&R #1"); });
  EXPECT_EQ(asked.at(0).query.at("symbol"), "B&R #1");
}

TEST_F(AlphaVantageTest, ListsSecuritiesOfAState) {
  with({reply("symbol,name,exchange\r\nA,\"Agilent, Inc.\",NYSE\r\n")}, [&](AlphaVantage& client) -> Task<void> {
    auto rows = co_await client.securities("delisted");
    EXPECT_EQ(rows.size(), 1U);
    EXPECT_EQ(rows.at(0).at("_type"), boost::json::value("physical"));
  });
  EXPECT_EQ(asked.at(0).query.at("function"), "LISTING_STATUS");
  EXPECT_EQ(asked.at(0).query.at("state"), "delisted");
}

TEST_F(AlphaVantageTest, AsksForTheWholeHistory) {
  with(
      {reply(
          R"json({"Meta Data": {"1. Information": "Daily"}, "Time Series (Daily)": {"2018-12-31": {"4. close": "113.67"}}})json")},
      [&](AlphaVantage& client) -> Task<void> {
        auto data = co_await client.historical_data("IBM");
        EXPECT_EQ(data.at("time_series_daily").at("2018-12-31").at("close"), boost::json::value(113.67));
      });
  EXPECT_EQ(asked.at(0).query.at("function"), "TIME_SERIES_DAILY_ADJUSTED");
  EXPECT_EQ(asked.at(0).query.at("outputsize"), "full");
}

TEST_F(AlphaVantageTest, AsksForTheLastPrice) {
  with({reply(R"({"Global Quote": {"01. symbol": "IBM", "05. price": "113.67"}})")},
       [&](AlphaVantage& client) -> Task<void> {
         EXPECT_EQ((co_await client.last_price_data("IBM")).at("global_quote").at("price"), boost::json::value(113.67));
       });
  EXPECT_EQ(asked.at(0).query.at("function"), "GLOBAL_QUOTE");
}

TEST_F(AlphaVantageTest, AsksForAnIndicatorWithItsOptions) {
  with({reply(R"({"Meta Data": {"1: Symbol": "IBM"}})")}, [&](AlphaVantage& client) -> Task<void> {
    std::map<std::string, std::string> options{{"interval", "weekly"}, {"time_period", "10"}};
    co_await client.indicator_data("IBM", "SMA", options);
  });
  EXPECT_EQ(asked.at(0).query.at("function"), "SMA");
  EXPECT_EQ(asked.at(0).query.at("interval"), "weekly");
  EXPECT_EQ(asked.at(0).query.at("time_period"), "10");
}

TEST_F(AlphaVantageTest, TriesAgainAfterAStatus500) {
  with({reply("oops", 500), reply("oops", 503), reply(kOverview)}, [&](AlphaVantage& client) -> Task<void> {
    EXPECT_EQ((co_await client.security_overview("IBM")).at("symbol"), boost::json::value("IBM"));
    EXPECT_EQ(client.retried(), 2U);
  });
}

TEST_F(AlphaVantageTest, TriesAgainAfterACutAnswer) {
  with({reply(kOverview, 200, true), reply(kOverview)}, [&](AlphaVantage& client) -> Task<void> {
    EXPECT_EQ((co_await client.security_overview("IBM")).at("symbol"), boost::json::value("IBM"));
    EXPECT_EQ(client.retried(), 1U);
  });
}

TEST_F(AlphaVantageTest, GivesUpWhenTheServiceStaysBroken) {
  auto [kind, message] = error_of({reply("oops", 500)});
  EXPECT_EQ(kind, Kind::kOutOfOrder);
  EXPECT_THAT(message, HasSubstr("500"));
  EXPECT_EQ(asked.size(), 4U);
}

TEST_F(AlphaVantageTest, TakesAQuotaNoticeForAQuotaErrorAtOnce) {
  EXPECT_EQ(error_of({reply(R"({"Information": "Our standard API rate limit is 25 requests per day."})")}).first,
            Kind::kQuota);
  EXPECT_EQ(asked.size(), 1U);
}

TEST_F(AlphaVantageTest, TakesStatus429ForAQuotaError) {
  EXPECT_EQ(error_of({reply("slow down", 429)}).first, Kind::kQuota);
}

TEST_F(AlphaVantageTest, TakesTheOverviewOfAnotherSymbolForGarbage) {
  auto [kind, message] = error_of({reply(R"({"Symbol": "MSFT", "Name": "Microsoft"})")});
  EXPECT_EQ(kind, Kind::kGarbage);
  EXPECT_THAT(message, HasSubstr("MSFT"));
}

TEST_F(AlphaVantageTest, KnowsASymbolInSmallLetters) {
  with({reply(R"({"Symbol": "ibm"})")}, [&](AlphaVantage& client) -> Task<void> {
    EXPECT_EQ((co_await client.security_overview("IBM")).at("symbol"), boost::json::value("ibm"));
  });
}

TEST_F(AlphaVantageTest, TakesRepliesWithoutTheirDataForGarbage) {
  with({reply(R"({"detail": "something else", "a": 1, "b": 2})")}, [&](AlphaVantage& client) -> Task<void> {
    int refused = 0;
    auto garbage = [&](auto task) -> Task<void> {
      try {
        co_await std::move(task);
      } catch (const ApiError& error) {
        refused += error.kind() == Kind::kGarbage ? 1 : 0;
      }
    };
    co_await garbage(client.historical_data("IBM"));
    co_await garbage(client.last_price_data("IBM"));
    co_await garbage(client.indicator_data("IBM", "SMA"));
    EXPECT_EQ(refused, 3);
  });
}

TEST_F(AlphaVantageTest, KnowsWhatAStatusMeans) {
  const std::pair<int, Kind> kinds[] = {{500, Kind::kOutOfOrder}, {502, Kind::kOutOfOrder}, {503, Kind::kOutOfOrder},
                                        {504, Kind::kOutOfOrder}, {599, Kind::kOutOfOrder}, {408, Kind::kOutOfOrder},
                                        {429, Kind::kQuota},      {401, Kind::kKey},        {403, Kind::kKey},
                                        {400, Kind::kBadCall},    {404, Kind::kBadCall},    {204, Kind::kGarbage}};
  for (auto [status, kind] : kinds) {
    asked.clear();
    EXPECT_EQ(error_of({reply("oops", status)}).first, kind) << status;
  }
  EXPECT_EQ(error_of({reply(R"({"Information": "This is a premium endpoint."})", 403)}).first, Kind::kPremium);
}

TEST_F(AlphaVantageTest, DistinguishesErrorMessagesUnknownSymbolsAndGarbage) {
  EXPECT_EQ(error_of({reply(R"({"Error Message": "Invalid API call."})")}).first, Kind::kBadCall);
  asked.clear();
  EXPECT_EQ(error_of({reply("{}")}).first, Kind::kUnknownSymbol);
  asked.clear();
  EXPECT_EQ(error_of({reply("<html>")}).first, Kind::kGarbage);
}

TEST_F(AlphaVantageTest, TakesAnOverviewWithoutSymbolForGarbage) {
  EXPECT_EQ(error_of({reply(R"({"Name": "IBM", "Sector": "X", "Country": "USA"})")}).first, Kind::kGarbage);
}

TEST_F(AlphaVantageTest, TakesAQuotaNoticeInsteadOfTheListingForAQuotaError) {
  with({reply(R"({"Information": "25 requests per day"})")}, [&](AlphaVantage& client) -> Task<void> {
    try {
      co_await client.securities();
      ADD_FAILURE() << "taken for a listing";
    } catch (const ApiError& error) {
      EXPECT_EQ(error.kind(), Kind::kQuota);
    }
  });
}

TEST_F(AlphaVantageTest, KnowsANoticeAfterWhiteSpaceOrAByteOrderMark) {
  for (const char* before : {" ", "\r\n\t ", "\xef\xbb\xbf", "\xef\xbb\xbf\n "}) {
    asked.clear();
    const auto notice = before + std::string{R"({"Information": "25 requests per day"})"};
    EXPECT_EQ(error_of({reply(notice)}).first, Kind::kQuota);
    with({reply(notice)}, [&](AlphaVantage& client) -> Task<void> {
      try {
        co_await client.securities();
        ADD_FAILURE() << "taken for a listing";
      } catch (const ApiError& error) {
        EXPECT_EQ(error.kind(), Kind::kQuota);
      }
    });
  }
}

TEST_F(AlphaVantageTest, TakesAnEmptyQuoteForAnUnknownSymbol) {
  with({reply(R"({"Global Quote": {}})")}, [&](AlphaVantage& client) -> Task<void> {
    try {
      co_await client.last_price_data("NOPE");
      ADD_FAILURE() << "taken for data";
    } catch (const ApiError& error) {
      EXPECT_EQ(error.kind(), Kind::kUnknownSymbol);
    }
  });
}

TEST_F(AlphaVantageTest, NeverShowsTheKeyThatANoticeRepeats) {
  auto [kind, message] = error_of({reply(R"({"Information": "We have detected your API key as )" + kKey +
                                         R"( and our standard API rate limit is 25 requests per day."})")});
  EXPECT_EQ(kind, Kind::kQuota);
  EXPECT_THAT(message, Not(HasSubstr(kKey)));
}

TEST_F(AlphaVantageTest, NeverShowsTheKeyThatAnErrorPageRepeats) {
  EXPECT_THAT(error_of({reply("bad request: /query?apikey=" + kKey, 400)}).second, Not(HasSubstr(kKey)));
  asked.clear();
  EXPECT_THAT(error_of({reply("bad request: apikey=" + mephisto::url_encode(kKey), 400)}).second,
              Not(HasSubstr(mephisto::url_encode(kKey))));
}

TEST_F(AlphaVantageTest, NeverShowsTheKeyWhenNobodyListens) {
  Loop loop;
  mephisto::HttpOptions options;
  options.retries = 0;
  int port = 0;
  {
    port = mephisto::HttpServer{loop, {}, 0}.port();
  }
  AlphaVantage client{{parse_endpoint("http://127.0.0.1:" + std::to_string(port)).value(), kKey}, options};
  try {
    loop.run(client.security_overview("IBM"));
    FAIL() << "somebody answered";
  } catch (const mephisto::Failure& failure) {
    EXPECT_EQ(failure.kind(), mephisto::ErrorKind::kUnavailable);
    EXPECT_NE(dynamic_cast<const mephisto::Unreachable*>(&failure), nullptr);
    EXPECT_THAT(failure.what(), HasSubstr("127.0.0.1"));
    EXPECT_THAT(failure.what(), Not(HasSubstr(mephisto::url_encode(kKey))));
    EXPECT_THAT(failure.what(), Not(HasSubstr("apikey")));
  }
}

TEST(Endpoint, IsUnderstoodAsPeopleWriteIt) {
  for (const char* text : {"https://www.alphavantage.co", "https://www.alphavantage.co/",
                           "https://www.alphavantage.co//", "https://www.alphavantage.co/query",
                           "https://www.alphavantage.co/query/", "https://www.alphavantage.co//query//"})
    EXPECT_EQ(parse_endpoint(text).value().url, "https://www.alphavantage.co/") << text;
  EXPECT_EQ(parse_endpoint("http://127.0.0.1:8642/market/query").value().url, "http://127.0.0.1:8642/market/");
}

TEST(Endpoint, IsTheRealOneByItsHost) {
  for (const char* text :
       {"https://www.alphavantage.co", "HTTPS://WWW.AlphaVantage.CO/query", "http://alphavantage.co:80/"})
    EXPECT_TRUE(parse_endpoint(text).value().real) << text;
  for (const char* text : {"http://127.0.0.1:8642/", "http://localhost/alphavantage.co/",
                           "http://www.alphavantage.co.test/", "http://notalphavantage.co/"})
    EXPECT_FALSE(parse_endpoint(text).value().real) << text;
}

TEST(Endpoint, WithAQueryOrAPasswordIsRefusedWithoutShowingThem) {
  for (const char* text : {"https://www.alphavantage.co/query?apikey=s3cret", "https://www.alphavantage.co/?s3cret",
                           "https://www.alphavantage.co/#s3cret", "https://me:s3cret@www.alphavantage.co/",
                           "ftp://me:s3cret@host/?apikey=s3cret", "https://:s3cret@/"}) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_FALSE(endpoint) << text;
    EXPECT_THAT(endpoint.error().message, Not(HasSubstr("s3cret")));
  }
}

}  // namespace
}  // namespace horton
