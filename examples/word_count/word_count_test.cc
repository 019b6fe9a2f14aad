#include "word_count.h"

#include <gtest/gtest.h>
#include <mephisto/testing.h>

TEST(WordCount, GoesOnAfterARestart) {
  TestDriver driver{app};
  driver.run(lines.send("to be or not to be"));
  driver.settle();
  driver.restart();
  driver.run(lines.send("to be"));
  driver.settle();
  EXPECT_EQ(driver.table(counts).get("to"), 3);
  EXPECT_EQ(driver.table(counts).get("or"), 1);
  EXPECT_EQ(driver.values(results).size(), 8U);
}
