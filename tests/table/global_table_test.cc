// Global tables: every worker has all of one, and writes go through its topic.
#include <gmock/gmock.h>

#include <numeric>

#include "support/test_app.h"
#include "table/options.h"

namespace mephisto::tests {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

struct Rate {
  std::string currency;
  double rate = 0;
};

struct Price {
  std::string currency;
  double amount = 0;
};

// One agent writes the rates, the other one reads them.
struct Exchange {
  explicit Exchange(bool exactly_once = false) {
    if (exactly_once) app.settings().set("processing_guarantee", "exactly_once", "test");
    app.agent("quote", quotes, [this](Stream<Rate> stream) -> Task<void> {
      while (auto quote = co_await stream.next()) {
        if (quote->rate == 0)
          co_await rates.erase(quote->currency);
        else
          co_await rates.set(quote->currency, quote->rate);
        if (step) co_await step(*quote);
      }
    });
    app.agent("convert", prices, [this](Stream<Price> stream) -> Task<void> {
      while (auto price = co_await stream.next()) co_await converted.cast(price->amount * rates.get(price->currency));
    });
  }
  double sum(TestDriver& driver) const {
    const auto values = driver.values(converted);
    return std::accumulate(values.begin(), values.end(), 0.0);
  }
  App app{"exchange"};
  Topic<Rate>& quotes = app.topic<Rate>("quotes", partitions(4));
  Topic<Price>& prices = app.topic<Price>("prices", partitions(4));
  Topic<double>& converted = app.topic<double>("converted", partitions(1));
  GlobalTable<std::string, double>& rates =
      app.global_table<std::string, double>("rates", {.initial = 1, .partitions = 2});
  std::function<Task<void>(const Rate&)> step;
};

TEST(GlobalTable, EveryPartitionOfEveryShardReadsWhatAnyHasWritten) {
  for (const bool exactly_once : {false, true}) {
    Exchange exchange{exactly_once};
    TestDriver driver{exchange.app, 2};
    driver.run(exchange.quotes.send({"EUR", 2}, to(0)));
    driver.run(exchange.quotes.send({"GBP", 4}, to(3)));
    driver.settle();
    for (int i = 0; i < 4; ++i) driver.run(exchange.prices.send({"EUR", 1}, to(i)));
    for (int i = 0; i < 4; ++i) driver.run(exchange.prices.send({"GBP", 10}, to(i)));
    driver.run(exchange.prices.send({"CHF", 0.5}, to(1)));
    driver.settle();
    EXPECT_EQ(exchange.sum(driver), 4 * 2 + 4 * 40 + 0.5);
    EXPECT_THAT(driver.table(exchange.rates).items(), ElementsAre(Pair("EUR", 2), Pair("GBP", 4)));
    driver.run(exchange.quotes.send({"EUR", 0}, to(2)));
    driver.settle();
    EXPECT_THAT(driver.table(exchange.rates).items(), ElementsAre(Pair("GBP", 4)));
    EXPECT_EQ(driver.table(exchange.rates).get("EUR"), 1);
  }
}

TEST(GlobalTable, AWriteCountsWithItsEventOrNotAtAll) {
  for (const bool exactly_once : {false, true}) {
    Exchange exchange{exactly_once};
    int runs = 0;
    exchange.step = [&](const Rate& quote) -> Task<void> {
      co_await sleep_for(1ms);
      ++runs;
      if (quote.rate < 0) throw std::runtime_error("bad rate");
    };
    TestDriver driver{exchange.app};
    driver.run(exchange.quotes.send({"EUR", -1}, to(0)));
    driver.run(exchange.quotes.send({"GBP", 3}, to(1)));
    driver.settle();
    EXPECT_GT(runs, 2);
    EXPECT_THAT(driver.table(exchange.rates).items(), ElementsAre(Pair("GBP", 3)));
    const auto records = driver.records("exchange-rates-changelog");
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0].key, "\"GBP\"");
    EXPECT_EQ(records[0].value, "3.0");
  }
}

// A lost reply leaves open whether the commit counts: then the events run again, or not.
TEST(GlobalTable, WritesAreExactWhenTheRepliesToCommitsAreLost) {
  App app{"exact"};
  app.settings().set("broker_commit_interval", "20ms", "test");
  auto& in = app.topic<int>("in", partitions(1));
  auto& sums = app.table<std::string, int>("sums", {.partitions = 1});
  auto& latest = app.global_table<std::string, int>("latest", {.partitions = 1});
  app.agent("add", in, [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) co_await latest.set("sum", sums["all"] += *event);
  });
  TestDriver driver{app};
  driver.run([](TestDriver& of, const Topic<int>& to) -> Task<void> {
    auto& faults = memory_faults(of.log());
    faults.delay = 10ms;
    for (int i = 1; i <= 200; ++i) {
      co_await to.cast(i);
      co_await sleep_for(1ms);
      if (i % 60 == 30) faults.lose_commit_replies = 1;
    }
    faults.delay = 0ms;
  }(driver, in));
  driver.settle();
  EXPECT_EQ(driver.table(latest).get("sum"), 201 * 100);
}

// The events wait in the topic while no worker runs.
TEST(GlobalTable, IsRestoredBeforeTheEventsThatReadIt) {
  TestApp world{"exchange"};
  auto& prices = world.app.topic<Price>("prices", partitions(4));
  auto& rates = world.app.global_table<std::string, double>("rates", {.partitions = 2});
  std::vector<double> seen;
  world.app.agent("convert", prices, [&](Stream<Price> stream) -> Task<void> {
    while (auto price = co_await stream.next()) seen.push_back(rates.get(price->currency));
  });
  world.run([&]() -> Task<void> {
    co_await world.create("exchange-rates-changelog", 2);
    for (int i = 0; i < 200; ++i)
      co_await world.produce("exchange-rates-changelog", {{"\"EUR\"", std::to_string(i), {}}});
    Client client{world.app, world.log};
    for (int i = 0; i < 4; ++i) co_await prices.send({"EUR", 1}, to(i));
    co_await client.close();
  });
  world.work([&](Worker&) -> Task<void> { co_await world.eventually([&] { return seen.size() == 4; }); });
  EXPECT_THAT(seen, Each(199));
}

TEST(GlobalTable, TimersTasksAndCommandsReadAndWriteIt) {
  TestApp world{"anywhere"};
  auto& limits = world.app.global_table<std::string, int>("limits", {.partitions = 3});
  int runs = 0;
  bool task = false;
  world.app.timer("raise", 1s, [&]() -> Task<void> { co_await limits.set("timer", ++runs); });
  world.app.task("begin", [&]() -> Task<void> {
    task = limits.contains("task");
    co_await limits.set("task", 7);
  });
  auto& words = world.app.topic<std::string>("words", partitions(1));
  world.app.agent("ignore", words, [](Stream<std::string> stream) -> Task<void> {
    while (co_await stream.next()) {
    }
  });
  const auto works = [&](Worker&) -> Task<void> {
    co_await world.eventually([&] { return limits.get("task") == 7 && limits.get("timer") >= 3; });
  };
  world.work(works);
  EXPECT_FALSE(task);
  world.run([&]() -> Task<void> {
    Client client{world.app, world.log};
    EXPECT_THROW((void)limits.get("task"), Failure);
    co_await limits.caught_up();
    EXPECT_EQ(limits.get("task"), 7);
    EXPECT_GE(limits.get("timer"), 3);
    co_await limits.set("command", 1);
    co_await limits.erase("timer");
    co_await limits.caught_up();
    EXPECT_EQ(limits.get("command"), 1);
    EXPECT_FALSE(limits.contains("timer"));
    co_await client.close();
  });
  world.work(works);
  EXPECT_TRUE(task) << "it is restored before the task begins";
}

TEST(GlobalTable, CannotBeReadOutsideOfTheApp) {
  App app{"outside"};
  auto& limits = app.global_table<std::string, int>("limits");
  Loop loop{Loop::Clock::kVirtual};
  loop.run([](GlobalTable<std::string, int>& table) -> Task<void> {
    try {
      (void)table.get("a");
      ADD_FAILURE();
    } catch (const Failure& failure) {
      EXPECT_THAT(failure.what(), HasSubstr("global table limits is used outside of an app that runs"));
    }
    co_return;
  }(limits));
}

TEST(GlobalTable, ARecordThatCannotBeReadEndsTheWorkerWithItsPlace) {
  TestApp world{"broken"};
  auto& limits = world.app.global_table<std::string, int>("limits", {.partitions = 1});
  (void)limits;
  world.run([&]() -> Task<void> {
    co_await world.create("broken-limits-changelog");
    co_await world.produce("broken-limits-changelog", {{"\"a\"", "1", {}}, {"\"b\"", "many", {}}});
  });
  EXPECT_THAT(
      world.run([&]() -> Task<std::string> {
        Worker worker{world.app, world.log};
        const auto why = co_await failure_of(worker.start());
        (void)co_await failure_of(worker.stop());
        co_return why;
      }),
      HasSubstr("global table limits: the record broken-limits-changelog/0@1 of its topic cannot be taken over"));
}

TEST(GlobalTable, ItsStatusHasItsKeysAndHowFarItIs) {
  Exchange exchange;
  TestDriver driver{exchange.app, 2};
  for (int i = 0; i < 10; ++i) driver.run(exchange.quotes.send({"C" + std::to_string(i), i + 1.0}, to(i % 4)));
  driver.settle();
  std::uint64_t keys = 0;
  std::int64_t position = 0;
  for (const auto& one : driver.run(driver.worker().status()).tables) {
    EXPECT_EQ(one.table, "rates");
    EXPECT_EQ(one.state, "running");
    EXPECT_EQ(one.position, one.end);
    keys += one.keys;
    position += one.position;
  }
  EXPECT_EQ(keys, 10U);
  EXPECT_EQ(position, 10);
}

}  // namespace
}  // namespace mephisto::tests
