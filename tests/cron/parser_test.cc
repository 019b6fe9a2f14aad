#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mephisto/cron/expression.h"

namespace mephisto {
namespace {

using testing::HasSubstr;

std::string error_of(std::string_view text) {
  const auto parsed = CronExpression::parse(text);
  return parsed ? "none" : parsed.error().message;
}

TEST(CronParser, AnErrorNamesTheFieldThePositionAndWhatWouldBeRight) {
  EXPECT_EQ(error_of("0 25 * * *"),
            "cron expression \"0 25 * * *\": field 2 (hour), at character 3: \"25\": expected 0 to 23");
  EXPECT_EQ(error_of("0 0 25 * * *"),
            "cron expression \"0 0 25 * * *\": field 3 (hour), at character 5: \"25\": expected 0 to 23");
  EXPECT_EQ(
      error_of("0 0 * * MON,TEU"),
      "cron expression \"0 0 * * MON,TEU\": field 5 (weekday), at character 13: \"TEU\": expected 0 to 7 or SUN to "
      "SAT; did you mean \"TUE\"?");
}

TEST(CronParser, EachMistakeHasAHint) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "0 fields"},
      {"   ", "0 fields"},
      {"* * * *", "4 fields"},
      {"* * * * * * *", "7 fields"},
      {"60 * * * *", "0 to 59"},
      {"-1 * * * *", "0 to 59"},
      {"+1 * * * *", "0 to 59"},
      {"1.5 * * * *", "0 to 59"},
      {"0x1 * * * *", "0 to 59"},
      {"* * 0 * *", "1 to 31"},
      {"* * 32 * *", "1 to 31"},
      {"* * * 13 *", "1 to 12 or JAN to DEC"},
      {"* * * FBE *", "did you mean \"FEB\"?"},
      {"* * * * 8", "0 to 7 or SUN to SAT"},
      {"99999999999999999999 * * * *", "0 to 59"},
      {"*/0 * * * *", "a step from 1 to 59"},
      {"*/60 * * * *", "a step from 1 to 59"},
      {"*/ * * * *", "a step from 1 to 59"},
      {"*/x * * * *", "a step from 1 to 59"},
      {"1/2/3 * * * *", "a step from 1 to 59"},
      {"5-1 * * * *", "write 5-59,0-1"},
      {"0 22-2 * * *", "write 22-23,0-2"},
      {"0 0 * * FRI-MON", "write 5-6,0-1"},
      {"1- * * * *", "0 to 59"},
      {"1-2-3 * * * *", "0 to 59"},
      {"1,,2 * * * *", "a comma"},
      {",1 * * * *", "a comma"},
      {"1, * * * *", "a comma"},
      {"? * * * *", "0 to 59"},
      {"** * * * *", "0 to 59"},
      {"* * ?/2 * *", "write *"},
      {"* * L-31 * *", "L-1 to L-30"},
      {"* * L3 * *", "L-1 to L-30"},
      {"* * 32W * *", "1W to 31W"},
      {"* * W * *", "1W to 31W"},
      {"* * 1-5W * *", "1W to 31W"},
      {"* * * * L", "5L or FRIL"},
      {"* * * * 5#6", "1 to 5"},
      {"* * * * 5#", "1 to 5"},
      {"* * * * #3", "0 to 7 or SUN to SAT"},
      {"* * * * 9L", "0 to 7 or SUN to SAT"},
      {"* L * * *", "0 to 23"},
      {"0 0 30 2 *", "no date"},
      {"0 0 31 4,6,9,11 *", "no date"},
      {"0 0 30W 2 *", "no date"},
      {"@dayly", "did you mean \"@daily\"?"},
      {"@reboot", "declare a task"},
      {"@every 5m", "fields"},
      {"@every", "declare a timer"},
      {"@daily 5", "fields"},
      {"* * * * *\n* * * * *", "fields"},
  };
  for (const auto& [text, hint] : cases) EXPECT_THAT(error_of(text), HasSubstr(hint)) << text;
}

TEST(CronParser, ForeignTextIsShownWithoutItsControlCharacters) {
  EXPECT_THAT(error_of("\x1b[31m * * * *"), HasSubstr("\\x1b[31m"));
  EXPECT_THAT(error_of(std::string_view("*\0 * * * *", 10)), HasSubstr("\\x00"));
}

TEST(CronParser, FormsOfTheSameTimesAreEqual) {
  const std::pair<const char*, const char*> cases[] = {
      {"0 0 * * 0", "0 0 * * 7"},
      {"0 0 * * sun", "0 0 * * SUN"},
      {"0 0 * * FRI-SUN", "0 0 * * 0,5,6"},
      {"0 0 * * 5-7", "0 0 * * 5,6,7"},
      {"0 0 * * 7-2", "0 0 * * 0-2"},
      {"0 0 * jan-mar *", "0 0 * 1,2,3 *"},
      {"@daily", "0 0 * * *"},
      {"@WEEKLY", "0 0 * * 0"},
      {"\t0  0\t* *   * ", "0 0 * * *"},
      {"10/20 0 * * *", "10,30,50 0 * * *"},
      {"0 0 ? * MON", "0 0 * * MON"},
      {"0 0 1-31 * MON", "0 0 * * MON"},
      {"0 0 * * 0-6", "0 0 * * *"},
      {"0 0 * * FRIL", "0 0 * * L5"},
      {"0 0 0 * * *", "0 0 * * *"},
      {"0 0 LW * *", "0 0 lw * *"},
      {"5,5,5-6 0 * * *", "5,6 0 * * *"},
      {"0 0 * * 5#3", "0 0 * * fri#3"},
  };
  const auto utc = value_or_throw(TimeZone::find("UTC"));
  for (const auto& [one, other] : cases) {
    const auto a = value_or_throw(CronExpression::parse(one));
    const auto b = value_or_throw(CronExpression::parse(other));
    std::chrono::sys_seconds at = std::chrono::sys_days{std::chrono::year{2026} / 1 / 1};
    for (int i = 0; i < 50; ++i) {
      const auto next = a.next(at, utc);
      ASSERT_EQ(next, b.next(at, utc)) << one << " and " << other;
      at = *next;
    }
  }
}

TEST(TimeZone, ANameThatIsNoneIsRefusedWithTheNearest) {
  const auto error = [](std::string_view name) {
    const auto found = TimeZone::find(name);
    return found ? "none" : found.error().message;
  };
  EXPECT_THAT(error("Europe/Berln"), HasSubstr("did you mean \"Europe/Berlin\"?"));
  EXPECT_THAT(error("america/new york"), HasSubstr("did you mean \"America/New_York\"?"));
  EXPECT_THAT(error("berlin"), HasSubstr("did you mean \"Europe/Berlin\"?"));
  EXPECT_THAT(error("utc"), HasSubstr("did you mean"));
  for (const auto* name :
       {"", "localtime", "/etc/localtime", "../zoneinfo/UTC", "right/UTC", "Europe", "UTC+3", "tzdata.zi"})
    EXPECT_THAT(error(name), HasSubstr("there is no time zone")) << name;
}

TEST(TimeZone, TellsTheVersionOfItsData) {
  EXPECT_THAT(TimeZone::data_version(), testing::MatchesRegex("20[0-9][0-9][a-z]+"));
}

}  // namespace
}  // namespace mephisto
