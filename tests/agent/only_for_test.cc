// A record for one agent only (a replayed dead letter): the other agents on its topic skip it and count it as done.
#include <gmock/gmock.h>

#include "mephisto/stream/delivery.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

Row for_one(std::string value, const std::string& agent, const std::string& topic = "in") {
  return {"k", std::move(value), {{"x-request", "1"}, {std::string{detail::kOnlyFor}, detail::only_for(agent, topic)}}};
}

class OnlyFor : public ::testing::TestWithParam<std::string> {
 protected:
  OnlyFor() { world.set("processing_guarantee", GetParam()); }

  auto collector(std::vector<int>& seen) {
    return [&seen, this](Stream<int> stream) -> Task<void> {
      while (auto event = co_await stream.next()) {
        if (*event == stuck) co_await gate.pass();
        seen.push_back(*event);
        co_await out.cast(*event);
      }
    };
  }

  TestApp world;
  Gate gate;
  int stuck = -1;
  const Topic<int>& in = world.app.topic<int>("in", {.partitions = 1});
  const Topic<int>& out = world.app.topic<int>("out", {.partitions = 1});
  std::vector<int> left, right;
};

TEST_P(OnlyFor, TheOthersOfTheTopicPassItOver) {
  world.app.agent("left", in, collector(left));
  world.app.agent("right", in, collector(right));
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", {{"k", "0", {}}, for_one("1", "app/left"), for_one("2", "app/right"), {"k", "3", {}}});
    co_await world.eventually_committed("in", 4);
    for (const auto* name : {"left", "right"}) {
      const auto sum = account(worker, name);
      EXPECT_EQ(sum.consumed, 4u);
      EXPECT_EQ(sum.acked, 3u);
      EXPECT_EQ(sum.skipped, 1u);
      EXPECT_EQ(sum.in_flight, 0u);
    }
    EXPECT_THAT(co_await world.values_in("out"), UnorderedElementsAre("0", "0", "1", "2", "3", "3"));
  });
  EXPECT_THAT(left, ElementsAre(0, 1, 3));
  EXPECT_THAT(right, ElementsAre(0, 2, 3));
}

TEST_P(OnlyFor, AnotherAppsAgentOfThatNamePassesItOverToo) {
  world.app.agent("left", in, collector(left));
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {for_one("1", "other/left"), for_one("2", "app-v2/left"), for_one("3", "left")});
    co_await world.eventually_committed("in", 3);
  });
  EXPECT_THAT(left, IsEmpty());
}

TEST_P(OnlyFor, OnAnotherTopicItIsForEverybody) {
  world.app.agent("left", in, collector(left));
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {for_one("1", "app/right", "elsewhere"),
                                  {"k", "2", {{std::string{detail::kOnlyFor}, ""}}},
                                  {"k", "3", {{std::string{detail::kOnlyFor}, std::nullopt}}}});
    co_await world.eventually_committed("in", 3);
  });
  EXPECT_THAT(left, ElementsAre(1, 2, 3));
}

TEST_P(OnlyFor, WhatIsSentOnIsForEverybodyThere) {
  const auto& next = world.app.topic<int>("next", {.partitions = 1});
  world.app.agent("left", in, collector(left));
  world.app.agent("right", world.app.through("forward", in, next), collector(right));
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {for_one("1", "app/forward")});
    co_await world.eventually_committed("next", 1);
    co_await world.eventually_committed("in", 1);
  });
  EXPECT_THAT(left, IsEmpty());
  EXPECT_THAT(right, ElementsAre(1));
}

TEST_P(OnlyFor, AnAgentOnSeveralTopicsTakesItFromItsTopic) {
  const auto& more = world.app.topic<int>("more", {.partitions = 1});
  world.app.agent("left", std::vector{&in, &more}, collector(left));
  world.app.agent("right", more, collector(right));
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("more", {for_one("1", "app/left", "more")});
    co_await world.eventually_committed("more", 1);
  });
  EXPECT_THAT(left, ElementsAre(1));
  EXPECT_THAT(right, IsEmpty());
}

TEST_P(OnlyFor, WhatIsSkippedAfterAnEventInFlightIsNotedAsDone) {
  stuck = 0;
  world.set("drain_timeout", "1s");
  AgentOptions options;
  options.concurrency = 2;
  world.app.agent("left", in, collector(left), options);
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in",
                           {{"k", "0", {}}, for_one("1", "app/right"), for_one("2", "app/right"), {"k", "3", {}}});
    co_await world.eventually([&] { return gate.waiting() == 1 && left == std::vector{3}; });
    EXPECT_EQ(account(worker, "left").skipped, 2u);
    EXPECT_EQ(account(worker, "left").in_flight, 1u);
    co_await sleep_for(5s);
    EXPECT_EQ(co_await world.committed("in"), 0);
  });
  gate.open();
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.eventually_committed("in", 4);
    EXPECT_EQ(account(worker, "left").consumed, 1u);
  });
  EXPECT_THAT(left, ElementsAre(3, 0));
  EXPECT_THAT(world.run([&] { return world.values_in("out"); }), ElementsAre("3", "0"));
}

TEST_P(OnlyFor, HoldsWithSeveralInstancesAndByKey) {
  stuck = 0;
  AgentOptions options;
  options.concurrency = 3;
  options.ordered_by_key = true;
  world.app.agent("left", in, collector(left), options);
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce(
        "in", {{"a", "0", {}}, for_one("1", "app/right"), {"b", "2", {}}, for_one("3", "app/right"), {"a", "4", {}}});
    co_await world.eventually([&] { return gate.waiting() == 1 && left == std::vector{2}; });
    EXPECT_EQ(account(worker, "left").skipped, 2u);
    gate.open();
    co_await world.eventually_committed("in", 5);
  });
  EXPECT_THAT(left, ElementsAre(2, 0, 4));
}

TEST_P(OnlyFor, ABatchHasOnlyWhatIsForItsAgent) {
  std::vector<std::vector<int>> batches;
  world.app.agent("left", in, [&](Stream<int> stream) -> Task<void> {
    while (auto batch = co_await stream.batch(2, 1h)) batches.push_back(batch.values);
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in",
                           {{"k", "0", {}}, for_one("1", "app/right"), {"k", "2", {}}, for_one("3", "app/right")});
    co_await world.eventually_committed("in", 4);
  });
  EXPECT_THAT(batches, ElementsAre(ElementsAre(0, 2)));
}

INSTANTIATE_TEST_SUITE_P(Guarantee, OnlyFor, ::testing::Values("at_least_once", "exactly_once"),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace mephisto::tests
