#include "mephisto/cron/expression.h"

#include <fmt/chrono.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mephisto/base/time.h"

namespace mephisto {
namespace {

using std::chrono::sys_seconds;
using testing::ElementsAre;
using namespace std::chrono_literals;

sys_seconds at(std::string_view text) { return std::chrono::floor<std::chrono::seconds>(*parse_iso8601(text)); }

// The first `count` times after `from`, as `MM-DD HH:MM` UTC.
std::vector<std::string> times(std::string_view cron, std::string_view zone, std::string_view from, int count) {
  const auto expression = value_or_throw(CronExpression::parse(cron));
  const auto in = value_or_throw(TimeZone::find(zone));
  std::vector<std::string> all;
  auto next = std::optional{at(from)};
  for (int i = 0; i < count && (next = expression.next(*next, in)); ++i)
    all.push_back(fmt::format("{:%m-%d %H:%M}", *next));
  return all;
}

TEST(CronExpression, WithBothFieldsOfTheDayEitherIsEnough) {
  EXPECT_THAT(times("0 0 13 * 5", "UTC", "2026-01-01", 4),
              ElementsAre("01-02 00:00", "01-09 00:00", "01-13 00:00", "01-16 00:00"));
  EXPECT_THAT(times("0 0 */2 * 1", "UTC", "2026-01-01", 8),
              ElementsAre("01-03 00:00", "01-05 00:00", "01-07 00:00", "01-09 00:00", "01-11 00:00", "01-12 00:00",
                          "01-13 00:00", "01-15 00:00"));
}

TEST(CronExpression, LastDaysAndWorkdaysOfTheMonth) {
  EXPECT_THAT(times("0 12 L * *", "UTC", "2028-01-01", 3), ElementsAre("01-31 12:00", "02-29 12:00", "03-31 12:00"));
  EXPECT_THAT(times("0 12 LW * *", "UTC", "2026-01-01", 3), ElementsAre("01-30 12:00", "02-27 12:00", "03-31 12:00"));
  EXPECT_THAT(times("0 12 L-3 * *", "UTC", "2026-01-01", 3), ElementsAre("01-28 12:00", "02-25 12:00", "03-28 12:00"));
  EXPECT_THAT(times("0 12 31W * *", "UTC", "2026-01-01", 3), ElementsAre("01-30 12:00", "03-31 12:00", "05-29 12:00"))
      << "months without a 31st have no such day";
  EXPECT_THAT(times("0 12 1W * *", "UTC", "2026-07-31", 3), ElementsAre("08-03 12:00", "09-01 12:00", "10-01 12:00"))
      << "never in the month before";
  EXPECT_THAT(times("0 12 L-30 * *", "UTC", "2026-01-01", 2), ElementsAre("01-01 12:00", "03-01 12:00"));
}

TEST(CronExpression, WeekdaysOfTheMonth) {
  EXPECT_THAT(times("0 12 * * 5#3", "UTC", "2026-01-01", 3), ElementsAre("01-16 12:00", "02-20 12:00", "03-20 12:00"));
  EXPECT_THAT(times("0 12 * * FRIL", "UTC", "2026-01-01", 3), ElementsAre("01-30 12:00", "02-27 12:00", "03-27 12:00"));
  EXPECT_THAT(times("0 12 * * SUN#5", "UTC", "2026-01-01", 2), ElementsAre("03-29 12:00", "05-31 12:00"));
  EXPECT_THAT(times("0 12 * * 1#1,7L", "UTC", "2026-01-01", 3),
              ElementsAre("01-05 12:00", "01-25 12:00", "02-02 12:00"));
}

TEST(CronExpression, RareDatesAreFound) {
  EXPECT_THAT(times("0 0 29 2 *", "UTC", "2096-03-01", 1), ElementsAre("02-29 00:00")) << "2104: 2100 has none";
  EXPECT_THAT(times("0 0 ? 2 SUN#5", "UTC", "2026-01-01", 2), ElementsAre("02-29 00:00", "02-29 00:00"));
  EXPECT_THAT(times("59 59 23 31 12 *", "UTC", "2026-12-31T23:59:59Z", 1), ElementsAre("12-31 23:59"));
}

TEST(CronExpression, SecondsComeFirst) {
  const auto cron = value_or_throw(CronExpression::parse("*/20 59 23 * * *"));
  const auto utc = value_or_throw(TimeZone::find("UTC"));
  EXPECT_EQ(cron.next(at("2026-01-01T00:00:00"), utc), at("2026-01-01T23:59:00"));
  EXPECT_EQ(cron.next(at("2026-01-01T23:59:00"), utc), at("2026-01-01T23:59:20"));
  EXPECT_EQ(cron.next(at("2026-01-01T23:59:40"), utc), at("2026-01-02T23:59:00"));
}

TEST(CronExpression, ATimeInASkippedHourRunsAtTheEndOfTheSkip) {
  EXPECT_THAT(times("30 2 * * *", "America/New_York", "2026-03-08T00:00:00", 2),
              ElementsAre("03-08 07:00", "03-09 06:30"));
  EXPECT_THAT(times("0,15,30 2 * * *", "America/New_York", "2026-03-08T00:00:00", 2),
              ElementsAre("03-08 07:00", "03-09 06:00"))
      << "together once";
  EXPECT_THAT(times("0 3 * * *", "America/New_York", "2026-03-08T00:00:00", 2),
              ElementsAre("03-08 07:00", "03-09 07:00"));
  EXPECT_THAT(times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00", 2),
              ElementsAre("10-03 15:30", "10-04 15:15"));
  EXPECT_THAT(times("*/15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00", 3),
              ElementsAre("10-03 15:30", "10-03 15:45", "10-04 15:00"))
      << "an interval has no run for what is left out";
  EXPECT_THAT(times("0 12 30 12 *", "Pacific/Apia", "2011-01-01", 1), ElementsAre("12-30 10:00"))
      << "Samoa had no 30 December 2011";
}

TEST(CronExpression, ATimeInADoubledHourRunsInTheFirstPass) {
  EXPECT_THAT(times("30 1 * * *", "America/New_York", "2026-11-01T00:00:00", 2),
              ElementsAre("11-01 05:30", "11-02 06:30"));
  EXPECT_THAT(times("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00:00", 2),
              ElementsAre("04-04 14:45", "04-05 15:15"));
}

TEST(CronExpression, AnIntervalRunsInBothPassesOfADoubledHour) {
  EXPECT_THAT(times("*/30 * * * *", "America/New_York", "2026-11-01T03:59:00", 6),
              ElementsAre("11-01 04:00", "11-01 04:30", "11-01 05:00", "11-01 05:30", "11-01 06:00", "11-01 06:30"));
  EXPECT_THAT(times("*/30 1 * * *", "America/New_York", "2026-11-01T00:00:00", 5),
              ElementsAre("11-01 05:00", "11-01 05:30", "11-01 06:00", "11-01 06:30", "11-02 06:00"));
}

// croniter 5 and 6 give 08:00, and then 09:00 again.
TEST(CronExpression, AMorningBesideAChangeIsAsEveryMorning) {
  EXPECT_THAT(times("0 9 * * *", "America/New_York", "2026-03-07T22:30:00", 2),
              ElementsAre("03-08 13:00", "03-09 13:00"));
  EXPECT_THAT(times("0 9 * * *", "America/New_York", "2026-10-31T20:00:00", 2),
              ElementsAre("11-01 14:00", "11-02 14:00"));
}

TEST(CronExpression, TheLastTimeOfAPeriod) {
  const auto utc = value_or_throw(TimeZone::find("UTC"));
  const auto last = [&](const char* cron, const char* after, const char* until) {
    return value_or_throw(CronExpression::parse(cron)).last(at(after), at(until), utc);
  };
  EXPECT_EQ(last("* * * * * *", "2000-01-01", "2026-01-01"), at("2026-01-01"));
  EXPECT_EQ(last("0 0 1 * *", "2000-01-01", "2026-01-31"), at("2026-01-01"));
  EXPECT_EQ(last("0 0 1 * *", "2026-01-01", "2026-01-31"), std::nullopt);
  EXPECT_EQ(last("0 0 1 * *", "2026-01-01", "2026-02-01"), at("2026-02-01"));
  EXPECT_EQ(last("0 0 29 2 *", "2000-01-01", "2026-01-31"), at("2024-02-29"));
  EXPECT_EQ(last("0 0 1 * *", "2026-02-01", "2026-01-01"), std::nullopt);
}

}  // namespace
}  // namespace mephisto
