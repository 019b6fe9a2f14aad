// The stand-in market as its clients see it.
#include <gmock/gmock.h>

#include "horton/app.h"
#include "horton/listing.h"
#include "mephisto/http.h"

namespace horton {
namespace {

using namespace std::chrono_literals;
using mephisto::Failure;
using mephisto::HttpResponse;
using mephisto::Loop;
using mephisto::Task;
using ::testing::HasSubstr;

class MarketTest : public ::testing::Test {
 protected:
  MarketTest() { options.port = mephisto::HttpServer{loop, {}, 0}.port(); }

  // Runs `body(http)` while the market is open.
  template <class Body>
  void open(Body body) {
    loop.run([](MarketTest& self, Body& act) -> Task<void> {
      auto market = self.loop.spawn("market", run_market(self.options));
      std::exception_ptr error;
      {
        mephisto::HttpOptions once;
        once.retries = 0;
        once.deadline = 10s;
        mephisto::HttpClient http{once};
        co_await mephisto::yield();
        try {
          co_await act(http);
        } catch (...) {
          error = std::current_exception();
        }
      }
      market.cancel();
      co_await market.finished();
      if (error) std::rethrow_exception(error);
    }(*this, body));
  }
  std::string url(const std::string& query) const {
    return "http://127.0.0.1:" + std::to_string(options.port) + "/query/?" + query;
  }
  // One answer to `query`.
  HttpResponse ask(const std::string& query = "function=OVERVIEW&symbol=AAPL") {
    HttpResponse response;
    open([&](mephisto::HttpClient& http) -> Task<void> { response = co_await http.get(url(query)); });
    return response;
  }

  Loop loop;
  MarketOptions options;
};

TEST_F(MarketTest, ListsTheBuiltInSecurities) {
  auto rows = parse_listing(ask("function=LISTING_STATUS&state=active").body);
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->securities.size(), 237U);
}

TEST_F(MarketTest, ListsNoDelistedOnes) {
  auto rows = parse_listing(ask("function=LISTING_STATUS&state=delisted").body);
  ASSERT_TRUE(rows);
  EXPECT_TRUE(rows->securities.empty());
}

TEST_F(MarketTest, AddsSyntheticSecuritiesWithOverviews) {
  options.securities = 300;
  std::string last;
  open([&](mephisto::HttpClient& http) -> Task<void> {
    auto rows = parse_listing((co_await http.get(url("function=LISTING_STATUS"))).body);
    EXPECT_TRUE(rows);
    if (!rows) co_return;
    EXPECT_EQ(rows->securities.size(), 300U);
    last = rows->securities.back().at("symbol").as_string();
    auto overview = parse_reply((co_await http.get(url("function=OVERVIEW&symbol=" + last))).body);
    EXPECT_EQ(overview.at("symbol"), boost::json::value(last));
    EXPECT_EQ(overview.at("name"), rows->securities.back().at("name"));
  });
}

TEST_F(MarketTest, GivesAnOverview) { EXPECT_EQ(parse_reply(ask().body).at("symbol"), boost::json::value("AAPL")); }

TEST_F(MarketTest, DoesNotKnowEverySymbol) { EXPECT_EQ(ask("function=OVERVIEW&symbol=NOPE").body, "{}"); }

TEST_F(MarketTest, GivesAQuote) {
  EXPECT_EQ(parse_reply(ask("function=GLOBAL_QUOTE&symbol=AAPL").body).at("global_quote").at("symbol"),
            boost::json::value("AAPL"));
}

TEST_F(MarketTest, RefusesAnUnknownFunction) { EXPECT_THAT(ask("function=NONSENSE").body, HasSubstr("Error Message")); }

TEST_F(MarketTest, StaysJsonWhateverTheFunctionIsCalled) {
  EXPECT_NO_THROW(boost::json::parse(ask("function=%22%5C%0A").body));
}

TEST_F(MarketTest, HasNothingElsewhere) {
  open([&](mephisto::HttpClient& http) -> Task<void> {
    EXPECT_EQ((co_await http.get("http://127.0.0.1:" + std::to_string(options.port) + "/")).status, 404);
  });
}

TEST_F(MarketTest, SendsQuotaNotices) {
  options.quota = 1;
  EXPECT_THAT(ask().body, HasSubstr("\"Information\""));
}

TEST_F(MarketTest, SendsErrorMessages) {
  options.error = 1;
  EXPECT_THAT(ask().body, HasSubstr("\"Error Message\""));
}

TEST_F(MarketTest, SaysUnknown) {
  options.unknown = 1;
  EXPECT_EQ(ask().body, "{}");
}

TEST_F(MarketTest, Fails) {
  options.fail = 1;
  EXPECT_EQ(ask().status, 500);
}

TEST_F(MarketTest, SendsNoticesOfEachKind) {
  using Kind = ApiError::Kind;
  for (auto [share, kind] : {std::pair{&MarketOptions::premium, Kind::kPremium},
                             {&MarketOptions::blocked, Kind::kKey},
                             {&MarketOptions::inputs, Kind::kBadCall}}) {
    options.*share = 1;
    try {
      parse_reply(ask().body);
      ADD_FAILURE() << "taken for data";
    } catch (const ApiError& error) {
      EXPECT_EQ(error.kind(), kind);
    }
    options.*share = 0;
  }
}

TEST_F(MarketTest, SaysWhenToComeAgain) {
  options.limited = 1;
  EXPECT_EQ(ask().status, 429);
  EXPECT_FALSE(ask().retry_after());
  options.retry_after = 7;
  EXPECT_EQ(ask().retry_after(), 7s);
}

TEST_F(MarketTest, IsDownForAWhile) {
  options.down = 1;
  open([&](mephisto::HttpClient& http) -> Task<void> {
    EXPECT_EQ((co_await http.get(url("function=LISTING_STATUS"))).status, 200);
    EXPECT_EQ((co_await http.get(url("function=OVERVIEW&symbol=AAPL"))).status, 503);
    co_await mephisto::sleep_for(1100ms);  // as Retry-After said
    EXPECT_EQ((co_await http.get(url("function=OVERVIEW&symbol=AAPL"))).status, 200);
  });
}

TEST_F(MarketTest, CutsAnswers) {
  options.cut = 1;
  try {
    ask();
    FAIL() << "a whole answer";
  } catch (const Failure& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("cut off"));
  }
}

TEST_F(MarketTest, AnswersLate) {
  options.slow = 1;
  options.slow_ms = 300;
  open([&](mephisto::HttpClient& http) -> Task<void> {
    const auto start = loop.now();
    co_await http.get(url("function=OVERVIEW&symbol=AAPL"));
    EXPECT_GE(loop.now() - start, 300ms);
  });
}

// One letter for each answer: `+` good, `q` quota, `f` status 500, `c` cut, `e` error message, `u` unknown.
Task<std::string> kinds(mephisto::HttpClient& http, std::string url, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) {
    try {
      auto response = co_await http.get(url);
      all += response.status == 500                        ? 'f'
             : response.body.contains("\"Information\"")   ? 'q'
             : response.body.contains("\"Error Message\"") ? 'e'
             : response.body == "{}"                       ? 'u'
                                                           : '+';
    } catch (const Failure&) {
      all += 'c';
    }
  }
  co_return all;
}

TEST_F(MarketTest, GivesEveryNthCallAFaultOfAllKindsInTurn) {
  options.every = 3;
  options.slow_ms = 1;
  std::string seen;
  open([&](mephisto::HttpClient& http) -> Task<void> {
    seen = co_await kinds(http, url("function=OVERVIEW&symbol=AAPL"), 24);
  });
  for (std::size_t i = 0; i < seen.size(); ++i) {
    if (i % 3 != 2) EXPECT_EQ(seen[i], '+') << seen;
  }
  for (char kind : {'q', 'f', 'c'}) EXPECT_EQ(std::ranges::count(seen, kind), 2) << seen;
}

TEST_F(MarketTest, MakesTheSameFaultsWithTheSameSeed) {
  options.quota = options.fail = options.unknown = 0.2;
  options.seed = 7;
  std::string first;
  std::string second;
  std::string other;
  auto look = [&](std::string& to) {
    open([&](mephisto::HttpClient& http) -> Task<void> {
      to = co_await kinds(http, url("function=OVERVIEW&symbol=AAPL"), 40);
    });
  };
  look(first);
  look(second);
  options.seed = 8;
  look(other);
  EXPECT_EQ(first, second);
  EXPECT_NE(first, other);
}

TEST_F(MarketTest, MakesFaultsAboutAsOftenAsTold) {
  options.fail = 0.25;
  std::string seen;
  open([&](mephisto::HttpClient& http) -> Task<void> {
    seen = co_await kinds(http, url("function=OVERVIEW&symbol=AAPL"), 400);
  });
  EXPECT_NEAR(static_cast<double>(std::ranges::count(seen, 'f')), 100, 40);
}

TEST_F(MarketTest, RefusesSharesBelowZeroOrAboveOne) {
  for (double share : {-0.1, 1.5}) {
    options.cut = share;
    EXPECT_THROW(loop.run(run_market(options)), Failure) << share;
  }
}

TEST_F(MarketTest, RefusesAnImpossiblePort) {
  options.port = 70'000;
  EXPECT_THROW(loop.run(run_market(options)), Failure);
}

TEST_F(MarketTest, RefusesAFolderWithoutData) {
  options.data = "/nonexistent";
  try {
    loop.run(run_market(options));
    FAIL() << "it opened";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), mephisto::ErrorKind::kNotFound);
    EXPECT_THAT(failure.what(), HasSubstr("/nonexistent/listing_status.csv"));
  }
}

TEST_F(MarketTest, RefusesAPortThatIsTaken) {
  mephisto::HttpServer taken{loop, {}, options.port};
  try {
    loop.run(run_market(options));
    FAIL() << "it opened";
  } catch (const Failure& failure) {
    EXPECT_THAT(failure.what(), HasSubstr(std::to_string(options.port)));
  }
}

}  // namespace
}  // namespace horton
