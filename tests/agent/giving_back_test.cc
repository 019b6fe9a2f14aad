// sleep_or_give_back: while an event's handler only waits, the event delays neither a stop nor a moving partition. The
// event is not lost.
#include <gmock/gmock.h>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// An agent that sends each event on before it pauses, and notes it after the pause.
class GivingBack : public ::testing::Test {
 protected:
  void declare(int concurrency = 1, int partitions = 1) {
    world.app.agent("patient", world.app.topic<int>("in", {.partitions = partitions}),
                    [this](Stream<int> stream) -> Task<void> {
                      while (auto event = co_await stream.next()) {
                        begun.push_back(*event);
                        co_await out.cast(*event);
                        co_await sleep_or_give_back(pause);
                        done.push_back(*event);
                      }
                    },
                    {.concurrency = concurrency});
  }
  Loop::duration time_of(Task<void> task) {
    return world.run([&]() -> Task<Loop::duration> {
      const auto start = world.loop.now();
      co_await std::move(task);
      co_return world.loop.now() - start;
    });
  }

  TestApp world;
  Loop::duration pause = 24h;
  std::vector<int> begun;
  std::vector<int> done;
  const Topic<int>& out = world.app.topic<int>("out", {.partitions = 1});
};

TEST_F(GivingBack, AStopDoesNotWaitAndTheEventComesAgain) {
  declare(2);
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.produce("in", numbered(4));
    co_await world.eventually([&] { return begun.size() == 2; });
    const auto start = world.loop.now();
    co_await worker.stop();
    EXPECT_LT(world.loop.now() - start, 100ms);
  });
  EXPECT_THAT(begun, UnorderedElementsAre(0, 1)) << "begun anew while the worker stops";
  EXPECT_THAT(done, IsEmpty());
  pause = 1s;
  world.work([&](Worker&) -> Task<void> { co_await world.eventually_committed("in", 4); });
  EXPECT_THAT(done, UnorderedElementsAre(0, 1, 2, 3));
}

TEST_F(GivingBack, UnderExactlyOnceWhatItSentIsForgotten) {
  world.set("processing_guarantee", "exactly_once");
  declare();
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(2));
    co_await world.eventually([&] { return begun.size() == 1; });
  });
  pause = 0s;
  world.work([&](Worker&) -> Task<void> {
    co_await world.eventually_committed("in", 2);
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("0", "1"));
  });
}

TEST_F(GivingBack, APartitionThatMovesIsReleasedAtOnceAndTheOtherWaitsOn) {
  declare(2, 2);
  pause = 1h;
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.create("in", 2);
    co_await world.produce("in", {{std::nullopt, "0", {}, 0}, {std::nullopt, "1", {}, 1}});
    co_await world.eventually([&] { return begun.size() == 2; });
    auto competitor = world.competing_member({"in"});
    (void)co_await competitor->poll(0, 0ms);
    auto polled = co_await competitor->poll(0, 1000ms);
    EXPECT_EQ(polled.assigned.size(), 1u);
    if (!polled.assigned.empty()) EXPECT_EQ(polled.assigned[0].offset, 0) << "committed, but not done";
    EXPECT_EQ(account(worker, "patient").in_flight, 1u);
    EXPECT_EQ(account(worker, "patient").consumed, 1u);
    co_await competitor->close();
    co_await world.eventually_committed("in", 1, 0, 3h);
    co_await world.eventually_committed("in", 1, 1, 3h);
  });
  EXPECT_EQ(begun.size(), 3u) << "one of them was given back, and one was not";
  EXPECT_THAT(done, UnorderedElementsAre(0, 1));
}

TEST_F(GivingBack, AnInstanceGoesOnWithOtherPartitions) {
  declare(1, 2);
  pause = 1h;
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.create("in", 2);
    co_await world.produce("in", {{std::nullopt, "1", {}, 1}});
    co_await world.eventually([&] { return begun.size() == 1; });
    auto competitor = world.competing_member({"in"});
    (void)co_await competitor->poll(0, 0ms);
    co_await world.eventually([&] { return lanes(worker).size() == 2; });
    const auto own = lanes(worker)[0].partition.topic == "in" ? lanes(worker)[0].partition : lanes(worker)[1].partition;
    co_await world.produce("in", {{std::nullopt, "2", {}, own.partition}});
    co_await world.eventually([&] { return begun.back() == 2 || done.size() == 1; }, 3h);
    co_await competitor->close();
  });
}

TEST_F(GivingBack, ABatchIsGivenBackAsAWhole) {
  std::vector<std::size_t> sizes;
  world.app.agent("patient", world.app.topic<int>("in", {.partitions = 1}), [&](Stream<int> stream) -> Task<void> {
    while (auto batch = co_await stream.batch(3, 1s)) {
      sizes.push_back(batch.size());
      co_await sleep_or_give_back(pause);
    }
  });
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.produce("in", numbered(3));
    co_await world.eventually([&] { return sizes.size() == 1; });
    const auto start = world.loop.now();
    co_await worker.stop();
    EXPECT_LT(world.loop.now() - start, 100ms);
  });
  pause = 0s;
  world.work([&](Worker&) -> Task<void> { co_await world.eventually_committed("in", 3); });
  EXPECT_THAT(sizes, ElementsAre(3u, 3u));
}

TEST_F(GivingBack, WithoutAnEventItIsASleep) { EXPECT_EQ(time_of(sleep_or_give_back(5s)), 5s); }

}  // namespace
}  // namespace mephisto::tests
