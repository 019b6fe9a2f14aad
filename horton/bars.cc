#include "horton/bars.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>

#include "horton/app.h"

namespace horton {
namespace {

using mephisto::MarketCalendar;
using mephisto::Task;

template <class Number>
bool take(std::string_view text, Number& number) {
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  return code == std::errc{} && end == text.data() + text.size();
}

std::optional<std::chrono::sys_days> date_of(std::string_view text) {
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  if (text.size() != 10 || text[4] != '-' || text[7] != '-' || !take(text.substr(0, 4), year) ||
      !take(text.substr(5, 2), month) || !take(text.substr(8), day))
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{month}, std::chrono::day{day}};
  return date.ok() && year > 0 ? std::optional{std::chrono::sys_days{date}} : std::nullopt;
}

std::optional<double> number_in(const Object& row, const char* name) {
  const auto* value = row.if_contains(name);
  return value != nullptr && value->is_number() ? std::optional{value->to_number<double>()} : std::nullopt;
}

// In the document and in the market's reply.
std::optional<Bar> bar_of(std::string_view date, const Object& row) {
  const auto open = number_in(row, "open");
  const auto high = number_in(row, "high");
  const auto low = number_in(row, "low");
  const auto close = number_in(row, "close");
  const auto volume = number_in(row, "volume");
  if (!date_of(date) || !open || !high || !low || !close || !volume || *close <= 0 || *volume < 0 || *volume > 9e18)
    return std::nullopt;
  return Bar{std::string{date},
             *open,
             *high,
             *low,
             *close,
             static_cast<std::int64_t>(*volume),
             number_in(row, "adjusted_close"),
             number_in(row, "dividend_amount"),
             number_in(row, "split_coefficient")};
}

Object document_of(const SecurityKey& security, const Bar& bar) {
  auto document = row_of(bar);
  document["symbol"] = security.symbol;
  document["exchange"] = security.exchange;
  return document;
}

// A reply without the adjusted columns does not take them away.
Bar updated(const Bar& before, Bar now) {
  if (!now.adjusted_close) now.adjusted_close = before.adjusted_close;
  if (!now.dividend_amount) now.dividend_amount = before.dividend_amount;
  if (!now.split_coefficient) now.split_coefficient = before.split_coefficient;
  return now;
}

}  // namespace

bool is_date_text(std::string_view text) { return date_of(text).has_value(); }

Object row_of(const Bar& bar) {
  Object row{{"date", bar.date}, {"open", bar.open},   {"high", bar.high},
             {"low", bar.low},   {"close", bar.close}, {"volume", bar.volume}};
  if (bar.adjusted_close) row["adjusted_close"] = *bar.adjusted_close;
  if (bar.dividend_amount) row["dividend_amount"] = *bar.dividend_amount;
  if (bar.split_coefficient) row["split_coefficient"] = *bar.split_coefficient;
  return row;
}

DailyBars parse_bars(const Object& reply) {
  DailyBars parsed;
  for (const auto& [name, value] : reply) {
    const auto* series = value.if_object();
    if (series == nullptr || !name.starts_with("time_series")) continue;
    for (const auto& [date, row] : *series) {
      auto bar = row.is_object() ? bar_of(date, row.get_object()) : std::nullopt;
      if (bar)
        parsed.bars.push_back(std::move(*bar));
      else
        parsed.unreadable.emplace_back(date);
    }
  }
  std::ranges::sort(parsed.bars, {}, &Bar::date);
  return parsed;
}

Collection bars_collection() { return documents().collection("bars", {"symbol", "exchange", "date"}); }

Task<std::vector<Bar>> stored_bars(const SecurityKey& security, const std::string& from, const std::string& to) {
  Object filter{{"symbol", security.symbol}, {"exchange", security.exchange}};
  Object dates;
  if (!from.empty()) dates["$gte"] = from;
  if (!to.empty()) dates["$lte"] = to;
  if (!dates.empty()) filter["date"] = std::move(dates);
  std::vector<Bar> bars;
  for (const auto& document : co_await bars_collection().find_many(std::move(filter))) {
    const auto* date = document.if_contains("date");
    if (date == nullptr || !date->is_string()) continue;
    if (auto bar = bar_of(std::string_view{date->get_string()}, document)) bars.push_back(std::move(*bar));
  }
  std::ranges::sort(bars, {}, &Bar::date);
  co_return bars;
}

Task<StoredBars> store_bars(const SecurityKey& security, std::vector<Bar> bars) {
  std::map<std::string, Bar> all;
  for (const auto& bar : co_await stored_bars(security)) all.emplace(bar.date, bar);
  StoredBars stored;
  std::vector<Change> changes;
  for (auto& bar : bars) {
    const auto known = all.find(bar.date);
    if (known != all.end()) bar = updated(known->second, std::move(bar));
    if (known != all.end() && known->second == bar) continue;
    ++(known == all.end() ? stored.added : stored.changed);
    // By the _id, because a filter of three fields looks at all bars of the security.
    const auto id = fmt::format("{} {} {}", security.symbol, security.exchange, bar.date);
    changes.push_back({Object{{"_id", id}}, document_of(security, bar)});
    all.insert_or_assign(bar.date, std::move(bar));
  }
  if (!changes.empty()) co_await bars_collection().upsert_many(std::move(changes));
  for (auto& [date, bar] : all) stored.bars.push_back(std::move(bar));
  co_return stored;
}

const std::vector<Exchange>& exchanges() {
  static const std::vector<Exchange> all{
      {"bars-nyse",
       "30 17 * * MON-FRI",
       "America/New_York",
       "XNYS",
       {"NYSE", "NYSE ARCA", "NYSE MKT", "AMEX", "BATS", "INDEX"}},
      {"bars-nasdaq", "30 17 * * MON-FRI", "America/New_York", "XNAS", {"NASDAQ"}},
      {"bars-london", "0 18 * * MON-FRI", "Europe/London", "XLON", {"LSE", "LON"}},
      {"bars-frankfurt", "0 19 * * MON-FRI", "Europe/Berlin", "XETR", {"XETRA", "DEX"}},
      {"bars-tokyo", "0 17 * * MON-FRI", "Asia/Tokyo", "XTKS", {"TSE"}},
      {"bars-hongkong", "30 17 * * MON-FRI", "Asia/Hong_Kong", "XHKG", {"HKEX"}},
  };
  return all;
}

const MarketCalendar* calendar_of(std::string_view exchange) {
  for (const auto& one : exchanges()) {
    if (std::ranges::find(one.names, exchange) != one.names.end()) return &MarketCalendar::of(one.calendar);
  }
  return nullptr;
}

std::vector<std::string> missing_days(const std::vector<Bar>& bars, const MarketCalendar& calendar) {
  std::vector<std::string> missing;
  if (bars.empty()) return missing;
  const auto first = date_of(bars.front().date);
  const auto last = date_of(bars.back().date);
  auto next = bars.begin();
  for (const auto& day : calendar.days()) {
    if (day.date < first || day.date > last) continue;
    const auto date = fmt::format("{:%Y-%m-%d}", std::chrono::sys_seconds{day.date});
    while (next != bars.end() && next->date < date) ++next;
    if (next == bars.end() || next->date != date) missing.push_back(date);
  }
  return missing;
}

std::vector<Close> closes_of(const std::vector<Bar>& bars, bool adjusted) {
  std::vector<Close> closes;
  for (const auto& bar : bars)
    closes.push_back({bar.date, adjusted ? bar.adjusted_close.value_or(bar.close) : bar.close});
  return closes;
}

std::vector<YearExtremes> extremes_of(const std::vector<Close>& closes) {
  std::map<int, YearExtremes> years;
  for (const auto& one : closes) {
    int year = 0;
    if (!is_date_text(one.date) || !take(std::string_view{one.date}.substr(0, 4), year)) continue;
    auto& [number, highest, lowest] = years.try_emplace(year, YearExtremes{year, one, one}).first->second;
    const auto earlier = [&](const Close& other) { return one.close == other.close && one.date < other.date; };
    if (one.close > highest.close || earlier(highest)) highest = one;
    if (one.close < lowest.close || earlier(lowest)) lowest = one;
  }
  std::vector<YearExtremes> all;
  for (auto& [number, year] : years) all.push_back(std::move(year));
  return all;
}

}  // namespace horton
