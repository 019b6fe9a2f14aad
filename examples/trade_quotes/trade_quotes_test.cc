#include "trade_quotes.h"

#include <gtest/gtest.h>
#include <mephisto/testing.h>

TEST(TradeQuotes, TakesTheQuoteThatHeld) {
  TestDriver driver{app};
  const auto at = [](auto time) { return SendOptions{.key = "AAPL", .timestamp = Timestamp{time}}; };
  driver.run(trades.send({"AAPL", 9}, at(1s)));         // before the first quote
  driver.run(trades.send({"AAPL", 12.5}, at(9999ms)));  // waits a second for quotes that come late
  driver.run(quotes.send({11}, at(5s)));
  driver.run(quotes.send({12}, at(9s)));
  driver.run(quotes.send({21}, at(10s)));
  driver.run(quotes.send({22}, at(11s)));
  driver.settle();
  EXPECT_EQ(driver.values(costs), (std::vector<Cost>{{"AAPL", std::nullopt}, {"AAPL", 0.5}}));
  driver.run(trades.send({"MSFT", 7}, {.key = "MSFT"}));  // without a later record, the clock answers it
  driver.advance(10s);
  EXPECT_EQ(driver.values(costs).back(), (Cost{"MSFT", std::nullopt}));
}
