#include "order_check.h"

#include <gtest/gtest.h>
#include <mephisto/testing.h>

TEST(OrderCheck, EachTestPasses) {
  TestDriver shop{app};
  TestDriver checks{app.live_check().app(), shop};  // the worker of `order_check livecheck`
  for (int i = 0; i < 40; ++i) shop.send(requests, {std::to_string(i), i % 2 == 0 ? "sell" : "buy"});
  checks.settle();
  const auto reports = checks.values(app.live_check().reports());
  EXPECT_EQ(reports.size(), shop.records("livecheck").size());
  EXPECT_GT(reports.size(), 2U);
  for (const auto& report : reports) EXPECT_EQ(report.state, "PASS") << report.error.value_or("");
}
