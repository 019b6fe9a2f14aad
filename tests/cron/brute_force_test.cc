// The times of expressions around the changes of zones, compared with a search minute by minute. The search takes its
// local times from the C library, and knows nothing of the expressions but what a function says of one local time.
#include <fmt/chrono.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <time.h>

#include "mephisto/cron/expression.h"

namespace mephisto {
namespace {

using std::chrono::sys_days;
using std::chrono::sys_seconds;

struct Case {
  const char* cron;
  bool interval;
  bool (*matches)(const tm& local);
};

int days_of_month(const tm& local) {
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const int year = local.tm_year + 1900;
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return kDays[local.tm_mon] + (local.tm_mon == 1 && leap ? 1 : 0);
}

const Case kCases[] = {
    {"* * * * *", true, [](const tm&) { return true; }},
    {"*/7 * * * *", true, [](const tm& t) { return t.tm_min % 7 == 0; }},
    {"0 * * * *", true, [](const tm& t) { return t.tm_min == 0; }},
    {"30 */2 * * *", true, [](const tm& t) { return t.tm_min == 30 && t.tm_hour % 2 == 0; }},
    {"*/15 0-3 * * *", true, [](const tm& t) { return t.tm_min % 15 == 0 && t.tm_hour <= 3; }},
    {"0 0 * * *", false, [](const tm& t) { return t.tm_min == 0 && t.tm_hour == 0; }},
    {"30 0 * * *", false, [](const tm& t) { return t.tm_min == 30 && t.tm_hour == 0; }},
    {"30 1 * * *", false, [](const tm& t) { return t.tm_min == 30 && t.tm_hour == 1; }},
    {"15 2 * * *", false, [](const tm& t) { return t.tm_min == 15 && t.tm_hour == 2; }},
    {"30 2 * * *", false, [](const tm& t) { return t.tm_min == 30 && t.tm_hour == 2; }},
    {"0 3 * * *", false, [](const tm& t) { return t.tm_min == 0 && t.tm_hour == 3; }},
    {"45 23 * * *", false, [](const tm& t) { return t.tm_min == 45 && t.tm_hour == 23; }},
    {"0-59/20 1,2 * * *", false, [](const tm& t) { return t.tm_min % 20 == 0 && (t.tm_hour == 1 || t.tm_hour == 2); }},
    {"30 0-23 * * *", false, [](const tm& t) { return t.tm_min == 30; }},
    {"15 2 * * SUN", false, [](const tm& t) { return t.tm_min == 15 && t.tm_hour == 2 && t.tm_wday == 0; }},
    {"30 1 L * *", false,
     [](const tm& t) { return t.tm_min == 30 && t.tm_hour == 1 && t.tm_mday == days_of_month(t); }},
    {"30 1 1,15 * 6", false,
     [](const tm& t) {
       return t.tm_min == 30 && t.tm_hour == 1 && (t.tm_mday == 1 || t.tm_mday == 15 || t.tm_wday == 6);
     }},
    {"0 2 * 3,10 7L", false,
     [](const tm& t) {
       return t.tm_min == 0 && t.tm_hour == 2 && (t.tm_mon == 2 || t.tm_mon == 9) && t.tm_wday == 0 &&
              t.tm_mday + 7 > days_of_month(t);
     }},
};

// In seconds since 1970, as if the local time were UTC.
struct Minute {
  time_t time;
  time_t local;
};

Minute minute_at(time_t time) {
  tm local{};
  localtime_r(&time, &local);
  return {time, time + local.tm_gmtoff};
}

std::vector<time_t> search(const Case& one, const std::vector<Minute>& minutes) {
  const auto matches = [&](time_t local) {
    tm fields{};
    gmtime_r(&local, &fields);
    return one.matches(fields);
  };
  std::vector<time_t> found;
  time_t seen = minutes.front().local;  // the latest local time so far
  for (std::size_t i = 1; i < minutes.size(); ++i) {
    const auto [time, local] = minutes[i];
    bool runs = matches(local) && (one.interval || local > seen);
    for (auto skipped = minutes[i - 1].local + 60; !one.interval && skipped < local; skipped += 60)
      runs |= matches(skipped);
    if (runs) found.push_back(time);
    seen = std::max(seen, local);
  }
  return found;
}

class CronBruteForce : public testing::TestWithParam<const char*> {};

TEST_P(CronBruteForce, FindsTheSameTimesAroundEachChange) {
  setenv("TZ", GetParam(), 1);
  tzset();
  const auto zone = value_or_throw(TimeZone::find(GetParam()));
  const auto first = sys_days{std::chrono::year{2005} / 1 / 1}.time_since_epoch() / std::chrono::seconds{1};
  const auto last = sys_days{std::chrono::year{2045} / 1 / 1}.time_since_epoch() / std::chrono::seconds{1};
  constexpr time_t kDay = 24 * 60 * 60;
  int changes = 0;
  for (auto hour = first; hour < last; hour += 3600) {
    if (minute_at(hour).local - hour == minute_at(hour + 3600).local - hour - 3600) continue;
    ++changes;
    std::vector<Minute> minutes;
    for (auto time = hour - 3 * kDay; time < hour + 2 * kDay; time += 60) minutes.push_back(minute_at(time));
    const auto start = minutes.front().time;
    for (const auto& one : kCases) {
      const auto expression = value_or_throw(CronExpression::parse(one.cron));
      ASSERT_EQ(expression.is_interval(), one.interval) << one.cron;
      std::vector<time_t> found;
      for (auto next = expression.next(sys_seconds{std::chrono::seconds{start}}, zone);
           next && next->time_since_epoch().count() <= minutes.back().time; next = expression.next(*next, zone))
        found.push_back(next->time_since_epoch().count());
      ASSERT_EQ(found, search(one, minutes))
          << one.cron << " beside " << fmt::format("{:%Y-%m-%d %H:%M}", sys_seconds{std::chrono::seconds{hour}});
    }
  }
  EXPECT_GT(changes, 0);
  unsetenv("TZ");
  tzset();
}

INSTANTIATE_TEST_SUITE_P(Zones, CronBruteForce,
                         testing::Values("America/New_York", "Europe/Berlin", "Europe/London", "Australia/Lord_Howe",
                                         "America/St_Johns", "Pacific/Apia", "Africa/Casablanca", "America/Havana",
                                         "Asia/Tehran", "Pacific/Chatham", "America/Santiago", "Asia/Gaza",
                                         "Antarctica/Troll", "America/Caracas", "Europe/Dublin"),
                         [](const auto& info) {
                           std::string name = info.param;
                           for (auto& c : name) c = std::isalnum(c) != 0 ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace mephisto
