// Tables in an app: what an event changes, and when others see it.
#include <gmock/gmock.h>

#include <map>

#include "support/test_app.h"
#include "table/options.h"

namespace mephisto::tests {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

struct Order {
  std::string customer;
  int price = 0;
};

struct Totals {
  std::int64_t orders = 0;
  std::int64_t spent = 0;
  std::vector<int> prices;
};

// Why a worker cannot start.
std::string failure_of_start(TestApp& world) {
  return world.run([&]() -> Task<std::string> {
    Worker worker{world.app, world.log};
    auto why = co_await failure_of(worker.start());
    try {
      co_await worker.stop();
    } catch (const Failure&) {
    }
    co_return why;
  });
}

struct Shop {
  explicit Shop(int concurrency = 1, bool exactly_once = false) {
    if (exactly_once) app.settings().set("processing_guarantee", "exactly_once", "test");
    AgentOptions options;
    options.concurrency = concurrency;
    app.agent(
        "count", orders,
        [this](Stream<Order> stream) -> Task<void> {
          while (auto order = co_await stream.next()) {
            counts[order->customer] += 1;
            auto& total = totals[order->customer];
            total.orders += 1;
            total.spent += order->price;
            total.prices.push_back(order->price);
            if (step) co_await step(*order);
          }
        },
        options);
  }
  App app{"shop"};
  Topic<Order>& orders = app.topic<Order>("orders", partitions(4));
  Table<std::string, std::int64_t>& counts = app.table<std::string, std::int64_t>("counts", {.partitions = 4});
  Table<std::string, Totals>& totals = app.table<std::string, Totals>("totals", {.partitions = 4});
  std::function<Task<void>(const Order&)> step;
};

TEST(Table, CountsEachEventAndKeepsRecordsThatAreChangedInPlace) {
  Shop shop;
  TestDriver driver{shop.app};
  for (const int price : {3, 4, 5}) driver.run(shop.orders.send({"ann", price}, keyed("ann")));
  driver.run(shop.orders.send({"bob", 1}, keyed("bob")));
  driver.settle();
  EXPECT_EQ(driver.table(shop.counts).get("ann"), 3);
  EXPECT_EQ(driver.table(shop.counts).get("bob"), 1);
  EXPECT_EQ(driver.table(shop.counts).get("eve"), 0);
  EXPECT_FALSE(driver.table(shop.counts).contains("eve"));
  EXPECT_THAT(driver.table(shop.totals).get("ann").prices, ElementsAre(3, 4, 5));
}

TEST(Table, IsTheSameAfterARestart) {
  for (const bool exactly_once : {false, true}) {
    Shop shop{1, exactly_once};
    TestDriver driver{shop.app};
    for (int i = 0; i < 40; ++i) driver.run(shop.orders.send({"c" + std::to_string(i % 7), i}, to(i % 4)));
    driver.settle();
    const auto before = driver.table(shop.counts).items();
    driver.restart();
    driver.settle();
    EXPECT_EQ(driver.table(shop.counts).items(), before);
    for (int i = 0; i < 40; ++i) driver.run(shop.orders.send({"c" + std::to_string(i % 7), i}, to(i % 4)));
    driver.settle();
    auto after = driver.table(shop.counts).items();
    std::int64_t sum = 0;
    for (const auto& [key, count] : after) sum += count;
    EXPECT_EQ(sum, 80);
  }
}

TEST(Table, AHandlerThatFailsLeavesNothingBehind) {
  Shop shop;
  TestDriver driver{shop.app};
  int failures = 0;
  shop.step = [&](const Order& order) -> Task<void> {
    co_await sleep_for(1ms);
    if (order.price < 0) throw std::runtime_error("bad price");
    if (order.price == 7 && failures++ < 2) throw std::runtime_error("not yet");
  };
  driver.run(shop.orders.send({"ann", -1}, keyed("ann")));
  driver.run(shop.orders.send({"ann", 7}, keyed("ann")));
  driver.settle();
  EXPECT_EQ(driver.table(shop.counts).get("ann"), 1);
  EXPECT_EQ(driver.table(shop.totals).get("ann").spent, 7);
}

TEST(Table, OthersSeeAChangeWhenItsEventIsDone) {
  Shop shop;
  Gate gate;
  shop.step = [&](const Order&) -> Task<void> { co_await gate.pass(); };
  TestDriver driver{shop.app};
  driver.run([](Shop& to, Gate& at) -> Task<void> {
    co_await to.orders.send({"ann", 1}, keyed("ann"));
    while (at.waiting() == 0) co_await sleep_for(1ms);
  }(shop, gate));
  EXPECT_EQ(driver.table(shop.counts).get("ann"), 0);
  gate.open();
  driver.settle();
  EXPECT_EQ(driver.table(shop.counts).get("ann"), 1);
}

TEST(Table, NoUpdateIsLostWithSeveralEventsInFlight) {
  for (const bool exactly_once : {false, true}) {
    Shop shop{8, exactly_once};
    Random random{7};
    shop.step = [&](const Order&) -> Task<void> {
      co_await sleep_for(std::chrono::milliseconds{random.below(20)});
      if (random.below(10) == 0) throw std::runtime_error("now and then");
    };
    TestDriver driver{shop.app};
    for (int i = 0; i < 300; ++i) driver.run(shop.orders.send({"c" + std::to_string(i % 3), 1}, to(i % 2)));
    driver.settle();
    std::map<std::string, std::int64_t> sums;
    for (const auto& [key, count] : driver.table(shop.counts).items()) sums[key] += count;
    EXPECT_THAT(sums, ElementsAre(Pair("c0", 100), Pair("c1", 100), Pair("c2", 100)));
  }
}

// At least once, the outputs become durable between the offsets and the state of a commit.
TEST(Table, EventsThatAreDoneDuringACommitBelongToTheNextOne) {
  App app{"slow"};
  app.settings().set("broker_commit_interval", "20ms", "test");
  auto& in = app.topic<int>("in", partitions(1));
  auto& out = app.topic<int>("out", partitions(1));
  auto& counts = app.table<std::string, int>("counts", {.partitions = 1});
  app.agent("count", in, [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) co_await out.cast(counts["all"] += 1);
  });
  TestDriver driver{app};
  driver.run([](TestDriver& of, const Topic<int>& to) -> Task<void> {
    auto& faults = memory_faults(of.log());
    faults.delay = 30ms;
    for (int i = 0; i < 300; ++i) {
      co_await to.cast(i);
      co_await sleep_for(1ms);
      if (i % 60 == 30) faults.lose_commit_replies = 1;  // the worker starts again from what the log has
    }
    faults.delay = 0ms;
  }(driver, in));
  driver.settle();
  EXPECT_EQ(driver.table(counts).get("all"), 300);
}

TEST(Table, AReadThatIsFollowedByAWriteLosesNothingEither) {
  App app{"reads"};
  auto& topic = app.topic<std::string>("keys", partitions(1));
  auto& counts = app.table<std::string, int>("counts", {.partitions = 1});
  AgentOptions options;
  options.concurrency = 5;
  app.agent(
      "count", topic,
      [&](Stream<std::string> stream) -> Task<void> {
        while (auto key = co_await stream.next()) {
          const auto before = counts.get(*key);
          co_await sleep_for(3ms);
          counts.set(*key, before + 1);
        }
      },
      options);
  TestDriver driver{app};
  for (int i = 0; i < 50; ++i) driver.run(topic.send("k"));
  driver.settle();
  EXPECT_EQ(driver.table(counts).get("k"), 50);
}

TEST(Table, AHandlerThatCatchesEverythingRunsAgainAllTheSame) {
  App app{"catches"};
  auto& topic = app.topic<int>("numbers", partitions(1));
  auto& sum = app.table<std::string, int>("sum", {.partitions = 1});
  AgentOptions options;
  options.concurrency = 4;
  app.agent(
      "add", topic,
      [&](Stream<int> stream) -> Task<void> {
        while (auto number = co_await stream.next()) {
          try {
            sum["all"] += *number;
          } catch (...) {
          }
          co_await sleep_for(2ms);
        }
      },
      options);
  TestDriver driver{app};
  for (int i = 1; i <= 20; ++i) driver.run(topic.send(i));
  driver.settle();
  EXPECT_EQ(driver.table(sum).get("all"), 210);
}

TEST(Table, ErasesPopsAndIteratesInTheOrderOfItsKeys) {
  App app{"orders"};
  auto& topic = app.topic<std::string>("commands", partitions(1));
  auto& numbers = app.table<int, std::string>("numbers", {.partitions = 1});
  auto& names = app.table<std::string, int>("names", {.initial = 10, .partitions = 1});
  std::vector<int> keys;
  std::vector<std::string> found;
  app.agent("work", topic, [&](Stream<std::string> stream) -> Task<void> {
    while (auto command = co_await stream.next()) {
      if (*command == "fill") {
        for (const int key : {5, -3, 100000, 0, 7}) numbers.set(key, "n" + std::to_string(key));
        for (const auto* name : {"anna", "an", "ann", "bob", "ao"}) names[name] += 1;
        numbers.erase(7);
        EXPECT_FALSE(numbers.erase(8));
      } else if (*command == "list") {
        keys.clear();
        numbers.set(1, "new");
        for (const auto& [key, value] : numbers.items()) keys.push_back(key);
        names.each_prefix("an", [&](const std::string& name, int) {
          found.push_back(name);
          return true;
        });
        EXPECT_EQ(names.get("nobody"), 10);
        EXPECT_EQ(names.get("ann"), 11);
        EXPECT_EQ(numbers.pop(5), "n5");
        EXPECT_FALSE(numbers.contains(5));
      }
    }
  });
  TestDriver driver{app};
  driver.run(topic.send("fill"));
  driver.settle();
  driver.restart();
  driver.run(topic.send("list"));
  driver.settle();
  EXPECT_THAT(keys, ElementsAre(-3, 0, 1, 5, 100000));
  EXPECT_THAT(found, ElementsAre("an", "ann", "anna"));
  EXPECT_THAT(driver.table(numbers).items(),
              ElementsAre(Pair(-3, "n-3"), Pair(0, "n0"), Pair(1, "new"), Pair(100000, "n100000")));
  driver.restart();
  EXPECT_THAT(driver.records("orders-numbers-changelog"), testing::SizeIs(6)) << "the last updates of each commit";
}

TEST(Table, AValueThatStaysAsItWasIsNoChange) {
  App app{"reads"};
  auto& topic = app.topic<int>("numbers", partitions(1));
  auto& seen = app.table<std::string, int>("seen", {.partitions = 1});
  app.agent("read", topic, [&](Stream<int> stream) -> Task<void> {
    while (auto number = co_await stream.next()) seen["absent"] += *number;
  });
  TestDriver driver{app};
  driver.run(topic.send(0));
  driver.settle();
  EXPECT_TRUE(driver.table(seen).contains("absent")) << "a key that is touched gets its initial value";
  driver.restart();
  driver.run(topic.send(0));
  driver.settle();
  driver.restart();
  EXPECT_THAT(driver.records("reads-seen-changelog"), testing::SizeIs(1));
}

struct Basket {
  std::string customer;
  std::vector<Order> orders;
  bool operator==(const Basket& other) const { return customer == other.customer; }
};

TEST(Table, AChangeIsNoticedWithoutTheTypesOwnComparison) {
  App app{"baskets"};
  auto& topic = app.topic<Order>("orders", partitions(1));
  auto& orders = app.table<std::string, std::vector<Order>>("orders", {.partitions = 1});
  auto& baskets = app.table<std::string, Basket>("baskets", {.partitions = 1});
  app.agent("keep", topic, [&](Stream<Order> stream) -> Task<void> {
    while (auto order = co_await stream.next()) {
      orders["all"].push_back(*order);
      baskets["all"].orders.push_back(*order);
    }
  });
  TestDriver driver{app};
  for (int price = 1; price <= 3; ++price) driver.run(topic.send({"ann", price}));
  driver.settle();
  driver.restart();
  EXPECT_THAT(driver.table(orders).get("all"), testing::SizeIs(3));
  EXPECT_THAT(driver.table(baskets).get("all").orders, testing::SizeIs(3));
}

TEST(Table, ItsChangelogHasTheBytesOfFaust) {
  App app{"faust"};
  auto& topic = app.topic<std::string>("texts", partitions(1));
  auto& counts = app.table<std::string, int>("counts", {.partitions = 1, .log_every_update = true});
  app.agent("count", topic, [&](Stream<std::string> stream) -> Task<void> {
    while (auto text = co_await stream.next()) {
      if (text->starts_with("-"))
        counts.erase(text->substr(1));
      else
        counts[*text] += 1;
    }
  });
  TestDriver driver{app};
  for (const auto* text : {"k", "k", "ü", "-k"}) driver.run(topic.send(text));
  driver.settle();
  driver.restart();
  const auto rows = driver.records("faust-counts-changelog");
  ASSERT_EQ(rows.size(), 4U) << "every update";
  EXPECT_EQ(rows[0].key, "\"k\"");
  EXPECT_EQ(rows[0].value, "1");
  EXPECT_EQ(rows[1].value, "2");
  EXPECT_EQ(rows[2].key, "\"ü\"");
  EXPECT_EQ(rows[3].key, "\"k\"");
  EXPECT_EQ(rows[3].value, std::nullopt);
}

TEST(Table, OfAnotherNumberOfPartitionsIsToldAtTheStartWithWhatToDo) {
  TestApp world;
  auto& topic = world.app.topic<int>("numbers", partitions(3));
  auto& sums = world.app.table<std::string, int>("sums", {.partitions = 2});
  world.app.agent("add", topic, [&](Stream<int> stream) -> Task<void> {
    while (auto number = co_await stream.next()) sums["all"] += *number;
  });
  EXPECT_THAT(failure_of_start(world), AllOf(HasSubstr("table sums has 2 partitions, and topic numbers has 3"),
                                             HasSubstr("Declare the table with {.partitions = 3}")));
  world.run(
      [&]() -> Task<void> { EXPECT_FALSE(co_await world.log->topic("app-sums-changelog")) << "nothing is created"; });
}

// The handler captures the table, so its agent is known.
TEST(Table, OfAnotherNumberThanItsAgentsTopicIsToldAlthoughAnotherTopicHasThatNumber) {
  TestApp world;
  auto& topic = world.app.topic<int>("numbers", partitions(3));
  auto& other = world.app.topic<int>("others", partitions(2));
  auto& sums = world.app.table<std::string, int>("sums", {.partitions = 2});
  world.app.agent("add", topic, [&sums](Stream<int> stream) -> Task<void> {
    while (auto number = co_await stream.next()) sums["all"] += *number;
  });
  world.app.agent("none", other, [](Stream<int> stream) -> Task<void> {
    while (co_await stream.next()) {
    }
  });
  EXPECT_THAT(failure_of_start(world), HasSubstr("table sums has 2 partitions, and topic numbers has 3"));
}

// Nobody knows before the first event which agent uses it.
TEST(Table, OfAnotherNumberThanTheEventsTopicEndsTheWorkerWithWhatToDo) {
  TestApp world;
  auto& topic = world.app.topic<int>("numbers", partitions(3));
  auto& others = world.app.topic<int>("others", partitions(2));
  struct State {
    Table<std::string, int>* sums;
  } state{&world.app.table<std::string, int>("sums", {.partitions = 2})};
  world.app.agent("add", topic, [&state](Stream<int> stream) -> Task<void> {
    while (auto number = co_await stream.next()) (*state.sums)["all"] += *number;
  });
  world.app.agent("ignore", others, [](Stream<int> stream) -> Task<void> {
    while (co_await stream.next()) {
    }
  });
  world.app.task("send", [&]() -> Task<void> { co_await topic.send(1); });
  EXPECT_THAT(world.reason_of_end(), HasSubstr("table sums has 2 partitions, and topic numbers has 3"));
}

TEST(Table, OfAnotherNumberThanATopicThatHasNoPartInItIsSound) {
  Shop shop;
  auto& other = shop.app.topic<int>("others", partitions(3));
  shop.app.agent("none", other, [](Stream<int> stream) -> Task<void> {
    while (co_await stream.next()) {
    }
  });
  TestDriver driver{shop.app};
  driver.run(shop.orders.send({"ann", 1}, keyed("ann")));
  driver.settle();
  EXPECT_EQ(driver.table(shop.counts).get("ann"), 1);
}

TEST(Table, OfAnotherNumberThanItsChangelogIsToldAtTheStart) {
  TestApp world;
  auto& topic = world.app.topic<int>("numbers", partitions(4));
  auto& sums = world.app.table<std::string, int>("sums", {.partitions = 4});
  world.app.agent("add", topic, [&](Stream<int> stream) -> Task<void> {
    while (auto number = co_await stream.next()) sums["all"] += *number;
  });
  world.run([&]() -> Task<void> { co_await world.create("app-sums-changelog", 8); });
  EXPECT_THAT(failure_of_start(world), AllOf(HasSubstr("table sums is declared with 4 partitions"),
                                             HasSubstr("app-sums-changelog has 8"), HasSubstr("reset --changelog")));
}

// Events of two topics change one table: the worker that gets a partition waits until it has that of both.
TEST(Table, TwoAgentsShareItAcrossRebalances) {
  TestApp world{"shared"};
  world.set("broker_commit_interval", "50ms");
  auto& in = world.app.topic<int>("in", partitions(4));
  auto& out = world.app.topic<int>("out", partitions(4));
  auto& stock = world.app.table<std::string, int>("stock", {.partitions = 4});
  world.app.agent("in", in, [&](Stream<int> stream) -> Task<void> {
    while (auto number = co_await stream.next()) stock["all"] += *number;
  });
  world.app.agent("out", out, [&](Stream<int> stream) -> Task<void> {
    while (auto number = co_await stream.next()) stock["all"] -= *number;
  });
  world.run([&]() -> Task<void> {
    Worker first{world.app, world.log};
    co_await first.start();
    const auto send = [&](int count) -> Task<void> {
      for (int i = 0; i < count; ++i) {
        co_await in.cast(5, to(i % 4));
        co_await out.cast(3, to(i % 4));
        co_await sleep_for(1ms);
      }
    };
    co_await send(200);
    {
      Worker second{world.app, world.log};
      co_await second.start();
      co_await send(200);
      co_await second.stop();
    }
    co_await send(200);
    co_await world.eventually([&] {
      int sum = 0;
      for (const auto& [key, value] : stock.items()) sum += value;
      return sum == 600 * 2;
    });
    co_await first.stop();
  });
}

TEST(Table, ASerializerThatCannotTakeTheValueIsAMistake) {
  App app{"raw"};
  app.table<std::string, int>("numbers", {.serializer = "raw"});
  app.table<std::string, std::string>("texts", {.serializer = "raw"});
  app.global_table<std::string, double>("rates", {.serializer = "raw|binary"});
  const auto mistakes = app.mistakes();
  ASSERT_EQ(mistakes.size(), 2U);
  EXPECT_THAT(mistakes[0], HasSubstr("table numbers has the serializer raw, which takes only std::string and Bytes"));
  EXPECT_THAT(mistakes[1], HasSubstr("table rates has the serializer raw"));
}

TEST(Table, IsOnlyChangedInEventsAndTimers) {
  Shop shop;
  TestDriver driver{shop.app};
  driver.run([](Shop& of) -> Task<void> {
    try {
      of.counts["ann"] = 1;
      ADD_FAILURE();
    } catch (const Failure& failure) {
      EXPECT_THAT(failure.what(), HasSubstr("table counts is changed outside of an event"));
    }
    co_return;
  }(shop));
}

TEST(Table, ATimerChangesItAsAUnitOfItsOwn) {
  App app{"timers"};
  auto& topic = app.topic<int>("numbers", partitions(1));
  auto& runs = app.table<std::string, int>("runs", {.partitions = 1});
  app.agent("none", topic, [](Stream<int> stream) -> Task<void> {
    while (co_await stream.next()) {
    }
  });
  app.timer("run", 1s, [&]() -> Task<void> {
    runs["done"] += 1;
    if (runs.get("done") == 3 && runs.get("failed") == 0) {
      co_await sleep_for(1ms);
      throw std::runtime_error("the third run fails");
    }
    co_return;
  });
  TestDriver driver{app};
  driver.advance(10s);
  EXPECT_EQ(driver.table(runs).get("done"), 2) << "each third run fails, and changes nothing";
}

TEST(Table, TwoOfOneNameAreAMistake) {
  App app{"twice"};
  app.table<std::string, int>("counts");
  app.table<std::string, int>("counts");
  EXPECT_THAT(app.mistakes(), testing::Contains(HasSubstr("there is table counts already")));
}

}  // namespace
}  // namespace mephisto::tests
