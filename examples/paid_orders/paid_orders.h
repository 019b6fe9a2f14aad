// Joins orders with their payments. An order that is not paid within five minutes is told too. Both topics are sent by
// the order's number.
#pragma once

#include <mephisto/mephisto.h>

using namespace mephisto;

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
inline auto& outcomes = app.topic<Outcome>("outcomes", {.internal = true});
inline auto& paid =
    app.join("paid", orders, payments, StreamJoinOptions{.kind = Join::kLeft, .after_ms = 300'000, .grace_ms = 10'000});

inline auto& check = app.agent("check", paid, [](Stream<Joined<Order, Payment>> stream) -> Task<void> {
  while (auto pair = co_await stream.next()) {
    const auto& order = *pair->left;
    co_await outcomes.cast({order.number, pair->right && pair->right->amount >= order.price});
  }
});
