// The shard: its accounts, its commits, the release of partitions, and its use of memory.
#include <gmock/gmock.h>

#include <set>

#include "support/metered_log.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using detail::AssignmentState;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ShardTest : public ::testing::Test {
 protected:
  ShardTest() { world.set("drain_timeout", "2s"); }

  // Declares an agent on `in`. The agent records each value when it starts to process it, and waits at the gate with
  // the values in `stuck`.
  void declare(int concurrency = 1, int partitions = 1) {
    world.app.agent("note", world.app.topic<int>("in", {.partitions = partitions}),
                    [this](Stream<int> stream) -> Task<void> {
                      while (auto event = co_await stream.next()) {
                        seen.push_back(*event);
                        if (stuck.contains(*event)) co_await gate.pass();
                      }
                    },
                    {.concurrency = concurrency});
  }
  // The lane of a partition of `in`.
  detail::LaneStatus lane(const Worker& worker, int partition = 0) {
    for (const auto& line : lanes(worker)) {
      if (line.partition == TopicPartition{"in", partition}) return line;
    }
    return {};
  }

  TestApp world;
  Gate gate;
  std::set<int> stuck;
  std::vector<int> seen;
};

TEST_F(ShardTest, APartitionRunsAfterItIsAssigned) {
  declare();
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.eventually([&] { return lanes(worker).size() == 2; });
    EXPECT_EQ(lane(worker).state, AssignmentState::kRunning);
    EXPECT_EQ(lane(worker).agent, "note");
  });
}

std::vector<std::string> changes(const Worker& worker) {
  std::vector<std::string> all;
  for (const auto& [from, to, count] : shard_of(worker).transitions())
    all.push_back(fmt::format("{} -> {}: {}", to_string(from), to_string(to), count));
  return all;
}

// Two partitions: the one of `in`, and the leader's.
TEST_F(ShardTest, EachChangeOfAPartitionsStateIsCounted) {
  declare();
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.eventually([&] { return lanes(worker).size() == 2; });
    EXPECT_THAT(changes(worker), ElementsAre("assigned -> running: 2"));
    co_await world.expel({"in"});
    co_await world.eventually([&] { return lanes(worker).size() == 2; });
    EXPECT_THAT(changes(worker), ElementsAre("assigned -> running: 4", "running -> lost: 2"));
    co_await worker.stop();
    EXPECT_THAT(changes(worker), ElementsAre("assigned -> running: 4", "running -> draining: 2", "running -> lost: 2",
                                             "draining -> closed: 2"));
  });
}

TEST_F(ShardTest, TheAccountShowsWhatIsInFlight) {
  stuck = {2};
  declare();
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(5));
    co_await world.eventually([&] { return gate.waiting() == 1; });
    auto counted = lane(worker).account;
    EXPECT_THAT((std::vector{counted.consumed, counted.acked, counted.in_flight}), ElementsAre(3, 2, 1));
    gate.open();
  });
}

TEST_F(ShardTest, TheAccountAddsUpWhateverHappens) {
  AgentOptions options{.concurrency = 4};
  options.on_error.retries = 2;
  Random random{7};
  world.app.agent(
      "note", world.app.topic<int>("in", {.partitions = 2}),
      [&](Stream<int> stream) -> Task<void> {
        while (auto event = co_await stream.next()) {
          co_await sleep_for(std::chrono::milliseconds{random.below(50)});
          if (random.below(3) == 0) throw std::runtime_error("now and then");
        }
      },
      options);
  world.work([&](Worker& worker) -> Task<void> {
    for (int i = 0; i < 60; ++i) {
      co_await world.produce("in", {{std::nullopt, i % 10 == 0 ? "broken" : std::to_string(i), {}, i % 2}});
      if (i == 30) co_await world.expel({"in"});
      co_await sleep_for(20ms);
      for (const auto& line : lanes(worker))
        EXPECT_TRUE(line.account.balanced()) << line.partition.str() << " at " << i;
    }
    co_await world.eventually_committed("in", 30, 0);
    co_await world.eventually_committed("in", 30, 1);
    EXPECT_EQ(account(worker, "note").in_flight, 0u);
  });
}

TEST_F(ShardTest, CommitsAfterTheIntervalWithoutAStop) {
  world.set("broker_commit_interval", "3s");
  declare();
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(2));
    co_await world.eventually([&] { return seen.size() == 2; });
    EXPECT_EQ(co_await world.committed("in"), -1);
    co_await sleep_for(3s + 10ms);
    EXPECT_EQ(co_await world.committed("in"), 2);
  });
}

TEST_F(ShardTest, CommitsAfterEnoughRecordsBeforeTheInterval) {
  world.set("broker_commit_interval", "1h").set("broker_commit_every", "5");
  declare();
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(6));
    co_await sleep_for(1s);
    EXPECT_GE(co_await world.committed("in"), 5);
  });
}

TEST_F(ShardTest, CommitsTheFirstOffsetThatIsNotDone) {
  stuck = {1, 3};
  declare(3);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(8));
    co_await world.eventually([&] { return seen.size() == 8; });
    co_await world.eventually_committed("in", 1);
    gate.open();
    co_await world.eventually_committed("in", 8);
  });
}

TEST_F(ShardTest, WhatWasDoneAfterAGapIsNotDeliveredAgainAfterARestart) {
  stuck = {1};
  declare(2);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(5));
    co_await world.eventually([&] { return seen.size() == 5; });
  });
  seen.clear();
  gate.open();
  world.work([&](Worker&) -> Task<void> { co_await world.eventually_committed("in", 5); });
  EXPECT_THAT(seen, ElementsAre(1));
}

// Nothing is lost, and records that the commit's metadata leaves out are delivered again.
TEST_F(ShardTest, ANoteThatTheLogDoesNotTakeIsCut) {
  world.set("drain_timeout", "100ms");
  auto metered = std::make_shared<MeteredLog>(world.log);
  metered->note_bytes = 11;  // the first bytes of `note:1,3,5,7,9`
  world.log = metered;
  stuck = {1, 3, 5, 7, 9};
  declare(6);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(11));
    co_await world.eventually([&] { return seen.size() == 11; });
  });
  seen.clear();
  gate.open();
  world.work([&](Worker&) -> Task<void> { co_await world.eventually_committed("in", 11); });
  EXPECT_THAT(seen, ::testing::UnorderedElementsAre(1, 3, 5, 7, 8, 9, 10));
}

TEST_F(ShardTest, AStopDeliversNothingMoreAndFinishesWhatIsBegun) {
  stuck = {0};
  declare();
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.produce("in", numbered(5));
    co_await world.eventually([&] { return gate.waiting() == 1; });
    auto stop = world.loop.spawn("stop", worker.stop());
    co_await sleep_for(1s);
    EXPECT_FALSE(stop.done());
    gate.open();
    co_await stop.join();
    EXPECT_EQ(co_await world.committed("in"), 1);
  });
  EXPECT_THAT(seen, ElementsAre(0));
}

TEST_F(ShardTest, AStopWaitsNoLongerThanTheDrainTimeout) {
  stuck = {0};
  declare();
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.produce("in", numbered(2));
    co_await world.eventually([&] { return gate.waiting() == 1; });
    const auto start = world.loop.now();
    co_await worker.stop();
    EXPECT_GE(world.loop.now() - start, 2s);
    EXPECT_LT(world.loop.now() - start, 3s);
    EXPECT_THAT(co_await world.committed("in"), ::testing::Le(0));
  });
}

TEST_F(ShardTest, WhatAStopGaveUpIsDeliveredAgain) {
  stuck = {0};
  declare();
  for (int run = 0; run < 2; ++run) {
    world.work([&](Worker&) -> Task<void> {
      if (run == 0)
        co_await world.produce("in", numbered(2));
      else
        gate.open();
      co_await world.eventually([&] { return run == 0 ? gate.waiting() == 1 : seen.size() == 3; });
    });
  }
  EXPECT_THAT(seen, ElementsAre(0, 0, 1));
}

TEST_F(ShardTest, APartitionThatLeavesIsDrainedAndCommittedFirst) {
  stuck = {0, 1};  // whichever partition is released has an event in flight
  declare(2, 2);
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.create("in", 2);
    co_await world.produce("in", {{std::nullopt, "0", {}, 0}, {std::nullopt, "1", {}, 1}});
    co_await world.eventually([&] { return gate.waiting() == 2; });
    auto competitor = world.competing_member({"in"});
    (void)co_await competitor->poll(0, 0ms);
    co_await world.eventually([&] {
      return lane(worker, 0).state == AssignmentState::kDraining || lane(worker, 1).state == AssignmentState::kDraining;
    });
    gate.open();
    co_await world.eventually([&] { return lanes(worker).size() == 2; });
    auto polled = co_await competitor->poll(0, 1000ms);
    EXPECT_EQ(polled.assigned.size(), 1u);
    if (!polled.assigned.empty()) EXPECT_EQ(polled.assigned[0].offset, 1) << "drained, but not committed";
    co_await competitor->close();
  });
}

TEST_F(ShardTest, APartitionThatLeavesIsHeldBackNoLongerThanTheDrainTimeout) {
  stuck = {0, 1};
  declare(2, 2);
  world.work([&](Worker&) -> Task<void> {
    co_await world.create("in", 2);
    co_await world.produce("in", {{std::nullopt, "0", {}, 0}, {std::nullopt, "1", {}, 1}});
    co_await world.eventually([&] { return gate.waiting() == 2; });
    auto competitor = world.competing_member({"in"});
    (void)co_await competitor->poll(0, 0ms);
    co_await sleep_for(2500ms);
    auto polled = co_await competitor->poll(0, 0ms);
    EXPECT_EQ(polled.assigned.size(), 1u);
    if (!polled.assigned.empty()) EXPECT_EQ(polled.assigned[0].offset, 0) << "what was not done is committed";
    gate.open();
    co_await competitor->close();
    co_await world.eventually([&] { return seen.size() == 3; });
  });
}

TEST_F(ShardTest, AnExpelledWorkersAcknowledgementsCommitNothing) {
  stuck = {0};
  declare();
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(1));
    co_await world.eventually([&] { return gate.waiting() == 1; });
    memory_faults(*world.log).expire("");
    auto competitor = world.competing_member({"in"});
    (void)co_await competitor->poll(0, 0ms);
    co_await world.eventually([&] { return lane(worker).agent.empty(); });
    gate.open();
    co_await sleep_for(10s);
    EXPECT_EQ(co_await world.committed("in"), -1);
    co_await competitor->close();
  });
}

TEST_F(ShardTest, AnExpelledWorkersEventProducesNothing) {
  auto& out = world.app.topic<int>("out", {.partitions = 1});
  world.app.agent("copy", world.app.topic<int>("in", {.partitions = 1}), [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) {
      co_await gate.pass();
      co_await out.cast(*event);
    }
  });
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(1));
    co_await world.eventually([&] { return gate.waiting() == 1; });
    memory_faults(*world.log).expire("");
    auto competitor = world.competing_member({"in"});
    (void)co_await competitor->poll(0, 0ms);
    co_await world.eventually([&] { return account(worker, "copy").consumed == 0; });
    gate.open();
    co_await sleep_for(10s);
    EXPECT_THAT(co_await world.records("out"), IsEmpty());
    co_await competitor->close();
    co_await world.eventually_in("out", 1);
  });
}

TEST_F(ShardTest, AWorkerThatWasExpelledComesBackAndLosesNothing) {
  declare();
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(3));
    co_await world.expel({"in"});
    co_await world.produce("in", numbered(3, 3));
    co_await world.eventually_committed("in", 6);
  });
  EXPECT_THAT(std::set<int>(seen.begin(), seen.end()), ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST_F(ShardTest, ALostReplyToACommitIsAskedForAgain) {
  declare();
  world.work([&](Worker&) -> Task<void> {
    memory_faults(*world.log).lose_commit_replies = 2;
    co_await world.produce("in", numbered(2));
    co_await world.eventually_committed("in", 2);
    co_await world.produce("in", numbered(2, 2));
    co_await world.eventually_committed("in", 4);
  });
  EXPECT_THAT(seen, ElementsAre(0, 1, 2, 3));
}

TEST_F(ShardTest, ReportsToTheAppWhichPartitionsCameAndWent) {
  std::vector<std::string> came;
  std::vector<std::string> went;
  world.app.on_partitions_assigned = [&](const std::vector<TopicPartition>& some) {
    for (const auto& one : some) came.push_back(one.str());
  };
  world.app.on_partitions_revoked = [&](const std::vector<TopicPartition>& some) {
    for (const auto& one : some) went.push_back(one.str());
  };
  declare();
  world.work([&](Worker&) -> Task<void> {
    co_await world.eventually([&] { return came.size() == 2; });
    co_await world.expel({"in"});
    co_await world.eventually([&] { return came.size() == 4; });
  });
  EXPECT_THAT(came, Contains("in/0").Times(2));
  EXPECT_THAT(went, Contains("in/0").Times(::testing::Ge(1)));
}

// 40 records of 100 KiB come after one that is in flight, and 1 MiB is allowed.
TEST_F(ShardTest, TakesNoMoreMemoryThanItsBudgetAndABatch) {
  world.set("memory_budget", "1MiB");
  auto metered = std::make_shared<MeteredLog>(world.log);
  world.log = metered;
  int done = 0;
  world.app.agent("note", world.app.topic<std::string>("in", {.partitions = 1, .serializer = "raw"}),
                  [&](Stream<std::string> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) {
                      co_await gate.pass();
                      ++done;
                    }
                  });
  world.work([&](Worker&) -> Task<void> {
    for (int i = 0; i < 40; ++i) co_await world.produce("in", {{std::nullopt, std::string(100 << 10, 'x'), {}}});
    co_await world.eventually([&] { return gate.waiting() == 1; });
    co_await sleep_for(10s);
    EXPECT_GE(metered->meter->held, 512u << 10);
    gate.open();
    co_await world.eventually([&] { return done == 40; });
    EXPECT_LE(metered->meter->most, (1u << 20) + metered->meter->largest_batch);
    co_await world.eventually([&] { return metered->meter->held == 0; });
  });
}

TEST_F(ShardTest, APartitionThatIsStuckDoesNotTakeTheWholeBudget) {
  world.set("memory_budget", "1MiB").set("stream_buffer_maxsize", "4");
  int others = 0;
  world.app.agent("note", world.app.topic<std::string>("in", {.partitions = 2, .serializer = "raw"}),
                  [&](Stream<std::string> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) {
                      if (event.partition() == 0 && event.offset() == 0) co_await gate.pass();
                      if (event.partition() == 1) ++others;
                    }
                  },
                  {.concurrency = 2});
  world.work([&](Worker&) -> Task<void> {
    co_await world.create("in", 2);
    for (int i = 0; i < 30; ++i) co_await world.produce("in", {{std::nullopt, std::string(100 << 10, 'x'), {}, 0}});
    co_await sleep_for(10s);
    for (int i = 0; i < 30; ++i) co_await world.produce("in", {{std::nullopt, std::string(100 << 10, 'x'), {}, 1}});
    EXPECT_TRUE(co_await world.eventually([&] { return others == 30; })) << "partition 1 waits for partition 0";
    gate.open();
  });
}

// 32 partitions of 400 KiB: each is below its share of the budget of 64 MiB, and none has enough records ahead for
// itself.
TEST_F(ShardTest, LimitsHowFarItReadsAheadOfManyPartitionsTogether) {
  auto metered = std::make_shared<MeteredLog>(world.log);
  world.log = metered;
  int slow = 0;
  world.app.agent("slow", world.app.topic<std::string>("in", {.partitions = 32, .serializer = "raw"}),
                  [&](Stream<std::string> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) {
                      co_await gate.pass();
                      ++slow;
                    }
                  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.create("in", 32);
    for (int i = 0; i < 128; ++i)
      co_await world.produce("in", {{std::nullopt, std::string(100 << 10, 'x'), {}, i % 32}});
    co_await world.eventually([&] { return gate.waiting() == 1; });
    co_await sleep_for(10s);  // of virtual time: by then everything has been read that is read before the gate opens
    EXPECT_LE(metered->meter->held, 5U << 20);
    gate.open();
    EXPECT_TRUE(co_await world.eventually([&] { return slow == 128; }, 1s))
        << "what was left in the log is not fetched";
  });
}

TEST_F(ShardTest, AnAgentIsNotKeptFromItsRecordsByOneThatHasEnough) {
  int quick = 0;
  world.app.agent("slow", world.app.topic<std::string>("in", {.partitions = 32, .serializer = "raw"}),
                  [&](Stream<std::string> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) co_await gate.pass();
                  });
  world.app.agent("quick", world.app.topic<std::string>("other", {.partitions = 1, .serializer = "raw"}),
                  [&](Stream<std::string> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) ++quick;
                  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.create("in", 32);
    for (int i = 0; i < 128; ++i)
      co_await world.produce("in", {{std::nullopt, std::string(100 << 10, 'x'), {}, i % 32}});
    co_await sleep_for(10s);  // of virtual time: by then everything has been read that is read before the gate opens
    co_await world.produce("other", {{std::nullopt, "one", {}, 0}});
    EXPECT_TRUE(co_await world.eventually([&] { return quick == 1; }, 100ms));
    gate.open();
  });
}

TEST_F(ShardTest, GoesOnAtOnceWhenTheBudgetHasRoomAgain) {
  world.set("memory_budget", "1MiB");
  int seen = 0;
  world.app.agent("note", world.app.topic<std::string>("in", {.partitions = 1, .serializer = "raw"}),
                  [&](Stream<std::string> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) {
                      if (seen++ == 0) co_await gate.pass();
                    }
                  });
  world.work([&](Worker&) -> Task<void> {
    for (int i = 0; i < 40; ++i) co_await world.produce("in", {{std::nullopt, std::string(100 << 10, 'x'), {}, 0}});
    co_await sleep_for(10s);
    gate.open();
    EXPECT_TRUE(co_await world.eventually([&] { return seen == 40; }, 1s)) << "what was left in the log is not fetched";
  });
}

}  // namespace
}  // namespace mephisto::tests
