// Daily bars of securities: the market's replies, the documents in which they are kept, the trading days that have
// none, and the extremes of their closes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "horton/documents.h"
#include "horton/records.h"
#include "mephisto/table/window_calendar.h"

namespace horton {

struct Bar {
  std::string date;  // YYYY-MM-DD
  double open = 0;
  double high = 0;
  double low = 0;
  double close = 0;
  std::int64_t volume = 0;
  std::optional<double> adjusted_close{};
  std::optional<double> dividend_amount{};
  std::optional<double> split_coefficient{};
  bool operator==(const Bar&) const = default;
};

// As it is printed and kept, without the columns that it does not have.
Object row_of(const Bar& bar);

// Whether the text is a date that exists, as YYYY-MM-DD.
bool is_date_text(std::string_view text);

struct DailyBars {
  std::vector<Bar> bars;                // by date
  std::vector<std::string> unreadable;  // dates of rows that cannot be read
};
// Of a reply to TIME_SERIES_DAILY or TIME_SERIES_DAILY_ADJUSTED, in snake case.
DailyBars parse_bars(const Object& reply);

struct StoredBars {
  std::vector<Bar> bars;  // all, by date
  std::int64_t added = 0;
  std::int64_t changed = 0;
};
// One document for each bar, found by symbol, exchange and date.
Collection bars_collection();
mephisto::Task<std::vector<Bar>> stored_bars(const SecurityKey& security, const std::string& from = "",
                                             const std::string& to = "");
// Stores what is new or has changed.
mephisto::Task<StoredBars> store_bars(const SecurityKey& security, std::vector<Bar> bars);

// An exchange, and when its bars are collected: late enough for the market to have the day's, an hour and a half after
// the regular close.
struct Exchange {
  const char* job;
  const char* expression;
  const char* timezone;
  const char* calendar;
  std::vector<std::string_view> names;  // as AlphaVantage writes them
};
const std::vector<Exchange>& exchanges();
// The calendar of an exchange as AlphaVantage names it; null if there is none.
const mephisto::MarketCalendar* calendar_of(std::string_view exchange);
// The calendar's trading days between the first and the last bar that have no bar.
std::vector<std::string> missing_days(const std::vector<Bar>& bars, const mephisto::MarketCalendar& calendar);

std::vector<Close> closes_of(const std::vector<Bar>& bars, bool adjusted);
// The highest and the lowest close of each year, by year. Of equal ones the first date counts.
std::vector<YearExtremes> extremes_of(const std::vector<Close>& closes);

}  // namespace horton
