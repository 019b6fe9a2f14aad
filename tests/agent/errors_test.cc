// What happens to an event whose handler throws, or whose value cannot be decoded.
#include <gmock/gmock.h>

#include <numeric>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using Then = ErrorPolicy::Then;
using Blocks = ErrorPolicy::Blocks;

// An agent on `in`. `bad` says for which numbers it throws, and how often.
class Errors : public ::testing::Test {
 protected:
  void declare(ErrorPolicy policy, AgentOptions options = {}, int partitions = 1) {
    options.on_error = policy;
    world.app.agent(
        "work", world.app.topic<int>("in", {.partitions = partitions}),
        [this](Stream<int> stream) -> Task<void> {
          while (auto event = co_await stream.next()) {
            tried.emplace_back(*event, world.loop.now());
            if (auto place = bad.find(*event); place != bad.end() && place->second-- > 0)
              throw std::runtime_error(fmt::format("{} is bad", *event));
            done.push_back(*event);
          }
        },
        std::move(options));
  }
  std::vector<Row> dead() {
    return world.run([&] { return world.records("app-work-dlq"); });
  }

  TestApp world;
  std::map<int, int> bad;
  std::vector<std::pair<int, Loop::time_point>> tried;
  std::vector<int> done;
};

TEST_F(Errors, AnEventIsTriedAgainUntilItWorks) {
  bad[1] = 2;
  declare({});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(3));
    co_await world.eventually_committed("in", 3);
  });
  EXPECT_THAT(done, ElementsAre(0, 2, 1));
  EXPECT_THAT(dead(), IsEmpty());
}

TEST_F(Errors, RetriesComeWithGrowingPauses) {
  bad[0] = 100;
  declare({.retries = 4, .first_backoff = 100ms, .last_backoff = 300ms});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(1));
    co_await world.eventually_in("app-work-dlq", 1);
  });
  ASSERT_THAT(tried, SizeIs(5));
  const std::vector<std::chrono::milliseconds> least{100ms, 200ms, 300ms, 300ms};
  for (std::size_t i = 0; i < least.size(); ++i) {
    auto pause = tried[i + 1].second - tried[i].second;
    EXPECT_GE(pause, least[i]) << i;
    EXPECT_LE(pause, least[i] * 5 / 4 + 10ms) << i;
  }
}

TEST_F(Errors, AnEventThatNeverWorksIsKeptWithItsBytesHeadersAndReason) {
  bad[7] = 100;
  declare({.retries = 2});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{"k", " 7 ", {{"h", "v"}, {"h", std::nullopt}}}});
    co_await world.eventually_in("app-work-dlq", 1);
    co_await world.eventually_committed("in", 1);
  });
  auto row = dead().at(0);
  EXPECT_EQ(row.key, "k");
  EXPECT_EQ(row.value, " 7 ");
  EXPECT_EQ(row.headers.at(0), (Header{"h", "v"}));
  EXPECT_EQ(row.headers.at(1), (Header{"h", std::nullopt}));
  EXPECT_EQ(row.header("x-error"), "7 is bad");
  EXPECT_EQ(row.header("x-error-kind"), "handler");
  EXPECT_EQ(row.header("x-app"), "app");
  EXPECT_EQ(row.header("x-agent"), "work");
  EXPECT_EQ(row.header("x-topic"), "in");
  EXPECT_EQ(row.header("x-partition"), "0");
  EXPECT_EQ(row.header("x-offset"), "0");
  EXPECT_EQ(row.header("x-attempts"), "3");
  EXPECT_THAT(row.header("x-time"), HasSubstr("2026-01-01T00:00:"));
}

TEST_F(Errors, ADeadLetterIsCountedAndOthersGoOn) {
  bad[1] = 100;
  declare({.retries = 0});
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(4));
    co_await world.eventually_committed("in", 4);
    auto counted = account(worker, "work");
    EXPECT_EQ(counted.dead_lettered, 1u);
    EXPECT_EQ(counted.acked, 3u);
  });
  EXPECT_THAT(done, ElementsAre(0, 2, 3));
}

TEST_F(Errors, AValueThatCannotBeDecodedIsKeptWithoutRetries) {
  declare({.retries = 5, .first_backoff = 1h, .last_backoff = 1h});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{std::nullopt, "0", {}},
                                  {std::nullopt, "\"text\"", {}},
                                  {std::nullopt, "", {}},
                                  {std::nullopt, std::nullopt, {}},
                                  {std::nullopt, "4", {}}});
    co_await world.eventually_committed("in", 5);
  });
  EXPECT_THAT(done, ElementsAre(0, 4));
  EXPECT_THAT(values(dead()), ElementsAre("\"text\"", "", "null"));
  for (const auto& row : dead()) EXPECT_EQ(row.header("x-error-kind"), "decode") << row;
  EXPECT_EQ(dead().at(2).value, std::nullopt);
  EXPECT_THAT(dead().at(0).header("x-error"), HasSubstr("expected"));
}

TEST_F(Errors, SkipCountsAndForgets) {
  bad[1] = 100;
  declare({.retries = 1, .then = Then::kSkip});
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(3));
    co_await world.eventually_committed("in", 3);
    EXPECT_EQ(account(worker, "work").skipped, 1u);
    EXPECT_FALSE(co_await world.log->topic("app-work-dlq"));
  });
  EXPECT_THAT(done, UnorderedElementsAre(0, 2));
}

TEST_F(Errors, StopPartitionLeavesTheOthersRunning) {
  bad[1] = 1;
  declare({.retries = 0, .then = Then::kStopPartition}, {}, 2);
  world.work([&](Worker&) -> Task<void> {
    co_await world.create("in", 2);
    co_await world.produce("in", {{std::nullopt, "0", {}, 0}, {std::nullopt, "1", {}, 0}, {std::nullopt, "2", {}, 0}});
    co_await world.eventually([&] { return tried.size() == 2; });
    co_await world.produce("in", {{std::nullopt, "10", {}, 1}, {std::nullopt, "3", {}, 0}});
    co_await world.eventually_committed("in", 1, 1);
    co_await world.eventually_committed("in", 1, 0);
  });
  EXPECT_THAT(done, ElementsAre(0, 10));
}

TEST_F(Errors, AStoppedPartitionGoesOnAfterARestart) {
  bad[1] = 1;
  declare({.retries = 0, .then = Then::kStopPartition});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(3));
    co_await world.eventually([&] { return tried.size() == 2; });
  });
  world.work([&](Worker&) -> Task<void> { co_await world.eventually_committed("in", 3); });
  EXPECT_THAT(done, ElementsAre(0, 1, 2));
}

TEST_F(Errors, AStopDoesNotWaitForAStoppedPartition) {
  bad[0] = 1;
  declare({.retries = 0, .then = Then::kStopPartition});
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.produce("in", numbered(1));
    co_await world.eventually([&] { return tried.size() == 1; });
    const auto start = world.loop.now();
    co_await worker.stop();
    EXPECT_LE(world.loop.now() - start, 1s);
  });
}

TEST_F(Errors, CrashEndsTheWorkerWithTheReason) {
  bad[1] = 100;
  declare({.retries = 0, .then = Then::kCrash});
  world.run([&]() -> Task<void> { co_await world.produce("in", numbered(3)); });
  EXPECT_EQ(world.reason_of_end(), "agent work failed on in/0@1: 1 is bad");
  EXPECT_EQ(world.run([&] { return world.committed("in"); }), 1);
}

TEST_F(Errors, CrashEndsTheWorkerWithoutWaitingForWhatCannotEnd) {
  bad[0] = 100;
  declare({.retries = 0, .then = Then::kCrash});
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.produce("in", numbered(1));
    co_await world.eventually([&] { return tried.size() == 1; });
    const auto start = world.loop.now();
    (void)co_await failure_of(worker.finished());
    EXPECT_LE(world.loop.now() - start, 1s);
    (void)co_await failure_of(worker.stop());
  });
}

TEST_F(Errors, WhileAnEventWaitsForItsRetryOthersGoOn) {
  bad[0] = 1;
  declare({.first_backoff = 10s, .last_backoff = 10s});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(3));
    co_await world.eventually([&] { return done.size() == 2; }, 1s);
    co_await world.eventually_committed("in", 3);
  });
  EXPECT_THAT(done, ElementsAre(1, 2, 0));
}

TEST_F(Errors, ABlockedPartitionWaitsForTheRetryAndKeepsItsOrder) {
  bad[0] = 2;
  declare({.blocks = Blocks::kPartition}, {}, 2);
  world.work([&](Worker&) -> Task<void> {
    co_await world.create("in", 2);
    co_await world.produce("in", {{std::nullopt, "0", {}, 0},
                                  {std::nullopt, "1", {}, 0},
                                  {std::nullopt, "2", {}, 0},
                                  {std::nullopt, "10", {}, 1}});
    co_await world.eventually_committed("in", 3, 0);
    co_await world.eventually_committed("in", 1, 1);
  });
  EXPECT_THAT(done, ElementsAre(10, 0, 1, 2));
}

TEST_F(Errors, ABlockedPartitionKeepsItsOrderAlsoForWhatComesMeanwhile) {
  bad[0] = 3;
  declare({.first_backoff = 100ms, .blocks = Blocks::kPartition});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(3));
    for (int i = 3; i < 30; ++i) {
      co_await world.produce("in", numbered(1, i));
      co_await sleep_for(25ms);
    }
    co_await world.eventually_committed("in", 30);
  });
  std::vector<int> in_order(30);
  std::iota(in_order.begin(), in_order.end(), 0);
  EXPECT_EQ(done, in_order);
}

TEST_F(Errors, ABlockedPartitionWaitsForAllItsRetries) {
  bad[0] = 1;
  bad[1] = 4;
  AgentOptions options;
  options.concurrency = 2;
  declare({.retries = 5, .blocks = Blocks::kPartition}, options);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(4));
    co_await world.eventually_committed("in", 4);
  });
  EXPECT_THAT(done, ElementsAre(0, 1, 2, 3));
}

TEST_F(Errors, ARetryHoldsBackItsOwnKey) {
  bad[0] = 2;
  declare({.first_backoff = 1s});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in",
                           {{"x", "0", {}}, {"x", "1", {}}, {"y", "2", {}}, {std::nullopt, "3", {}}, {"x", "4", {}}});
    co_await world.eventually_committed("in", 5);
  });
  EXPECT_THAT(done, ElementsAre(2, 3, 0, 1, 4));
}

TEST_F(Errors, OrderedByKeyARetryHoldsBackItsKeyOnly) {
  bad[0] = 1;
  AgentOptions options;
  options.concurrency = 3;
  options.ordered_by_key = true;
  declare({.first_backoff = 1s}, options);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{"x", "0", {}}, {"x", "1", {}}, {"y", "2", {}}, {"y", "3", {}}});
    co_await world.eventually_committed("in", 4);
  });
  EXPECT_THAT(done, ElementsAre(2, 3, 0, 1));
}

TEST_F(Errors, AnExceptionOfAnyTypeIsAnError) {
  AgentOptions options;
  options.on_error.retries = 0;
  world.app.agent(
      "odd", world.app.topic<int>("in", {.partitions = 1}),
      [](Stream<int> stream) -> Task<void> {
        while (auto event = co_await stream.next()) throw 42;
      },
      options);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(1));
    co_await world.eventually_in("app-odd-dlq", 1);
    EXPECT_EQ((co_await world.records("app-odd-dlq")).at(0).header("x-error"), "an exception of unknown type");
  });
}

TEST_F(Errors, AReasonOfAnyLengthIsKept) {
  AgentOptions options;
  options.on_error.retries = 0;
  world.app.agent(
      "long", world.app.topic<int>("in", {.partitions = 1}),
      [](Stream<int> stream) -> Task<void> {
        while (auto event = co_await stream.next()) throw std::runtime_error("long" + std::string(100'000, 'x'));
      },
      options);
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.produce("in", numbered(1));
    co_await world.eventually_in("app-long-dlq", 1);
    EXPECT_EQ(co_await failure_of(worker.stop()), "");
  });
}

TEST_F(Errors, ARecordOfTheLargestSizeCanBeDeadLettered) {
  AgentOptions options;
  options.on_error.retries = 0;
  world.app.agent(
      "work", world.app.topic<int>("in", {.partitions = 1}),
      [](Stream<int> stream) -> Task<void> {
        while (co_await stream.next()) {
        }
      },
      options);
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.produce("in",
                           {{std::nullopt, std::string(kMaxRecordBytes - 100, 'x'), {}}, {std::nullopt, "1", {}}});
    co_await world.eventually_committed("in", 2);
    EXPECT_EQ(co_await failure_of(worker.stop()), "");
  });
}

TEST_F(Errors, AnEventOfALostPartitionCrashesNothing) {
  Gate gate;
  auto& out = world.app.topic<int>("out", {.partitions = 1});
  AgentOptions options;
  options.on_error = {.retries = 0, .then = Then::kCrash};
  world.app.agent(
      "copy", world.app.topic<int>("in", {.partitions = 1}),
      [&](Stream<int> stream) -> Task<void> {
        while (auto event = co_await stream.next()) {
          co_await gate.pass();
          co_await out.cast(*event);
        }
      },
      options);
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.produce("in", numbered(1));
    co_await world.eventually([&] { return gate.waiting() == 1; });
    co_await world.expel({"in"});
    gate.open();
    co_await world.eventually_in("out", 1);
    EXPECT_EQ(co_await failure_of(worker.stop()), "");
  });
}

}  // namespace
}  // namespace mephisto::tests
