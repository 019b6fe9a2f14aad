// Sums up what each customer orders, while orders are sent by their numbers: `customer_totals worker`, and
// `customer_totals send orders '{"number":1,"customer":"ann","price":20}' --key 1` in another terminal.
#pragma once

#include <mephisto/mephisto.h>

using namespace mephisto;

struct Order {
  int number = 0;
  std::string customer;
  double price = 0;
};

struct Total {
  int orders = 0;
  double spent = 0;
  bool operator==(const Total&) const = default;
};

inline App app{"customer_totals"};
inline auto& orders = app.topic<Order>("orders", {.internal = true});
inline auto& totals = app.table<std::string, Total>("totals");

// The orders of a customer are in all partitions, and so on all shards and workers. Grouped, they are in one.
inline auto& by_customer = app.group_by(orders, "customer", &Order::customer);

inline auto& add = app.agent("add", by_customer, [](Stream<Order> stream) -> Task<void> {
  while (auto order = co_await stream.next()) {
    auto& total = totals[order->customer];
    total.orders += 1;
    total.spent += order->price;
  }
});
