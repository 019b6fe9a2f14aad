// The trading days of exchanges, and windows over them. XNYS, XNAS, XLON, XETR, XTKS and XHKG from 2000 to 2027 are
// compiled in (src/table/calendars/CREDITS.md); other ones, or newer ones, are read from texts of that form.
//
//   auto spec = trading_days(MarketCalendar::of("XNYS"), {.emit = Emit::kOnClose});
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/table/window.h"

namespace mephisto {

// Times are milliseconds since 1970. A day trades from `open` to before `close`, but not in its break.
struct TradingDay {
  std::chrono::sys_days date{};  // at the exchange
  std::int64_t open = 0;
  std::int64_t close = 0;
  std::optional<WindowBounds> break_at{};
  bool operator==(const TradingDay&) const = default;
};

class MarketCalendar {
 public:
  // By the exchange's code (ISO 10383). Throws Failure (kNotFound) with the codes that there are.
  static const MarketCalendar& of(std::string_view exchange);
  // kDecode if the text does not have the form, kCorrupt if it does not have its checksum.
  static Result<MarketCalendar> parse(std::string_view text);

  const std::string& exchange() const { return exchange_; }
  const std::string& zone() const { return zone_; }  // e.g. America/New_York
  const std::string& made() const { return made_; }  // the day, e.g. 2026-11-29
  std::span<const TradingDay> days() const { return days_; }

  // None if the exchange does not trade on that day. Throws Failure (kInvalid) if the calendar does not have the date.
  const TradingDay* day(std::chrono::sys_days date) const;
  // The day in whose hours the time is, also in its break. None and Failure as above.
  const TradingDay* at(std::int64_t time) const;

 private:
  MarketCalendar() = default;
  void check(std::chrono::sys_days date) const;

  std::string exchange_;
  std::string zone_;
  std::string made_;
  std::chrono::sys_days first_;
  std::chrono::sys_days last_;
  std::vector<TradingDay> days_;
};

// The parts of a day of `size` each, from the open on. None crosses the break or the close: the last one before is
// shorter, and after the break they begin anew. That is pandas_market_calendars' force_close=True.
std::vector<WindowBounds> intervals(const TradingDay& day, std::chrono::milliseconds size);

// One window for each trading day, [open, close). A record outside of the hours, or in the break, is in no window: it
// goes to WindowSink::late with an empty window. A record with a date outside of the calendar is a Failure (kInvalid).
WindowSpec trading_days(const MarketCalendar& calendar, WindowOptions options = {});
// The same with the intervals of the days.
WindowSpec trading_intervals(const MarketCalendar& calendar, std::chrono::milliseconds size,
                             WindowOptions options = {});

}  // namespace mephisto
