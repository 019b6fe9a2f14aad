// Bars as numbers: replies, gaps by the calendar, extremes, and the drawing.
#include "horton/bars.h"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>

#include "horton/alphavantage.h"
#include "horton/chart.h"

namespace horton {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

DailyBars parsed(std::string_view reply) { return parse_bars(parse_reply(reply)); }

TEST(Bars, AreReadFromAReply) {
  const auto daily = parsed(R"x({"Meta Data": {"2. Symbol": "IBM"}, "Time Series (Daily)": {
  "2018-12-31" : {
    "1. open" : "113.3300",
    "2. high" : "114.3500",
    "3. low" : "112.4212",
    "4. close" : "113.6700",
    "5. volume" : "4982000"
  },
                 "2018-12-28" : {
                   "1. open" : "114.2200",
                   "2. high" : "114.8000",
                   "3. low" : "112.5000",
                   "4. close" : "113.0300",
                   "5. volume" : "5117000"
                 }}})x");
  EXPECT_THAT(daily.bars, ElementsAre(Bar{"2018-12-28", 114.22, 114.8, 112.5, 113.03, 5117000},
                                      Bar{"2018-12-31", 113.33, 114.35, 112.4212, 113.67, 4982000}));
  EXPECT_THAT(daily.unreadable, IsEmpty());
}

TEST(Bars, OfTheAdjustedSeriesHaveTheirColumns) {
  const auto daily = parsed(R"x({"Time Series (Daily)": {
  "2018-12-31" : {
    "1. open" : "113.33",
    "2. high" : "114.35",
    "3. low" : "112.42",
    "4. close" : "113.67",
    "5. adjusted close" : "90.5",
    "6. volume" : "4982000",
    "7. dividend amount" : "1.57",
    "8. split coefficient" : "2.0"
  }}})x");
  ASSERT_EQ(daily.bars.size(), 1U);
  EXPECT_EQ(daily.bars[0].adjusted_close, 90.5);
  EXPECT_EQ(daily.bars[0].dividend_amount, 1.57);
  EXPECT_EQ(daily.bars[0].split_coefficient, 2.0);
  EXPECT_THAT(closes_of(daily.bars, true), ElementsAre(Close{"2018-12-31", 90.5}));
  EXPECT_THAT(closes_of(daily.bars, false), ElementsAre(Close{"2018-12-31", 113.67}));
}

TEST(Bars, ARowThatCannotBeReadIsReportedAndTheOthersStay) {
  const auto row = [](const char* close) {
    return std::string{R"({"1. open": "1", "2. high": "1", "3. low": "1", "4. close": ")"} + close +
           R"(", "5. volume": "1"})";
  };
  const auto daily = parsed(R"x({"Time Series (Daily)": {"2018-12-31": )x" + row("5.5") + R"(, "2018-12-28": )" +
                            row("None") + R"(, "2018-02-30": )" + row("1") + R"(, "2018-12-27": )" + row("-1") +
                            R"(, "2018-12-26": "nothing", "yesterday": )" + row("1") + "}}");
  ASSERT_EQ(daily.bars.size(), 1U);
  EXPECT_EQ(daily.bars[0].close, 5.5);
  EXPECT_EQ(daily.unreadable.size(), 5U);
}

TEST(Bars, AMissingTradingDayIsFoundAndAHolidayIsNone) {
  const auto* calendar = calendar_of("NASDAQ");
  ASSERT_NE(calendar, nullptr);
  std::vector<Bar> bars;
  // 3 to 7 December 2018: on the 5th the exchanges were closed.
  for (const auto* date : {"2018-12-03", "2018-12-04", "2018-12-07"}) bars.push_back({date, 1, 1, 1, 1, 1});
  EXPECT_THAT(missing_days(bars, *calendar), ElementsAre("2018-12-06"));
  EXPECT_THAT(missing_days({}, *calendar), IsEmpty());
  EXPECT_EQ(calendar_of("MARS"), nullptr);
}

std::vector<Bar> bars_of_file(const std::string& symbol) {
  std::ifstream file{std::string{HORTON_DATA_DIR} + "/daily/" + symbol + ".csv"};
  std::vector<Bar> bars;
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream cells{line};
    std::string date;
    std::getline(cells, date, ',');
    std::vector<double> n;
    for (std::string cell; std::getline(cells, cell, ',');) n.push_back(std::stod(cell));
    bars.push_back({date, n[0], n[1], n[2], n[3], static_cast<std::int64_t>(n[5])});
  }
  return bars;
}

// The real bars of twenty years have every day of the calendar, which was made elsewhere.
TEST(Bars, OfTheStandardAndPoorsHaveNoGaps) {
  const auto bars = bars_of_file("SPX");
  ASSERT_EQ(bars.size(), 5031U);
  EXPECT_THAT(missing_days(bars, *calendar_of("INDEX")), IsEmpty());
}

TEST(Extremes, OfAYearAreItsHighestAndLowestClose) {
  const auto years = extremes_of(closes_of(bars_of_file("SPX"), false));
  ASSERT_EQ(years.size(), 20U);
  EXPECT_EQ(years.front().year, 1999);
  EXPECT_EQ(years[9], (YearExtremes{2008, {"2008-01-02", 1447.16}, {"2008-11-20", 752.44}}));
  EXPECT_EQ(years.back(), (YearExtremes{2018, {"2018-09-20", 2930.75}, {"2018-12-24", 2351.1001}}));
}

TEST(Extremes, OfEqualClosesTheFirstDateCounts) {
  const std::vector<Close> closes{{"2018-03-05", 2}, {"2018-03-01", 2}, {"2018-03-02", 1}, {"2018-03-06", 1}, {"x", 9}};
  EXPECT_THAT(extremes_of(closes), ElementsAre(YearExtremes{2018, {"2018-03-01", 2}, {"2018-03-02", 1}}));
}

std::size_t columns(const std::string& line) {
  std::size_t count = 0;
  for (const unsigned char c : line) count += (c & 0xc0) != 0x80 ? 1 : 0;
  return count;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in{text};
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

TEST(Chart, IsAsWideAsTheTerminal) {
  const auto closes = closes_of(bars_of_file("SPX"), false);
  for (const std::size_t width : {40U, 80U, 200U}) {
    const auto lines = lines_of(chart(closes, width));
    ASSERT_EQ(lines.size(), 13U);
    for (const auto& line : lines) EXPECT_EQ(columns(line), width) << line;
    EXPECT_THAT(lines.front(), HasSubstr("2930.75"));
    EXPECT_THAT(lines[11], HasSubstr("676.53"));
    EXPECT_THAT(lines.back(), HasSubstr("1999-01-04"));
    EXPECT_THAT(lines.back(), HasSubstr("2018-12-31"));
  }
}

TEST(Chart, OnANarrowTerminalIsALineOfBlocks) {
  const std::vector<Close> closes{{"2018-01-01", 1}, {"2018-01-02", 8}};
  EXPECT_EQ(columns(chart(closes, 10)), 11U);
  EXPECT_EQ(chart({}, 80), "");
  EXPECT_EQ(lines_of(chart({{"2018-01-01", 5}}, 80)).size(), 13U) << "one close";
}

}  // namespace
}  // namespace horton
