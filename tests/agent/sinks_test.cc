// Where results go besides the asker.
#include <gmock/gmock.h>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::ElementsAre;

// The agent `twice` yields each number doubled.
class Sinks : public ::testing::Test {
 protected:
  void work_on(std::vector<Row> rows) {
    world.work([&](Worker&) -> Task<void> {
      const auto count = static_cast<std::int64_t>(rows.size());
      co_await world.produce("in", rows);
      co_await world.eventually_committed("in", count);
    });
  }

  TestApp world;
  std::vector<int> got;
  Agent<int, int>& twice =
      world.app.agent("twice", world.app.topic<int>("in", {.partitions = 1}), [](Stream<int> stream) -> Results<int> {
        while (auto event = co_await stream.next()) co_yield *event * 2;
      });
};

TEST_F(Sinks, ATopicGetsEachResultWithTheEventsKey) {
  twice.sink(world.app.topic<int>("out", {.partitions = 1}));
  work_on({{"k", "1", {}}, {std::nullopt, "2", {}}});
  auto rows = world.run([&] { return world.records("out"); });
  EXPECT_THAT(values(rows), ElementsAre("2", "4"));
  EXPECT_EQ(rows.at(0).key, "k");
  EXPECT_EQ(rows.at(1).key, std::nullopt);
}

TEST_F(Sinks, AnotherAgentGetsEachResult) {
  auto& last = world.app.agent("last", [this](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) got.push_back(*event);
  });
  twice.sink(last);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{"k", "1", {}}});
    co_await world.eventually([&] { return got.size() == 1; });
  });
  EXPECT_THAT(got, ElementsAre(2));
}

TEST_F(Sinks, AFunctionGetsEachResult) {
  twice.sink([this](const int& result) { got.push_back(result); });
  work_on(numbered(3));
  EXPECT_THAT(got, ElementsAre(0, 2, 4));
}

TEST_F(Sinks, ACoroutineIsAwaitedForEachResult) {
  twice.sink([this](const int& result) -> Task<void> {
    co_await sleep_for(1s);
    got.push_back(result);
  });
  work_on(numbered(3));
  EXPECT_THAT(got, ElementsAre(0, 2, 4));
}

TEST_F(Sinks, SeveralSinksGetTheResultInTheirOrder) {
  std::vector<std::string> order;
  twice.sink([&](const int& result) { order.push_back(fmt::format("first {}", result)); }).sink([&](const int& result) {
    order.push_back(fmt::format("second {}", result));
  });
  work_on(numbered(2));
  EXPECT_THAT(order, ElementsAre("first 0", "second 0", "first 2", "second 2"));
}

TEST_F(Sinks, TheAskerGetsItsAnswerToo) {
  twice.sink([this](const int& result) { got.push_back(result); });
  world.work([&](Worker&) -> Task<void> { EXPECT_EQ(co_await twice.ask(4), 8); });
  EXPECT_THAT(got, ElementsAre(8));
}

TEST_F(Sinks, EachOfSeveralResultsOfAnEventGoesToTheSinks) {
  auto& all =
      world.app.agent("all", world.app.topic<int>("many", {.partitions = 1}), [](Stream<int> stream) -> Results<int> {
        while (auto event = co_await stream.next()) {
          for (int i = 0; i < *event; ++i) co_yield i;
        }
      });
  all.sink([this](const int& result) { got.push_back(result); });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("many", {{std::nullopt, "3", {}}});
    co_await world.eventually_committed("many", 1);
  });
  EXPECT_THAT(got, ElementsAre(0, 1, 2));
}

TEST_F(Sinks, AnErrorInASinkIsAnErrorOfTheEvent) {
  int calls = 0;
  twice.sink([&](const int&) {
    if (++calls < 3) throw std::runtime_error("not yet");
  });
  work_on(numbered(1));
  EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace mephisto::tests
