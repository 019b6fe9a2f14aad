// Windows and joins as an app declares them.
#include <gmock/gmock.h>

#include "support/test_app.h"
#include "table/options.h"

namespace mephisto::tests {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Order {
  std::string customer;
  int price = 0;
};

struct Totals {
  int orders = 0;
  int spent = 0;
  bool operator==(const Totals&) const = default;
  Totals& operator+=(const Totals& later) {
    orders += later.orders;
    spent += later.spent;
    return *this;
  }
};

SendOptions at(std::int64_t ms, const std::string& key, int partition = 0) {
  SendOptions options;
  options.key = key;
  options.partition = partition;
  options.timestamp = Timestamp{std::chrono::milliseconds{ms}};
  return options;
}

Timestamp time(std::int64_t ms) { return Timestamp{std::chrono::milliseconds{ms}}; }

void add(Totals& totals, const Order& order) {
  totals.orders += 1;
  totals.spent += order.price;
}

struct Shop {
  explicit Shop(WindowSpec spec)
      : spend(app.windows<std::string>("spend", std::move(spec),
                                       [](Totals& totals, const Order& order) { add(totals, order); },
                                       {.partitions = 2})) {
    spend.results_to(results).late_to(late);
    app.agent("count", orders, [this](Stream<Order> stream) -> Task<void> {
      while (auto order = co_await stream.next()) co_await spend.add(order->customer, *order);
    });
  }
  App app{"shop"};
  Topic<Order>& orders = app.topic<Order>("orders", partitions(2));
  Topic<Windowed<Totals>>& results = app.topic<Windowed<Totals>>("results", partitions(1));
  Topic<Order>& late = app.topic<Order>("late", partitions(1));
  WindowedTable<std::string, Totals, Order>& spend;
};

TEST(Windows, GiveTheirFinalResultOnceAlsoAfterARestart) {
  Shop shop{WindowSpec::tumbling(10ms, {.emit = Emit::kOnClose})};
  TestDriver driver{shop.app};
  driver.run(shop.orders.send({"ann", 3}, at(1001, "ann")));
  driver.run(shop.orders.send({"ann", 4}, at(1009, "ann")));
  driver.settle();
  EXPECT_THAT(driver.values(shop.results), IsEmpty());
  driver.restart();
  driver.run(shop.orders.send({"ann", 5}, at(1012, "ann")));
  driver.settle();
  driver.restart();
  driver.run(shop.orders.send({"ann", 1}, at(1013, "ann")));
  driver.run(shop.orders.send({"ann", 9}, at(1005, "ann")));
  driver.settle();
  EXPECT_THAT(driver.values(shop.results), ElementsAre(Windowed<Totals>{time(1000), time(1010), Totals{2, 7}}));
  const auto late = driver.values(shop.late);
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(late[0].price, 9);
  EXPECT_EQ(driver.records("results")[0].key, "ann");
  EXPECT_EQ(driver.records("results")[0].timestamp, time(1009));
}

TEST(Windows, OfSessionsMergeTheirValues) {
  Shop shop{WindowSpec::session(5ms, {.grace = 20ms})};
  TestDriver driver{shop.app};
  for (const auto ms : {0, 10, 5}) driver.run(shop.orders.send({"ann", 1}, at(1000 + ms, "ann")));
  driver.settle();
  const auto results = driver.values(shop.results);
  ASSERT_EQ(results.size(), 5U);
  EXPECT_EQ(results[2], (Windowed<Totals>{time(1000), time(1000), std::nullopt}));
  EXPECT_EQ(results[4], (Windowed<Totals>{time(1000), time(1010), Totals{3, 3}}));
}

TEST(Join, OfStreamsGivesMatchesAndWhatIsAlone) {
  App app{"shop"};
  auto& orders = app.topic<Order>("orders", partitions(2));
  auto& payments = app.topic<int>("payments", partitions(2));
  const auto& paid =
      app.join("paid", orders, payments, StreamJoinOptions{.kind = Join::kLeft, .after = 5ms, .grace = 2ms});
  std::vector<std::pair<int, int>> pairs;
  app.agent("see", paid, [&](Stream<Joined<Order, int>> stream) -> Task<void> {
    while (auto one = co_await stream.next()) pairs.emplace_back(one->left->price, one->right.value_or(-1));
  });
  TestDriver driver{app};
  driver.run(orders.send({"ann", 1}, at(1000, "ann")));
  driver.run(payments.send(10, at(1004, "ann")));
  driver.run(orders.send({"bob", 2}, at(1005, "bob")));
  driver.settle();
  driver.restart();
  driver.run(payments.send(20, at(1020, "eve")));
  driver.settle();
  EXPECT_THAT(pairs, ElementsAre(std::pair{1, 10}, std::pair{2, -1}));
}

TEST(Join, OfTablesTellsAnAgentWhatDoesNotHoldAnyMore) {
  App app{"shop"};
  auto& orders = app.topic<Order>("orders", partitions(2));
  auto& payments = app.topic<int>("payments", partitions(2));
  const auto& paid = app.join("paid", orders, payments, TableJoinOptions{});
  std::vector<Joined<Order, int>> seen;
  auto& see = app.agent("see", paid, [&](Stream<Joined<Order, int>> stream) -> Task<void> {
    while (auto one = co_await stream.next()) seen.push_back(*one);
  });
  TestDriver driver{app};
  driver.run(orders.send({"ann", 1}, at(1000, "ann")));
  driver.settle();
  driver.run(payments.send(10, at(1001, "ann")));
  driver.settle();
  driver.run(payments.send_raw(std::nullopt, at(1002, "ann")));
  driver.settle();
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].right, 10);
  EXPECT_FALSE(seen[1].left || seen[1].right);
  EXPECT_THAT(driver.dead_letters(see), IsEmpty());
}

TEST(Join, OfOtherNumbersOfPartitionsIsRefusedAtTheStart) {
  TestApp world;
  auto& orders = world.app.topic<Order>("orders", partitions(3));
  auto& payments = world.app.topic<int>("payments", partitions(2));
  world.app.join("paid", orders, payments, StreamJoinOptions{.after = 1s});
  try {
    world.work([](Worker&) -> Task<void> { co_return; });
    ADD_FAILURE();
  } catch (const Failure& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("orders"));
    EXPECT_THAT(failure.what(), HasSubstr("payments"));
  }
}

}  // namespace
}  // namespace mephisto::tests
