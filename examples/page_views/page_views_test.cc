#include "page_views.h"

#include <gtest/gtest.h>
#include <mephisto/testing.h>

TEST(PageViews, OfAMinuteAreGivenOnce) {
  TestDriver driver{app};
  for (const auto time : {5s, 59s, 65s, 40s, 70s, 30s}) {  // 70 closes the first minute, so 30 is too late
    driver.run(views.send({"/home", "ann", Timestamp{time}}, {.key = "/home"}));
  }
  driver.settle();
  EXPECT_EQ(driver.values(finals), (std::vector<Windowed<int>>{{Timestamp{0s}, Timestamp{60s}, 3}}));
  EXPECT_EQ(driver.records("finals").at(0).key, "/home");
  EXPECT_EQ(driver.values(late_views).size(), 1U);
  EXPECT_EQ(driver.table(minutes).get("/home", Timestamp{60s}), 2);
  driver.advance(1min);
  EXPECT_EQ(driver.values(finals).at(1), (Windowed<int>{Timestamp{60s}, Timestamp{120s}, 2}));
}
