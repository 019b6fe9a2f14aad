#include "horton/market_bars.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "horton/bars.h"
#include "mephisto/base/ids.h"
#include "mephisto/error.h"

namespace horton {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

constexpr std::size_t kColumns = 6;  // of a row, after its date
constexpr std::size_t kCompact = 100;
constexpr sys_days kFirstSynthetic = std::chrono::year{2024} / 1 / 2;

std::string date_text(sys_days date) { return fmt::format("{:%Y-%m-%d}", std::chrono::sys_seconds{date}); }

std::uint64_t seed_of(const std::string& symbol) {
  std::uint64_t seed = 14695981039346656037U;  // FNV-1a, which is the same on every machine
  for (const unsigned char c : symbol) seed = (seed ^ c) * 1099511628211U;
  return seed;
}

}  // namespace

MarketBars::MarketBars(const std::string& folder) {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator{folder, none}) {
    if (entry.path().extension() != ".csv") continue;
    auto& rows = files_[entry.path().stem().string()];
    std::ifstream file{entry.path()};
    int number = 0;
    for (std::string line; std::getline(file, line);) {
      if (line.ends_with('\r')) line.pop_back();
      if (++number == 1 || line.empty()) continue;
      Row row;
      std::istringstream cells{line};
      std::getline(cells, row.date, ',');
      for (std::string cell; std::getline(cells, cell, ',');) row.columns.push_back(cell);
      if (!is_date_text(row.date) || row.columns.size() != kColumns)
        throw mephisto::Failure(mephisto::ErrorKind::kDecode,
                                fmt::format("{}:{}: expected timestamp,open,high,low,close,adjusted_close,volume",
                                            entry.path().string(), number));
      rows.push_back(std::move(row));
    }
    std::ranges::sort(rows, {}, &Row::date);
  }
}

std::vector<MarketBars::Row> MarketBars::rows_of(const std::string& symbol, sys_days today) const {
  if (const auto found = files_.find(symbol); found != files_.end()) return found->second;
  std::vector<Row> rows;
  mephisto::Random random{seed_of(symbol)};
  double price = 20 + static_cast<double>(random.below(20'000)) / 100;
  for (auto date = kFirstSynthetic; date < today; date += days{1}) {
    const auto weekday = std::chrono::weekday{date}.c_encoding();
    if (weekday == 0 || weekday == 6) continue;
    const auto open = price;
    price = std::max(1.0, price * (0.98 + random.uniform() * 0.0404));
    const auto text = [](double one) { return fmt::format("{:.4f}", one); };
    rows.push_back({date_text(date),
                    {text(open), text(std::max(open, price) * 1.01), text(std::min(open, price) * 0.99), text(price),
                     text(price), std::to_string(100'000 + random.below(10'000'000))}});
  }
  return rows;
}

std::string MarketBars::series(const std::string& symbol, bool adjusted, bool full, sys_days today) const {
  const auto rows = rows_of(symbol, today);
  const auto count = full ? rows.size() : std::min(rows.size(), kCompact);
  boost::json::object days_of;
  for (auto row = rows.rbegin(); row != rows.rbegin() + static_cast<std::ptrdiff_t>(count); ++row) {
    const auto& c = row->columns;
    boost::json::object day{{"1. open", c[0]}, {"2. high", c[1]}, {"3. low", c[2]}, {"4. close", c[3]}};
    if (adjusted) {
      day["5. adjusted close"] = c[4];
      day["6. volume"] = c[5];
      day["7. dividend amount"] = "0.0000";
      day["8. split coefficient"] = "1.0";
    } else {
      day["5. volume"] = c[5];
    }
    days_of[row->date] = std::move(day);
  }
  const boost::json::object meta{
      {"1. Information", fmt::format("Daily Prices (open, high, low, close) and Volumes{}",
                                     has_file(symbol) ? "" : " - synthetic: made by the stand-in")},
      {"2. Symbol", symbol},
      {"3. Last Refreshed", rows.empty() ? "" : rows.back().date},
      {"4. Output Size", full ? "Full size" : "Compact"},
      {"5. Time Zone", "US/Eastern"}};
  return boost::json::serialize(boost::json::object{{"Meta Data", meta}, {"Time Series (Daily)", std::move(days_of)}});
}

std::string MarketBars::quote(const std::string& symbol, sys_days today) const {
  const auto rows = rows_of(symbol, today);
  boost::json::object quote;
  if (!rows.empty()) {
    const auto& last = rows.back();
    const auto& before = rows.size() > 1 ? rows[rows.size() - 2] : last;
    quote = {{"01. symbol", symbol},
             {"02. open", last.columns[0]},
             {"03. high", last.columns[1]},
             {"04. low", last.columns[2]},
             {"05. price", last.columns[3]},
             {"06. volume", last.columns[5]},
             {"07. latest trading day", last.date},
             {"08. previous close", before.columns[3]}};
  }
  return boost::json::serialize(boost::json::object{{"Global Quote", std::move(quote)}});
}

}  // namespace horton
