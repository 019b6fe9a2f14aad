#include "paid_orders.h"

#include <gtest/gtest.h>
#include <mephisto/testing.h>

TEST(PaidOrders, TellsWhatIsPaidAndWhatIsNot) {
  TestDriver driver{app};
  driver.run(orders.send({1, 20}, {.key = "1"}));
  driver.advance(1min);
  driver.run(orders.send({2, 50}, {.key = "2"}));
  driver.advance(1min);
  driver.run(payments.send({20}, {.key = "1"}));
  driver.settle();
  EXPECT_EQ(driver.values(outcomes), (std::vector<Outcome>{{1, true}}));
  driver.advance(5min);
  EXPECT_EQ(driver.values(outcomes), (std::vector<Outcome>{{1, true}, {2, false}}));
}
