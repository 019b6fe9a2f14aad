#include "customer_totals.h"

#include <gtest/gtest.h>
#include <mephisto/testing.h>

TEST(CustomerTotals, AreRightOnAnyNumberOfShards) {
  for (int shards : {1, 2, 8}) {
    TestDriver driver{app, shards};
    for (int number = 0; number < 100; ++number) {
      const auto* customer = number % 4 == 0 ? "ann" : "bob";
      driver.run(orders.send({number, customer, 2}, {.key = std::to_string(number)}));
    }
    driver.settle();
    EXPECT_EQ(driver.table(totals).get("ann"), (Total{25, 50})) << shards;
    EXPECT_EQ(driver.table(totals).get("bob"), (Total{75, 150})) << shards;
    EXPECT_EQ(driver.table(totals).size(), 2U) << shards;
  }
}
