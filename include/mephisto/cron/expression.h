// The times that a cron expression names. docs/cron.md has the fields, and what happens when a zone changes its offset.
//
//   const auto cron = value_or_throw(CronExpression::parse("30 16 * * MON-FRI"));
//   const auto next = cron.next(now, zone);
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/cron/time_zone.h"
#include "mephisto/error.h"

namespace mephisto {

class CronExpression {
 public:
  // Five fields: minute, hour, day of the month, month, weekday; six with the second before them; or @daily and its
  // like. kInvalid: the error has the position in `text`, and what would be right.
  static Result<CronExpression> parse(std::string_view text);

  const std::string& text() const { return text_; }

  // The first time after `after`. None in the next 400 years: only after the year 9600.
  std::optional<std::chrono::sys_seconds> next(std::chrono::sys_seconds after, const TimeZone& zone) const;
  // The last time after `after` that is not after `until`.
  std::optional<std::chrono::sys_seconds> last(std::chrono::sys_seconds after, std::chrono::sys_seconds until,
                                               const TimeZone& zone) const;

  // Whether the fields name this local time, whatever its zone.
  bool matches(std::chrono::local_seconds time) const;
  // Whether it repeats within the hour or the day (a `*` in the fields of the time). Such a job runs by elapsed time
  // where the zone changes its offset; another one runs once for each of its local times.
  bool is_interval() const { return interval_; }

 private:
  friend class CronParser;
  CronExpression() = default;

  bool matches_day(std::chrono::local_days date) const;
  std::optional<std::chrono::seconds> first_clock(std::chrono::seconds from) const;
  // The first matching local time in [from, to).
  std::optional<std::chrono::local_seconds> first_match(std::chrono::local_seconds from,
                                                        std::chrono::local_seconds to) const;

  std::string text_;
  bool interval_ = false;
  std::uint64_t seconds_ = 0;  // a bit for each value
  std::uint64_t minutes_ = 0;
  std::uint64_t hours_ = 0;
  std::uint64_t months_ = 0;
  std::uint64_t days_ = 0;                       // of the month
  std::vector<unsigned> days_before_last_;       // L, L-3
  std::vector<unsigned> workdays_near_;          // 15W
  bool last_workday_ = false;                    // LW
  std::uint64_t weekdays_ = 0;                   // 0 is Sunday
  std::array<std::uint64_t, 6> nth_weekdays_{};  // 1#2 is a bit of [2]
  std::uint64_t last_weekdays_ = 0;              // 5L
  bool any_day_ = false;                         // the field of the day of the month allows every day
  bool any_weekday_ = false;
};

}  // namespace mephisto
