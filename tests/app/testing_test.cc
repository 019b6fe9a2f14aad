// TestDriver, as an app's tests use it.
#include "mephisto/testing.h"

#include <gmock/gmock.h>

#include <map>

#include "app/worker_impl.h"

namespace mephisto::tests {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

struct Order {
  std::string id;
  double price = 0;
  bool operator==(const Order&) const = default;
};

// An app as an author writes it.
class Shop : public ::testing::Test {
 protected:
  Shop() { log::configure({.level = log::Level::kCrit, .file = ""}); }

  App app{"shop"};
  Topic<Order>& orders = app.topic<Order>("orders");
  Topic<Order>& cheap = app.topic<Order>("cheap", {.partitions = 1});
  Topic<std::string>& told = app.topic<std::string>("told", {.partitions = 1});
  Agent<Order, bool>& check = app.agent("check", orders, [this](Stream<Order> stream) -> Results<bool> {
    while (auto order = co_await stream.next()) {
      if (order->price < 0) throw Failure(ErrorKind::kInvalid, "a price below 0");
      if (order->price < 100) co_await cheap.cast(*order, {.key = order->id});
      co_yield order->price < 100;
    }
  });
  Agent<Order, void>& tell = app.agent("tell", cheap, [this](Stream<Order> stream) -> Task<void> {
    while (auto order = co_await stream.next()) co_await told.cast(order->id + " is cheap");
  });
};

TEST_F(Shop, WhatIsSentGoesThroughAllAgents) {
  for (const char* guarantee : {"at_least_once", "exactly_once"}) {
    app.settings().set("processing_guarantee", guarantee, "test");
    TestDriver driver{app};
    driver.run(orders.send({.id = "1", .price = 9.5}, {.key = "1"}));
    driver.run(orders.send({.id = "2", .price = 900}));
    driver.settle();
    EXPECT_THAT(driver.values(cheap), ElementsAre(Order{"1", 9.5})) << guarantee;
    EXPECT_THAT(driver.values(told), ElementsAre("1 is cheap")) << guarantee;
    EXPECT_EQ(driver.records("cheap").at(0).key, "1");
    EXPECT_THAT(driver.values(orders), UnorderedElementsAre(Order{"1", 9.5}, Order{"2", 900}));
    EXPECT_THAT(driver.records("no-such-topic"), IsEmpty());
  }
}

// Each agent sends while settle() looks at the others.
TEST(Settle, WaitsForALongChainOfAgents) {
  App app{"chain"};
  std::vector<Topic<int>*> topics;
  for (int i = 0; i <= 8; ++i) topics.push_back(&app.topic<int>(fmt::format("hop-{}", i), {.partitions = 1}));
  for (int i = 0; i < 8; ++i) app.through(fmt::format("forward-{}", i), *topics[i], *topics[i + 1]);
  TestDriver driver{app};
  for (int sent = 1; sent <= 20; ++sent) {
    driver.run(topics.front()->send(sent));
    driver.settle();
    EXPECT_THAT(driver.values(*topics.back()), SizeIs(sent));
  }
}

TEST_F(Shop, AnAskIsAnswered) {
  TestDriver driver{app};
  EXPECT_TRUE(driver.run(check.ask({"1", 9.5})));
  EXPECT_FALSE(driver.run(check.ask({"2", 900})));
}

TEST_F(Shop, ADeadLetterSaysWhy) {
  TestDriver driver{app};
  driver.run(orders.send({.id = "3", .price = -1}));
  driver.settle();
  EXPECT_THAT(driver.dead_letters(check), SizeIs(1));
  EXPECT_EQ(driver.dead_letters(check).at(0).header("x-error"), "a price below 0");
  EXPECT_THAT(driver.dead_letters(tell), IsEmpty());
}

TEST_F(Shop, EachDriverBeginsWithAnEmptyLog) {
  {
    TestDriver driver{app};
    driver.run(orders.send({.id = "1", .price = 1}));
  }
  TestDriver driver{app};
  driver.settle();
  EXPECT_THAT(driver.values(orders), IsEmpty());
}

TEST_F(Shop, TheClockStandsUntilTheTestMovesIt) {
  int ticks = 0;
  app.timer("tick", 10min, [&]() -> Task<void> {
    ++ticks;
    co_await orders.cast({.id = std::to_string(ticks), .price = 1});
  });
  TestDriver driver{app};
  driver.settle();
  EXPECT_EQ(ticks, 0);
  driver.advance(1h);
  EXPECT_EQ(ticks, 6);
  EXPECT_THAT(driver.values(told), SizeIs(6));
}

TEST_F(Shop, RetriesComeToTheirEndInNoTime) {
  int attempts = 0;
  auto& numbers = app.topic<int>("numbers");
  auto& fails = app.agent("fails", numbers, [&](Stream<int> stream) -> Task<void> {
    while (auto number = co_await stream.next()) {
      if (++attempts < 4) throw std::runtime_error("away");
    }
  });
  TestDriver driver{app};
  driver.run(numbers.send(1));
  driver.settle();
  EXPECT_EQ(attempts, 4);
  EXPECT_THAT(driver.dead_letters(fails), IsEmpty());
}

TEST_F(Shop, SeveralShardsRunInTheTestsThread) {
  std::map<int, int> by_partition;
  auto& numbers = app.topic<int>("numbers", {.partitions = 4});
  app.agent("count", numbers, [&](Stream<int> stream) -> Task<void> {
    while (auto number = co_await stream.next()) ++by_partition[number.partition()];
  });
  TestDriver driver{app, 2};
  EXPECT_EQ(driver.worker().impl().shards.size(), 2);
  for (int i = 0; i < 8; ++i) driver.run(numbers.send(i, {.partition = i % 4}));
  driver.settle();
  EXPECT_THAT(by_partition, ElementsAre(Pair(0, 2), Pair(1, 2), Pair(2, 2), Pair(3, 2)));
  EXPECT_TRUE(driver.run(check.ask({"1", 9.5})));
  driver.restart();
  EXPECT_TRUE(driver.run(check.ask({"1", 9.5})));
}

TEST_F(Shop, AfterARestartItGoesOn) {
  TestDriver driver{app};
  driver.run(orders.send({.id = "1", .price = 1}));
  driver.settle();
  driver.restart();
  driver.run(orders.send({.id = "2", .price = 1}));
  driver.settle();
  EXPECT_THAT(driver.values(told), ElementsAre("1 is cheap", "2 is cheap"));
}

TEST_F(Shop, FaultsOfTheLogAreTheTests) {
  TestDriver driver{app};
  memory_faults(driver.log()).fail_appends = 3;
  driver.run(orders.send({.id = "1", .price = 1}));
  driver.settle();
  EXPECT_THAT(driver.values(told), ElementsAre("1 is cheap"));
}

std::string failure_of(std::function<void()> call) {
  try {
    call();
    return "";
  } catch (const Failure& failure) {
    return failure.what();
  }
}

TEST_F(Shop, WhatIsNeverDoneIsReported) {
  auto& numbers = app.topic<int>("numbers", {.partitions = 1});
  app.agent("sticks", numbers, [](Stream<int> stream) -> Task<void> {
    while (co_await stream.next()) co_await sleep_for(48h);
  });
  TestDriver driver{app};
  driver.run(numbers.send(1));
  EXPECT_THAT(failure_of([&] { driver.settle(); }), HasSubstr("agent sticks has 1 records of numbers/0 in flight"));
}

TEST_F(Shop, WhatEndsTheWorkerIsThrown) {
  auto& numbers = app.topic<int>("numbers");
  AgentOptions options;
  options.on_error.then = ErrorPolicy::Then::kCrash;
  app.agent(
      "crashes", numbers,
      [](Stream<int> stream) -> Task<void> {
        while (co_await stream.next()) throw Failure(ErrorKind::kInvalid, "no way on");
      },
      options);
  TestDriver driver{app};
  driver.run(numbers.send(1));
  EXPECT_THAT(failure_of([&] { driver.settle(); }), HasSubstr("no way on"));
}

TEST_F(Shop, AValueOfAnotherTypeIsReported) {
  TestDriver driver{app};
  driver.run(told.send_raw("17"));
  EXPECT_THROW(driver.values(told), Failure);
}

TEST(Driver, AWrongAppIsRefused) {
  App app{"wrong"};
  app.topic<int>("a b");
  EXPECT_THAT(failure_of([&] { TestDriver driver{app}; }), HasSubstr("cannot be a topic's name"));
}

}  // namespace
}  // namespace mephisto::tests
