#include "mephisto/cron/expression.h"

#include <algorithm>
#include <bit>

namespace mephisto {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::local_days;
using std::chrono::local_seconds;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::sys_seconds;
using std::chrono::year_month_day;

// The calendar repeats after 400 years, which is a whole number of weeks.
constexpr days kCalendarCycle{146'097};

bool has(std::uint64_t bits, unsigned value) { return (bits >> value & 1) != 0; }

// The first value from `from` on; 64 if there is none.
unsigned first_from(std::uint64_t bits, unsigned from) {
  return from >= 64 ? 64 : static_cast<unsigned>(std::countr_zero(bits >> from << from));
}

unsigned last_day_of(year_month_day date) {
  return static_cast<unsigned>(std::chrono::year_month_day_last{date.year() / date.month() / std::chrono::last}.day());
}

unsigned weekday_of(year_month_day date) { return std::chrono::weekday{local_days{date}}.c_encoding(); }

// The day from Monday to Friday nearest to the day, in the same month.
unsigned workday_near(year_month_day month, unsigned day) {
  const auto weekday = weekday_of(month.year() / month.month() / static_cast<int>(day));
  if (weekday == 6) return day == 1 ? 3 : day - 1;
  if (weekday == 0) return day == last_day_of(month) ? day - 2 : day + 1;
  return day;
}

}  // namespace

bool CronExpression::matches_day(local_days at) const {
  const year_month_day date{at};
  if (!has(months_, static_cast<unsigned>(date.month()))) return false;
  const auto day = static_cast<unsigned>(date.day());
  const auto last = last_day_of(date);
  const auto weekday = weekday_of(date);
  const auto in_days = [&] {
    return has(days_, day) || std::ranges::find(days_before_last_, last - day) != days_before_last_.end() ||
           (last_workday_ && day == workday_near(date, last)) ||
           std::ranges::any_of(workdays_near_,
                               [&](unsigned wanted) { return wanted <= last && day == workday_near(date, wanted); });
  };
  const auto in_weekdays = [&] {
    return has(weekdays_, weekday) || has(nth_weekdays_[(day - 1) / 7 + 1], weekday) ||
           (has(last_weekdays_, weekday) && day + 7 > last);
  };
  if (any_day_) return any_weekday_ || in_weekdays();
  return in_days() || (!any_weekday_ && in_weekdays());
}

bool CronExpression::matches(local_seconds time) const {
  const auto date = std::chrono::floor<days>(time);
  const std::chrono::hh_mm_ss clock{time - date};
  return has(hours_, static_cast<unsigned>(clock.hours().count())) &&
         has(minutes_, static_cast<unsigned>(clock.minutes().count())) &&
         has(seconds_, static_cast<unsigned>(clock.seconds().count())) && matches_day(date);
}

// The first matching time of any day from `from` on.
std::optional<seconds> CronExpression::first_clock(seconds from) const {
  const std::chrono::hh_mm_ss clock{from};
  const auto first_hour = static_cast<unsigned>(clock.hours().count());
  const auto first_minute = static_cast<unsigned>(clock.minutes().count());
  const auto first_second = static_cast<unsigned>(clock.seconds().count());
  for (auto hour = first_from(hours_, first_hour); hour < 24; hour = first_from(hours_, hour + 1)) {
    const auto start = hour == first_hour ? first_minute : 0;
    for (auto minute = first_from(minutes_, start); minute < 60; minute = first_from(minutes_, minute + 1)) {
      const bool cut = hour == first_hour && minute == first_minute;
      const auto second = first_from(seconds_, cut ? first_second : 0);
      if (second < 60) return hours{hour} + minutes{minute} + seconds{second};
    }
  }
  return std::nullopt;
}

std::optional<local_seconds> CronExpression::first_match(local_seconds from, local_seconds to) const {
  auto date = std::chrono::floor<days>(from);
  auto clock = from - date;
  for (; date < to; date += days{1}, clock = seconds{0}) {
    if (!matches_day(date)) continue;
    const auto found = first_clock(clock);
    if (found) return date + *found < to ? std::optional{date + *found} : std::nullopt;
  }
  return std::nullopt;
}

// Each span of the zone is searched by local time. Where a span begins with a jump forwards, the local times that were
// left out count at its beginning; where it begins with a jump back, its local times up to the jump have been already.
std::optional<sys_seconds> CronExpression::next(sys_seconds after, const TimeZone& zone) const {
  const auto from = after + seconds{1};
  const auto limit = from + kCalendarCycle + days{1};
  for (auto at = from; at < limit;) {
    const auto span = zone.at(at);
    const auto local = [&](sys_seconds time, seconds offset) {
      return local_seconds{time.time_since_epoch() + offset};
    };
    auto begin = local(at, span.offset);
    const auto before_jump = local(span.begin, span.offset_before);
    if (!interval_) {
      if (at == span.begin && first_match(before_jump, local(span.begin, span.offset))) return span.begin;
      begin = std::max(begin, before_jump);
    }
    if (const auto found = first_match(begin, local(std::min(span.end, limit), span.offset)))
      return sys_seconds{found->time_since_epoch() - span.offset};
    at = span.end;
  }
  return std::nullopt;
}

std::optional<sys_seconds> CronExpression::last(sys_seconds after, sys_seconds until, const TimeZone& zone) const {
  auto found = next(after, zone);
  if (!found || *found > until) return std::nullopt;
  while (*found < until) {
    const auto middle = *found + (until - *found) / 2;
    const auto later = next(middle, zone);
    if (later && *later <= until)
      found = later;
    else
      until = middle;
  }
  return found;
}

}  // namespace mephisto
