// AlphaVantage's names and values in the form that people would write.
#include "horton/snake_case.h"

#include <gtest/gtest.h>

namespace horton {
namespace {

namespace json = boost::json;

struct Name {
  const char* original;
  const char* snake;
};

class SnakeCase : public ::testing::TestWithParam<Name> {};

TEST_P(SnakeCase, IsWhatAPersonWouldWrite) { EXPECT_EQ(snake_case(GetParam().original), GetParam().snake); }

INSTANTIATE_TEST_SUITE_P(HortonsPage, SnakeCase,
                         ::testing::Values(Name{"EBITDA", "ebitda"}, Name{"PERatio", "pe_ratio"},
                                           Name{"52WeekHigh", "52_week_high"}, Name{"ipoDate", "ipo_date"},
                                           Name{"DilutedEPSTTM", "diluted_eps_ttm"}, Name{"1. open", "open"},
                                           Name{"Time Series (Daily)", "time_series_daily"}),
                         [](const auto& one) { return "Example" + std::to_string(one.index); });

INSTANTIATE_TEST_SUITE_P(
    Overview, SnakeCase,
    ::testing::Values(
        Name{"Symbol", "symbol"}, Name{"AssetType", "asset_type"}, Name{"CIK", "cik"}, Name{"EPS", "eps"},
        Name{"MarketCapitalization", "market_capitalization"},
        Name{"QuarterlyEarningsGrowthYOY", "quarterly_earnings_growth_yoy"},
        Name{"QuarterlyRevenueGrowthYOY", "quarterly_revenue_growth_yoy"},
        Name{"AnalystTargetPrice", "analyst_target_price"}, Name{"50DayMovingAverage", "50_day_moving_average"},
        Name{"200DayMovingAverage", "200_day_moving_average"}, Name{"RevenuePerShareTTM", "revenue_per_share_ttm"},
        Name{"ReturnOnEquityTTM", "return_on_equity_ttm"}, Name{"RevenueTTM", "revenue_ttm"},
        Name{"EVToEBITDA", "ev_to_ebitda"}, Name{"EVToRevenue", "ev_to_revenue"}, Name{"DividendDate", "dividend_date"},
        Name{"ExDividendDate", "ex_dividend_date"}, Name{"PEGRatio", "peg_ratio"}, Name{"TrailingPE", "trailing_pe"},
        Name{"PriceToSalesRatioTTM", "price_to_sales_ratio_ttm"}, Name{"OperatingMarginTTM", "operating_margin_ttm"}),
    [](const auto& one) {
      return std::string{one.param.snake[0] >= '0' && one.param.snake[0] <= '9' ? "n" : ""} + one.param.snake;
    });

INSTANTIATE_TEST_SUITE_P(SeriesAndQuotes, SnakeCase,
                         ::testing::Values(Name{"Meta Data", "meta_data"}, Name{"01. symbol", "symbol"},
                                           Name{"5. adjusted close", "adjusted_close"},
                                           Name{"10. change percent", "change_percent"},
                                           Name{"07. latest trading day", "latest_trading_day"},
                                           Name{"Global Quote", "global_quote"}, Name{"MACD_Signal", "macd_signal"},
                                           Name{"Real Upper Band", "real_upper_band"}),
                         [](const auto& one) { return one.param.snake; });

TEST(SnakeCaseAgain, LeavesWhatIsSnakeCaseAlready) {
  for (const char* name : {"symbol", "52_week_high", "diluted_eps_ttm"}) EXPECT_EQ(snake_case(name), name);
}

TEST(SnakeCaseAgain, OfNothingIsNothing) { EXPECT_EQ(snake_case(""), ""); }

TEST(SnakeCaseAgain, KeepsLettersBeyondAscii) { EXPECT_EQ(snake_case("Название"), "Название"); }

TEST(TidyText, KeepsWhatIsWrittenAsACode) {
  for (const char* text : {"007", "00", "-07", "00.5", "037833100", "12E4", "45168E101", "1e5"})
    EXPECT_EQ(tidy_text("", text), json::value(text));
  for (const char* field : {"cusip", "company_cik", "isin", "product_code"})
    EXPECT_EQ(tidy_text(field, "594918104"), json::value("594918104")) << field;
  EXPECT_EQ(tidy_text("", "0"), json::value(0));
  EXPECT_EQ(tidy_text("", "0.5"), json::value(0.5));
  EXPECT_EQ(tidy_text("", "-0.5"), json::value(-0.5));
}

TEST(TidyText, MakesWholeNumbersOfDigits) {
  EXPECT_EQ(tidy_text("market_capitalization", "2877482139000"), json::value(2877482139000));
  EXPECT_EQ(tidy_text("change", "-3"), json::value(-3));
}

TEST(TidyText, MakesNumbersOfDecimals) {
  EXPECT_EQ(tidy_text("eps", "6.13"), json::value(6.13));
  EXPECT_EQ(tidy_text("beta", "-0.5"), json::value(-0.5));
}

TEST(TidyText, KeepsTheSizeOfNumbersBeyond64Bits) {
  EXPECT_EQ(tidy_text("volume", "100000000000000000000"), json::value(1e20));
}

TEST(TidyText, MakesNullOfWhatMeansNothing) {
  for (const char* text : {"None", "-", "", "null"}) EXPECT_TRUE(tidy_text("eps", text).is_null()) << text;
}

TEST(TidyText, KeepsDatesAndPercentagesAsTheyAre) {
  EXPECT_EQ(tidy_text("dividend_date", "2024-08-15"), json::value("2024-08-15"));
  EXPECT_EQ(tidy_text("change_percent", "1.25%"), json::value("1.25%"));
  EXPECT_EQ(tidy_text("volume", "1,000"), json::value("1,000"));
}

TEST(TidyText, DoesNotTakeWordsForInfinity) {
  for (const char* text : {"inf", "nan", "infinity", "-inf", "-nan", "-infinity"})
    EXPECT_TRUE(tidy_text("note", text).is_string()) << text;
}

TEST(TidyText, KeepsCodesAndNamesAsText) {
  for (const char* field : {"cik", "symbol", "name", "exchange", "address"})
    EXPECT_EQ(tidy_text(field, "0000320193"), json::value("0000320193")) << field;
}

TEST(Tidy, TidiesNamesAndValuesAtEveryDepth) {
  auto tidied = tidy(json::parse(
      R"({"Symbol": "IBM", "Meta Data": {"2. Symbol": "7203", "PERatio": "22.5"}, "Rows": [{"EPSTTM": "None"}, "12"]})"));
  EXPECT_EQ(
      tidied,
      json::parse(
          R"({"symbol": "IBM", "meta_data": {"symbol": "7203", "pe_ratio": 22.5}, "rows": [{"eps_ttm": null}, 12]})"));
}

TEST(Tidy, KeepsAllFieldsWhoseNamesBecomeOne) {
  EXPECT_EQ(
      tidy(json::parse(R"({"PERatio": "1", "pe_ratio": "2", "PE Ratio": "3", "pe_ratio_2": "4", "%": "5", "": "6"})")),
      json::parse(R"({"pe_ratio": 1, "pe_ratio_2": 2, "pe_ratio_3": 3, "pe_ratio_2_2": 4, "field": 5, "field_2": 6})"));
}

TEST(Tidy, TakesOnlyDatesForDates) {
  EXPECT_EQ(tidy(json::parse(R"({"2018-$.evil.x": 1})")), json::parse(R"({"2018_evil_x": 1})"));
}

TEST(Tidy, KeepsDatesThatAreKeys) {
  auto tidied = tidy(
      json::parse(R"json({"Time Series (Daily)": {"2018-12-31": {"1. open": "112.5", "6. volume": "5019"}}})json"));
  EXPECT_EQ(tidied, json::parse(R"({"time_series_daily": {"2018-12-31": {"open": 112.5, "volume": 5019}}})"));
}

TEST(Tidy, LeavesOtherValuesAlone) {
  EXPECT_EQ(tidy(json::parse(R"({"A": true, "B": null, "C": 1.5})")),
            json::parse(R"({"a": true, "b": null, "c": 1.5})"));
}

TEST(Tidy, KeepsTheCikOfAnOverviewAsText) {
  EXPECT_EQ(tidy(json::parse(R"({"CIK": "51143"})")), json::parse(R"({"cik": "51143"})"));
}

}  // namespace
}  // namespace horton
