#include "mephisto/table/window_calendar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/hash.h"
#include "mephisto/base/time.h"
#include "table/window_driver.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;
using std::chrono::sys_days;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::int64_t at(std::string_view text) {
  return std::chrono::floor<std::chrono::milliseconds>(*parse_iso8601(text)).time_since_epoch().count();
}

std::string shown(std::int64_t time) {
  return format_iso8601(Microtime{std::chrono::milliseconds{time}}).substr(11, 5);
}

// `14:30-18:00`, with a break `00:00-02:30,03:30-06:00`; in UTC.
std::string shown(const TradingDay* day) {
  if (!day) return "closed";
  if (!day->break_at) return shown(day->open) + "-" + shown(day->close);
  return shown(day->open) + "-" + shown(day->break_at->start) + "," + shown(day->break_at->end) + "-" +
         shown(day->close);
}

std::string hours(std::string_view exchange, sys_days date) { return shown(MarketCalendar::of(exchange).day(date)); }

std::vector<std::string> ends(const std::vector<WindowBounds>& windows) {
  std::vector<std::string> all;
  for (const auto& window : windows) all.push_back(shown(window.end));
  return all;
}

TEST(MarketCalendar, KnowsHolidaysHalfDaysAndBreaks) {
  EXPECT_EQ(hours("XNYS", 2026y / 11 / 25), "14:30-21:00");
  EXPECT_EQ(hours("XNYS", 2026y / 11 / 26), "closed") << "Thanksgiving";
  EXPECT_EQ(hours("XNYS", 2026y / 11 / 27), "14:30-18:00");
  EXPECT_EQ(hours("XNYS", 2001y / 9 / 12), "closed");
  EXPECT_EQ(hours("XTKS", 2024y / 11 / 1), "00:00-02:30,03:30-06:00");
  EXPECT_EQ(hours("XTKS", 2024y / 11 / 5), "00:00-02:30,03:30-06:30") << "half an hour longer since then";
  EXPECT_EQ(hours("XHKG", 2026y / 2 / 16), "01:30-04:00") << "no afternoon on the eve of the New Year";
  EXPECT_EQ(hours("XHKG", 2026y / 12 / 24), "01:30-04:00");
  EXPECT_EQ(hours("XLON", 2026y / 12 / 24), "08:00-12:30");
  EXPECT_EQ(hours("XETR", 2026y / 12 / 24), "closed");
}

TEST(MarketCalendar, KnowsWhenClocksChange) {
  EXPECT_EQ(MarketCalendar::of("XNYS").zone(), "America/New_York");
  EXPECT_EQ(hours("XNYS", 2026y / 3 / 6), "14:30-21:00");
  EXPECT_EQ(hours("XNYS", 2026y / 3 / 9), "13:30-20:00");
  EXPECT_EQ(hours("XLON", 2026y / 3 / 27), "08:00-16:30");
  EXPECT_EQ(hours("XLON", 2026y / 3 / 30), "07:00-15:30");
  EXPECT_EQ(hours("XETR", 2026y / 3 / 30), "07:00-15:30");
}

// The numbers are those of exchange_calendars 4.13.2 with pandas 2.3.3.
TEST(MarketCalendar, HasAllDaysFrom2000To2027) {
  const std::pair<std::string, std::size_t> expected[] = {{"XNYS", 7041}, {"XNAS", 7041}, {"XLON", 7075},
                                                          {"XETR", 7115}, {"XTKS", 6857}, {"XHKG", 6904}};
  for (const auto& [exchange, count] : expected) {
    const auto& calendar = MarketCalendar::of(exchange);
    EXPECT_EQ(calendar.days().size(), count) << exchange;
    EXPECT_EQ(calendar.made(), "2026-11-29");
    for (const auto& day : calendar.days()) {
      EXPECT_EQ(calendar.day(day.date), &day);
      EXPECT_EQ(calendar.at(day.open), &day);
      EXPECT_EQ(calendar.at(day.close - 1), &day);
      EXPECT_NE(calendar.at(day.close), &day);
      EXPECT_NE(calendar.at(day.open - 1), &day);
    }
  }
}

template <class Call>
void expect_failure(Call call, ErrorKind kind, const std::string& why) {
  try {
    call();
    ADD_FAILURE() << "no failure: " << why;
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), kind);
    EXPECT_THAT(failure.what(), HasSubstr(why));
  }
}

TEST(MarketCalendar, ADateOutsideIsAnError) {
  const auto& calendar = MarketCalendar::of("XNYS");
  EXPECT_EQ(shown(calendar.day(2000y / 1 / 1)), "closed");
  EXPECT_EQ(shown(calendar.day(2027y / 12 / 31)), "14:30-21:00");
  expect_failure([&] { calendar.day(1999y / 12 / 31); }, ErrorKind::kInvalid,
                 "XNYS: 1999-12-31 is outside of 2000-01-01 to 2027-12-31");
  expect_failure([&] { calendar.day(2028y / 1 / 1); }, ErrorKind::kInvalid, "2028-01-01 is outside");
  expect_failure([&] { calendar.at(at("2028-01-03T15:00:00Z")); }, ErrorKind::kInvalid, "2028-01-03 is outside");
  expect_failure([&] { calendar.at(-1); }, ErrorKind::kInvalid, "1969-12-31 is outside");
}

TEST(MarketCalendar, AnUnknownExchangeIsTold) {
  expect_failure([] { MarketCalendar::of("XTAE"); }, ErrorKind::kNotFound,
                 "none of XTAE; there are XETR, XHKG, XLON, XNAS, XNYS, XTKS");
}

TEST(MarketCalendar, IntervalsNeverCrossTheBreakOrTheClose) {
  EXPECT_THAT(ends(intervals(*MarketCalendar::of("XNYS").day(2026y / 11 / 27), 1h)),
              ElementsAre("15:30", "16:30", "17:30", "18:00"));
  EXPECT_THAT(ends(intervals(*MarketCalendar::of("XHKG").day(2026y / 11 / 27), 1h)),
              ElementsAre("02:30", "03:30", "04:00", "06:00", "07:00", "08:00"));
  EXPECT_THAT(ends(intervals(*MarketCalendar::of("XHKG").day(2026y / 11 / 27), 2h)),
              ElementsAre("03:30", "04:00", "07:00", "08:00"));
  EXPECT_THAT(ends(intervals(*MarketCalendar::of("XHKG").day(2026y / 12 / 24), 2h)), ElementsAre("03:30", "04:00"));
}

TEST(MarketCalendar, ATextIsReadOrRefused) {
  const std::string body = "exchange XAAA\nzone Europe/Berlin\nfrom 2026-01-01\nto 2026-12-31\nmade 2026-01-01\n";
  const auto with_sum = [](std::string text) { return text + fmt::format("crc32c {:08x}\n", crc32c(text)); };
  const auto calendar = value_or_throw(MarketCalendar::parse(with_sum(body + "2026-01 08:00-16:30 5 7\n")));
  EXPECT_EQ(shown(calendar.day(2026y / 1 / 5)), "08:00-16:30");
  EXPECT_EQ(shown(calendar.day(2026y / 1 / 6)), "closed");

  EXPECT_EQ(MarketCalendar::parse(with_sum(body).replace(9, 4, "XBBB")).error().kind, ErrorKind::kCorrupt);
  for (const auto* wrong :
       {"2026-01 08:00 5", "2026-01 16:30-08:00 5", "2026-01 08:00-16:30 7 5", "2026-02 08:00-16:30 30",
        "2026-01 08:00-12:00,11:00-16:30 5", "hello", "2026-01 08:00-16:30 x"})
    EXPECT_THAT(MarketCalendar::parse(with_sum(body + wrong + "\n")).error().message, HasSubstr("line 6 is wrong"));
  EXPECT_THAT(MarketCalendar::parse(body).error().message, HasSubstr("no line `crc32c`"));
  EXPECT_THAT(MarketCalendar::parse(with_sum("exchange XAAA\n")).error().message, HasSubstr("`from` and `to`"));
}

TEST(MarketCalendar, ADayIsAWindowThatClosesWithTheFirstRecordAfterIt) {
  oracle::Driver driver{trading_days(MarketCalendar::of("XTKS"), {.emit = Emit::kOnClose})};
  driver.add("k", 1, at("2024-11-05T00:00:00Z"));
  driver.add("k", 1, at("2024-11-05T06:29:59.999Z"));
  EXPECT_THAT(driver.take(), IsEmpty());
  driver.add("k", 1, at("2024-11-05T03:00:00Z"));
  const auto time = at("2024-11-05T03:00:00Z");
  EXPECT_THAT(driver.take_late(), ElementsAre(testing::Pair(time, WindowBounds{time, time}))) << "in the break";
  EXPECT_EQ(driver.progress().skipped, 1);
  driver.add("k", 1, at("2024-11-05T06:30:00Z"));
  const auto finals = driver.take();
  ASSERT_EQ(finals.size(), 1);
  EXPECT_EQ(finals[0].start, at("2024-11-05T00:00:00Z"));
  EXPECT_EQ(finals[0].end, at("2024-11-05T06:30:00Z"));
  EXPECT_EQ(finals[0].value.text, R"({"count":2,"sum":2})");
}

TEST(MarketCalendar, AnIntervalIsAWindow) {
  oracle::Driver driver{trading_intervals(MarketCalendar::of("XHKG"), 1h)};
  for (const auto* time : {"01:30", "02:29", "03:59", "05:00", "07:59"})
    driver.add("k", 1, at(fmt::format("2026-11-27T{}:00Z", time)));
  std::vector<std::string> windows;
  for (const auto& output : driver.take()) windows.push_back(shown(*output.start) + "-" + shown(*output.end));
  EXPECT_THAT(windows, ElementsAre("01:30-02:30", "01:30-02:30", "03:30-04:00", "05:00-06:00", "07:00-08:00"));
  for (const auto* time : {"01:29", "04:00", "04:59", "08:00"})
    driver.add("k", 1, at(fmt::format("2026-11-27T{}:00Z", time)));
  EXPECT_THAT(driver.take(), IsEmpty());
  EXPECT_EQ(driver.progress().skipped, 4);
}

TEST(MarketCalendar, WindowsOfTheDayAreItsIntervals) {
  for (const auto* exchange : {"XNYS", "XTKS", "XHKG"}) {
    const auto& calendar = MarketCalendar::of(exchange);
    const auto spec = trading_intervals(calendar, 25min);
    for (const auto& day : calendar.days().last(300)) {
      for (const auto& interval : intervals(day, 25min)) {
        for (const auto time : {interval.start, interval.end - 1}) {
          std::vector<WindowBounds> windows;
          spec.visit_windows(time, [&](const WindowBounds& window) { windows.push_back(window); });
          EXPECT_THAT(windows, ElementsAre(interval));
        }
      }
    }
  }
}

}  // namespace
}  // namespace mephisto
