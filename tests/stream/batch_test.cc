// Stream::batch: several events taken together and acknowledged as one.
#include <gmock/gmock.h>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

class BatchTest : public ::testing::Test {
 protected:
  // An agent that records its batches; `at_batch` runs with each.
  void declare(std::size_t max, Loop::duration within, AgentOptions options = {}) {
    world.app.agent(
        "batches", in,
        [this, max, within](Stream<int> stream) -> Task<void> {
          while (auto batch = co_await stream.batch(max, within)) {
            batches.push_back(batch.values);
            if (at_batch) co_await at_batch();
          }
        },
        std::move(options));
  }

  TestApp world;
  Gate gate;
  std::vector<std::vector<int>> batches;
  std::function<Task<void>()> at_batch;
  const Topic<int>& in = world.app.topic<int>("in", {.partitions = 1});
};

TEST_F(BatchTest, IsFullAtItsMaximum) {
  declare(3, 1h);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(6));
    co_await world.eventually([&] { return batches.size() == 2; });
  });
  EXPECT_THAT(batches, ElementsAre(ElementsAre(0, 1, 2), ElementsAre(3, 4, 5)));
}

TEST_F(BatchTest, EndsWithinItsTimeAfterTheFirst) {
  declare(100, 2s);
  world.work([&](Worker&) -> Task<void> {
    co_await sleep_for(10s);
    co_await world.produce("in", numbered(2));
    co_await sleep_for(1s);
    co_await world.produce("in", numbered(1, 2));
    EXPECT_THAT(batches, SizeIs(0));
    co_await sleep_for(1s + 10ms);
    EXPECT_THAT(batches, ElementsAre(ElementsAre(0, 1, 2)));
  });
}

TEST_F(BatchTest, TakesNoTimeForWhatIsThereAlready) {
  declare(100, 0s);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(4));
    co_await world.eventually([&] { return batches.size() == 1; });
  });
  EXPECT_THAT(batches, ElementsAre(ElementsAre(0, 1, 2, 3)));
}

TEST_F(BatchTest, IsAcknowledgedWhenTheNextIsAskedFor) {
  at_batch = [this] { return gate.pass(); };
  declare(2, 1h);
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(4));
    co_await world.eventually([&] { return gate.waiting() == 1; });
    EXPECT_EQ(account(worker, "batches").in_flight, 2u);
    EXPECT_EQ(account(worker, "batches").acked, 0u);
    gate.open();
    co_await world.eventually_committed("in", 4);
  });
}

TEST_F(BatchTest, NothingOfItIsCommittedBeforeAllOfItIsDone) {
  at_batch = [this] { return gate.pass(); };
  declare(3, 1h);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(3));
    co_await sleep_for(1h);
    EXPECT_THAT(co_await world.committed("in"), ::testing::Le(0));
    gate.open();
    co_await world.eventually_committed("in", 3);
  });
}

TEST_F(BatchTest, IsDeliveredAgainAsAWholeWhenTheHandlerThrows) {
  at_batch = [this]() -> Task<void> {
    if (batches.size() == 1) throw std::runtime_error("once");
    co_return;
  };
  declare(3, 1h);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(3));
    co_await world.eventually_committed("in", 3);
  });
  EXPECT_THAT(batches, ElementsAre(ElementsAre(0, 1, 2), ElementsAre(0, 1, 2)));
}

// The same with a batch that does not wait for more: the records of a failed batch stay together.
TEST_F(BatchTest, IsDeliveredAgainAsAWholeAlsoWithoutWaitingForMore) {
  at_batch = [this]() -> Task<void> {
    if (batches.size() == 1) throw std::runtime_error("once");
    co_return;
  };
  declare(10, 0s);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(5));
    co_await world.eventually_committed("in", 5);
  });
  EXPECT_THAT(batches, ElementsAre(SizeIs(5), ElementsAre(0, 1, 2, 3, 4)));
}

TEST_F(BatchTest, GoesToTheDeadLettersAsAWholeInTheEnd) {
  at_batch = []() -> Task<void> {
    throw std::runtime_error("always");
    co_return;
  };
  AgentOptions options;
  options.on_error.retries = 1;
  declare(3, 1h, options);
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(3));
    co_await world.eventually_in("app-batches-dlq", 3);
    EXPECT_EQ(account(worker, "batches").dead_lettered, 3u);
    EXPECT_THAT(co_await world.values_in("app-batches-dlq"), ElementsAre("0", "1", "2"));
  });
}

TEST_F(BatchTest, LeavesOutWhatCannotBeDecoded) {
  declare(3, 1s);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{std::nullopt, "1", {}}, {std::nullopt, "broken", {}}, {std::nullopt, "2", {}}});
    co_await world.eventually_committed("in", 3);
    EXPECT_THAT(co_await world.values_in("app-batches-dlq"), ElementsAre("broken"));
  });
  EXPECT_THAT(batches, ElementsAre(ElementsAre(1, 2)));
}

TEST_F(BatchTest, IsGivenOutWhenTheWorkerStops) {
  world.set("drain_timeout", "5s");
  declare(100, 1s);
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(2));
    co_await world.eventually([&] { return account(worker, "batches").consumed == 2; });
  });
  EXPECT_THAT(batches, ElementsAre(ElementsAre(0, 1)));
  EXPECT_EQ(world.run([&] { return world.committed("in"); }), 2);
}

TEST_F(BatchTest, AfterAnotherOperatorIsRefusedWithTheReason) {
  std::string why;
  world.app.agent("a", in, [&](Stream<int> stream) -> Task<void> {
    auto even = stream.filter([](int) { return true; });
    why = co_await failure_of(even.batch(2, 1s));
    while (co_await stream.next()) {
    }
  });
  world.work([&](Worker&) -> Task<void> { co_await world.eventually([&] { return !why.empty(); }); });
  EXPECT_THAT(why, ::testing::HasSubstr("batch() works on the agent's own stream"));
}

TEST_F(BatchTest, ABatchOfALostPartitionProducesNothing) {
  auto& out = world.app.topic<int>("out", {.partitions = 1});
  world.app.agent("copy", in, [&](Stream<int> stream) -> Task<void> {
    while (auto batch = co_await stream.batch(2, 1h)) {
      co_await gate.pass();
      for (int value : batch) co_await out.cast(value);
    }
  });
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(2));
    co_await world.eventually([&] { return gate.waiting() == 1; });
    memory_faults(*world.log).expire("");
    auto competitor = world.competing_member({"in"});
    (void)co_await competitor->poll(0, 0ms);
    co_await world.eventually([&] { return account(worker, "copy").consumed == 0; });
    gate.open();
    co_await sleep_for(10s);
    EXPECT_THAT(co_await world.records("out"), ::testing::IsEmpty());
    co_await competitor->close();
    co_await world.eventually_in("out", 2);
  });
}

TEST_F(BatchTest, AnAskOfABatchingAgentIsAnswered) {
  auto& sum = world.app.agent("sum", in, [&](Stream<int> stream) -> Task<void> {
    while (auto batch = co_await stream.batch(2, 100ms)) batches.push_back(batch.values);
  });
  world.work([&](Worker&) -> Task<void> { EXPECT_EQ(co_await failure_of(sum.ask(1, {.timeout = 60s})), ""); });
}

}  // namespace
}  // namespace mephisto::tests
