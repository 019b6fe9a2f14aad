// Joins orders with their payments. An order that is not paid within five minutes is told too. Both topics are sent by
// the order's number.
#pragma once

#include <mephisto/mephisto.h>

using namespace mephisto;
using namespace std::chrono_literals;

struct Order {
  int number = 0;
  double price = 0;
};

struct Payment {
  double amount = 0;
};

struct Outcome {
  int order = 0;
  bool paid = false;
  bool operator==(const Outcome&) const = default;
};

inline App app{"paid_orders"};
inline auto& orders = app.topic<Order>("orders", {.internal = true});
inline auto& payments = app.topic<Payment>("payments", {.internal = true});
inline auto& outcomes = app.topic<Outcome>("outcomes", {.partitions = 1, .internal = true});
inline auto& paid =
    app.join("paid", orders, payments, StreamJoinOptions{.kind = Join::kLeft, .after = 5min, .grace = 10s},
             {.close_idle = 10s});  // also while no later order moves the time

inline auto& check = app.agent("check", paid, [](Stream<Joined<Order, Payment>> stream) -> Task<void> {
  while (auto pair = co_await stream.next()) {
    const auto& order = *pair->left;
    co_await outcomes.cast({order.number, pair->right && pair->right->amount >= order.price});
  }
});
