// A shop with a live check, on virtual time: requests become orders, which are stored and then executed.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "mephisto/live_check.h"
#include "mephisto/testing.h"

namespace mephisto::tests {

using namespace std::chrono_literals;

struct Order {
  static constexpr std::string_view kNamespace = "shop.Order";
  std::string id;
  std::string side = "sell";
  double price = 1.5;
};

struct OrderTest : LiveCase<OrderTest> {
  Signal<Order> stored{*this, "stored"};
  Signal<std::string> executed{*this, "executed"};
  std::function<Task<void>()> before;
  std::function<void(const Order&)> then;

  Task<void> run(std::string side) {
    if (before) co_await before();
    const auto order = co_await stored.wait(30s);
    expect(order.id == LiveCheck::current_test()->id, "the order is that of the test");
    expect(order.side == side, "an order keeps its side");
    if (then) then(order);
    co_await executed.wait(10s);
  }
  Task<void> make_fake_request() override { return fake ? fake() : LiveCaseBase::make_fake_request(); }
  std::function<Task<void>()> fake;

  static void skip_it(const std::string& why) { skip(why); }
};

struct Shop {
  explicit Shop(LiveCaseOptions options = {.probability = 1}, const char* guarantee = "at_least_once")
      : order_test(live.add<OrderTest>("shop.OrderTest", options)) {
    app.settings().set("processing_guarantee", guarantee, "test");
    app.settings().set("topic_partitions", "4", "test");
    app.agent("accept", requests, [this](Stream<Order> stream) -> Task<void> {
      while (auto order = co_await stream.next()) {
        const auto test = co_await order_test.maybe_trigger(order->id, order->side);
        began += test ? 1 : 0;
        co_await orders.cast(*order, {.key = order->id});
        ++accepted;
      }
    });
    app.agent("store", orders, [this](Stream<Order> stream) -> Task<void> {
      while (auto order = co_await stream.next()) {
        if (change) change(*order);
        co_await order_test.stored.send(*order);
        co_await executions.cast(*order, {.key = order->id});
      }
    });
    app.agent("execute", executions, [this](Stream<Order> stream) -> Task<void> {
      while (auto order = co_await stream.next()) {
        if (executes) co_await order_test.executed.send("x-" + order->id);
      }
    });
  }

  App app{"shop"};
  LiveCheck& live = app.live_check();
  OrderTest& order_test;
  Topic<Order>& requests = app.topic<Order>("requests", {.partitions = 2});
  Topic<Order>& orders = app.topic<Order>("orders", {.partitions = 2});
  Topic<Order>& executions = app.topic<Order>("executions", {.partitions = 2});
  std::function<void(Order&)> change;  // what the agent that stores does to an order
  bool executes = true;
  int accepted = 0;
  int began = 0;
};

// A shop and the worker of its live check, on one log and one clock.
struct Running {
  explicit Running(Shop& of) : shop(of) {}

  // Orders go through the shop, and their tests come to an end.
  void order(const std::vector<std::string>& ids) {
    for (const auto& id : ids) driver.run(shop.requests.send({.id = id}, {.key = id}));
    driver.settle();
    checks.settle();
  }
  // The reports in the order of their time: `ID STATE`, of a case `- STATE`.
  std::vector<std::string> reports() {
    std::multimap<Timestamp, std::string> all;
    for (const auto& record : checks.records("livecheck-report")) {
      const auto report = value_or_throw(from_json<LiveReport>(*record.value));
      all.emplace(record.timestamp, fmt::format("{} {}", record.key.value_or("-"), report.state));
    }
    std::vector<std::string> texts;
    for (auto& [time, text] : all) texts.push_back(std::move(text));
    return texts;
  }
  LiveReport report(std::size_t number = 0) { return checks.values(shop.live.reports()).at(number); }
  // A record as another program sends it.
  void produce(const std::string& topic, std::string value, std::vector<Header> headers = {}, std::string key = "k") {
    auto& to = others[topic];
    if (!to) to = std::make_unique<TopicBase>(detail::make_spec(topic, {}));
    driver.run(to->send_raw(std::move(value), {.key = std::move(key), .headers = std::move(headers)}));
    driver.settle();
    checks.settle();
  }
  LiveCaseStatus status() {
    return checks.run([](Shop& of) -> Task<LiveCaseStatus> { co_return of.order_test.status(); }(shop));
  }

  Shop& shop;
  std::map<std::string, std::unique_ptr<TopicBase>> others;
  TestDriver driver{shop.app};
  TestDriver checks{shop.live.app(), driver};
};

}  // namespace mephisto::tests
