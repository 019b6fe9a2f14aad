#include "card_fraud.h"

#include <gtest/gtest.h>
#include <mephisto/testing.h>

TEST(CardFraud, IsToldOfAllPaymentsThatAreNearEachOther) {
  TestDriver driver{app};
  for (const auto minute : {0min, 10min, 4min, 6min, 20min}) {  // 6 joins the sessions of 4 and 10
    driver.run(payments.send(300, {.key = "4711", .timestamp = Timestamp{minute}}));
  }
  driver.settle();
  ASSERT_EQ(driver.values(alerts).size(), 1U);
  EXPECT_EQ(driver.values(alerts)[0].payments, 4);
  EXPECT_EQ(driver.records("alerts")[0].key, "4711");
}
