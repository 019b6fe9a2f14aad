// Durable timers of keys on virtual time.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mephisto/testing.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

struct Order {
  std::string id;
  int hours = 0;  // until its reminder; 0: cancels it
  std::string name{};
};

struct Reminder {
  std::string text;
};

// An app that reminds of orders.
struct Shop {
  explicit Shop(const char* guarantee = "at_least_once") {
    app.settings().set("processing_guarantee", guarantee, "test");
    app.agent("orders", orders, [this](Stream<Order> stream) -> Task<void> {
      while (auto order = co_await stream.next()) {
        if (order->hours == 0)
          cancelled.push_back(reminders.cancel(order->id, order->name));
        else
          reminders.schedule(order->id, order.timestamp() + std::chrono::hours{order->hours},
                             {order->id + " after " + std::to_string(order->hours)}, order->name);
        if (fail > 0 && fail-- > 0) throw std::runtime_error("no luck");
      }
    });
    app.agent("remind", reminders.due(), [this](Stream<Reminder> stream) -> Task<void> {
      while (auto reminder = co_await stream.next()) {
        const auto at = std::chrono::floor<std::chrono::hours>(reminder.timestamp() - kStart).count();
        reminded.push_back(std::string{reminder.key()} + " " + reminder->text + " at " + std::to_string(at));
        if (again) reminders.schedule(reminder.key(), reminder.timestamp() + 1h, *reminder);
      }
    });
  }
  void order(TestDriver& driver, Order one) {
    const auto id = one.id;
    driver.run(orders.send(std::move(one), {.key = id}));
    driver.settle();
  }

  static constexpr Timestamp kStart{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}};
  App app{"shop"};
  Topic<Order>& orders = app.topic<Order>("orders", {.partitions = 4, .internal = true});
  KeyTimers<Reminder> reminders = app.key_timers<Reminder>("reminders", orders);
  std::vector<std::string> reminded;
  std::vector<bool> cancelled;
  int fail = 0;
  bool again = false;
};

class KeyTimersTest : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Guarantees, KeyTimersTest, testing::Values("at_least_once", "exactly_once"),
                         [](const auto& info) { return std::string{info.param}; });

TEST_P(KeyTimersTest, AnEventComesBackAtItsTimeOnce) {
  Shop shop{GetParam()};
  TestDriver driver{shop.app};
  shop.order(driver, {"a", 2});
  shop.order(driver, {"b", 1});
  driver.advance(59min);
  EXPECT_THAT(shop.reminded, ElementsAre());
  driver.advance(2min);
  EXPECT_THAT(shop.reminded, ElementsAre("b b after 1 at 1"));
  driver.advance(24h);
  EXPECT_THAT(shop.reminded, ElementsAre("b b after 1 at 1", "a a after 2 at 2"));
}

TEST_P(KeyTimersTest, ItComesAfterADowntimeAndOnAnotherWorker) {
  Shop shop{GetParam()};
  TestDriver driver{shop.app, 2};
  for (const auto* id : {"a", "b", "c", "d", "e"}) shop.order(driver, {id, 1});
  driver.restart(LocalState::kLost, 3h);
  driver.advance(1min);
  EXPECT_THAT(shop.reminded, UnorderedElementsAre("a a after 1 at 1", "b b after 1 at 1", "c c after 1 at 1",
                                                  "d d after 1 at 1", "e e after 1 at 1"));
  driver.restart();
  driver.advance(1h);
  EXPECT_EQ(shop.reminded.size(), 5U);
}

TEST_P(KeyTimersTest, ItComesOnceHoweverWorkersEnd) {
  Shop shop{GetParam()};
  TestDriver driver{shop.app, 2};
  std::vector<std::string> expected;
  for (int i = 0; i < 12; ++i) {
    const auto id = "k" + std::to_string(i);
    shop.order(driver, {id, 2});
    driver.advance(3s);  // a commit
    driver.advance(i % 2 == 0 ? 30min : 17s);
    if (i % 3 == 0) driver.restart(LocalState::kLost, 10min);
    if (i % 3 == 1) driver.crash(LocalState::kLost, 40min);
    if (i % 3 == 2) driver.rebalance();
    expected.push_back(id);
  }
  driver.advance(3h);
  std::vector<std::string> came;
  for (const auto& record : driver.records("shop-reminders")) came.push_back(*record.key);
  if (GetParam() == std::string{"at_least_once"}) {
    std::ranges::sort(came);
    came.erase(std::ranges::unique(came).begin(), came.end());
  }
  EXPECT_THAT(came, testing::UnorderedElementsAreArray(expected));
}

TEST_P(KeyTimersTest, ACancelledOneDoesNotCome) {
  Shop shop{GetParam()};
  TestDriver driver{shop.app};
  shop.order(driver, {"a", 1});
  shop.order(driver, {"a", 0});
  shop.order(driver, {"a", 0});
  driver.advance(2h);
  EXPECT_THAT(shop.reminded, ElementsAre());
  EXPECT_THAT(shop.cancelled, ElementsAre(true, false));
}

TEST_P(KeyTimersTest, TheSameNameReplacesAndAnotherNameIsAnotherTimer) {
  Shop shop{GetParam()};
  TestDriver driver{shop.app};
  shop.order(driver, {"a", 1});
  shop.order(driver, {"a", 3});
  shop.order(driver, {"a", 2, "second"});
  driver.advance(4h);
  EXPECT_THAT(shop.reminded, ElementsAre("a a after 2 at 2", "a a after 3 at 3"));
  const auto records = driver.records("shop-reminders");
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].header("timer"), "second");
}

TEST_P(KeyTimersTest, AnEventThatFailsSchedulesNothing) {
  Shop shop{GetParam()};
  shop.fail = 4;  // the first attempt and its retries
  TestDriver driver{shop.app};
  shop.order(driver, {"a", 1});
  driver.advance(2h);
  EXPECT_THAT(shop.reminded, ElementsAre());
}

TEST_P(KeyTimersTest, ItsOwnEventMaySetTheNextOne) {
  Shop shop{GetParam()};
  shop.again = true;
  TestDriver driver{shop.app};
  shop.order(driver, {"a", 1});
  driver.advance(3h + 30min);
  EXPECT_THAT(shop.reminded, ElementsAre("a a after 1 at 1", "a a after 1 at 2", "a a after 1 at 3"));
}

TEST(KeyTimers, WhoseEventsNobodyTakesAreAMistake) {
  App app{"shop"};
  auto& orders = app.topic<Order>("orders");
  (void)app.key_timers<Reminder>("reminders", orders);
  ASSERT_EQ(app.mistakes().size(), 2U);
  EXPECT_THAT(app.mistakes()[0], HasSubstr("no agent takes the topic orders of the timers reminders"));
  EXPECT_THAT(app.mistakes()[1], HasSubstr("no agent takes the topic shop-reminders of the timers reminders"));
}

}  // namespace
}  // namespace mephisto
