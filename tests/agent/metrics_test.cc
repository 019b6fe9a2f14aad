// What the metrics of an agent are made of: counters that add up and never fall, how long records and handlers take,
// and how old the oldest event is.
#include <gmock/gmock.h>

#include "app/worker_impl.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using detail::AgentTotals;
using detail::ShardMetrics;
using Then = ErrorPolicy::Then;

std::vector<Row> values_of(std::initializer_list<int> numbers) {
  std::vector<Row> rows;
  for (const auto number : numbers) rows.push_back({std::nullopt, std::to_string(number)});
  return rows;
}

class AgentMetrics : public ::testing::Test {
 protected:
  static ShardMetrics metrics(const Worker& worker) { return worker.impl().shards.front()->app->metrics(); }
  static AgentTotals of(const Worker& worker, const std::string& agent, const std::string& topic = "in") {
    return metrics(worker).agents.at({agent, topic});
  }
  static void expect_sum(const AgentTotals& totals) {
    EXPECT_EQ(totals.received,
              totals.acked + totals.dead_lettered + totals.skipped + totals.given_back + totals.in_flight);
  }
  // Takes each value; fails on negative ones, and waits for `pause` with those above 100.
  void declare(AgentOptions options = {}, int partitions = 1) {
    world.app.agent(
        "take", world.app.topic<int>("in", {.partitions = partitions}),
        [this](Stream<int> stream) -> Task<void> {
          while (auto event = co_await stream.next()) {
            ++begun;
            if (*event < 0) throw Failure(ErrorKind::kInvalid, "below 0");
            if (*event > 100) co_await sleep_or_give_back(pause);
          }
        },
        std::move(options));
  }

  TestApp world;
  Loop::duration pause = 1h;
  int begun = 0;
};

TEST_F(AgentMetrics, CountEventsByOutcome) {
  AgentOptions skipping;
  skipping.on_error.then = Then::kSkip;
  declare(skipping);
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", values_of({1, -1, 2, -2, 3}));
    co_await world.eventually_committed("in", 5);
    const auto totals = of(worker, "take");
    EXPECT_EQ(totals.received, 5U);
    EXPECT_EQ(totals.acked, 3U);
    EXPECT_EQ(totals.skipped, 2U);
    EXPECT_GT(totals.bytes, 0U);
    expect_sum(totals);
  });
}

TEST_F(AgentMetrics, CountersDoNotFallWhenPartitionsMoveAndEventsAreGivenBack) {
  declare({.concurrency = 2}, 2);
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.create("in", 2);
    co_await world.produce("in", {{std::nullopt, "1", {}, 0}, {std::nullopt, "1", {}, 1}});
    co_await world.produce("in", {{std::nullopt, "101", {}, 0}, {std::nullopt, "101", {}, 1}});
    co_await world.eventually([&] { return begun == 4; });
    EXPECT_EQ(of(worker, "take").in_flight, 2U);
    auto competitor = world.competing_member({"in"});
    (void)co_await competitor->poll(0, 0ms);
    (void)co_await competitor->poll(0, 1000ms);
    const auto totals = of(worker, "take");
    EXPECT_EQ(totals.received, 4U) << "also what was given back with the partition";
    EXPECT_EQ(totals.acked, 2U);
    EXPECT_EQ(totals.given_back, 1U);
    EXPECT_EQ(totals.in_flight, 1U);
    expect_sum(totals);
    co_await competitor->close();
    pause = 0s;
  });
}

TEST_F(AgentMetrics, ALostPartitionGivesItsEventsBack) {
  declare();
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", values_of({1, 101}));
    co_await world.eventually([&] { return begun == 2; });
    co_await world.expel({"in"});
    co_await world.eventually([&] { return of(worker, "take").given_back > 0; });
    EXPECT_GE(of(worker, "take").received, 2U);
    expect_sum(of(worker, "take"));
    pause = 0s;
  });
}

TEST_F(AgentMetrics, AnAcknowledgementThatIsTakenBackIsStillCounted) {
  const auto& compacted = world.app.topic<int>("compacted", {.partitions = 1, .compacting = true});
  world.app.agent("send", world.app.topic<int>("in", {.partitions = 1}), [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) co_await compacted.cast(*event);  // refused: it has no key
  });
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", values_of({1}));
    co_await world.eventually_committed("in", 1);
    const auto totals = of(worker, "send");
    EXPECT_EQ(totals.dead_lettered, 1U);
    EXPECT_EQ(totals.acked, totals.received - 1) << "with the acknowledgement that was taken back";
    expect_sum(totals);
  });
}

TEST_F(AgentMetrics, LatencyIsFromARecordsTimeToItsCommit) {
  world.set("broker_commit_interval", "2s");
  declare();
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", values_of({1, 2, 3}));
    co_await world.eventually_committed("in", 3);
    co_await world.eventually([&] { return of(worker, "take").latency.count() > 0; });
    const auto latency = of(worker, "take").latency;
    EXPECT_EQ(latency.count(), 3U);
    EXPECT_LE(latency.sum, 3 * 2.1);
    EXPECT_GT(latency.sum, 0.1);
  });
}

TEST_F(AgentMetrics, HandlersAreTimed) {
  pause = 3s;
  declare();
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", values_of({101}));
    co_await world.eventually_committed("in", 1);
    co_await world.produce("in", values_of({102}));
    co_await world.eventually_committed("in", 2);
    const auto times = metrics(worker).handler_time.at("take");
    EXPECT_EQ(times.count(), 2U);
    EXPECT_NEAR(times.sum, 6, 0.1);
  });
}

TEST_F(AgentMetrics, AMeasuredEventOfABusyHandlerStandsForThoseBeforeIt) {
  declare();
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(100));  // none waits for an hour
    co_await world.eventually_committed("in", 100);
    const auto times = metrics(worker).handler_time.at("take");
    EXPECT_LE(times.count(), 100U);
    EXPECT_GE(times.count(), 64U);
  });
}

TEST_F(AgentMetrics, AHandlerThatFailsIsTimedToo) {
  declare();
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", values_of({-1}));
    co_await world.eventually_committed("in", 1);
    EXPECT_EQ(metrics(worker).handler_time.at("take").count(), 1U);
  });
}

TEST(ShardMetrics, APartitionThatMovesFromShardToShardIsToldOnce) {
  ShardMetrics before;
  before.partitions[{"in", 0}] = {.committed = 7, .oldest = 7};
  before.memory_budget = 1;
  ShardMetrics after;
  after.partitions[{"in", 0}] = {.committed = 9, .oldest = 9};
  after.memory_budget = 1;
  for (auto sum : {before, after}) {
    sum += sum.partitions.at({"in", 0}).committed == 7 ? after : before;
    ASSERT_EQ(sum.partitions.size(), 1U);
    EXPECT_EQ(sum.partitions.at({"in", 0}).committed, 9);
    EXPECT_EQ(sum.memory_budget, 2U);
  }
}

TEST_F(AgentMetrics, TheOldestEventIsAsOldAsItsRecord) {
  declare();
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", values_of({101, 1, 2}));
    co_await world.eventually([&] { return begun == 1; });
    co_await sleep_for(10min);
    const auto age_of = [&] { return metrics(worker).partitions.at({"in", 0}).oldest_age.value_or(-1ms); };
    EXPECT_GE(age_of(), 10min);
    EXPECT_LT(age_of(), 11min);
    pause = 0s;
    co_await world.eventually_committed("in", 3, 0, 2h);
    EXPECT_EQ(age_of(), -1ms) << "nothing waits";
  });
}

}  // namespace
}  // namespace mephisto::tests
