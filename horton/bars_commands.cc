// Horton's commands on prices: bars, extremes, start-collect-bars.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "horton/bars.h"
#include "horton/chart.h"
#include "horton/command_parts.h"
#include "horton/extremes.h"
#include "mephisto/base/text.h"
#include "mephisto/cli/terminal.h"

namespace horton {
namespace {

using namespace mephisto;

constexpr std::size_t kUsualWidth = 80;

struct BarsOptions {
  static constexpr bool kOnlyReads = true;
  std::string symbol;
  std::optional<std::string> exchange;
  std::optional<std::string> from;
  std::optional<std::string> to;
  static std::vector<OptionHelp> help() {
    return {{"symbol", "the security's symbol", "", true},
            {"exchange", "needed if the bars of several exchanges are there"},
            {"from", "the first day, as 2018-12-31"},
            {"to", "the last day"}};
  }
};

// Throws Failure or UsageError unless there is one exchange.
std::string only_exchange(const std::set<std::string>& exchanges, const std::string& symbol, const char* what) {
  if (exchanges.empty())
    throw Failure(ErrorKind::kNotFound,
                  fmt::format("there are no {} of {} yet: run horton collect --bars {}", what, symbol, symbol));
  if (exchanges.size() > 1)
    throw UsageError(fmt::format("there are {} of {} on several exchanges: name one with --exchange", what, symbol));
  return *exchanges.begin();
}

Task<std::string> exchange_of(std::string symbol) {
  std::set<std::string> exchanges;
  for (const auto& security : co_await securities().find_many({{"symbol", symbol}})) {
    const auto exchange = text(security, "exchange");
    if (co_await bars_collection().find_one({{"symbol", symbol}, {"exchange", exchange}})) exchanges.insert(exchange);
  }
  co_return only_exchange(exchanges, symbol, "bars");
}

Task<int> show_bars(BarsOptions options, CommandContext context) {
  for (const auto& [name, date] : {std::pair{"--from", options.from}, {"--to", options.to}}) {
    if (date && !is_date_text(*date))
      throw UsageError(fmt::format("{} {}: expected a date like 2018-12-31", name, printable(*date)));
  }
  const auto exchange = options.exchange ? *options.exchange : co_await exchange_of(options.symbol);
  const auto bars =
      co_await stored_bars({options.symbol, exchange}, options.from.value_or(""), options.to.value_or(""));
  if (context.json) {
    boost::json::array rows;
    for (const auto& bar : bars) rows.push_back(row_of(bar));
    print_json(rows);
    co_return 0;
  }
  if (bars.empty()) {
    fmt::print(stderr, "There are no bars of {} in that time.\n", printable(options.symbol));
    co_return 0;
  }
  if (is_terminal(STDOUT_FILENO)) {
    const auto width = terminal_width();
    const auto& last = bars.back();
    fmt::print("{} on {}: {} bars, the last close is {:.2f}\n{}", printable(options.symbol), printable(exchange),
               bars.size(), last.close, chart(closes_of(bars, false), width == 0 ? kUsualWidth : width));
    co_return 0;
  }
  TextTable table{"Bars", {{"date"}, {"open", true}, {"high", true}, {"low", true}, {"close", true}, {"volume", true}}};
  for (const auto& bar : bars)
    table.add({bar.date, fmt::format("{}", bar.open), fmt::format("{}", bar.high), fmt::format("{}", bar.low),
               fmt::format("{}", bar.close), std::to_string(bar.volume)});
  table.print(false);
  co_return 0;
}

struct ExtremesOptions {
  static constexpr bool kOnlyReads = true;
  std::string symbol;
  std::optional<std::string> exchange;
  std::optional<int> year;
  static std::vector<OptionHelp> help() {
    return {{"symbol", "the security's symbol", "", true},
            {"exchange", "needed if the extremes of several exchanges are there"},
            {"year", "only of this year"}};
  }
};

Task<int> show_extremes(ExtremesOptions options, CommandContext context) {
  const auto found = co_await extremes_of_symbol(options.symbol);
  std::set<std::string> exchanges;
  for (const auto& [exchange, unused] : found) exchanges.insert(exchange);
  if (options.exchange && exchanges.contains(*options.exchange))
    exchanges = {*options.exchange};
  else if (options.exchange)
    exchanges.clear();
  const auto& row = found.at(only_exchange(exchanges, options.symbol, "extremes"));
  boost::json::array rows;
  TextTable table{row.adjusted ? "Extremes of the adjusted closes" : "Extremes of the closes",
                  {{"year", true}, {"highest", true}, {"on"}, {"lowest", true}, {"on the"}}};
  for (const auto& year : row.years) {
    if (options.year && year.year != *options.year) continue;
    const auto json = [](const Close& one) { return Object{{"date", one.date}, {"close", one.close}}; };
    rows.push_back(Object{{"year", year.year},
                          {"highest", json(year.highest)},
                          {"lowest", json(year.lowest)},
                          {"adjusted", row.adjusted}});
    table.add({std::to_string(year.year), fmt::format("{}", year.highest.close), year.highest.date,
               fmt::format("{}", year.lowest.close), year.lowest.date});
  }
  if (context.json)
    print_json(rows);
  else
    table.print(false);
  co_return 0;
}

struct StartBarsOptions {
  std::optional<std::string> exchange;
  static std::vector<OptionHelp> help() { return {{"exchange", "only securities of this exchange"}}; }
};

Task<int> start_bars(StartBarsOptions options, CommandContext context) {
  const auto sent = co_await collect_bars.send({options.exchange.value_or("")});
  if (context.json) fmt::print("{}\n", to_json(std::vector{sent}));
  co_return 0;
}

struct Registered {
  Registered() {
    app().command<BarsOptions>("bars", "Show the daily bars of a security.", show_bars);
    app().command<ExtremesOptions>("extremes", "Show the highest and the lowest close of each year of a security.",
                                   show_extremes);
    app().command<StartBarsOptions>("start-collect-bars", "Collect the daily bars of all listed securities.",
                                    start_bars);
  }
} registered;

}  // namespace
}  // namespace horton
