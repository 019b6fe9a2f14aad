// TestDriver, as an app's tests use it.
#include "mephisto/testing.h"

#include <gmock/gmock.h>

#include <unistd.h>

#include <filesystem>
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
  EXPECT_THAT(failure_of([&] { driver.settle(); }), HasSubstr("numbers/0@0: agent sticks waits for a timer"));
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

// An app with state, an agent that takes its time, and a command.
class Counting : public ::testing::Test {
 protected:
  struct Correct {
    std::string customer;
    int count = 0;
  };

  Counting() {
    log::configure({.level = log::Level::kCrit, .file = ""});
    app.command<Correct>("correct", "Sets a customer's count.", [this](Correct options) -> Task<int> {
      if (options.customer.empty()) co_return 3;
      co_await corrections.send(options.count, {.key = options.customer});
      co_return 0;
    });
  }
  void use(const std::string& guarantee) { app.settings().set("processing_guarantee", guarantee, "test"); }

  App app{"counting"};
  Topic<Order>& orders = app.topic<Order>("orders", {.partitions = 4});
  Topic<int>& corrections = app.topic<int>("corrections", {.partitions = 4});
  Topic<std::string>& done = app.topic<std::string>("done", {.partitions = 2});
  Table<std::string, int>& counts = app.table<std::string, int>("counts", {.partitions = 4});
  Agent<Order, void>& count = app.agent("count", orders, [this](Stream<Order> stream) -> Task<void> {
    while (auto order = co_await stream.next()) {
      counts[std::string{order.key()}] += 1;
      co_await sleep_for(std::chrono::milliseconds{static_cast<int>(order->price)});
      co_await done.cast(order->id);
    }
  });
  Agent<int, void>& correct = app.agent("correct", corrections, [this](Stream<int> stream) -> Task<void> {
    while (auto number = co_await stream.next()) counts.set(std::string{number.key()}, *number);
  });
};

TEST_F(Counting, ATestOfTenLines) {
  TestDriver driver{app};
  for (int i = 0; i < 3; ++i) driver.send(orders, {.id = "o1"}, {.key = "ann", .timestamp = Timestamp{i * 1s}});
  EXPECT_EQ(driver.table(counts).get("ann"), 3);
  EXPECT_EQ(driver.records("orders").at(2).timestamp, Timestamp{2s});
  driver.crash();
  EXPECT_EQ(driver.command<Correct>("correct", {.customer = "ann", .count = 7}), 0);
  driver.settle();
  EXPECT_EQ(driver.table(counts).get("ann"), 7);
}

struct TestFolder {
  TestFolder() { std::filesystem::create_directory(path); }
  ~TestFolder() { std::filesystem::remove_all(path); }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  const std::filesystem::path path =
      std::filesystem::temp_directory_path() / fmt::format("mephisto-testing-{}-{}", getpid(), ++made);
  static inline int made = 0;
};

// What happens between two records.
using Between = void (*)(TestDriver&);
constexpr std::pair<const char*, Between> kBetween[] = {
    {"crash", [](TestDriver& driver) { driver.crash(); }},
    {"crash, stores kept", [](TestDriver& driver) { driver.crash(LocalState::kKept); }},
    {"crash after a commit",
     [](TestDriver& driver) {
       driver.advance(3s);
       driver.crash();
     }},
    {"restart", [](TestDriver& driver) { driver.restart(); }},
    {"restart, stores kept", [](TestDriver& driver) { driver.restart(LocalState::kKept); }},
    {"rebalance", [](TestDriver& driver) { driver.rebalance(); }},
};

TEST_F(Counting, ACrashARestartOrARebalanceBetweenAnyTwoRecords) {
  constexpr int kRecords = 4;
  for (const char* guarantee : {"at_least_once", "exactly_once"}) {
    use(guarantee);
    for (const auto& [name, between] : kBetween) {
      for (int shards : {1, 2}) {
        for (int at = 0; at <= kRecords; ++at) {
          SCOPED_TRACE(fmt::format("{}, {}, {} shards, after {} records", guarantee, name, shards, at));
          TestDriver driver{app, shards};
          for (int sent = 0; sent < kRecords; ++sent) {
            if (sent == at) between(driver);
            driver.send(orders, {.id = std::to_string(sent)}, {.key = sent % 2 == 0 ? "ann" : "bob"});
          }
          if (at == kRecords) between(driver);
          EXPECT_EQ(driver.table(counts).get("ann"), kRecords / 2);
          EXPECT_EQ(driver.table(counts).get("bob"), kRecords / 2);
          auto told = driver.values(done);
          std::ranges::sort(told);
          if (std::string_view{guarantee} == "at_least_once") {  // what was not committed comes twice
            const auto twice = std::ranges::unique(told);
            told.erase(twice.begin(), twice.end());
          }
          EXPECT_THAT(told, ElementsAre("0", "1", "2", "3"));
        }
      }
    }
  }
}

TEST_F(Counting, ACrashInTheMidstOfARecord) {
  use("exactly_once");
  TestDriver driver{app};
  driver.run(orders.send({.id = "slow", .price = 1000}, {.key = "ann"}));
  driver.run([]() -> Task<void> { co_await sleep_for(500ms); }());
  driver.crash();
  EXPECT_EQ(driver.table(counts).get("ann"), 1);
  EXPECT_THAT(driver.values(done), ElementsAre("slow"));
}

TEST_F(Counting, MayCrashAgainAndAgain) {
  use("exactly_once");
  TestDriver driver{app, 3};
  for (int i = 1; i <= 30; ++i) {
    driver.send(orders, {.id = std::to_string(i)}, {.key = "ann"});
    driver.crash(i % 2 == 0 ? LocalState::kKept : LocalState::kLost);
    EXPECT_EQ(driver.table(counts).get("ann"), i);
  }
  EXPECT_THAT(driver.values(done), SizeIs(30));
}

// A worker with a kept store sees that the changelog is not the one that the store follows.
TEST_F(Counting, StoresAreKeptOrLost) {
  for (const char* store : {"memory://", "rocksdb://"}) {
    for (const auto state : {LocalState::kKept, LocalState::kLost}) {
      const TestFolder folder;
      app.settings().set("store", store, "test");
      app.settings().set("tabledir", folder.path.string(), "test");
      TestDriver driver{app};
      driver.send(orders, {.id = "1"}, {.key = "ann"});
      driver.advance(3s);
      EXPECT_TRUE(driver.run(driver.log().delete_topic("counting-counts-changelog")));
      const auto failure = failure_of([&] { driver.restart(state); });
      if (state == LocalState::kKept) {
        EXPECT_THAT(failure, HasSubstr("table counts")) << store;
      } else {
        EXPECT_EQ(failure, "") << store;
        EXPECT_FALSE(driver.table(counts).contains("ann")) << store;
      }
    }
  }
}

TEST_F(Counting, CommandsRunWithTheirOptions) {
  TestDriver driver{app};
  EXPECT_EQ(driver.command<Correct>("correct", {.customer = "ann", .count = 7}), 0);
  driver.settle();
  EXPECT_EQ(driver.table(counts).get("ann"), 7);
  EXPECT_EQ(driver.command<Correct>("correct"), 3);
  EXPECT_THAT(failure_of([&] { driver.command("correct"); }), HasSubstr("command correct has options of another type"));
  EXPECT_THAT(failure_of([&] { driver.command("corect"); }), HasSubstr("there is no command corect"));
}

TEST_F(Counting, ATaskThatHangsSaysWhatWaitsForWhat) {
  TestDriver driver{app};
  driver.run(orders.send({.id = "slow", .price = 2e9}, {.key = "ann"}));
  WaitQueue never;
  const auto failure =
      failure_of([&] { driver.run([](WaitQueue& queue) -> Task<void> { co_await queue.wait("godot"); }(never)); });
  EXPECT_THAT(failure, HasSubstr("not done after a day of the test's clock"));
  EXPECT_THAT(failure, HasSubstr("waits for godot since"));
  EXPECT_THAT(failure, HasSubstr(": agent count waits for a timer"));
}

TEST(Driver, AWrongAppIsRefused) {
  App app{"wrong"};
  app.topic<int>("a b");
  EXPECT_THAT(failure_of([&] { TestDriver driver{app}; }), HasSubstr("cannot be a topic's name"));
}

}  // namespace
}  // namespace mephisto::tests
