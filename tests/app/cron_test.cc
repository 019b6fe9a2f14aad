// Crontabs on virtual time: the test driver's clock starts at 2026-01-01 00:00 UTC.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "app/cron.h"
#include "mephisto/testing.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

std::string text(Timestamp time) { return format_iso8601(time).substr(0, 16); }

// An app with one job, which keeps the slots that it ran, in this process and in a topic.
struct OneJob {
  explicit OneJob(std::string expression, CrontabOptions options = {}, const char* guarantee = "at_least_once") {
    app.settings().set("processing_guarantee", guarantee, "test");
    app.crontab(
        "job", expression,
        [this](const CronSlot& slot) -> Task<void> {
          ran.push_back(text(slot.time));
          co_await ran_topic->cast(text(slot.time));
          if (body) co_await body(slot);
        },
        options);
  }
  std::vector<std::string> outcomes(TestDriver& driver) {
    std::vector<std::string> all;
    const auto& table = static_cast<const detail::CronTable&>(*app.tables().front());
    for (const auto& run : driver.table(table).get("job").history)
      all.push_back(text(Timestamp{std::chrono::milliseconds{run.slot}}) + " " + run.outcome);
    return all;
  }

  App app{"shop"};
  const Topic<std::string>* ran_topic = &app.topic<std::string>("ran", {.partitions = 1, .internal = true});
  std::vector<std::string> ran;
  std::function<Task<void>(const CronSlot&)> body;
};

TEST(Crontab, RunsAtItsTimes) {
  OneJob job{"30 6 * * *"};
  TestDriver driver{job.app};
  driver.advance(6h + 29min);
  EXPECT_THAT(job.ran, ElementsAre());
  driver.advance(2min);
  EXPECT_THAT(job.ran, ElementsAre("2026-01-01T06:30"));
  driver.advance(48h);
  EXPECT_THAT(job.ran, ElementsAre("2026-01-01T06:30", "2026-01-02T06:30", "2026-01-03T06:30"));
}

TEST(Crontab, RunsInItsZoneOrThatOfTheSetting) {
  OneJob declared{"30 6 * * *", {.timezone = "America/New_York"}};
  TestDriver driver{declared.app};
  driver.advance(24h);
  EXPECT_THAT(declared.ran, ElementsAre("2026-01-01T11:30"));
  OneJob by_setting{"30 6 * * *"};
  by_setting.app.settings().set("timezone", "Asia/Tokyo", "test");
  TestDriver other{by_setting.app};
  other.advance(24h);
  EXPECT_THAT(by_setting.ran, ElementsAre("2026-01-01T21:30"));
}

TEST(Crontab, AYearOfSlotsIsShortOnVirtualTime) {
  OneJob job{"0 9 * * *", {.timezone = "America/New_York"}};
  TestDriver driver{job.app};
  const auto begin = std::chrono::steady_clock::now();
  driver.advance(24h * 365);
  EXPECT_EQ(job.ran.size(), 365U);
  EXPECT_EQ(std::set<std::string>(job.ran.begin(), job.ran.end()).size(), 365U);
  RecordProperty("ms", static_cast<int>((std::chrono::steady_clock::now() - begin) / 1ms));
}

TEST(Crontab, OfSeveralShardsOneRunsEachSlot) {
  OneJob job{"*/10 * * * *"};
  TestDriver driver{job.app, 3};
  driver.advance(1h + 1min);
  EXPECT_EQ(job.ran.size(), 6U);
}

TEST(Crontab, SlotsOfADowntimeAreMissed) {
  OneJob job{"0 * * * *"};
  TestDriver driver{job.app};
  driver.advance(1h + 5min);
  driver.restart(LocalState::kLost, 3h);
  driver.advance(1h);
  EXPECT_THAT(job.ran, ElementsAre("2026-01-01T01:00", "2026-01-01T05:00"));
  EXPECT_THAT(job.outcomes(driver),
              ElementsAre("2026-01-01T01:00 ok", "2026-01-01T02:00 missed", "2026-01-01T05:00 ok"));
}

TEST(Crontab, CatchUpLastRunsTheLastSlotOfADowntime) {
  OneJob job{"0 * * * *", {.catch_up = CatchUp::kLast}};
  TestDriver driver{job.app};
  driver.advance(1h + 5min);
  driver.restart(LocalState::kLost, 3h);
  driver.advance(1min);
  EXPECT_THAT(job.ran, ElementsAre("2026-01-01T01:00", "2026-01-01T04:00"));
  EXPECT_THAT(job.outcomes(driver),
              ElementsAre("2026-01-01T01:00 ok", "2026-01-01T02:00 missed", "2026-01-01T04:00 ok"));
}

TEST(Crontab, CatchUpAllRunsEachSlotOfADowntime) {
  OneJob job{"0 * * * *", {.catch_up = CatchUp::kAll}};
  TestDriver driver{job.app};
  driver.advance(1h + 5min);
  driver.restart(LocalState::kLost, 3h);
  driver.advance(1min);
  EXPECT_THAT(job.ran, ElementsAre("2026-01-01T01:00", "2026-01-01T02:00", "2026-01-01T03:00", "2026-01-01T04:00"));
}

TEST(Crontab, ASlotWithinItsGraceRunsAfterADowntime) {
  OneJob job{"0 * * * *", {.misfire_grace = 20min}};
  TestDriver driver{job.app};
  driver.advance(55min);
  driver.restart(LocalState::kLost, 20min);
  driver.advance(1min);
  EXPECT_THAT(job.ran, ElementsAre("2026-01-01T01:00"));
}

TEST(Crontab, TheFirstStartCatchesNothingUp) {
  OneJob job{"0 * * * *", {.catch_up = CatchUp::kAll}};
  TestDriver driver{job.app};
  driver.advance(59min);
  EXPECT_THAT(job.ran, ElementsAre());
}

TEST(Crontab, RunsDoNotOverlap) {
  OneJob job{"* * * * *", {.misfire_grace = 10s}};
  int running = 0;
  job.body = [&](const CronSlot&) -> Task<void> {
    EXPECT_EQ(++running, 1);
    co_await sleep_for(150s);
    --running;
  };
  TestDriver driver{job.app};
  driver.advance(10min + 1s);
  EXPECT_THAT(job.ran, ElementsAre("2026-01-01T00:01", "2026-01-01T00:04", "2026-01-01T00:07", "2026-01-01T00:10"))
      << "the slots that came meanwhile are late";
}

TEST(Crontab, JitterDelaysASlotByTheSameTimeEverywhere) {
  OneJob job{"0 0 * * *", {.jitter = 30min}};
  std::vector<Microtime> started;
  job.body = [&](const CronSlot&) -> Task<void> {
    started.push_back(Loop::current()->wall_time());
    co_return;
  };
  TestDriver driver{job.app};
  driver.advance(24h * 5);
  ASSERT_EQ(started.size(), 4U);
  std::set<std::chrono::seconds> delays;
  for (const auto time : started) {
    const auto delay = time - std::chrono::floor<std::chrono::days>(time);
    EXPECT_LE(delay, 31min);
    delays.insert(std::chrono::floor<std::chrono::seconds>(delay));
  }
  EXPECT_GT(delays.size(), 1U);
}

class Ends : public testing::TestWithParam<const char*> {};

// A worker ends in each way, also between two commits and while a slot runs.
TEST_P(Ends, EachSlotCountsOnceHoweverWorkersEnd) {
  OneJob job{"*/10 * * * *", {.catch_up = CatchUp::kAll}, GetParam()};
  job.body = [](const CronSlot&) -> Task<void> { co_await sleep_for(3s); };
  TestDriver driver{job.app, 2};
  std::vector<std::string> expected;
  for (int i = 0; i < 24; ++i) {
    driver.advance(i % 2 == 0 ? 9min + 59s : 10min + 2s);
    if (i % 3 == 0) driver.restart(LocalState::kLost, 15min);
    if (i % 3 == 1) driver.crash(LocalState::kLost, 25min);
    if (i % 3 == 2) driver.rebalance();
  }
  driver.advance(5min);
  const auto now = driver.loop().wall_time();
  const Microtime start{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}};
  for (auto slot = start + 10min; slot <= now; slot += 10min)
    expected.push_back(text(std::chrono::floor<std::chrono::milliseconds>(slot)) + " ok");
  auto outcomes = job.outcomes(driver);
  ASSERT_EQ(outcomes.size(), detail::kCronHistory);
  ASSERT_GT(expected.size(), outcomes.size());
  expected.erase(expected.begin(), expected.end() - static_cast<std::ptrdiff_t>(outcomes.size()));
  EXPECT_EQ(outcomes, expected);
  std::set<std::string> seen;
  std::size_t sent = 0;
  for (const auto& record : driver.records("ran")) {
    seen.insert(*record.value);
    ++sent;
  }
  EXPECT_EQ(seen.size(), static_cast<std::size_t>((now - start) / 10min)) << "no slot is lost";
  if (GetParam() == std::string{"exactly_once"}) EXPECT_EQ(sent, seen.size()) << "none is doubled";
}
INSTANTIATE_TEST_SUITE_P(Guarantees, Ends, testing::Values("at_least_once", "exactly_once"),
                         [](const auto& info) { return std::string{info.param}; });

class OnError : public testing::TestWithParam<const char*> {};

TEST_P(OnError, ASlotIsTriedAgainThenADeadLetterAndTheNextSlotRuns) {
  CrontabOptions options;
  options.on_error.retries = 2;
  OneJob job{"0 * * * *", options, GetParam()};
  job.body = [&](const CronSlot& slot) -> Task<void> {
    if (text(slot.time) == "2026-01-01T01:00") throw std::runtime_error("no luck");
    co_return;
  };
  TestDriver driver{job.app};
  driver.advance(2h + 1min);
  EXPECT_THAT(job.ran, ElementsAre("2026-01-01T01:00", "2026-01-01T01:00", "2026-01-01T01:00", "2026-01-01T02:00"));
  EXPECT_THAT(job.outcomes(driver), ElementsAre("2026-01-01T01:00 failed", "2026-01-01T02:00 ok"));
  const auto letters = driver.dead_letters(*job.app.agents().front());
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_THAT(letters.front().header("x-error"), HasSubstr("no luck"));
  driver.restart();
  driver.advance(30min);
  EXPECT_EQ(job.ran.size(), 4U) << "the slot that failed is done";
}
INSTANTIATE_TEST_SUITE_P(Guarantees, OnError, testing::Values("at_least_once", "exactly_once"),
                         [](const auto& info) { return std::string{info.param}; });

// What the former leader, which does not know that it is replaced, may do at worst.
TEST(Crontab, ASlotThatIsInTheTopicTwiceRunsOnce) {
  OneJob job{"0 * * * *"};
  TestDriver driver{job.app};
  driver.advance(1h + 1min);
  const auto records = driver.records("shop-__assignor-__leader");
  ASSERT_EQ(records.size(), 2U) << "the start and a slot";
  const TopicBase topic{detail::leader_topic("shop")};
  for (int i = 0; i < 2; ++i) {
    for (const auto& record : records) driver.run(topic.send_raw(record.value, {.key = record.key, .partition = 0}));
  }
  driver.settle();
  driver.advance(1h);
  EXPECT_THAT(job.ran, ElementsAre("2026-01-01T01:00", "2026-01-01T02:00"));
}

TEST(Crontab, AnotherExpressionStartsAnew) {
  const auto before = [](OneJob& job) {
    TestDriver driver{job.app};
    driver.advance(2h + 1min);
    return driver.records("shop-__assignor-__leader");
  };
  OneJob old{"0 * * * *", {.catch_up = CatchUp::kAll}};
  const auto records = before(old);
  OneJob job{"*/30 * * * *", {.catch_up = CatchUp::kAll}};
  TestDriver driver{job.app};
  const TopicBase topic{detail::leader_topic("shop")};
  for (const auto& record : records) driver.run(topic.send_raw(record.value, {.key = record.key, .partition = 0}));
  driver.advance(31min);
  EXPECT_THAT(job.ran, ElementsAre("2026-01-01T00:30")) << "slots of another version's expression are not run";
}

TEST(Crontab, ASlotIsAUnitOfWork) {
  App app{"shop"};
  app.settings().set("processing_guarantee", "exactly_once", "test");
  auto& sums = app.table<std::string, int>("sums", {.partitions = 1});
  auto& sent = app.topic<std::string>("sent", {.partitions = 1, .internal = true});
  bool fails = false;
  app.crontab("job", "0 * * * *", [&]() -> Task<void> {
    sums["runs"] += 1;
    co_await sent.cast("x");
    if (fails) throw Failure(ErrorKind::kInvalid, "never");
  });
  TestDriver driver{app};
  driver.advance(2h + 1min);
  EXPECT_EQ(driver.table(sums).get("runs"), 2);
  EXPECT_EQ(driver.values(sent).size(), 2U);
  fails = true;
  driver.advance(2h);
  EXPECT_EQ(driver.table(sums).get("runs"), 2) << "a run that fails changes nothing";
  EXPECT_EQ(driver.values(sent).size(), 2U) << "and sends nothing";
}

TEST(Crontab, MistakesAreToldAtTheDeclaration) {
  App app{"shop"};
  const auto body = []() -> Task<void> { co_return; };
  app.crontab("nightly", "0 25 * * *", body);
  app.crontab("berlin", "0 2 * * *", body, {.timezone = "Europe/Berln"});
  app.crontab("late", "@daily", body, {.jitter = -1s});
  app.crontab("late", "@daily", body);
  const auto mistakes = app.mistakes();
  ASSERT_EQ(mistakes.size(), 4U);
  EXPECT_THAT(mistakes[0], HasSubstr("cron_test.cc:"));
  EXPECT_THAT(mistakes[0],
              HasSubstr("crontab nightly: cron expression \"0 25 * * *\": field 2 (hour), at character 3"));
  EXPECT_THAT(mistakes[1], HasSubstr("did you mean \"Europe/Berlin\"?"));
  EXPECT_THAT(mistakes[2], HasSubstr("at least 0"));
  EXPECT_THAT(mistakes[3], HasSubstr("already"));
}

TEST(OnLeader, ATimerRunsOnOneShard) {
  App app{"shop"};
  int runs = 0;
  app.timer("tick", 1min,
            [&]() -> Task<void> {
              ++runs;
              co_return;
            },
            {.on_leader = true});
  TestDriver driver{app, 3};
  driver.advance(10min + 30s);
  EXPECT_EQ(runs, 10);
}

TEST(OnLeader, ATaskRunsWhileItsShardLeads) {
  App app{"shop"};
  int started = 0;
  int ended = 0;
  app.task("watch",
           [&]() -> Task<void> {
             ++started;
             struct End {
               int& count;
               ~End() { ++count; }
             } end{ended};
             co_await sleep_for(24h);
           },
           {.on_leader = true});
  TestDriver driver{app, 2};
  driver.advance(1min);
  EXPECT_EQ(started, 1);
  EXPECT_EQ(ended, 0);
  driver.restart();
  driver.advance(1min);
  EXPECT_EQ(started, 2);
  EXPECT_EQ(ended, 1);
}

}  // namespace
}  // namespace mephisto
