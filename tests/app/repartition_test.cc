// group_by and repartition: records by another key, or in another number of partitions, and what consumes them.
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Order {
  std::string id;
  std::string customer;
  double price = 0;
};
struct Payment {
  std::string order;
  double amount = 0;
};

class Repartition : public ::testing::Test {
 protected:
  Repartition() { log::configure({.level = log::Level::kCrit, .file = ""}); }

  // Sends so many orders of seven customers, each under its id.
  void send_orders(TestDriver& driver, int count) {
    for (int i = 0; i < count; ++i) {
      const auto id = fmt::format("o{}", i);
      driver.run(orders.send({.id = id, .customer = fmt::format("c{}", i % 7), .price = 1}, {.key = id}));
    }
    driver.settle();
  }

  App app{"shop"};
  Topic<Order>& orders = app.topic<Order>("orders", {.partitions = 4});
};

std::string customer_of(const Order& order) { return order.customer; }

TEST_F(Repartition, TopicsAreNamedAsFaustNamesThem) {
  EXPECT_EQ(app.group_by(orders, "Order.customer", &Order::customer).name(), "orders-Order.customer-repartition");
  EXPECT_EQ(app.group_by(orders, "by_customer", customer_of, {.prefix = "shop.bill"}).name(),
            "shop.bill-orders-by_customer-repartition");
  EXPECT_EQ(app.repartition(orders, "wide", {.partitions = 8}).name(), "orders-wide-repartition");
  app.check();
}

TEST_F(Repartition, ARecordKeepsEverythingButItsKey) {
  const auto& by_customer = app.group_by(orders, "customer", customer_of);
  TestDriver driver{app};
  const std::string bytes = R"( {"id":"1" ,"customer":"ann","price":3,"more":1})";
  driver.run(
      orders.send_raw(bytes, {.key = "1", .timestamp = Timestamp{42s}, .headers = {{"trace", "t1"}, {"none", {}}}}));
  driver.settle();
  const auto got = driver.records(by_customer.name());
  ASSERT_THAT(got, SizeIs(1));
  EXPECT_EQ(got[0].key, "ann");
  EXPECT_EQ(got[0].value, bytes);
  EXPECT_EQ(got[0].timestamp, Timestamp{42s});
  EXPECT_THAT(got[0].headers, SizeIs(2));
  EXPECT_EQ(got[0].header("trace"), "t1");
}

TEST_F(Repartition, EqualKeysAreInOnePartitionAndInOrder) {
  const auto& by_customer = app.group_by(orders, "customer", customer_of);
  TestDriver driver{app};
  for (int i = 0; i < 70; ++i)
    driver.run(orders.send({.customer = fmt::format("c{}", i % 7), .price = double(i)}, {.key = "same"}));
  driver.settle();
  std::map<std::string, std::set<int>> partitions;
  std::map<std::string, std::vector<double>> prices;
  for (const auto& record : driver.records(by_customer.name())) {
    partitions[*record.key].insert(record.partition);
    prices[*record.key].push_back(value_or_throw(from_json<Order>(*record.value)).price);
  }
  EXPECT_THAT(partitions, SizeIs(7));
  for (const auto& [key, all] : partitions) EXPECT_THAT(all, SizeIs(1)) << key;
  for (const auto& [key, all] : prices) {
    EXPECT_THAT(all, SizeIs(10)) << key;
    EXPECT_TRUE(std::ranges::is_sorted(all)) << key;
  }
}

TEST_F(Repartition, HasAsManyPartitionsAsItsSourceOrAsGiven) {
  const auto& same = app.group_by(orders, "same", customer_of);
  const auto& given = app.group_by(orders, "given", customer_of, {.partitions = 3});
  const auto& wide = app.repartition(orders, "wide", {.partitions = 16});
  const auto& again = app.group_by(wide, "again", customer_of);
  TestDriver driver{app};
  const auto partitions = [&](const TopicBase& topic) {
    return value_or_throw(driver.run(driver.log().topic(topic.name()))).config.partitions;
  };
  EXPECT_EQ(partitions(same), 4);
  EXPECT_EQ(partitions(given), 3);
  EXPECT_EQ(partitions(wide), 16);
  EXPECT_EQ(partitions(again), 16);
}

// A source that is there already, with another number than the setting topic_partitions.
TEST(RepartitionOfATopicThatExists, TakesItsNumberOfPartitions) {
  TestApp world;
  const auto& by_key = world.app.group_by(world.app.topic<int>("in"), "half", [](int n) { return n / 2; });
  world.run([&] { return world.create("in", 3); });
  world.work([&](Worker&) -> Task<void> {
    EXPECT_EQ(value_or_throw(co_await world.log->topic(by_key.name())).config.partitions, 3);
  });
}

TEST_F(Repartition, KeysAreTextsOrIntegers) {
  struct Event {
    std::int64_t number = 0;
    std::optional<std::string> text;
  };
  auto& events = app.topic<Event>("events");
  const auto& by_number = app.group_by(events, "number", &Event::number);
  const auto& by_text = app.group_by(events, "text", &Event::text);
  const auto& by_view =
      app.group_by(events, "view", [](const Event& event) -> std::string_view { return *event.text; });
  TestDriver driver{app};
  driver.run(events.send({.number = -7, .text = "a"}));
  driver.settle();
  EXPECT_EQ(driver.records(by_number.name()).at(0).key, "-7");
  EXPECT_EQ(driver.records(by_text.name()).at(0).key, "a");
  EXPECT_EQ(driver.records(by_view.name()).at(0).key, "a");
}

TEST_F(Repartition, ARecordWithoutAKeyIsADeadLetterAndTheOthersGoOn) {
  const auto& by_text = app.group_by(orders, "customer", [](const Order& order) {
    return order.customer.empty() ? std::nullopt : std::optional{order.customer};
  });
  const auto& wide = app.repartition(orders, "wide", {.partitions = 8});
  TestDriver driver{app};
  driver.run(orders.send({.id = "1"}, {.key = "k"}));
  driver.run(orders.send({.id = "2", .customer = "ann"}));
  driver.settle();
  EXPECT_EQ(driver.records(by_text.name()).at(0).key, "ann");
  EXPECT_EQ(driver.records(wide.name()).at(0).key, "k");
  const auto no_key = driver.records("shop-orders-customer-dlq");
  ASSERT_THAT(no_key, SizeIs(1));
  EXPECT_EQ(no_key[0].key, "k");
  EXPECT_EQ(no_key[0].header("x-error"), "the function of group_by gives no key for this record");
  EXPECT_EQ(no_key[0].header("x-topic"), "orders");
  const auto keyless = driver.records("shop-orders-wide-dlq");
  ASSERT_THAT(keyless, SizeIs(1));
  EXPECT_THAT(keyless[0].header("x-error"),
              "the record has no key, which decides its partition in orders-wide-repartition: send it with a key");
}

TEST_F(Repartition, AKeyFunctionThatThrowsFollowsTheErrorPolicy) {
  int calls = 0;
  const auto fails = [&calls](const Order& order) {
    if (order.customer == "bad") {
      ++calls;
      throw std::runtime_error("no such customer");
    }
    return order.customer;
  };
  const auto& retried = app.group_by(orders, "retried", fails, {.on_error = {.retries = 2}});
  app.group_by(orders, "skipped", [](const Order&) -> std::string { throw std::runtime_error("never"); },
               {.on_error = {.retries = 0, .then = ErrorPolicy::Then::kSkip}});
  TestDriver driver{app};
  driver.run(orders.send({.id = "1", .customer = "bad"}));
  driver.run(orders.send({.id = "2", .customer = "ann"}));
  driver.settle();
  EXPECT_EQ(calls, 3);
  EXPECT_THAT(driver.records(retried.name()), SizeIs(1));
  EXPECT_EQ(driver.records("shop-orders-retried-dlq").at(0).header("x-error"), "no such customer");
  EXPECT_THAT(driver.records("shop-orders-skipped-dlq"), IsEmpty());
}

TEST_F(Repartition, AValueThatCannotBeReadIsADeadLetter) {
  app.group_by(orders, "customer", customer_of);
  TestDriver driver{app};
  driver.run(orders.send_raw("{broken", {.key = "k"}));
  driver.settle();
  EXPECT_EQ(driver.records("shop-orders-customer-dlq").at(0).value, "{broken");
}

// The agent of the grouped topic answers, not the grouping.
TEST_F(Repartition, AnAskIsAnsweredFromBehindIt) {
  const auto& by_customer = app.group_by(orders, "customer", customer_of);
  app.agent("price", by_customer, [](Stream<Order> stream) -> Results<double> {
    while (auto order = co_await stream.next()) co_yield order->price * 2;
  });
  // Sends to the topic of the grouping's source.
  App client_app{"client"};
  auto& ask = client_app.agent("ask", client_app.topic<Order>("orders", {.partitions = 4}),
                               [](Stream<Order> stream) -> Results<double> {
                                 while (co_await stream.next()) co_yield 0;
                               });
  TestDriver driver{app};
  EXPECT_EQ(driver.run(ask.ask({.customer = "ann", .price = 21})), 42);
}

TEST_F(Repartition, ATableCountsByTheOtherKeyOnSeveralShards) {
  auto& counts = app.table<std::string, int>("counts", {.partitions = 4});
  app.agent("count", app.group_by(orders, "customer", customer_of), [&counts](Stream<Order> stream) -> Task<void> {
    while (auto order = co_await stream.next()) counts[order->customer] += 1;
  });
  for (const char* guarantee : {"at_least_once", "exactly_once"}) {
    app.settings().set("processing_guarantee", guarantee, "test");
    TestDriver driver{app, 3};
    send_orders(driver, 70);
    // Each customer is in one partition: there is one row for each.
    EXPECT_THAT(driver.table(counts).items(), SizeIs(7)) << guarantee;
    for (int i = 0; i < 7; ++i) EXPECT_EQ(driver.table(counts).get(fmt::format("c{}", i)), 10) << guarantee;
    driver.restart();
    EXPECT_EQ(driver.table(counts).get("c0"), 10) << guarantee;
  }
}

TEST_F(Repartition, WindowsCountByTheOtherKey) {
  auto& sums = app.topic<Windowed<double>>("sums", {.partitions = 4});
  auto& minutes =
      app.windows<std::string>("minutes", WindowSpec::tumbling(1min, {.emit = Emit::kOnClose}),
                               [](double& sum, const Order& order) { sum += order.price; }, {.partitions = 4})
          .results_to(sums);
  app.agent("sum", app.group_by(orders, "customer", customer_of), [&minutes](Stream<Order> stream) -> Task<void> {
    while (auto order = co_await stream.next()) co_await minutes.add(order->customer, *order, order.timestamp());
  });
  TestDriver driver{app, 2};
  for (int i = 0; i < 8; ++i) {
    driver.run(
        orders.send({.customer = "ann", .price = 1}, {.key = fmt::format("o{}", i), .timestamp = Timestamp{i * 10s}}));
    driver.settle();
  }
  EXPECT_THAT(driver.values(sums), ElementsAre(::testing::Field(&Windowed<double>::value, 6)));
}

TEST_F(Repartition, AJoinMeetsByTheOtherKey) {
  auto& payments = app.topic<Payment>("payments", {.partitions = 4});
  const auto& by_order = app.group_by(payments, "Payment.order", &Payment::order);
  const auto& paid = app.join("paid", orders, by_order, StreamJoinOptions{.before = 1s, .after = 1s});
  TestDriver driver{app};
  send_orders(driver, 20);
  for (int i = 0; i < 20; ++i)
    driver.run(payments.send({.order = fmt::format("o{}", i), .amount = 1}, {.key = fmt::format("payment{}", i)}));
  driver.settle();
  EXPECT_THAT(driver.values(paid), SizeIs(20));
}

// Partitions are lost again and again, while records are on their way.
TEST(RepartitionExactlyOnce, PartitionsThatMoveLoseNothingAndDoubleNothing) {
  TestApp world;
  world.set("processing_guarantee", "exactly_once");
  auto& in = world.app.topic<int>("in", {.partitions = 2});
  const auto& by_key = world.app.group_by(in, "mod", [](int n) { return n % 10; });
  auto& counts = world.app.table<int, int>("counts", {.partitions = 2});
  auto& seen = world.app.topic<int>("seen", {.partitions = 1});
  world.app.agent("count", by_key, [&](Stream<int> stream) -> Task<void> {
    while (auto n = co_await stream.next()) {
      counts[*n % 10] += 1;
      co_await seen.cast(*n);
    }
  });
  constexpr int kRounds = 20;
  world.work([&](Worker&) -> Task<void> {
    for (int round = 0; round < kRounds; ++round) {
      auto rows = numbered(10, round * 10);
      for (auto& row : rows) row.partition = round % 2;
      co_await world.produce("in", rows);
      co_await sleep_for(std::chrono::milliseconds{7 * round});
      co_await world.expel({"in", by_key.name()});
    }
    co_await world.eventually_in("seen", kRounds * 10);
    co_await sleep_for(10s);
    EXPECT_EQ(difference(co_await world.values_in("seen"), numbered(kRounds * 10)), Difference{});
  });
  EXPECT_THAT(world.run([&] { return world.records("in-mod-repartition"); }), SizeIs(kRounds * 10));
}

TEST_F(Repartition, WrongDeclarationsAreTold) {
  app.group_by(orders, "", customer_of);
  app.group_by(orders, "twice", customer_of);
  app.group_by(orders, "twice", &Order::id);
  app.group_by(orders, "a b", customer_of);
  EXPECT_THAT(app.mistakes(),
              AllOf(::testing::Contains(HasSubstr("the grouping of topic orders has no name")),
                    ::testing::Contains(HasSubstr("there is agent orders-twice already")),
                    ::testing::Contains(HasSubstr("\"orders-a b-repartition\" cannot be a topic's name"))));
}

std::string error_at_start(App& app) {
  try {
    TestDriver driver{app};
    return "";
  } catch (const Failure& failure) {
    return failure.what();
  }
}

TEST_F(Repartition, TopicsThatDoNotFitAreToldAtTheStart) {
  auto& payments = app.topic<Payment>("payments", {.partitions = 8});
  app.join("paid", orders, payments, StreamJoinOptions{.after = 1s});
  EXPECT_THAT(error_at_start(app), HasSubstr("join paid needs topics with equal numbers of partitions, so that records "
                                             "with one key meet, but orders has 4, payments has 8: declare orders "
                                             "with {.partitions = 8}"));
}

// What exists decides, and nothing is created before all fits.
TEST(TopicsThatExist, DecideTheNumbersOfTheOthers) {
  TestApp world;
  world.app.join("paid", world.app.topic<int>("orders"), world.app.topic<int>("payments"),
                 StreamJoinOptions{.after = 1s});
  world.run([&] { return world.create("orders", 3); });
  EXPECT_THAT(world.run([&] {
    return failure_of([](TestApp& self) -> Task<void> {
      Worker worker{self.app, self.log};
      co_await worker.start();
    }(world));
  }),
              HasSubstr("orders has 3, payments has 8: declare payments with {.partitions = 3}"));
  EXPECT_FALSE(world.run([&] { return world.log->topic("payments"); }));

  world.run([&] { return world.create("payments", 5); });
  EXPECT_THAT(world.run([&] {
    return failure_of([](TestApp& self) -> Task<void> {
      Worker worker{self.app, self.log};
      co_await worker.start();
    }(world));
  }),
              HasSubstr("use app.repartition(orders, \"paid\", {.partitions = 5}) instead of orders"));
}

// The line that the message tells mends it.
TEST(TopicsThatExist, AreMendedByTheLineThatIsTold) {
  TestApp world;
  auto& orders = world.app.topic<int>("orders");
  auto& payments = world.app.topic<int>("payments");
  const auto& paid = world.app.join("paid", world.app.repartition(orders, "paid", {.partitions = 5}), payments,
                                    StreamJoinOptions{.before = 10s, .after = 10s});
  world.run([&] { return world.create("orders", 3); });
  world.run([&] { return world.create("payments", 5); });
  world.work([&](Worker&) -> Task<void> {
    for (int i = 0; i < 10; ++i) {
      co_await orders.send(i, {.key = fmt::format("k{}", i)});
      co_await payments.send(i, {.key = fmt::format("k{}", i)});
    }
    co_await world.eventually_in(paid.name(), 10);
  });
}

}  // namespace
}  // namespace mephisto::tests
