// An agent's instances: how many work at once, which instance gets which partition, and what happens if one ends.
#include <gmock/gmock.h>

#include <set>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class Instances : public ::testing::Test {
 protected:
  const Topic<int>& in(int partitions = 1) { return world.app.topic<int>("in", {.partitions = partitions}); }

  TestApp world;
  Gate gate;
  std::vector<int> done;
};

TEST_F(Instances, OneInstanceWorksOnOneEventAtATime) {
  world.app.agent("a", in(), [this](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) co_await gate.pass();
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(5));
    co_await sleep_for(1s);
    EXPECT_EQ(gate.waiting(), 1);
    gate.open();
    co_await world.eventually_committed("in", 5);
  });
}

TEST_F(Instances, ConcurrencyIsHowManyEventsAreWorkedOnAtOnce) {
  world.app.agent("a", in(),
                  [this](Stream<int> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) co_await gate.pass();
                  },
                  {.concurrency = 3});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(7));
    co_await sleep_for(1s);
    EXPECT_EQ(gate.waiting(), 3);
    gate.open();
    co_await world.eventually_committed("in", 7);
  });
}

TEST_F(Instances, OrderedByKeyEachKeyKeepsItsOrder) {
  Random random{3};
  std::map<std::string, std::vector<int>> by_key;
  world.app.agent("a", in(2),
                  [&](Stream<int> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) {
                      std::string key{event.key()};
                      co_await sleep_for(std::chrono::milliseconds{random.below(100)});
                      by_key[key].push_back(*event);
                    }
                  },
                  {.concurrency = 8, .ordered_by_key = true});
  world.work([&](Worker&) -> Task<void> {
    co_await world.create("in", 2);
    std::vector<Row> rows;
    for (int i = 0; i < 200; ++i) rows.push_back({fmt::format("k{}", i % 7), std::to_string(i), {}, i % 7 % 2});
    co_await world.produce("in", rows);
    co_await world.eventually([&] {
      std::size_t count = 0;
      for (const auto& [key, values] : by_key) count += values.size();
      return count == 200;
    });
  });
  for (const auto& [key, values] : by_key) EXPECT_TRUE(std::ranges::is_sorted(values)) << key;
}

TEST_F(Instances, OrderedByKeyOtherKeysGoOnWhileOneIsSlow) {
  world.app.agent("a", in(),
                  [this](Stream<int> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) {
                      if (*event == 0) co_await gate.pass();
                      done.push_back(*event);
                    }
                  },
                  {.concurrency = 2, .ordered_by_key = true});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{"x", "0", {}}, {"x", "1", {}}, {"y", "2", {}}, {"z", "3", {}}});
    co_await world.eventually([&] { return done.size() == 2; });
    gate.open();
    co_await world.eventually_committed("in", 4);
  });
  EXPECT_THAT(done, ElementsAre(2, 3, 0, 1));
}

TEST_F(Instances, IsolatedPartitionsDoNotWaitForOneAnother) {
  world.app.agent("a", in(3),
                  [this](Stream<int> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) {
                      if (event.partition() == 1) co_await gate.pass();
                      done.push_back(*event);
                    }
                  },
                  {.isolated_partitions = true});
  world.work([&](Worker&) -> Task<void> {
    co_await world.create("in", 3);
    co_await world.produce("in", {{std::nullopt, "10", {}, 1},
                                  {std::nullopt, "0", {}, 0},
                                  {std::nullopt, "20", {}, 2},
                                  {std::nullopt, "11", {}, 1}});
    co_await world.eventually([&] { return done.size() == 2; });
    gate.open();
    co_await world.eventually_committed("in", 2, 1);
  });
  EXPECT_EQ((std::set<int>{done[0], done[1]}), (std::set<int>{0, 20}));
}

TEST_F(Instances, AnIsolatedInstanceSeesOnePartitionOnly) {
  std::vector<std::set<int>> seen;
  world.app.agent("a", in(3),
                  [&](Stream<int> stream) -> Task<void> {
                    const auto mine = seen.size();
                    seen.emplace_back();
                    while (auto event = co_await stream.next()) seen[mine].insert(event.partition());
                  },
                  {.isolated_partitions = true});
  world.work([&](Worker&) -> Task<void> {
    co_await world.create("in", 3);
    for (int i = 0; i < 12; ++i) co_await world.produce("in", {{std::nullopt, "1", {}, i % 3}});
    for (int partition = 0; partition < 3; ++partition) co_await world.eventually_committed("in", 4, partition);
  });
  EXPECT_THAT(seen, UnorderedElementsAre(ElementsAre(0), ElementsAre(1), ElementsAre(2)));
}

TEST_F(Instances, AnIsolatedPartitionThatComesBackIsWorkedOnAgain) {
  world.app.agent("a", in(),
                  [this](Stream<int> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) done.push_back(*event);
                  },
                  {.isolated_partitions = true});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(1));
    co_await world.eventually_committed("in", 1);
    co_await world.expel({"in"});
    co_await world.produce("in", numbered(1, 1));
    co_await world.eventually_committed("in", 2);
  });
  EXPECT_THAT(done, ElementsAre(0, 1));
}

TEST_F(Instances, AnInstanceThatThrowsStartsAgain) {
  int starts = 0;
  AgentOptions options;
  options.on_error.retries = 0;
  world.app.agent(
      "a", in(),
      [&](Stream<int> stream) -> Task<void> {
        ++starts;
        while (auto event = co_await stream.next()) {
          if (*event == 1) throw std::runtime_error("bad");
          done.push_back(*event);
        }
      },
      options);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(4));
    co_await world.eventually_committed("in", 4);
  });
  EXPECT_EQ(starts, 2);
  EXPECT_THAT(done, ElementsAre(0, 2, 3));
}

TEST_F(Instances, AnInstanceThatReturnsIsDoneWithItsEventAndStartsAgain) {
  world.app.agent("a", in(), [this](Stream<int> stream) -> Task<void> {
    if (auto event = co_await stream.next()) done.push_back(*event);
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(3));
    co_await world.eventually_committed("in", 3);
  });
  EXPECT_THAT(done, ElementsAre(0, 1, 2));
}

TEST_F(Instances, AnInstanceThatCannotBeginIsStartedAgainWithGrowingPauses) {
  std::vector<Loop::time_point> starts;
  world.app.agent("a", in(), [&](Stream<int> stream) -> Task<void> {
    starts.push_back(world.loop.now());
    if (starts.size() < 4) throw std::runtime_error("not ready");
    while (auto event = co_await stream.next()) done.push_back(*event);
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(2));
    co_await world.eventually_committed("in", 2);
  });
  ASSERT_THAT(starts, SizeIs(4));
  EXPECT_LT(starts[1] - starts[0], starts[2] - starts[1]);
  EXPECT_LT(starts[2] - starts[1], starts[3] - starts[2]);
  EXPECT_THAT(done, ElementsAre(0, 1));
}

TEST_F(Instances, ACrashLoopEndsTheWorkerWithTheReason) {
  world.app.agent("a", in(), [](Stream<int>) -> Task<void> {
    throw std::runtime_error("no database");
    co_return;
  });
  EXPECT_THAT(world.reason_of_end(), AllOf(HasSubstr("agent a crashed"), HasSubstr("no database")));
}

TEST_F(Instances, ACrashLoopOfManyInstancesEndsTheWorkerToo) {
  world.app.agent("a", in(),
                  [](Stream<int>) -> Task<void> {
                    throw std::runtime_error("no database");
                    co_return;
                  },
                  {.concurrency = 8});
  EXPECT_THAT(world.reason_of_end(), HasSubstr("no database"));
}

TEST_F(Instances, AnAgentThatIsBusyAgainAndAgainIsNoCrashLoop) {
  AgentOptions options;
  options.on_error.retries = 0;
  world.app.agent(
      "a", in(),
      [](Stream<int> stream) -> Task<void> {
        while (auto event = co_await stream.next()) throw std::runtime_error("bad");
      },
      options);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(100));
    co_await world.eventually_committed("in", 100);
  });
}

TEST_F(Instances, AStopEndsTheStreamsOfIdleInstances) {
  bool ended = false;
  world.app.agent("a", in(), [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) done.push_back(*event);
    ended = true;
  });
  world.work([&](Worker&) -> Task<void> { co_await sleep_for(1s); });
  EXPECT_TRUE(ended);
}

TEST_F(Instances, AStopCancelsAnInstanceThatDoesNotEnd) {
  world.set("drain_timeout", "1s");
  bool cancelled = false;
  world.app.agent("a", in(), [&](Stream<int> stream) -> Task<void> {
    (void)co_await stream.next();
    try {
      co_await sleep_for(24h);
    } catch (const Cancelled&) {
      cancelled = true;
      throw;
    }
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(1));
    co_await sleep_for(1s);
  });
  EXPECT_TRUE(cancelled);
}

}  // namespace
}  // namespace mephisto::tests
