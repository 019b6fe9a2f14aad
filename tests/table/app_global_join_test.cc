// Joins with a global table, as an app declares them.
#include <gmock/gmock.h>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

struct Order {
  std::string currency;
  int amount = 0;
  bool operator==(const Order&) const = default;
};

struct Rate {
  double value = 0;
  bool operator==(const Rate&) const = default;
};

using Rated = Joined<Order, Rate>;

std::optional<std::string> currency_of(const Order& order) {
  return order.currency.empty() ? std::nullopt : std::optional{order.currency};
}

struct Shop {
  explicit Shop(Join kind, std::vector<LeftOut>* left_out = nullptr)
      : rated(app.join("rated", orders, rates, {.kind = kind, .key = currency_of},
                       {.on_left_out = [left_out](JoinSide, const JoinRecord&, LeftOut why) {
                         if (left_out != nullptr) left_out->push_back(why);
                       }})) {
    app.settings().set("topic_partitions", "4", "test");
  }
  void rate(TestDriver& driver, const std::string& currency, double value) {
    driver.run([](Shop& shop, std::string key, Rate row) -> Task<void> { co_await shop.rates.set(key, row); }(
                                                             *this, currency, Rate{value}));
    driver.settle();
  }
  void order(TestDriver& driver, const std::string& currency, int amount) {
    driver.run(orders.send({currency, amount}, {.key = std::to_string(amount)}));
    driver.settle();
  }

  App app{"shop"};
  Topic<Order>& orders = app.topic<Order>("orders");
  GlobalTable<std::string, Rate>& rates = app.global_table<std::string, Rate>("rates", {.partitions = 1});
  const Topic<Rated>& rated;
};

TEST(GlobalJoin, FindsTheRowInAllPartitionsAndShards) {
  Shop shop{Join::kInner};
  TestDriver driver{shop.app, 2};
  shop.rate(driver, "EUR", 2);
  for (int i = 1; i <= 8; ++i) shop.order(driver, i % 2 == 0 ? "EUR" : "CHF", i);
  EXPECT_THAT(driver.values(shop.rated),
              UnorderedElementsAre(Rated{Order{"EUR", 2}, Rate{2}}, Rated{Order{"EUR", 4}, Rate{2}},
                                   Rated{Order{"EUR", 6}, Rate{2}}, Rated{Order{"EUR", 8}, Rate{2}}));
}

// A change of the table counts for later records, and gives no result itself.
TEST(GlobalJoin, ARecordSeesTheNewestRow) {
  Shop shop{Join::kLeft};
  TestDriver driver{shop.app};
  shop.order(driver, "EUR", 1);
  shop.rate(driver, "EUR", 2);
  shop.order(driver, "EUR", 1);
  shop.rate(driver, "EUR", 3);
  driver.restart();
  shop.order(driver, "EUR", 1);
  shop.order(driver, "", 1);
  const Order order{"EUR", 1};
  EXPECT_THAT(driver.values(shop.rated), ElementsAre(Rated{order, std::nullopt}, Rated{order, Rate{2}},
                                                     Rated{order, Rate{3}}, Rated{Order{"", 1}, std::nullopt}));
}

TEST(GlobalJoin, KeepsKeyAndTimeOfTheRecord) {
  Shop shop{Join::kLeft};
  TestDriver driver{shop.app};
  driver.run(shop.orders.send({"EUR", 1}, {.key = "k", .timestamp = Timestamp{5s}}));
  driver.settle();
  const auto records = driver.records(shop.rated.name());
  ASSERT_EQ(records.size(), 1);
  EXPECT_EQ(records[0].key, "k");
  EXPECT_EQ(records[0].timestamp, Timestamp{5s});
}

TEST(GlobalJoin, TellsWhatHasNoResult) {
  std::vector<LeftOut> left_out;
  Shop shop{Join::kInner, &left_out};
  TestDriver driver{shop.app};
  shop.order(driver, "", 1);
  driver.run(shop.orders.send_raw(std::nullopt, {.key = "k"}));
  driver.settle();
  EXPECT_THAT(driver.values(shop.rated), IsEmpty());
  EXPECT_THAT(left_out, ElementsAre(LeftOut::kNoForeignKey, LeftOut::kNoValue));
}

TEST(GlobalJoin, WithoutAFunctionTheKeyIsTheRecords) {
  App app{"shop"};
  auto& visits = app.topic<int>("visits");
  auto& names = app.global_table<std::string, std::string>("names", {.partitions = 1});
  const auto& named = app.join("named", visits, names);
  TestDriver driver{app};
  driver.run(
      [](const GlobalTable<std::string, std::string>& table) -> Task<void> { co_await table.set("a", "Ann"); }(names));
  driver.settle();
  driver.run(visits.send(7, {.key = "a"}));
  driver.settle();
  EXPECT_THAT(driver.values(named), ElementsAre(Joined<int, std::string>{7, "Ann"}));
}

TEST(GlobalJoin, MistakesAreTold) {
  App app{"shop"};
  auto& orders = app.topic<Order>("orders");
  auto& rates = app.global_table<std::string, Rate>("rates");
  auto& numbers = app.global_table<int, Rate>("numbers");
  app.join("a", orders, rates, {.kind = Join::kOuter});
  app.join("b", orders, numbers);
  app.join("c", orders, rates, {}, {.close_idle = 1s});
  EXPECT_THAT(app.mistakes(), ElementsAre(HasSubstr("join a: a join with a global table is an inner or a left join"),
                                          HasSubstr("join b: there is no key: set .key"), HasSubstr("join c: .store")));
}

}  // namespace
}  // namespace mephisto::tests
