// The operators of a stream: filter, map, items, enumerate, echo, rate_limit, noack, through, merged topics.
#include <gmock/gmock.h>

#include <set>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class Operators : public ::testing::Test {
 protected:
  // Runs a worker with the declared agents and `count` numbers in `in`, until all are committed.
  void work_on(int count) {
    world.work([&](Worker&) -> Task<void> {
      co_await world.produce("in", numbered(count));
      co_await world.eventually_committed("in", count);
    });
  }
  std::vector<Row> records(const std::string& topic) {
    return world.run([&] { return world.records(topic); });
  }

  TestApp world;
  std::vector<int> seen;
  const Topic<int>& in = world.app.topic<int>("in", {.partitions = 1});
};

TEST_F(Operators, FilterGivesWhatPassesAndAcknowledgesTheRest) {
  world.app.agent("a", in, [&](Stream<int> stream) -> Task<void> {
    auto even = stream.filter([](int n) { return n % 2 == 0; });
    while (auto event = co_await even.next()) seen.push_back(*event);
  });
  work_on(7);
  EXPECT_THAT(seen, ElementsAre(0, 2, 4, 6));
}

TEST_F(Operators, FilterThatNothingPassesCommitsToo) {
  world.app.agent("a", in, [&](Stream<int> stream) -> Task<void> {
    auto none = stream.filter([](int) { return false; });
    while (auto event = co_await none.next()) seen.push_back(*event);
  });
  work_on(3);
  EXPECT_THAT(seen, IsEmpty());
}

TEST_F(Operators, MapGivesOtherValuesWithTheSameKey) {
  std::vector<std::string> lines;
  world.app.agent("a", in, [&](Stream<int> stream) -> Task<void> {
    auto texts = stream.map([](int n) { return fmt::format("<{}>", n); });
    while (auto event = co_await texts.next()) lines.push_back(fmt::format("{}{}", event.key(), *event));
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{"x", "1", {}}, {"y", "2", {}}});
    co_await world.eventually_committed("in", 2);
  });
  EXPECT_THAT(lines, ElementsAre("x<1>", "y<2>"));
}

TEST_F(Operators, OperatorsFollowOneAnother) {
  world.app.agent("a", in, [&](Stream<int> stream) -> Task<void> {
    auto chain = stream.filter([](int n) { return n > 2; }).map([](int n) { return n * 10; }).filter([](int n) {
      return n != 50;
    });
    while (auto event = co_await chain.next()) seen.push_back(*event);
  });
  work_on(7);
  EXPECT_THAT(seen, ElementsAre(30, 40, 60));
}

TEST_F(Operators, ItemsGivesKeysAndValues) {
  std::vector<std::pair<std::optional<std::string>, int>> items;
  world.app.agent("a", in, [&](Stream<int> stream) -> Task<void> {
    auto pairs = stream.items();
    while (auto item = co_await pairs.next()) items.push_back(*item);
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{"k", "1", {}}, {std::nullopt, "2", {}}, {"", "3", {}}});
    co_await world.eventually_committed("in", 3);
  });
  using Item = std::pair<std::optional<std::string>, int>;
  EXPECT_THAT(items, ElementsAre(Item{"k", 1}, Item{std::nullopt, 2}, Item{"", 3}));
}

TEST_F(Operators, EnumerateCountsFromItsStart) {
  std::vector<std::size_t> numbers;
  world.app.agent("a", in, [&](Stream<int> stream) -> Task<void> {
    auto counted = stream.enumerate(5);
    for (;;) {
      auto [index, event] = co_await counted.next();
      if (!event) co_return;
      numbers.push_back(index);
    }
  });
  work_on(3);
  EXPECT_THAT(numbers, ElementsAre(5, 6, 7));
}

TEST_F(Operators, AnEventKnowsWhereItComesFrom) {
  std::string place;
  world.app.agent("a", in, [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) {
      place = fmt::format("{}/{}@{} {} {} {}", event.topic(), event.partition(), event.offset(), event.has_key(),
                          event.headers().find("h")->value, event.attempt());
    }
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{"k", "1", {{"h", "v"}}}});
    co_await world.eventually_committed("in", 1);
  });
  EXPECT_EQ(place, "in/0@0 true v 0");
}

TEST_F(Operators, EchoSendsEachValueOnWithItsKey) {
  auto& copy = world.app.topic<int>("copy", {.partitions = 1});
  auto& other = world.app.topic<int>("other", {.partitions = 1});
  world.app.agent("a", in, [&](Stream<int> stream) -> Task<void> {
    auto echoed = stream.echo(copy, other);
    while (auto event = co_await echoed.next()) seen.push_back(*event);
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{"k", "1", {}}, {std::nullopt, "2", {}}});
    co_await world.eventually_committed("in", 2);
  });
  EXPECT_THAT(values(records("copy")), ElementsAre("1", "2"));
  EXPECT_THAT(values(records("other")), ElementsAre("1", "2"));
  EXPECT_EQ(records("copy")[0].key, "k");
  EXPECT_EQ(records("copy")[1].key, std::nullopt);
  EXPECT_THAT(seen, ElementsAre(1, 2));
}

TEST_F(Operators, RateLimitSpacesEventsEvenly) {
  std::vector<Loop::duration> at;
  world.app.agent("a", in, [&](Stream<int> stream) -> Task<void> {
    auto slow = stream.rate_limit(2, 1s);
    while (auto event = co_await slow.next()) at.push_back(world.loop.now().time_since_epoch());
  });
  work_on(5);
  EXPECT_THAT(at, SizeIs(5));
  for (std::size_t i = 1; i < at.size(); ++i) EXPECT_EQ(at[i] - at[i - 1], 500ms) << i;
}

TEST_F(Operators, RateLimitSavesNothingUpWhileIdle) {
  std::vector<Loop::duration> at;
  world.app.agent("a", in, [&](Stream<int> stream) -> Task<void> {
    auto slow = stream.rate_limit(1, 1s);
    while (auto event = co_await slow.next()) at.push_back(world.loop.now().time_since_epoch());
  });
  world.work([&](Worker&) -> Task<void> {
    co_await sleep_for(1h);
    co_await world.produce("in", numbered(3));
    co_await world.eventually([&] { return at.size() == 3; });
  });
  EXPECT_EQ(at[2] - at[0], 2s);
}

TEST_F(Operators, NoackCommitsOnlyWhatIsAcknowledged) {
  world.set("drain_timeout", "1s");
  world.app.agent("a", in, [&](Stream<int> stream) -> Task<void> {
    auto manual = stream.noack();
    while (auto event = co_await manual.next()) {
      seen.push_back(*event);
      if (*event < 2) event.ack();
    }
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(4));
    co_await world.eventually_committed("in", 2);
  });
  seen.clear();
  world.work([&](Worker&) -> Task<void> { co_await world.eventually([&] { return seen.size() == 2; }); });
  EXPECT_THAT(seen, ElementsAre(2, 3));
}

TEST_F(Operators, ThroughPassesEverythingOnAsItIs) {
  auto& middle = world.app.topic<int>("middle", {.partitions = 1});
  world.app.agent("a", world.app.through("pass", in, middle), [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) seen.push_back(*event);
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{"k", "1", {{"h", "v"}}}, {std::nullopt, " 2 ", {}}});
    co_await world.eventually_committed("middle", 2);
  });
  auto passed = records("middle");
  EXPECT_THAT(seen, ElementsAre(1, 2));
  EXPECT_THAT(values(passed), ElementsAre("1", " 2 "));
  EXPECT_EQ(passed[0].key, "k");
  EXPECT_EQ(passed[0].header("h"), "v");
}

TEST_F(Operators, ThroughPassesATombstoneOn) {
  world.app.through("pass", in, world.app.topic<int>("middle", {.partitions = 1}));
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{"k", std::nullopt, {}}});
    co_await world.eventually_in("middle", 1);
  });
  EXPECT_EQ(records("middle")[0].value, std::nullopt);
}

TEST_F(Operators, ThroughADifferentNumberOfPartitionsPlacesByKey) {
  world.app.through("pass", in, world.app.topic<int>("middle", {.partitions = 4}));
  world.work([&](Worker&) -> Task<void> {
    std::vector<Row> rows;
    for (int i = 0; i < 40; ++i) rows.push_back({fmt::format("k{}", i % 10), std::to_string(i), {}});
    co_await world.produce("in", rows);
    co_await world.eventually_in("middle", 40);
  });
  std::map<std::string, std::set<int>> places;
  for (const auto& row : records("middle")) places[*row.key].insert(row.partition);
  for (const auto& [key, partitions] : places) EXPECT_THAT(partitions, SizeIs(1)) << key;
}

TEST_F(Operators, MergedTopicsComeAsOneStream) {
  auto& second = world.app.topic<int>("second", {.partitions = 1});
  std::vector<std::string> from;
  world.app.agent("a", std::vector<const Topic<int>*>{&in, &second}, [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) from.push_back(fmt::format("{}={}", event.topic(), *event));
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(1));
    co_await world.produce("second", numbered(1, 7));
    co_await world.eventually_committed("in", 1);
    co_await world.eventually_committed("second", 1);
  });
  EXPECT_THAT(from, UnorderedElementsAre("in=0", "second=7"));
}

TEST_F(Operators, ANullValueIsForOptionalValues) {
  std::vector<std::optional<int>> got;
  auto& changes = world.app.topic<std::optional<int>>("changes", {.partitions = 1});
  world.app.agent("a", changes, [&](Stream<std::optional<int>> stream) -> Task<void> {
    while (auto event = co_await stream.next()) got.push_back(*event);
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("changes", {{"k", "1", {}}, {"k", std::nullopt, {}}});
    co_await world.eventually_committed("changes", 2);
  });
  EXPECT_THAT(got, ElementsAre(1, std::nullopt));
}

// Full topics, of which one is read far ahead of the other in the order of arrival.
TEST_F(Operators, MergedTopicsComeByTheirTimes) {
  auto& second = world.app.topic<int>("second", {.partitions = 1});
  world.app.agent("a", std::vector<const Topic<int>*>{&in, &second},
                  [&](Stream<int> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) seen.push_back(*event);
                  },
                  {.by_time = 0ms});
  world.work([&](Worker&) -> Task<void> { co_return; });  // makes the topics
  world.run([&]() -> Task<void> {
    Client client{world.app, world.log};
    const std::pair<const Topic<int>*, int> topics[] = {{&in, 0}, {&second, 1}};
    for (const auto& [topic, first] : topics) {
      for (int i = first; i < 200; i += 2) co_await topic->send(i, {.timestamp = Timestamp{i * 1s}});
    }
    co_await client.close();
  });
  world.work([&](Worker&) -> Task<void> { co_await world.eventually([&] { return seen.size() == 200; }); });
  EXPECT_TRUE(std::ranges::is_sorted(seen));
}

TEST_F(Operators, ARecordWaitsForTheOtherTopicAsLongAsByTimeSays) {
  auto& second = world.app.topic<int>("second", {.partitions = 1});
  world.app.agent("a", std::vector<const Topic<int>*>{&in, &second},
                  [&](Stream<int> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) seen.push_back(*event);
                  },
                  {.by_time = 500ms});
  world.work([&](Worker&) -> Task<void> {
    co_await sleep_for(1s);
    co_await in.send(2, {.timestamp = Timestamp{2s}});
    co_await sleep_for(300ms);
    EXPECT_THAT(seen, IsEmpty());
    co_await second.send(1, {.timestamp = Timestamp{1s}});
    co_await world.eventually([&] { return seen.size() == 2; });
    co_await in.send(3, {.timestamp = Timestamp{3s}});
    co_await world.eventually([&] { return seen.size() == 3; }, 1s);
  });
  EXPECT_THAT(seen, ElementsAre(1, 2, 3));
}

// A record that is tried again is not overtaken.
TEST_F(Operators, ByTimeARetryHoldsTheOthersBack) {
  auto& second = world.app.topic<int>("second", {.partitions = 1});
  world.app.agent("a", std::vector<const Topic<int>*>{&in, &second},
                  [&](Stream<int> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) {
                      if (*event == 1 && event.attempt() == 0) throw std::runtime_error("once");
                      seen.push_back(*event);
                    }
                  },
                  {.by_time = 0ms});
  world.work([&](Worker&) -> Task<void> {
    for (int i = 0; i < 6; ++i) co_await (i % 2 == 0 ? in : second).send(i, {.timestamp = Timestamp{i * 1s}});
    co_await world.eventually([&] { return seen.size() == 6; });
  });
  EXPECT_THAT(seen, ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST_F(Operators, ByTimeWithWhatCannotBeInOrderIsTold) {
  auto& second = world.app.topic<int>("second", {.partitions = 2});
  const auto handler = [](Stream<int> stream) -> Task<void> {
    while (co_await stream.next()) {
    }
  };
  const std::vector<const Topic<int>*> both{&in, &second};
  world.app.agent("one", in, handler, {.by_time = 0ms});
  world.app.agent("several", both, handler, {.concurrency = 2, .by_time = 0ms});
  world.app.agent("negative", both, handler, {.by_time = -1ms});
  EXPECT_THAT(world.app.mistakes(),
              ElementsAre(::testing::HasSubstr("agent one has by_time and one topic"),
                          ::testing::HasSubstr("agent several takes records by_time, one after the other"),
                          ::testing::HasSubstr("agent negative has by_time -1 ms")));
  App fits{"fits"};
  fits.agent("both", std::vector<const Topic<int>*>{&fits.topic<int>("x", {.partitions = 1}), &second}, handler,
             {.by_time = 0ms});
  EXPECT_THAT(world.run([&] {
    return failure_of([](App& app, std::shared_ptr<Log> log) -> Task<void> {
      Worker worker{app, log};
      co_await worker.start();
    }(fits, world.log));
  }),
              ::testing::HasSubstr("agent both needs topics with equal numbers of partitions"));
}

}  // namespace
}  // namespace mephisto::tests
