// processing_guarantee=exactly_once: an event's outputs and its offset become visible together, and once.
#include <gmock/gmock.h>

#include <cmath>

#include "log/engine.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// An app that copies each value from `in` to `out` once per event.
class ExactlyOnce : public ::testing::Test {
 protected:
  ExactlyOnce() { world.set("processing_guarantee", "exactly_once").set("drain_timeout", "1s"); }

  auto copier() {
    return [this](Stream<int> stream) -> Task<void> {
      while (auto event = co_await stream.next()) {
        ++handled;
        co_await out.cast(*event);
        if (*event == stuck) co_await gate.pass();
      }
    };
  }
  void copy(AgentOptions options = {}) { world.app.agent("copy", in, copier(), std::move(options)); }
  Task<void> produce(int count, int first = 0) { return world.produce("in", numbered(count, first)); }
  // No commit happens before the test asks for one.
  void commit_rarely() { world.set("broker_commit_interval", "1h"); }

  TestApp world;
  Gate gate;
  int stuck = -1;  // the event that waits at the gate
  int handled = 0;
  const Topic<int>& in = world.app.topic<int>("in", {.partitions = 1});
  const Topic<int>& out = world.app.topic<int>("out", {.partitions = 1});
};

TEST_F(ExactlyOnce, OutputsAndOffsetsAreThereAfterTheCommitInterval) {
  copy();
  world.work([&](Worker&) -> Task<void> {
    co_await produce(3);
    co_await world.eventually_committed("in", 3);
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("0", "1", "2"));
  });
}

TEST_F(ExactlyOnce, WhatAnEventSentIsNotVisibleBeforeItIsDone) {
  stuck = 1;
  copy();
  world.work([&](Worker&) -> Task<void> {
    co_await produce(2);
    co_await world.eventually([&] { return gate.waiting() == 1; });
    co_await sleep_for(1s);
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("0"));
    gate.open();
  });
}

TEST_F(ExactlyOnce, WhatAnEventSendsArrivesAsItWasSent) {
  const std::vector<Header> headers{{"a", "1"}, {"none", std::nullopt}, {"", ""}};
  const std::string large(100'000, 'x');
  world.app.agent("copy", in, [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) {
      co_await out.send_raw("first", {.key = "k", .headers = headers});
      co_await out.send_raw(std::nullopt, {.key = ""});
      co_await out.send_raw("", {});
      co_await out.send_raw(large, {.key = std::string(300, 'k')});
      co_await out.cast(7, {.key = "seven", .timestamp = Timestamp{5ms}, .headers = {headers[0]}});
    }
  });
  world.work([&](Worker&) -> Task<void> {
    co_await produce(2);
    co_await world.eventually_committed("in", 2);
    const auto all = co_await world.records("out");
    EXPECT_EQ(all.size(), 10U);
    for (std::size_t i = 0; i + 5 <= all.size(); i += 5) {
      EXPECT_EQ(all[i].key, "k");
      EXPECT_EQ(all[i].value, "first");
      EXPECT_EQ(all[i].headers, headers);
      EXPECT_EQ(all[i + 1].key, "");
      EXPECT_EQ(all[i + 1].value, std::nullopt);
      EXPECT_EQ(all[i + 2].key, std::nullopt);
      EXPECT_EQ(all[i + 2].value, "");
      EXPECT_THAT(all[i + 2].headers, IsEmpty());
      EXPECT_EQ(all[i + 3].key, std::string(300, 'k'));
      EXPECT_EQ(all[i + 3].value, large);
      EXPECT_EQ(all[i + 4].key, "seven");
      EXPECT_EQ(all[i + 4].value, "7");
      EXPECT_EQ(all[i + 4].headers, (std::vector<Header>{headers[0]}));
    }
  });
}

TEST_F(ExactlyOnce, WhatAFailedAttemptSentIsForgotten) {
  world.app.agent("copy", in, [this](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) {
      co_await out.cast(*event);
      if (event.attempt() < 2) throw std::runtime_error("not yet");
    }
  });
  world.work([&](Worker&) -> Task<void> {
    co_await produce(2);
    co_await world.eventually_committed("in", 2);
    EXPECT_THAT(co_await world.values_in("out"), UnorderedElementsAre("0", "1"));
  });
}

TEST_F(ExactlyOnce, AValueThatIsRefusedIsTheFailureOfItsEvent) {
  const auto& halves = world.app.topic<double>("halves", {.partitions = 1});
  AgentOptions options;
  options.on_error.retries = 0;
  world.app.agent(
      "halve", in,
      [&](Stream<int> stream) -> Task<void> {
        while (auto event = co_await stream.next()) {
          co_await halves.cast(*event);
          co_await halves.cast(*event == 1 ? std::nan("") : *event / 2.0);
        }
      },
      options);
  world.work([&](Worker&) -> Task<void> {
    co_await produce(3);
    co_await world.eventually_committed("in", 3);
    EXPECT_THAT(co_await world.values_in("halves"), ElementsAre("0.0", "0.0", "2.0", "1.0"));
    EXPECT_EQ((co_await world.records("app-halve-dlq")).size(), 1U);
  });
}

TEST_F(ExactlyOnce, ADeadLetterIsInTheTransactionOfItsOffset) {
  commit_rarely();
  AgentOptions options;
  options.on_error.retries = 0;
  world.app.agent(
      "copy", in,
      [](Stream<int> stream) -> Task<void> {
        while (auto event = co_await stream.next()) throw std::runtime_error("broken");
      },
      options);
  world.work([&](Worker& worker) -> Task<void> {
    co_await produce(1);
    co_await world.eventually([&] { return account(worker, "copy").dead_lettered == 1; });
    EXPECT_THAT(co_await world.records("app-copy-dlq"), IsEmpty());
  });
  world.run([&]() -> Task<void> {
    EXPECT_THAT(co_await world.values_in("app-copy-dlq"), ElementsAre("0"));
    EXPECT_EQ(co_await world.committed("in"), 1);
  });
}

TEST_F(ExactlyOnce, ALostReplyToACommitDoublesNothing) {
  copy();
  world.work([&](Worker&) -> Task<void> {
    memory_faults(*world.log).lose_commit_replies = 1;
    co_await produce(3);
    co_await world.eventually_committed("in", 3);
    co_await sleep_for(5s);
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("0", "1", "2"));
  });
}

TEST_F(ExactlyOnce, ATransactionThatFailedIsTriedAgainAndLosesNothing) {
  copy();
  world.work([&](Worker&) -> Task<void> {
    co_await produce(3);
    memory_faults(*world.log).fail_appends = 2;
    co_await world.eventually_committed("in", 3);
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("0", "1", "2"));
  });
}

TEST_F(ExactlyOnce, AStopWhileATransactionIsTriedAgainLosesNothing) {
  copy();
  world.work([&](Worker& worker) -> Task<void> {
    co_await produce(3);
    memory_faults(*world.log).fail_appends = 1;
    co_await world.eventually(
        [&] { return account(worker, "copy").acked == 3 && memory_faults(*world.log).fail_appends == 0; });
  });
  world.run([&]() -> Task<void> {
    EXPECT_EQ(co_await world.committed("in"), 3);
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("0", "1", "2"));
  });
}

TEST_F(ExactlyOnce, AStopWhileTheLogTakesNothingCommitsNothing) {
  world.set("drain_timeout", "2s");
  copy();
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await produce(3);
    memory_faults(*world.log).fail_appends = 1'000'000;
    co_await world.eventually([&] { return account(worker, "copy").acked == 3; });
    co_await sleep_for(1s);  // a transaction is tried again
    EXPECT_NE(co_await failure_of(worker.stop()), "");
    memory_faults(*world.log).fail_appends = 0;
    EXPECT_THAT(co_await world.values_in("out"), ::testing::IsEmpty());
    EXPECT_LE(co_await world.committed("in"), 0) << "an offset without its output";
  });
}

// The drain has closed its partition already, and its last commit fails when the time for stopping is over.
TEST_F(ExactlyOnce, AStopWhileAPartitionIsReleasedEndsWithTheLogsError) {
  world.set("drain_timeout", "2s");
  copy();
  world.run([&]() -> Task<void> {
    co_await world.create("in", 2);
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.eventually([&] { return account(worker, "copy").acked == 0 && lanes(worker).size() == 3; });
    co_await world.produce("in", {{std::nullopt, "0", {}, 0}, {std::nullopt, "1", {}, 1}});
    memory_faults(*world.log).fail_appends = 1'000'000;
    co_await world.eventually([&] { return account(worker, "copy").acked == 2; });
    auto competitor = world.competing_member({"in"});
    (void)co_await competitor->poll(0, 0ms);
    co_await world.eventually([&] {
      return std::ranges::any_of(lanes(worker),
                                 [](const auto& lane) { return lane.state == detail::AssignmentState::kClosed; });
    });
    EXPECT_NE(co_await failure_of(worker.stop()), "");
    memory_faults(*world.log).fail_appends = 0;
    co_await competitor->close();
    EXPECT_THAT(co_await world.values_in("out"), ::testing::IsEmpty()) << "an output without its offset";
    EXPECT_LE(co_await world.committed("in", 0), 0) << "an offset without its output";
    EXPECT_LE(co_await world.committed("in", 1), 0) << "an offset without its output";
  });
}

TEST_F(ExactlyOnce, WhatAnExpelledWorkerHadNotCommittedIsNotProducedTwice) {
  commit_rarely();
  copy();
  world.work([&](Worker& worker) -> Task<void> {
    co_await produce(3);
    co_await world.eventually([&] { return account(worker, "copy").acked == 3; });
    co_await world.expel({"in"});
    co_await world.eventually([&] { return handled == 6; });
  });
  world.run([&]() -> Task<void> { EXPECT_THAT(co_await world.values_in("out"), ElementsAre("0", "1", "2")); });
}

TEST_F(ExactlyOnce, AnEventInTheHandOfAnExpelledWorkerIsProducedOnce) {
  stuck = 0;
  copy({.concurrency = 2});
  world.work([&](Worker&) -> Task<void> {
    co_await produce(1);
    co_await world.eventually([&] { return gate.waiting() == 1; });
    co_await world.expel({"in"});
    gate.open();
    co_await world.eventually_committed("in", 1);
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("0"));
  });
}

TEST_F(ExactlyOnce, APartitionThatMovesTakesOnlyItsOwnOutputsAlong) {
  commit_rarely();
  auto& wide = world.app.topic<int>("wide", {.partitions = 2});
  world.app.agent("copy", wide, copier());
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("wide", {{std::nullopt, "0", {}, 0}, {std::nullopt, "1", {}, 1}});
    co_await world.eventually([&] { return account(worker, "copy").acked == 2; });
    auto other = world.competing_member({"wide"});
    (void)co_await other->poll(0, 0ms);
    co_await world.eventually(
        [&] { return lanes(worker).size() == 2; });  // one partition is left, and the leader's partition
    EXPECT_EQ((co_await world.values_in("out")).size(),
              static_cast<std::size_t>((co_await world.committed("wide", 0) == 1) +
                                       (co_await world.committed("wide", 1) == 1)))
        << "outputs without their offset, or the other way round";
    co_await other->close();
  });
}

TEST_F(ExactlyOnce, WhatIsCastForABatchIsInItsTransaction) {
  world.app.agent("copy", in, [this](Stream<int> stream) -> Task<void> {
    while (auto batch = co_await stream.batch(3, 100ms)) {
      for (int value : batch) co_await out.cast(value);
    }
  });
  world.work([&](Worker&) -> Task<void> {
    co_await produce(3);
    co_await world.eventually_committed("in", 3);
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("0", "1", "2"));
  });
}

TEST_F(ExactlyOnce, WhatIsCastForAPartOfABatchThatFailsIsForgotten) {
  bool failed = false;
  world.app.agent("copy", in, [&](Stream<int> stream) -> Task<void> {
    while (auto batch = co_await stream.batch(10, 1s)) {
      for (int value : batch) {
        co_await out.cast(value);
        if (!std::exchange(failed, true)) throw std::runtime_error("once");
      }
    }
  });
  world.work([&](Worker&) -> Task<void> {
    co_await produce(3);
    co_await world.eventually_committed("in", 3);
  });
  world.run([&]() -> Task<void> { EXPECT_THAT(co_await world.values_in("out"), UnorderedElementsAre("0", "1", "2")); });
}

TEST_F(ExactlyOnce, WhatWasDoneAfterAStuckEventIsNotDoneAgainAfterTwoRestarts) {
  stuck = 0;
  copy({.concurrency = 2});
  world.run([&]() -> Task<void> { co_await produce(4); });
  for (int restart = 0; restart < 3; ++restart) {
    if (restart == 2) gate.open();
    world.work([&](Worker&) -> Task<void> {
      if (restart == 1) co_await produce(1, 4);
      co_await sleep_for(1s);
    });
  }
  world.run([&]() -> Task<void> {
    EXPECT_THAT(co_await world.values_in("out"), UnorderedElementsAre("0", "1", "2", "3", "4"));
  });
}

TEST_F(ExactlyOnce, TwoAgentsOnATopicEachProduceOnceAlthoughOneIsSlower) {
  copy();
  world.app.agent("slow", in, [this](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) co_await gate.pass();
  });
  for (int restart = 0; restart < 2; ++restart) {
    world.work([&](Worker&) -> Task<void> {
      if (restart == 0)
        co_await produce(3);
      else
        gate.open();
      co_await sleep_for(1s);
    });
  }
  world.run([&]() -> Task<void> { EXPECT_THAT(co_await world.values_in("out"), ElementsAre("0", "1", "2")); });
}

TEST_F(ExactlyOnce, ATimersRecordsGoOutToo) {
  world.app.timer("tick", 1s, [this]() -> Task<void> { co_await out.send(7); });
  world.work([&](Worker&) -> Task<void> {
    co_await world.eventually_in("out", 2);
    EXPECT_THAT((co_await world.values_in("out")).front(), "7");
  });
}

TEST_F(ExactlyOnce, AnAgentMayAskAnother) {
  auto& square = world.app.agent("square", [](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) co_yield *event** event;
  });
  world.app.agent("copy", in, [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) co_await out.cast(co_await square.ask(*event));
  });
  world.work([&](Worker&) -> Task<void> {
    co_await produce(4);
    co_await world.eventually_committed("in", 4);
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("0", "1", "4", "9"));
  });
}

TEST_F(ExactlyOnce, AStreamThatIsAskedInATaskOfItsOwnStillBindsWhatIsSent) {
  stuck = 0;
  world.app.agent("copy", in, [this](Stream<int> stream) -> Task<void> {
    auto next = [](Stream<int>& from) -> Task<Event<int>> { co_return co_await from.next(); };
    while (auto event = co_await timeout(1h, next(stream))) {
      co_await out.cast(*event);
      co_await gate.pass();
    }
  });
  world.work([&](Worker&) -> Task<void> {
    co_await produce(1);
    co_await world.eventually([&] { return gate.waiting() == 1; });
    co_await sleep_for(10s);
    EXPECT_THAT(co_await world.values_in("out"), IsEmpty()) << "sent before its event was done";
    gate.open();
    co_await world.eventually_in("out", 1);
  });
}

TEST_F(ExactlyOnce, AnAnswerOfAFailedAttemptIsForgottenAndGivenAgain) {
  auto& fragile = world.app.agent("fragile", [](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) {
      co_yield *event * 10 + event.attempt();
      if (event.attempt() == 0) throw std::runtime_error("after its answer");
    }
  });
  world.work([&](Worker&) -> Task<void> { EXPECT_EQ(co_await fragile.ask(4), 41); });
}

// Many faults in one run: each record has one result, whatever happens to appends, partitions and attempts.
TEST_F(ExactlyOnce, UnderFaultsEachRecordHasOneResult) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    TestApp one{"app"};
    Random random{seed};
    one.set("processing_guarantee", "exactly_once");
    auto& from = one.app.topic<int>("in", {.partitions = 2});
    auto& to = one.app.topic<int>("out", {.partitions = 1});
    one.app.agent("copy", from,
                  [&](Stream<int> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) {
                      co_await to.cast(*event);
                      if (random.below(20) == 0) throw std::runtime_error("now and then");
                      if (random.below(4) == 0) co_await sleep_for(std::chrono::milliseconds{random.below(300)});
                    }
                  },
                  {.concurrency = 3, .on_error = {.retries = 100}});
    one.work([&](Worker&) -> Task<void> {
      for (int i = 0; i < 100; ++i) {
        co_await one.produce("in", {{std::nullopt, std::to_string(i), {}, static_cast<int>(random.below(2))}});
        if (random.below(10) == 0) memory_faults(*one.log).fail_appends = 1;
        if (random.below(25) == 0) co_await one.expel({"in"});
        co_await sleep_for(std::chrono::milliseconds{random.below(100)});
      }
      co_await one.eventually_in("out", 100);
      co_await sleep_for(60s);
    });
    one.run([&]() -> Task<void> {
      EXPECT_EQ(difference(co_await one.values_in("out"), numbered(100)), Difference{}) << "seed " << seed;
    });
  }
}

// Readers hear of each change of the log after 5 ms. So some period hits each wait of a commit and of the steps after
// it.
TEST_F(ExactlyOnce, LosingPartitionsAgainAndAgainDuringEveryWaitOfACommitDoublesNothing) {
  for (int period = 1; period <= 40; ++period) {
    TestApp one{"app"};
    one.set("processing_guarantee", "exactly_once").set("broker_commit_interval", "7ms");
    auto& from = one.app.topic<int>("in", {.partitions = 4});
    auto& to = one.app.topic<int>("out", {.partitions = 1});
    one.app.agent("copy", from,
                  [&](Stream<int> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) {
                      co_await to.cast(*event);
                      co_await sleep_for(1ms);
                    }
                  },
                  {.concurrency = 4});
    one.work([&](Worker&) -> Task<void> {
      auto expel = [](Log& log) -> Task<void> {
        (void)co_await submit(dynamic_cast<KvLog&>(log).kv(), [](KvWriter& tx) -> Result<void> {
          auto group = store::group(tx, "app");
          for (const auto& member : std::vector{group.members}) group.leave(member.id);
          store::put_group(tx, "app", group);
          return {};
        });
      };
      memory_faults(*one.log).delay = 5ms;
      std::vector<Row> rows = numbered(200);
      for (std::size_t i = 0; i < rows.size(); ++i) rows[i].partition = static_cast<int>(i % 4);
      co_await one.create("in", 4);
      co_await one.produce("in", rows);
      for (int loss = 0; loss < 30; ++loss) {
        one.loop.spawn("expel", expel(*one.log));
        co_await sleep_for(std::chrono::milliseconds{period});
      }
      memory_faults(*one.log).delay = 0ms;
      co_await one.eventually_in("out", 200);
      co_await sleep_for(10s);
    });
    one.run([&]() -> Task<void> {
      EXPECT_EQ(difference(co_await one.values_in("out"), numbered(200)), Difference{}) << "period " << period;
    });
  }
}

}  // namespace
}  // namespace mephisto::tests
