// What a shard reports about offsets that do not move, and about its rebalances. Everything runs on virtual time,
// including sleeps.
#include <gmock/gmock.h>

#include <set>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class DiagnosisTest : public ::testing::Test {
 protected:
  // An agent on `in` that waits when it gets a value in `stuck`.
  void declare(AgentOptions options = {}, int partitions = 1) {
    world.app.agent(
        "note", world.app.topic<int>("in", {.partitions = partitions}),
        [this](Stream<int> stream) -> Task<void> {
          while (auto event = co_await stream.next()) {
            if (stuck.contains(*event)) co_await gate.pass();
            ++done;
          }
        },
        options);
  }
  detail::PartitionDiagnosis standing(const Worker& worker, int partition = 0) {
    for (auto& one : shard_of(worker).diagnose()) {
      if (one.topic == "in" && one.partition == partition) return one;
    }
    return {};
  }
  detail::Reason first(const Worker& worker, int partition = 0) {
    const auto one = standing(worker, partition);
    return one.reasons.empty() ? detail::Reason{"none", "", std::nullopt} : one.reasons.front();
  }

  TestApp world;
  Gate gate;
  std::set<int> stuck;
  int done = 0;
};

TEST_F(DiagnosisTest, TheInstanceThatHasTheOldestRecordIsNamedWithItsWait) {
  stuck = {2};
  declare({.concurrency = 2});
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(5));
    co_await world.eventually([&] { return done == 4; });
    co_await sleep_for(28s);
    const auto one = standing(worker);
    EXPECT_EQ(one.oldest, 2);
    EXPECT_EQ(one.next, 5);
    EXPECT_EQ(one.committed, 2);
    EXPECT_THAT(one.reasons, SizeIs(1));
    EXPECT_EQ(first(worker).kind, "agent");
    EXPECT_THAT(first(worker).text,
                AnyOf("agent note instance 1 waits for the gate", "agent note instance 2 waits for the gate"));
    EXPECT_GE(first(worker).ms, 28'000);
    gate.open();
    co_await world.eventually([&] { return done == 5; });
    co_await sleep_for(5s);
    EXPECT_THAT(standing(worker).reasons, IsEmpty());
    EXPECT_EQ(standing(worker).committed, 5);
  });
}

TEST_F(DiagnosisTest, WhatIsInsideOfATimeoutIsWhatItWaitsFor) {
  world.app.agent("note", world.app.topic<int>("in", {.partitions = 1}), [this](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) co_await timeout(1h, when_all(gate.pass(), gate.pass()));
  });
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(1));
    co_await world.eventually([&] { return gate.waiting() == 2; });
    EXPECT_EQ(first(worker).text, "agent note waits for the gate");
    gate.open();
  });
}

TEST_F(DiagnosisTest, ARecordThatWaitsForItsRetrySaysWhen) {
  AgentOptions options;
  options.on_error.first_backoff = 10s;
  world.app.agent(
      "note", world.app.topic<int>("in", {.partitions = 1}),
      [](Stream<int> stream) -> Task<void> {
        while (auto event = co_await stream.next()) throw std::runtime_error("now and then");
      },
      options);
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(1));
    co_await world.eventually([&] { return first(worker).kind == "retry"; });
    EXPECT_THAT(first(worker).text,
                AllOf(HasSubstr("agent note failed on it and tries it again in "), HasSubstr(" (1 of 3)")));
    co_await sleep_for(2min);  // until no record waits
  });
}

TEST_F(DiagnosisTest, APartitionThatIsStoppedSaysSo) {
  AgentOptions options;
  options.on_error.retries = 0;
  options.on_error.then = ErrorPolicy::Then::kStopPartition;
  world.app.agent(
      "note", world.app.topic<int>("in", {.partitions = 1}),
      [](Stream<int> stream) -> Task<void> {
        while (auto event = co_await stream.next()) throw std::runtime_error("always");
      },
      options);
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(3));
    co_await world.eventually([&] { return first(worker).kind == "stopped"; });
    EXPECT_EQ(standing(worker).oldest, 0);
  });
}

TEST_F(DiagnosisTest, AnAgentThatIsBusyElsewhereHasNoFreeInstance) {
  stuck = {0};
  declare({}, 2);
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.create("in", 2);
    co_await world.produce("in", {{std::nullopt, "0", {}, 0}});
    co_await world.eventually([&] { return gate.waiting() == 1; });
    co_await world.produce("in", {{std::nullopt, "1", {}, 1}});
    co_await world.eventually([&] { return first(worker, 1).kind == "instances"; });
    EXPECT_EQ(first(worker, 1).text, "agent note has no free instance: agent note waits for the gate");
    gate.open();
  });
}

TEST_F(DiagnosisTest, ARecordAfterAnotherOfItsKeySaysSo) {
  stuck = {0};
  declare({.concurrency = 3, .ordered_by_key = true}, 2);
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.create("in", 2);
    co_await world.produce("in", {{"a", "0", {}, 0}});
    co_await world.eventually([&] { return gate.waiting() == 1; });
    co_await world.produce("in", {{"a", "1", {}, 1}});
    co_await world.eventually([&] { return first(worker, 1).kind == "key"; });
    EXPECT_EQ(first(worker, 0).kind, "agent");
    gate.open();
  });
}

TEST_F(DiagnosisTest, ASpentMemoryBudgetIsReported) {
  world.set("memory_budget", "1MiB");
  world.app.agent("note", world.app.topic<std::string>("in", {.partitions = 1, .serializer = "raw"}),
                  [&](Stream<std::string> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) co_await gate.pass();
                  });
  world.work([&](Worker& worker) -> Task<void> {
    for (int i = 0; i < 40; ++i) co_await world.produce("in", {{std::nullopt, std::string(100 << 10, 'x'), {}}});
    co_await sleep_for(10s);
    EXPECT_THAT(standing(worker).reasons, SizeIs(2));
    EXPECT_EQ(standing(worker).reasons.back().kind, "memory");
    EXPECT_THAT(standing(worker).reasons.back().text, HasSubstr("is paused"));
    gate.open();
  });
}

struct Guarantee {
  const char* name;
  const char* trouble;
  const char* under_way;
};
class ALogThatTakesNothing : public DiagnosisTest, public ::testing::WithParamInterface<Guarantee> {};

TEST_P(ALogThatTakesNothing, ComesFirst) {
  const auto& guarantee = GetParam();
  world.set("processing_guarantee", guarantee.name);
  auto& out = world.app.topic<int>("out", {.partitions = 1});
  world.app.agent("note", world.app.topic<int>("in", {.partitions = 1}), [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) {
      co_await out.cast(*event);
      ++done;
    }
  });
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(2));
    memory_faults(*world.log).fail_appends = 1000;
    co_await world.eventually([&] { return done == 2; });
    co_await sleep_for(20s);
    EXPECT_EQ(first(worker).kind, "log");
    EXPECT_THAT(first(worker).text, HasSubstr(guarantee.trouble));
    EXPECT_THAT(first(worker).ms, Ge(10'000));
    EXPECT_EQ(standing(worker).reasons.back().text, guarantee.under_way);
    memory_faults(*world.log).fail_appends = 0;
    co_await sleep_for(10s);
    EXPECT_THAT(standing(worker).reasons, IsEmpty());
  });
}

INSTANTIATE_TEST_SUITE_P(
    Guarantees, ALogThatTakesNothing,
    ::testing::Values(Guarantee{"at_least_once", "the log does not accept sent records: ", "a commit is under way"},
                      Guarantee{"exactly_once", "the log does not accept commits: ", "a transaction is open"}),
    [](const auto& of) { return std::string{of.param.name}; });

// Two partitions: the one of `in`, and the leader's.
TEST_F(DiagnosisTest, RebalancesAreKeptWithTheirReasonAndPhases) {
  world.set("drain_timeout", "2s");
  stuck = {0};
  declare();
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.eventually([&] { return lanes(worker).size() == 2; });
    co_await sleep_for(2s);
    EXPECT_THAT(shard_of(worker).rebalances(), SizeIs(1));
    co_await world.expel({"in"});
    co_await world.eventually([&] { return lanes(worker).size() == 2; });
    co_await world.produce("in", numbered(1));
    co_await world.eventually([&] { return gate.waiting() == 1; });
    co_await worker.stop();
    std::vector<std::string> lines;
    for (const auto& one : shard_of(worker).rebalances())
      lines.push_back(
          fmt::format("{}: {} -> {}, drain {}, over {}", one.reason, one.before, one.after, one.drain_ms, one.over));
    EXPECT_THAT(lines, ElementsAre("start: 0 -> 2, drain 0, over true", "lost: 2 -> 1, drain 0, over true",
                                   "assigned: 1 -> 2, drain 0, over true", "stop: 2 -> 0, drain 2000, over true"));
    EXPECT_EQ(shard_of(worker).rebalances().back().total_ms, 2000);
  });
}

}  // namespace
}  // namespace mephisto::tests
