// The clock answers what waits in the joins of partitions that get no records.
#include <gmock/gmock.h>

#include <map>

#include "support/other_worker.h"

namespace mephisto::tests {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

using Result = Joined<int, int>;

template <class Options>
struct Pairs {
  explicit Pairs(Options how, JoinOptions options = {.close_idle = 10s}, bool exactly_once = true)
      : results(app.join("pairs", left, right, how, std::move(options))) {
    app.settings().set("topic_partitions", "2", "test");
    app.settings().set("processing_guarantee", exactly_once ? "exactly_once" : "at_least_once", "test");
  }
  void send(TestDriver& driver, const Topic<int>& topic, int value, const std::string& key = "k") {
    driver.run(topic.send(value, {.key = key}));
    driver.settle();
  }

  App app{"app"};
  Topic<int>& left = app.topic<int>("left");
  Topic<int>& right = app.topic<int>("right");
  const Topic<Result>& results;
};

constexpr StreamJoinOptions kOuter{.kind = Join::kOuter, .before = 1min, .after = 5min, .grace = 10s};

TEST(IdleJoins, StreamsAreAnsweredWithoutALaterRecord) {
  for (const bool exactly_once : {false, true}) {
    Pairs pairs{kOuter, {.close_idle = 10s}, exactly_once};
    TestDriver driver{pairs.app};
    pairs.send(driver, pairs.left, 1);
    pairs.send(driver, pairs.right, 2, "other");
    driver.advance(30s);
    EXPECT_THAT(driver.values(pairs.results), IsEmpty());
    driver.advance(1min);
    EXPECT_THAT(driver.values(pairs.results), ElementsAre(Result{std::nullopt, 2}));
    driver.advance(5min);
    EXPECT_THAT(driver.values(pairs.results), UnorderedElementsAre(Result{1, std::nullopt}, Result{std::nullopt, 2}));
    driver.advance(10min);
    pairs.send(driver, pairs.right, 3);
    EXPECT_THAT(driver.values(pairs.results), SizeIs(2));
  }
}

TEST(IdleJoins, OnlyRecordsAnswerUnlessTheJoinOrTheSettingSaysSo) {
  for (const auto& [option, setting, results] : {std::tuple{std::optional<std::chrono::milliseconds>{}, "0s", 0U},
                                                 {0ms, "10s", 0U},
                                                 {{}, "10s", 1U},
                                                 {10s, "0s", 1U}}) {
    Pairs pairs{kOuter, {.close_idle = option}};
    pairs.app.settings().set("close_idle", setting, "test");
    TestDriver driver{pairs.app};
    pairs.send(driver, pairs.left, 1);
    driver.advance(10min);
    EXPECT_THAT(driver.values(pairs.results), SizeIs(results)) << setting;
  }
}

// A worker that starts again goes on with what waits, and repeats nothing.
TEST(IdleJoins, ComeOnceOverRestarts) {
  Pairs pairs{kOuter};
  TestDriver driver{pairs.app};
  for (int i = 0; i < 10; ++i) {
    pairs.send(driver, pairs.left, i, std::to_string(i));
    driver.restart();
  }
  driver.advance(6min);
  EXPECT_THAT(driver.values(pairs.results), SizeIs(10));
  driver.restart();
  driver.advance(6min);
  EXPECT_THAT(driver.values(pairs.results), SizeIs(10));
}

// The clock takes no match from a record that is not late.
TEST(IdleJoins, ARecordALittleBehindTheClockStillMatches) {
  Pairs pairs{kOuter};
  TestDriver driver{pairs.app};
  pairs.send(driver, pairs.left, 1);
  driver.advance(20min);
  const auto behind = driver.loop().timestamp() - 1min;
  driver.run(pairs.left.send(2, {.key = "k", .timestamp = behind}));
  driver.run(pairs.right.send(3, {.key = "k", .timestamp = behind}));
  driver.settle();
  EXPECT_THAT(driver.values(pairs.results), ElementsAre(Result{1, std::nullopt}, Result{2, 3}));
}

TEST(IdleJoins, AStreamThatWaitsForItsTableIsAnswered) {
  Pairs pairs{StreamTableJoinOptions{.kind = Join::kLeft, .table = {.history = 1min}, .grace = 30s}};
  TestDriver driver{pairs.app};
  pairs.send(driver, pairs.right, 7);
  pairs.send(driver, pairs.left, 1);
  driver.advance(20s);
  EXPECT_THAT(driver.values(pairs.results), IsEmpty());
  driver.advance(30s);
  EXPECT_THAT(driver.values(pairs.results), ElementsAre(Result{1, 7}));
}

TEST(IdleJoins, AsOfIsAnsweredInAllDirections) {
  for (const auto direction : {AsOf::kBackward, AsOf::kForward, AsOf::kNearest}) {
    Pairs pairs{AsOfJoinOptions{.kind = Join::kLeft, .direction = direction, .tolerance = 1min, .grace = 30s}};
    TestDriver driver{pairs.app};
    pairs.send(driver, pairs.left, 1);
    EXPECT_THAT(driver.values(pairs.results), IsEmpty());
    driver.advance(3min);
    EXPECT_THAT(driver.values(pairs.results), ElementsAre(Result{1, std::nullopt}));
  }
}

// Another worker takes over partitions whose results wait; one of the two loses its lease on the way.
TEST(IdleJoins, ComeOnceWhilePartitionsMove) {
  constexpr int kRecords = 40;
  const auto declare = [](App& app) {
    TopicOptions two;
    two.partitions = 2;
    auto& left = app.topic<int>("left", two);
    auto& right = app.topic<int>("right", two);
    app.settings().set("topic_partitions", "2", "test");
    app.settings().set("processing_guarantee", "exactly_once", "test");
    app.join("pairs", left, right, kOuter, {.close_idle = 10s});
  };
  TestApp world;
  declare(world.app);
  world.run([&]() -> Task<void> {
    co_await world.create("left", 2);
    co_await world.create("right", 2);
    std::vector<Row> rows;
    for (int i = 0; i < kRecords; ++i) rows.push_back({std::to_string(i), std::to_string(i), {}, i % 2});
    co_await world.produce("left", rows);
  });
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.eventually([&] { return account(worker, "pairs").acked == kRecords; });
    const auto other = co_await OtherWorker::start(world, declare);
    co_await world.eventually(
        [&] { return account(other->worker, "pairs").balanced() && !lanes(other->worker).empty(); });
    memory_faults(*world.log).expire("");
    co_await sleep_for(6min);
    co_await world.eventually_in("app-pairs", kRecords);
    co_await other->worker.stop();
    co_await sleep_for(6min);
  });
  std::map<std::string, int> times;
  for (const auto& row : world.run([&] { return world.records("app-pairs"); })) ++times[row.key.value()];
  EXPECT_THAT(times, SizeIs(kRecords));
  for (const auto& [key, count] : times) EXPECT_EQ(count, 1) << key;
}

}  // namespace
}  // namespace mephisto::tests
