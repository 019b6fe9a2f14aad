// Times and durations as text.
#include <gtest/gtest.h>

#include "mephisto/base/ids.h"
#include "mephisto/base/time.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;
using std::chrono::sys_days;
using std::chrono::year;

constexpr Microtime kDay = sys_days{year{2020} / 1 / 2};

TEST(Iso8601, WholeSecondsHaveNoFraction) { EXPECT_EQ(format_iso8601(kDay + 3h + 4min + 5s), "2020-01-02T03:04:05Z"); }
TEST(Iso8601, OtherFractionsHaveSixDigits) { EXPECT_EQ(format_iso8601(kDay + 6us), "2020-01-02T00:00:00.000006Z"); }
TEST(Iso8601, TimesBefore1970AreWritten) { EXPECT_EQ(format_iso8601(Microtime{-1us}), "1969-12-31T23:59:59.999999Z"); }
TEST(Iso8601, YearsHaveFourDigits) { EXPECT_EQ(format_iso8601(sys_days{year{7} / 8 / 9}), "0007-08-09T00:00:00Z"); }

TEST(Iso8601, OtherYearsHaveTheirDigits) {
  EXPECT_EQ(format_iso8601(sys_days{year{12345} / 8 / 9} + 1h + 1us), "12345-08-09T01:00:00.000001Z");
  EXPECT_EQ(format_iso8601(sys_days{year{-7} / 8 / 9}), "-007-08-09T00:00:00Z");
}
TEST(Iso8601, TheFirstAndTheLastMomentOfFourDigits) {
  EXPECT_EQ(format_iso8601(sys_days{year{0} / 1 / 1}), "0000-01-01T00:00:00Z");
  EXPECT_EQ(format_iso8601(sys_days{year{9999} / 12 / 31} + 24h - 1us), "9999-12-31T23:59:59.999999Z");
}

TEST(Iso8601, WhatIsWrittenReadsBack) {
  Random random{1};
  for (int i = 0; i < 2000; ++i) {
    Microtime time{std::chrono::microseconds{static_cast<std::int64_t>(random.below(315'537'897'600'000'000)) -
                                             62'135'596'800'000'000}};
    ASSERT_EQ(parse_iso8601(format_iso8601(time)), time) << format_iso8601(time);
  }
}

TEST(Iso8601, ADateAloneIsMidnight) { EXPECT_EQ(parse_iso8601("2020-01-02"), kDay); }
TEST(Iso8601, MonthsAndDaysMayHaveOneDigit) { EXPECT_EQ(parse_iso8601("2020-1-2"), kDay); }
TEST(Iso8601, AnyCharacterMayBeBetweenDateAndTime) {
  for (auto text : {"2020-01-02T01:00:00", "2020-01-02 01:00:00", "2020-01-02t01:00:00", "2020-01-02_01:00:00"})
    EXPECT_EQ(parse_iso8601(text), kDay + 1h) << text;
}
TEST(Iso8601, SecondsMayBeLeftOut) { EXPECT_EQ(parse_iso8601("2020-01-02T03:04Z"), kDay + 3h + 4min); }
TEST(Iso8601, AFractionCountsByItsPlacesNotAsAWhole) {
  EXPECT_EQ(parse_iso8601("2020-01-02T00:00:00.5Z"), kDay + 500ms);
}
TEST(Iso8601, FractionsOfOneToSixDigitsAreRead) {
  EXPECT_EQ(parse_iso8601("2020-01-02T00:00:00.12Z"), kDay + 120ms);
  EXPECT_EQ(parse_iso8601("2020-01-02T00:00:00.123Z"), kDay + 123ms);
  EXPECT_EQ(parse_iso8601("2020-01-02T00:00:00.1234Z"), kDay + 123400us);
  EXPECT_EQ(parse_iso8601("2020-01-02T00:00:00.123456Z"), kDay + 123456us);
}
TEST(Iso8601, DigitsBelowTheMicrosecondAreDropped) {
  EXPECT_EQ(parse_iso8601("2020-01-02T00:00:00.123456999Z"), kDay + 123456us);
}
TEST(Iso8601, WithoutAZoneItIsUtc) { EXPECT_EQ(parse_iso8601("2020-01-02T00:00:00"), kDay); }
TEST(Iso8601, AZoneEastOfGreenwichIsEarlierInUtc) { EXPECT_EQ(parse_iso8601("2020-01-02T02:00:00+02:00"), kDay); }
TEST(Iso8601, AZoneWestOfGreenwichIsLaterInUtc) { EXPECT_EQ(parse_iso8601("2020-01-01T20:30:00-03:30"), kDay); }
TEST(Iso8601, ZonesWithoutColonOrMinutesAreRead) {
  EXPECT_EQ(parse_iso8601("2020-01-02T02:00:00+0200"), kDay);
  EXPECT_EQ(parse_iso8601("2020-01-02T02:00:00+02"), kDay);
  EXPECT_EQ(parse_iso8601("2020-01-02T00:00:00z"), kDay);
}

TEST(Iso8601, TheLeapDayOfALeapYearIsRead) {
  EXPECT_EQ(parse_iso8601("2020-02-29"), Microtime{sys_days{year{2020} / 2 / 29}});
}
TEST(Iso8601, TheLeapDayOfACenturyIsReadEvery400Years) {
  EXPECT_NE(parse_iso8601("2000-02-29"), std::nullopt);
  EXPECT_EQ(parse_iso8601("1900-02-29"), std::nullopt);
}
TEST(Iso8601, DaysThatDoNotExistAreRefused) {
  for (auto text : {"2021-02-29", "2021-02-30", "2021-04-31", "2021-00-01", "2021-13-01", "2021-01-00", "2021-01-32"})
    EXPECT_EQ(parse_iso8601(text), std::nullopt) << text;
}
TEST(Iso8601, TimesThatDoNotExistAreRefused) {
  for (auto text : {"2020-01-02T24:00:00", "2020-01-02T00:60:00", "2020-01-02T00:00:61"})
    EXPECT_EQ(parse_iso8601(text), std::nullopt) << text;
}
TEST(Iso8601, OtherTextIsRefused) {
  for (auto text : {"", "2020", "2020-01", "20-01-02", "2020/01/02", "2020-01-02T", "2020-01-02T03", "2020-01-02T3:04",
                    "2020-01-02T03:04:", "2020-01-02T03:04:05.", "2020-01-02T03:04:05+", "2020-01-02T03:04:05+1",
                    "2020-01-02T03:04:05 UTC", "2020-01-02T03:04:05Zx", "x2020-01-02", "-2020-01-02", "noon"}) {
    EXPECT_EQ(parse_iso8601(text), std::nullopt) << text;
  }
}
TEST(Iso8601, AZoneThatEndsInAColonIsRefused) { EXPECT_EQ(parse_iso8601("2020-01-02T03:04:05+01:"), std::nullopt); }
TEST(Iso8601, AZoneOfADayOrMoreIsRefused) { EXPECT_EQ(parse_iso8601("2020-01-02T03:04:05+99:99"), std::nullopt); }

TEST(Duration, EveryUnitIsRead) {
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("3s"), 3s);
  EXPECT_EQ(parse_duration("2m"), 2min);
  EXPECT_EQ(parse_duration("2min"), 2min);
  EXPECT_EQ(parse_duration("1h"), 1h);
  EXPECT_EQ(parse_duration("7d"), 168h);
}
TEST(Duration, APlainNumberIsSeconds) { EXPECT_EQ(parse_duration("90"), 90s); }
TEST(Duration, FractionsAreRead) { EXPECT_EQ(parse_duration("1.5s"), 1500ms); }
TEST(Duration, FractionsOfMillisecondsAreRounded) { EXPECT_EQ(parse_duration("1.6ms"), 2ms); }
TEST(Duration, ZeroIsADuration) { EXPECT_EQ(parse_duration("0"), 0ms); }
TEST(Duration, OtherTextIsRefused) {
  for (auto text : {"", "s", "ms", "-1s", "5x", "5 s", " 5s", "1h30m", "inf", "nan", "1e300d", "five", "0x10"})
    EXPECT_FALSE(parse_duration(text)) << text;
}
TEST(Duration, TheRefusalShowsTheTextAndWhatToWrite) {
  auto duration = parse_duration("5 parsecs");
  ASSERT_FALSE(duration);
  EXPECT_EQ(duration.error().kind, ErrorKind::kInvalid);
  EXPECT_EQ(duration.error().message,
            "\"5 parsecs\" is not a duration: write a number of seconds, or 250ms, 1.5s, 2m, 1h, 7d");
}

TEST(Duration, PeopleReadTheTwoLargestUnits) {
  EXPECT_EQ(format_duration(0ms), "0 ms");
  EXPECT_EQ(format_duration(850ms), "850 ms");
  EXPECT_EQ(format_duration(12300ms), "12.3 s");
  EXPECT_EQ(format_duration(4min + 5s), "4 min 5 s");
  EXPECT_EQ(format_duration(2h + 3min + 59s), "2 h 3 min");
  EXPECT_EQ(format_duration(49h), "2 d 1 h");
}
TEST(Duration, UnitsChangeAtTheirLimits) {
  EXPECT_EQ(format_duration(999ms), "999 ms");
  EXPECT_EQ(format_duration(1s), "1.0 s");
  EXPECT_EQ(format_duration(60s), "1 min 0 s");
  EXPECT_EQ(format_duration(60min), "1 h 0 min");
  EXPECT_EQ(format_duration(24h), "1 d 0 h");
}
TEST(Duration, SecondsAreNeverShownAsSixty) { EXPECT_NE(format_duration(59'999ms), "60.0 s"); }

}  // namespace
}  // namespace mephisto
