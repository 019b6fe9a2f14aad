// A shop that checks itself while it runs: half of the orders are followed from the request to the execution.
// `order_check worker` runs the shop, `order_check livecheck` the tests, `order_check livecheck --states` shows them.
#pragma once

#include <mephisto/live_check.h>
#include <mephisto/mephisto.h>

using namespace mephisto;
using namespace std::chrono_literals;

struct Order {
  static constexpr const char* kNamespace = "shop.Order";
  std::string id;
  std::string side;
};

inline App app{"shop"};
inline auto& requests = app.topic<Order>("requests", {.internal = true});
inline auto& orders = app.topic<Order>("orders", {.internal = true});

struct OrderTest : LiveCase<OrderTest> {
  Signal<Order> stored{*this, "stored"};
  Signal<> executed{*this, "executed"};

  Task<void> run(std::string side) {
    const auto order = co_await stored.wait(30s);
    expect(order.side == side, "an order keeps its side");
    co_await executed.wait(30s);
  }
};
inline auto& order_test =
    app.live_check().add<OrderTest>("shop.OrderTest", {.probability = 0.5, .warn_stalled_after = 10min});

inline auto& take_order = app.agent("take", requests, [](Stream<Order> stream) -> Task<void> {
  while (auto order = co_await stream.next()) {
    const auto test = co_await order_test.maybe_trigger(order->id, order->side);
    co_await orders.cast(*order, {.key = order->id});  // carries the test, if there is one
  }
});

inline auto& execute_order = app.agent("execute", orders, [](Stream<Order> stream) -> Task<void> {
  while (auto order = co_await stream.next()) {
    co_await order_test.stored.send(*order);  // here the order would be stored
    co_await order_test.executed.send();
  }
});
