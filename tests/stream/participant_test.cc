// Participants: the changes of events count with their offsets or not at all. No event is delivered before the state of
// its partition is restored. The state is a count in memory (counter.h).
#include <gmock/gmock.h>

#include "stream/counter.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using detail::AssignmentState;
using ::testing::ElementsAre;
using ::testing::Pair;

// A counter whose restores wait for a gate.
class SlowCounter : public Counter {
 public:
  using Counter::Counter;
  Task<void> restore(const detail::Assignment& assignment) override {
    ++begun;
    co_await gate.pass();
    co_await Counter::restore(assignment);
  }
  Gate gate;
  int begun = 0;
};

class ParticipantTest : public ::testing::TestWithParam<std::string> {
 protected:
  explicit ParticipantTest(int partitions = 2) {
    world.set("processing_guarantee", GetParam()).set("topic_disable_leader", "true");
    TopicOptions options;
    options.partitions = partitions;
    options.internal = true;
    auto& in = world.app.topic<int>("in", options);
    world.app.topic<int>("changelog", options);
    world.app.add_participant([this](detail::Shard& shard) {
      auto made = make(shard);
      counter = made.get();
      return made;
    });
    world.app.agent("count", in, [this](Stream<int> stream) -> Task<void> {
      while (auto event = co_await stream.next()) {
        counter->count();
        if (fails.contains(*event) && event.attempt() == 0) throw Failure(ErrorKind::kUnavailable, "not this time");
      }
    });
  }
  // Runs a worker whose state is a counter of this type.
  template <class Kind = Counter, class Body>
  void work(Body body) {
    make = [](detail::Shard& shard) { return std::make_unique<Kind>(shard.loop(), shard.log(), "changelog"); };
    world.work([&](Worker& worker) { return body(worker, static_cast<Kind&>(*counter)); });
  }
  Task<void> send(int count, int partition) {
    std::vector<Row> rows;
    for (int i = 0; i < count; ++i) rows.push_back({std::nullopt, std::to_string(i), {}, partition});
    co_await world.produce("in", rows);
  }
  Task<void> counted(std::int64_t zero, std::int64_t one) {
    co_await world.eventually(
        [&, zero, one] { return counter->counts() == std::map<int, std::int64_t>{{0, zero}, {1, one}}; });
  }

  TestApp world;
  std::function<std::unique_ptr<Counter>(detail::Shard&)> make;
  Counter* counter = nullptr;  // of the shard that runs
  std::set<int> fails;
};

TEST_P(ParticipantTest, CountsWithTheOffsets) {
  work([&](Worker&, Counter&) -> Task<void> {
    co_await send(5, 0);
    co_await send(3, 1);
    co_await counted(5, 3);
    EXPECT_EQ(co_await world.committed("in", 0), 5);
  });
}

TEST_P(ParticipantTest, IsRestoredByTheNextWorker) {
  work([&](Worker&, Counter&) -> Task<void> {
    co_await send(5, 0);
    co_await counted(5, 0);
  });
  work([&](Worker&, Counter&) -> Task<void> {
    co_await send(2, 0);
    co_await send(1, 1);
    co_await counted(7, 1);
  });
}

TEST_P(ParticipantTest, AnAttemptThatFailsChangesNothing) {
  fails = {1, 3};
  work([&](Worker&, Counter&) -> Task<void> {
    co_await send(5, 0);
    co_await counted(5, 0);
  });
}

TEST_P(ParticipantTest, NoEventComesBeforeItsStateIsRestored) {
  work<SlowCounter>([&](Worker& worker, SlowCounter& slow) -> Task<void> {
    co_await send(5, 0);
    co_await world.eventually([&] { return slow.begun == 2; });
    co_await sleep_for(10s);
    for (const auto& lane : lanes(worker)) {
      EXPECT_EQ(lane.state, AssignmentState::kRestoring);
      EXPECT_EQ(lane.account.consumed, 0U);
    }
    EXPECT_EQ(shard_of(worker).diagnose().at(0).reasons.at(0).kind, "restoring");
    slow.gate.open();
    co_await counted(5, 0);
  });
}

TEST_P(ParticipantTest, AStopDoesNotWaitForARestore) {
  work<SlowCounter>(
      [&](Worker&, SlowCounter& slow) -> Task<void> { co_await world.eventually([&] { return slow.begun == 2; }); });
  EXPECT_EQ(world.run([&] { return world.committed("in"); }), -1);
}

TEST_P(ParticipantTest, APartitionThatGoesWhileItIsRestoredRunsElsewhere) {
  work<SlowCounter>([&](Worker& worker, SlowCounter& slow) -> Task<void> {
    co_await send(5, 0);
    co_await world.eventually([&] { return slow.begun == 2; });
    auto competitor = world.competing_member({"in"});
    co_await world.eventually([&] { return lanes(worker).size() == 2; });
    for (int i = 0; i < 100 && lanes(worker).size() == 2; ++i) (void)co_await competitor->poll(0, 100ms);
    EXPECT_EQ(lanes(worker).size(), 1U) << "the other partition";
    co_await competitor->close();
    slow.gate.open();
    co_await counted(5, 0);
  });
}

INSTANTIATE_TEST_SUITE_P(Guarantees, ParticipantTest, ::testing::Values("at_least_once", "exactly_once"),
                         [](const auto& info) { return info.param; });

class ExactCounter : public ParticipantTest {};

// The log has the transaction, but its reply is lost: the count is read from the log again.
TEST_P(ExactCounter, IsExactWhenTheReplyIsLost) {
  work([&](Worker&, Counter& state) -> Task<void> {
    co_await send(5, 0);
    co_await counted(5, 0);
    memory_faults(*world.log).lose_commit_replies = 1;
    co_await send(5, 0);
    co_await counted(10, 0);
    EXPECT_EQ(state.rollbacks, 1);
    co_await send(1, 1);
    co_await counted(10, 1);
  });
}

TEST_P(ExactCounter, IsExactWhenPartitionsAreLostAtAnyMoment) {
  Random random{7};
  work([&](Worker&, Counter& state) -> Task<void> {
    std::int64_t sent = 0;
    for (int round = 0; round < 40; ++round) {
      co_await send(20, 0);
      co_await send(20, 1);
      sent += 20;
      co_await sleep_for(std::chrono::milliseconds{random.below(200)});
      memory_faults(*world.log).expire("");
      if (random.below(3) == 0) memory_faults(*world.log).lose_commit_replies = 1;
    }
    co_await counted(sent, sent);
    EXPECT_GT(state.restored, 10);
  });
}

INSTANTIATE_TEST_SUITE_P(Guarantees, ExactCounter, ::testing::Values("exactly_once"));

// A timer's run counts as a whole or not at all.
class TimerRuns : public ::testing::TestWithParam<std::string> {};

TEST_P(TimerRuns, UnderExactlyOnceARunThatFailsSendsNothing) {
  TestApp world;
  world.set("processing_guarantee", GetParam());
  auto& out = world.app.topic<int>("out", {.partitions = 1});
  int run = 0;
  world.app.timer("twice", 1s, [&]() -> Task<void> {
    const int number = ++run;
    co_await out.cast(number * 10);
    co_await sleep_for(100ms);
    if (number == 2) throw Failure(ErrorKind::kUnavailable, "not this time");
    co_await out.send(number * 10 + 1);
  });
  world.work([&](Worker&) -> Task<void> { co_await world.eventually([&] { return run == 4; }); });
  const auto values = world.run([&] { return world.values_in("out"); });
  if (GetParam() == "exactly_once")
    EXPECT_THAT(values, ElementsAre("10", "11", "30", "31"));
  else
    EXPECT_THAT(values, ElementsAre("10", "11", "20", "30", "31", "40"));
}

INSTANTIATE_TEST_SUITE_P(Guarantees, TimerRuns, ::testing::Values("at_least_once", "exactly_once"),
                         [](const auto& info) { return info.param; });

// The transitions in the drawing of assignment.h.
TEST(AssignmentStates, FollowTheDrawing) {
  using enum AssignmentState;
  const std::map<AssignmentState, std::set<AssignmentState>> drawing{
      {kAssigned, {kRestoring, kRunning, kDraining, kClosed, kLost}},
      {kRestoring, {kRunning, kDraining, kClosed, kLost}},
      {kRunning, {kDraining, kClosed, kLost}},
      {kDraining, {kClosed, kLost}},
      {kClosed, {}},
      {kLost, {}},
  };
  for (const auto& [from, next] : drawing) {
    for (const auto& [to, unused] : drawing)
      EXPECT_EQ(detail::may_follow(from, to), next.contains(to)) << to_string(from) << " -> " << to_string(to);
  }
}

TEST(AssignmentStatesDeathTest, AWrongChangeEndsTheProcess) {
  detail::Assignment assignment{{.partition = {"in", 0}}, {}};
  assignment.enter(AssignmentState::kClosed, {});
  EXPECT_DEATH(assignment.enter(AssignmentState::kRunning, {}), "changes its state as drawn");
}

}  // namespace
}  // namespace mephisto::tests
