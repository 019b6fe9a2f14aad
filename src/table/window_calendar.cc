#include "mephisto/table/window_calendar.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/hash.h"
#include "base/text.h"

namespace mephisto {
namespace {

using std::chrono::milliseconds;
using std::chrono::sys_days;

constexpr std::int64_t kMinute = 60'000;

constexpr std::string_view kTexts[] = {
#include "table/calendars/XNYS.inc"
    ,
#include "table/calendars/XNAS.inc"
    ,
#include "table/calendars/XLON.inc"
    ,
#include "table/calendars/XETR.inc"
    ,
#include "table/calendars/XTKS.inc"
    ,
#include "table/calendars/XHKG.inc"
};

std::string shown(sys_days date) { return fmt::format("{:%Y-%m-%d}", std::chrono::sys_seconds{date}); }

std::int64_t start_of(sys_days date) { return milliseconds{date.time_since_epoch()}.count(); }

// `YYYY-MM` and the day of the month.
std::optional<sys_days> date_of(std::string_view month, std::string_view day) {
  int y = 0;
  unsigned m = 0;
  unsigned d = 0;
  if (month.size() != 7 || !take_number(month.substr(0, 4), y) || !take_number(month.substr(5), m) ||
      !take_number(day, d))
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{y}, std::chrono::month{m}, std::chrono::day{d}};
  if (!date.ok()) return std::nullopt;
  return sys_days{date};
}

// `14:30-21:00`, in minutes.
std::optional<WindowBounds> span_of(std::string_view text) {
  std::int64_t numbers[4];
  if (text.size() != 11) return std::nullopt;
  for (std::size_t i = 0; i < 4; ++i)
    if (!take_number(text.substr(3 * i, 2), numbers[i])) return std::nullopt;
  return WindowBounds{numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3]};
}

// The hours of a line, as if on the first day of 1970.
std::optional<TradingDay> hours_of(std::string_view text) {
  const auto spans = split(text, ',');
  if (spans.empty() || spans.size() > 2) return std::nullopt;
  const auto first = span_of(spans.front());
  const auto last = span_of(spans.back());
  if (!first || !last || first->start >= first->end || last->start >= last->end) return std::nullopt;
  TradingDay day{.open = first->start * kMinute, .close = last->end * kMinute};
  if (spans.size() == 2) {
    if (first->end >= last->start) return std::nullopt;
    day.break_at = WindowBounds{first->end * kMinute, last->start * kMinute};
  }
  return day;
}

TradingDay on(sys_days date, TradingDay hours) {
  const auto start = start_of(date);
  hours.date = date;
  hours.open += start;
  hours.close += start;
  if (hours.break_at) hours.break_at = WindowBounds{hours.break_at->start + start, hours.break_at->end + start};
  return hours;
}

bool in_break(const TradingDay& day, std::int64_t time) {
  return day.break_at && time >= day.break_at->start && time < day.break_at->end;
}

// The lines before the checksum, if it is right.
Result<std::vector<std::string>> lines_of(std::string_view text) {
  const auto last = text.rfind("crc32c ");
  if (last == std::string_view::npos) return fail(ErrorKind::kDecode, "calendar: there is no line `crc32c`");
  if (trim(text.substr(last)) != fmt::format("crc32c {:08x}", crc32c(text.substr(0, last))))
    return fail(ErrorKind::kCorrupt,
                "calendar: the text does not have the checksum of its last line; take the file anew");
  return split(text.substr(0, last), '\n');
}

}  // namespace

Result<MarketCalendar> MarketCalendar::parse(std::string_view text) {
  auto lines = lines_of(text);
  if (!lines) return std::unexpected(std::move(lines.error()));
  MarketCalendar calendar;
  std::optional<sys_days> first;
  std::optional<sys_days> last;
  std::size_t number = 0;
  for (const auto& line : *lines) {
    ++number;
    const auto wrong = [&] {
      return fail(ErrorKind::kDecode,
                  fmt::format("calendar {}: line {} is wrong: {}", calendar.exchange_, number, printable(line)));
    };
    const auto words = split(line, ' ');
    if (line.empty()) continue;
    if (words.size() < 2) return wrong();
    if (words[0] == "exchange") {
      calendar.exchange_ = words[1];
    } else if (words[0] == "zone") {
      calendar.zone_ = words[1];
    } else if (words[0] == "made") {
      calendar.made_ = words[1];
    } else if (words[0] == "from" || words[0] == "to") {
      auto& end = words[0] == "from" ? first : last;
      if (words[1].size() == 10) end = date_of(words[1].substr(0, 7), words[1].substr(8));
      if (!end) return wrong();
    } else if (words[0] != "by") {
      const auto hours = hours_of(words[1]);
      for (std::size_t i = 2; i < words.size(); ++i) {
        const auto date = date_of(words[0], words[i]);
        if (!hours || !date || (!calendar.days_.empty() && calendar.days_.back().date >= *date)) return wrong();
        calendar.days_.push_back(on(*date, *hours));
      }
    }
  }
  if (!first || !last) return fail(ErrorKind::kDecode, "calendar: the lines `from` and `to` are missing");
  calendar.first_ = *first;
  calendar.last_ = *last;
  return calendar;
}

const MarketCalendar& MarketCalendar::of(std::string_view exchange) {
  static const auto all = [] {
    std::map<std::string, MarketCalendar, std::less<>> calendars;
    for (const auto text : kTexts) {
      auto calendar = value_or_throw(parse(text));
      calendars.emplace(calendar.exchange(), std::move(calendar));
    }
    return calendars;
  }();
  if (const auto found = all.find(exchange); found != all.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [name, calendar] : all) names.push_back(name);
  throw Failure(ErrorKind::kNotFound, fmt::format("calendar: there is none of {}; there are {}", printable(exchange),
                                                  fmt::join(names, ", ")));
}

void MarketCalendar::check(sys_days date) const {
  if (date < first_ || date > last_)
    throw Failure(ErrorKind::kInvalid, fmt::format("calendar {}: {} is outside of {} to {}; use a newer calendar",
                                                   exchange_, shown(date), shown(first_), shown(last_)));
}

const TradingDay* MarketCalendar::day(sys_days date) const {
  check(date);
  const auto found = std::ranges::lower_bound(days_, date, {}, &TradingDay::date);
  return found != days_.end() && found->date == date ? &*found : nullptr;
}

const TradingDay* MarketCalendar::at(std::int64_t time) const {
  check(std::chrono::floor<std::chrono::days>(std::chrono::sys_time<milliseconds>{milliseconds{time}}));
  const auto next = std::ranges::upper_bound(days_, time, {}, &TradingDay::open);
  if (next == days_.begin() || time >= std::prev(next)->close) return nullptr;
  return &*std::prev(next);
}

std::vector<WindowBounds> intervals(const TradingDay& day, milliseconds size) {
  if (size.count() < 1) throw Failure(ErrorKind::kInvalid, "calendar: an interval has at least 1 ms");
  std::vector<WindowBounds> all;
  const auto cut = [&](std::int64_t start, std::int64_t end) {
    for (; start < end; start += size.count()) all.push_back({start, std::min(start + size.count(), end)});
  };
  cut(day.open, day.break_at ? day.break_at->start : day.close);
  if (day.break_at) cut(day.break_at->end, day.close);
  return all;
}

WindowSpec trading_days(const MarketCalendar& calendar, WindowOptions options) {
  const auto windows_of = [calendar = std::make_shared<MarketCalendar>(calendar)](std::int64_t time,
                                                                                  const VisitWindow& visit) {
    const auto* day = calendar->at(time);
    if (day && !in_break(*day, time)) visit({day->open, day->close});
  };
  return WindowSpec::of_times(windows_of, options);
}

WindowSpec trading_intervals(const MarketCalendar& calendar, milliseconds size, WindowOptions options) {
  if (size.count() < 1) throw Failure(ErrorKind::kInvalid, "calendar: an interval has at least 1 ms");
  const auto windows_of = [calendar = std::make_shared<MarketCalendar>(calendar), size = size.count()](
                              std::int64_t time, const VisitWindow& visit) {
    const auto* day = calendar->at(time);
    if (!day || in_break(*day, time)) return;
    const bool afternoon = day->break_at && time >= day->break_at->end;
    const auto from = afternoon ? day->break_at->end : day->open;
    const auto until = day->break_at && !afternoon ? day->break_at->start : day->close;
    const auto start = from + (time - from) / size * size;
    visit({start, std::min(start + size, until)});
  };
  return WindowSpec::of_times(windows_of, options);
}

}  // namespace mephisto
