#include "paid_orders.h"

#include <gtest/gtest.h>
#include <mephisto/testing.h>

TEST(PaidOrders, TellsWhatIsPaidAndWhatIsNot) {
  app.settings().set("topic_partitions", "1", "test");  // stream time is that of a partition
  TestDriver driver{app};
  driver.run(orders.send({1, 20}, {.key = "1", .timestamp = Timestamp{0min}}));
  driver.run(orders.send({2, 50}, {.key = "2", .timestamp = Timestamp{1min}}));
  driver.run(payments.send({20}, {.key = "1", .timestamp = Timestamp{2min}}));
  driver.settle();
  EXPECT_EQ(driver.values(outcomes), (std::vector<Outcome>{{1, true}}));
  driver.run(orders.send({3, 10}, {.key = "3", .timestamp = Timestamp{7min}}));
  driver.settle();
  EXPECT_EQ(driver.values(outcomes), (std::vector<Outcome>{{1, true}, {2, false}}));
}
