// Windows that the clock closes, because their partition gets no records.
#include <gmock/gmock.h>

#include "support/other_worker.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

TopicOptions partitions(int count) {
  TopicOptions options;
  options.partitions = count;
  options.internal = true;
  return options;
}

// Counts numbers by minute and key. `hold` keeps records back.
struct Minutes {
  Minutes(App& app, WindowsOptions options = {.partitions = 2, .close_idle = 30s},
          WindowSpec spec = WindowSpec::tumbling(1min, {.grace = 5s, .emit = Emit::kOnClose}))
      : numbers(app.topic<int>("numbers", partitions(2))),
        results(app.topic<Windowed<int>>("results", partitions(1))),
        windows(app.windows<std::string>(
            "minutes", std::move(spec), [](int& count, const int&) { ++count; }, std::move(options))) {
    windows.results_to(results).late_to(
        [this](const LateValue<std::string, int>& one) { late.push_back(one.key + std::to_string(one.value)); });
    app.agent("count", numbers, [this](Stream<int> stream) -> Task<void> {
      while (auto number = co_await stream.next()) {
        co_await hold.pass();
        co_await windows.add(std::string{number.key()}, *number);
      }
    });
    hold.open();
  }
  Topic<int>& numbers;
  Topic<Windowed<int>>& results;
  WindowedTable<std::string, int, int>& windows;
  std::vector<std::string> late;
  Gate hold;
};

class IdleWindows : public ::testing::TestWithParam<std::string> {
 protected:
  IdleWindows() { app.settings().set("processing_guarantee", GetParam(), "test"); }
  SendOptions at(Timestamp time, const std::string& key, int partition = 0) const {
    SendOptions options;
    options.key = key;
    options.partition = partition;
    options.timestamp = time;
    return options;
  }
  App app{"clock"};
};

TEST_P(IdleWindows, AreClosedOnceByTheClock) {
  Minutes minutes{app};
  TestDriver driver{app};
  const auto start = std::chrono::floor<std::chrono::minutes>(driver.loop().timestamp()) + 1min;
  driver.run(minutes.numbers.send(1, at(start + 1s, "ann")));
  driver.run(minutes.numbers.send(2, at(start + 2s, "ann", 1)));
  driver.settle();
  EXPECT_EQ(driver.table(minutes.windows).get("ann", start), 1);
  EXPECT_THAT(driver.table(minutes.windows).items(), SizeIs(2));
  driver.advance(1min);
  EXPECT_THAT(driver.values(minutes.results), IsEmpty()) << "its end and the grace are not over";
  driver.advance(5min);
  const Windowed<int> one{start, start + 1min, 1};
  EXPECT_THAT(driver.values(minutes.results), ElementsAre(one, one));
  EXPECT_EQ(driver.records("results")[0].timestamp, start + 1s);
  driver.restart();
  driver.advance(1h);
  EXPECT_THAT(driver.values(minutes.results), SizeIs(2));
  EXPECT_THAT(driver.table(minutes.windows).items(), IsEmpty());
  driver.run(minutes.numbers.send(3, at(start + 3s, "ann")));
  driver.settle();
  EXPECT_THAT(minutes.late, ElementsAre("ann3"));
}

TEST_P(IdleWindows, AreClosedAfterARestart) {
  Minutes minutes{app};
  TestDriver driver{app};
  const auto start = std::chrono::floor<std::chrono::minutes>(driver.loop().timestamp());
  driver.run(minutes.numbers.send(1, at(start + 1s, "ann")));
  driver.settle();
  driver.restart();
  driver.advance(2min);
  EXPECT_THAT(driver.values(minutes.results), ElementsAre(Windowed<int>{start, start + 1min, 1}));
}

TEST_P(IdleWindows, AreOpenWhileStreamTimeMoves) {
  Minutes minutes{app, {.partitions = 2, .close_idle = 30s}, WindowSpec::tumbling(1min, {.emit = Emit::kOnClose})};
  TestDriver driver{app};
  // An hour behind the clock. Partition 1 gets no records.
  const auto start = std::chrono::floor<std::chrono::minutes>(driver.loop().timestamp()) - 1h;
  driver.run(minutes.numbers.send(0, at(start, "bob", 1)));
  for (int i = 0; i < 6; ++i) {
    driver.run(minutes.numbers.send(i, at(start + std::chrono::seconds{i}, "ann")));
    driver.advance(20s);
  }
  EXPECT_THAT(driver.values(minutes.results), ElementsAre(Windowed<int>{start, start + 1min, 1})) << "bob's";
  EXPECT_EQ(driver.table(minutes.windows).get("ann", start), 6);
  EXPECT_THAT(minutes.late, IsEmpty());
}

// What is in the log already is not late because the agent is slow.
TEST_P(IdleWindows, AreOpenWhileRecordsWait) {
  Minutes minutes{app};
  TestDriver driver{app};
  const auto start = std::chrono::floor<std::chrono::minutes>(driver.loop().timestamp());
  driver.run(minutes.numbers.send(1, at(start, "ann")));
  driver.settle();
  minutes.hold.close();
  driver.run(minutes.numbers.send(2, at(start, "ann")));
  driver.run([]() -> Task<void> { co_await sleep_for(10min); }());
  minutes.hold.open();
  driver.settle();
  EXPECT_THAT(driver.values(minutes.results), IsEmpty());
  driver.advance(2min);
  EXPECT_THAT(driver.values(minutes.results), ElementsAre(Windowed<int>{start, start + 1min, 2}));
  EXPECT_THAT(minutes.late, IsEmpty());
}

TEST_P(IdleWindows, AreNotClosedWithoutTheSetting) {
  Minutes minutes{app, {.partitions = 2}};
  TestDriver driver{app};
  driver.run(minutes.numbers.send(1, at(driver.loop().timestamp(), "ann")));
  driver.settle();
  driver.advance(1h);
  EXPECT_THAT(driver.values(minutes.results), IsEmpty());
}

TEST_P(IdleWindows, AreClosedByTheSettingOfTheApp) {
  app.settings().set("close_idle", "10s", "test");
  Minutes minutes{app, {.partitions = 2}};
  TestDriver driver{app};
  driver.run(minutes.numbers.send(1, at(driver.loop().timestamp(), "ann")));
  driver.settle();
  driver.advance(2min);
  EXPECT_THAT(driver.values(minutes.results), SizeIs(1));
}

TEST_P(IdleWindows, GiveTheResultsThatWait) {
  Minutes minutes{
      app, {.partitions = 2, .close_idle = 10s}, WindowSpec::tumbling(1h, {.emit = Emit::kEvery, .every = 1min})};
  TestDriver driver{app};
  const auto start = std::chrono::floor<std::chrono::hours>(driver.loop().timestamp());
  for (int i = 0; i < 3; ++i) driver.run(minutes.numbers.send(i, at(start + 1s, "ann")));
  driver.settle();
  EXPECT_THAT(driver.values(minutes.results), IsEmpty());
  driver.advance(2min);
  EXPECT_THAT(driver.values(minutes.results), ElementsAre(Windowed<int>{start, start + 1h, 3}));
}

// The last records of sessions and sliding windows come too.
TEST_P(IdleWindows, OfEachKindAreClosed) {
  for (const auto& spec :
       {WindowSpec::hopping(2min, 1min, {.emit = Emit::kOnClose}), WindowSpec::sliding(1min, {.emit = Emit::kOnClose}),
        WindowSpec::session(1min, {.emit = Emit::kOnClose})}) {
    App kind{"kind"};
    kind.settings().set("processing_guarantee", GetParam(), "test");
    Minutes minutes{kind, {.partitions = 2, .close_idle = 10s}, spec};
    TestDriver driver{kind};
    const auto now = driver.loop().timestamp();
    driver.run(minutes.numbers.send(1, at(now, "ann")));
    driver.run(minutes.numbers.send(2, at(now + 1s, "ann")));
    driver.settle();
    EXPECT_THAT(driver.table(minutes.windows).items(), Not(IsEmpty()));
    driver.advance(10min);
    const auto results = driver.values(minutes.results);
    ASSERT_FALSE(results.empty());
    EXPECT_EQ(std::ranges::max(results, {}, [](const auto& one) { return one.value.value_or(0); }).value, 2);
    EXPECT_THAT(driver.table(minutes.windows).items(), IsEmpty());
  }
}

// The run that closes waits for the transaction; meanwhile the partition goes to another worker.
TEST_P(IdleWindows, AreClosedOnceIfThePartitionIsLostMeanwhile) {
  for (const auto after : {0ms, 1ms, 5ms, 40ms, 99ms, 100ms, 101ms, 150ms, 400ms}) {
    TestApp world;
    world.set("processing_guarantee", GetParam()).set("topic_disable_leader", "true");
    world.set("broker_commit_interval", "100ms");
    Minutes minutes{world.app, {.partitions = 2, .close_idle = 10s}};
    world.work([&](Worker&) -> Task<void> {
      const auto start = std::chrono::floor<std::chrono::minutes>(world.loop.timestamp());
      for (int i = 0; i < 4; ++i) co_await minutes.numbers.send(i, at(start + 1s, "k" + std::to_string(i), i % 2));
      const auto due = start + 65s - world.loop.timestamp();
      // The next look is a multiple of 2.5 s after the start.
      co_await sleep_for(due + after);
      for (int round = 0; round < 60; ++round) {
        memory_faults(*world.log).expire("");
        memory_faults(*world.log).lose_commit_replies = round % 3 == 0 ? 1 : 0;
        co_await sleep_for(50ms + std::chrono::milliseconds{after} / 3);
      }
      memory_faults(*world.log).lose_commit_replies = 0;
      co_await sleep_for(2min);
    });
    const auto rows = world.run([&] { return world.records("results"); });
    std::map<std::string, int> finals;
    for (const auto& row : rows) ++finals[row.key.value_or("")];
    EXPECT_EQ(finals.size(), 4U);
    if (GetParam() == "exactly_once") EXPECT_THAT(rows, SizeIs(4)) << after;
  }
}

INSTANTIATE_TEST_SUITE_P(Guarantees, IdleWindows, ::testing::Values("at_least_once", "exactly_once"),
                         [](const auto& tested) { return tested.param; });

TEST(Windows, AreReadByKeyAndTime) {
  App app{"shop"};
  auto& numbers = app.topic<int>("numbers", partitions(1));
  auto& sums = app.windows<std::string>("sums", WindowSpec::hopping(10s, 5s),
                                        [](int& sum, const int& number) { sum += number; }, {.partitions = 1});
  std::vector<std::string> keys;
  std::vector<int> around;
  std::optional<int> at;
  app.agent("sum", numbers, [&](Stream<int> stream) -> Task<void> {
    while (auto number = co_await stream.next()) {
      co_await sums.add(std::string{number.key()}, *number);
      if (*number != 100) continue;
      keys = sums.keys();
      for (const auto& window : sums.open("ann", Timestamp{5s}, Timestamp{10s})) around.push_back(*window.value);
      at = sums.find("ann", Timestamp{12s});
    }
  });
  TestDriver driver{app};
  const auto send = [&](int number, const std::string& key, Timestamp time) {
    SendOptions options;
    options.key = key;
    options.timestamp = time;
    driver.run(numbers.send(number, options));
  };
  send(1, "ann", Timestamp{1s});
  send(2, "ann", Timestamp{7s});
  send(4, "bob", Timestamp{8s});
  send(8, "ann", Timestamp{9s});
  send(100, "cid", Timestamp{9s});
  driver.settle();
  EXPECT_THAT(keys, ElementsAre("ann", "bob", "cid"));
  EXPECT_THAT(around, ElementsAre(11, 10)) << "[0, 10) and [5, 15)";
  EXPECT_EQ(at, 10);
  EXPECT_EQ(driver.table(sums).find("bob", Timestamp{5s}), 4);
  EXPECT_EQ(driver.table(sums).find("bob", Timestamp{10s}), std::nullopt);
  EXPECT_THAT(driver.table(sums).open("ann"), SizeIs(2));
}

}  // namespace
}  // namespace mephisto::tests
