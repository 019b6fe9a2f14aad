// Look-ups of an outside service, as an app declares and uses them.
#include <gmock/gmock.h>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

struct Order {
  std::string symbol;
  int count = 0;
};

struct Named {
  std::string company;
  int count = 0;
  bool operator==(const Named&) const = default;
};

// A service that knows nothing of "?", and fails while it is down.
struct Service {
  Loop::duration takes = 1s;
  std::vector<std::string> asked;
  bool down = false;

  Task<std::optional<std::string>> answer(std::string symbol) {
    asked.push_back(symbol);
    co_await sleep_for(takes);
    if (down) throw Failure(ErrorKind::kUnavailable, "the service is down");
    if (symbol == "?") co_return std::nullopt;
    co_return symbol + " Inc";
  }
};

struct Shop {
  explicit Shop(LookupOptions options = {}, int concurrency = 1)
      : companies(app.lookup<std::string, std::string>(
            "companies", [this](std::string symbol) { return service.answer(std::move(symbol)); }, options)) {
    app.settings().set("topic_partitions", "1", "test");
    app.agent("name", orders,
              [this](Stream<Order> stream) -> Task<void> {
                while (auto order = co_await stream.next()) {
                  const auto company = co_await companies.get(order->symbol);
                  remembered = companies.counts().remembered;
                  co_await named.cast({company ? *company : "nobody", order->count});
                }
              },
              {.concurrency = concurrency});
  }
  void send(TestDriver& driver, const std::string& symbol, int count) {
    driver.run(orders.send({symbol, count}, {.key = symbol}));
  }

  Service service;
  App app{"shop"};
  Topic<Order>& orders = app.topic<Order>("orders");
  Topic<Named>& named = app.topic<Named>("named");
  Lookup<std::string, std::string>& companies;
  std::uint64_t remembered = 0;
};

TEST(AppLookup, JoinsRecordsWithWhatTheServiceKnows) {
  Shop shop;
  TestDriver driver{shop.app};
  for (const auto* symbol : {"A", "?", "A", "?", "B"}) shop.send(driver, symbol, 1);
  driver.settle();
  EXPECT_THAT(driver.values(shop.named), ElementsAre(Named{"A Inc", 1}, Named{"nobody", 1}, Named{"A Inc", 1},
                                                     Named{"nobody", 1}, Named{"B Inc", 1}));
  EXPECT_THAT(shop.service.asked, ElementsAre("A", "?", "B"));
  EXPECT_EQ(shop.remembered, 2U);
}

TEST(AppLookup, AsksOnceForAllWhoWait) {
  Shop shop{{}, 4};
  TestDriver driver{shop.app};
  for (int i = 0; i < 4; ++i) shop.send(driver, "A", i);
  driver.settle();
  EXPECT_THAT(driver.values(shop.named), SizeIs(4));
  EXPECT_THAT(shop.service.asked, ElementsAre("A"));
}

TEST(AppLookup, AsksAgainWhenAnAnswerIsOldAndAfterARestart) {
  Shop shop{{.ttl = 1min, .miss_ttl = 5s}};
  TestDriver driver{shop.app};
  const auto both = [&] {
    shop.send(driver, "A", 1);
    shop.send(driver, "?", 1);
    driver.settle();
  };
  both();
  driver.advance(10s);
  both();
  EXPECT_THAT(shop.service.asked, ElementsAre("A", "?", "?"));
  driver.advance(1min);
  both();
  EXPECT_THAT(shop.service.asked, SizeIs(5));
  driver.restart();
  both();
  EXPECT_THAT(shop.service.asked, SizeIs(7));
}

TEST(AppLookup, AServiceThatIsDownFailsTheEventAndARetryAsksAgain) {
  Shop shop;
  shop.service.down = true;
  TestDriver driver{shop.app};
  shop.send(driver, "A", 1);
  driver.run([](Shop& one) -> Task<void> {
    while (one.service.asked.size() < 2) co_await sleep_for(10ms);
    one.service.down = false;
  }(shop));
  driver.settle();
  EXPECT_THAT(driver.values(shop.named), ElementsAre(Named{"A Inc", 1}));
}

TEST(AppLookup, AStopWaitsNoLongerForTheServiceThanForAnyHandler) {
  Shop shop;
  TestDriver driver{shop.app};
  shop.service.takes = 1h;
  shop.send(driver, "A", 1);
  driver.run([](Shop& one) -> Task<void> {
    while (one.service.asked.empty()) co_await sleep_for(1ms);
  }(shop));
  shop.service.takes = 1s;
  const auto began = driver.loop().now();
  driver.restart();
  EXPECT_LT(driver.loop().now() - began, 1min);
  EXPECT_THAT(driver.values(shop.named), ElementsAre(Named{"A Inc", 1}));
}

TEST(AppLookup, MistakesAreTold) {
  App app{"shop"};
  const auto nothing = [](int) -> Task<std::optional<int>> { co_return std::nullopt; };
  app.lookup<int, int>("a", nothing, {.capacity = 0});
  app.lookup<int, int>("b", nothing, {.ttl = -1ms});
  app.lookup<int, int>("c", nothing, {.miss_ttl = -1ms});
  app.lookup<int, int>("d", nothing);
  app.lookup<int, int>("d", nothing);
  app.lookup<int, int>("e", nullptr);
  EXPECT_THAT(app.mistakes(),
              ElementsAre(HasSubstr("lookup a: .capacity is 0"), HasSubstr("lookup b: .ttl is -1 ms"),
                          HasSubstr("lookup c: .miss_ttl is -1 ms"), HasSubstr("there is lookup d already"),
                          HasSubstr("lookup e has no function")));
}

}  // namespace
}  // namespace mephisto::tests
