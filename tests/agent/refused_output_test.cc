// If the log refuses an output of an event, that event fails, and no other event is affected.
#include <gmock/gmock.h>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using Then = ErrorPolicy::Then;

// An app that copies `in` to `out`. For one of the numbers it also sends a record that the log refuses.
class RefusedOutput : public ::testing::TestWithParam<const char*> {
 protected:
  RefusedOutput() { world.set("processing_guarantee", GetParam()).set("drain_timeout", "5s"); }

  bool exactly_once() const { return std::string_view{GetParam()} == "exactly_once"; }
  // A compacted topic refuses a record without a key.
  Task<void> send_what_is_refused() { co_await compacted.cast(0); }
  void copy(AgentOptions options = {}) {
    world.app.agent(
        "copy", in,
        [this](Stream<int> stream) -> Task<void> {
          while (auto event = co_await stream.next()) {
            ++handled;
            co_await out.cast(*event);
            if (*event == bad) co_await send_what_is_refused();
            if (*event == stuck) co_await gate.pass();
          }
        },
        std::move(options));
  }
  std::vector<Row> dead() {
    return world.run([&] { return world.records("app-copy-dlq"); });
  }
  // The values in `out` without the bad event's, which must be absent under exactly once.
  Task<std::vector<std::string>> copied() {
    auto all = co_await world.values_in("out");
    if (exactly_once()) EXPECT_THAT(all, Not(Contains(std::to_string(bad))));
    std::erase(all, std::to_string(bad));
    co_return all;
  }
  static std::vector<std::string> others(int count, int bad) {
    auto all = values(numbered(count));
    std::erase(all, std::to_string(bad));
    return all;
  }

  TestApp world;
  Gate gate;
  int bad = 5;
  int stuck = -1;
  int handled = 0;
  const Topic<int>& in = world.app.topic<int>("in", {.partitions = 1});
  const Topic<int>& out = world.app.topic<int>("out", {.partitions = 1});
  const Topic<int>& compacted = world.app.topic<int>("compacted", {.partitions = 1, .compacting = true});
};

INSTANTIATE_TEST_SUITE_P(Guarantees, RefusedOutput, ::testing::Values("at_least_once", "exactly_once"),
                         [](const auto& info) { return info.param; });

TEST_P(RefusedOutput, IsItsEventsFailureAndNobodyElses) {
  copy();
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(10));
    co_await world.eventually_committed("in", 10);
    EXPECT_EQ(account(worker, "copy").dead_lettered, 1U);
    EXPECT_EQ(account(worker, "copy").acked, 9U);
    EXPECT_EQ(co_await copied(), others(10, bad)) << "lost, doubled or out of order";
  });
  ASSERT_THAT(dead(), SizeIs(1));
  EXPECT_EQ(dead()[0].value, "5");
  EXPECT_EQ(dead()[0].header("x-offset"), "5");
  EXPECT_EQ(dead()[0].header("x-error-kind"), "output");
  EXPECT_THAT(dead()[0].header("x-error"), AllOf(HasSubstr("the log refused what it sent"), HasSubstr("compacted")));
}

TEST_P(RefusedOutput, IsNotMetAgainAfterARestart) {
  copy();
  for (int run = 0; run < 2; ++run) {
    world.work([&](Worker&) -> Task<void> {
      co_await world.produce("in", numbered(10, run * 10));
      co_await world.eventually_committed("in", (run + 1) * 10);
    });
  }
  EXPECT_THAT(dead(), SizeIs(1));
  EXPECT_EQ(world.run([&] { return copied(); }), others(20, bad));
}

// Its changes are among those of the events that are committed with it.
TEST_P(RefusedOutput, LeavesNoChangeOfState) {
  auto& counts = world.app.table<int, int>("counts", {.partitions = 1});
  world.app.agent("copy", in,
                  [&](Stream<int> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) {
                      counts[*event] += 1;
                      if (*event % 7 == 0) co_await send_what_is_refused();
                      co_await out.cast(*event);
                      co_await sleep_for(std::chrono::milliseconds{*event % 5});
                    }
                  },
                  {.concurrency = 3});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(100));
    co_await world.eventually_committed("in", 100);
  });
  EXPECT_THAT(dead(), SizeIs(15));
  std::map<std::string, std::string> changes;
  for (const auto& row : world.run([&] { return world.records("app-counts-changelog"); })) {
    EXPECT_TRUE(changes.emplace(*row.key, *row.value).second) << row;
    EXPECT_EQ(row.value, "1") << row;
    EXPECT_NE(std::stoi(*row.key) % 7, 0) << row;
  }
  EXPECT_THAT(changes, SizeIs(85));
}

TEST_P(RefusedOutput, OfManyEventsIsEachOnesFailure) {
  world.app.agent("copy", world.app.topic<int>("wide", {.partitions = 3}),
                  [this](Stream<int> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) {
                      if (*event % 7 == 0) co_await send_what_is_refused();
                      co_await out.cast(*event);
                      co_await sleep_for(std::chrono::milliseconds{*event % 5});
                    }
                  },
                  {.concurrency = 3});
  world.work([&](Worker& worker) -> Task<void> {
    auto rows = numbered(100);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].partition = static_cast<int>(i % 3);
    co_await world.create("wide", 3);
    co_await world.produce("wide", rows);
    co_await world.eventually(
        [&] { return account(worker, "copy").acked + account(worker, "copy").dead_lettered == 100; });
    co_await world.eventually_in("app-copy-dlq", 15);
    co_await sleep_for(10s);
    EXPECT_EQ(account(worker, "copy").dead_lettered, 15U);
    auto sent = co_await world.values_in("out");
    std::erase_if(sent, [](const std::string& value) { return std::stoi(value) % 7 == 0; });
    EXPECT_THAT(sent, SizeIs(85)) << "lost or doubled";
  });
  EXPECT_THAT(dead(), SizeIs(15));
}

TEST_P(RefusedOutput, OfAnEventThatIsStillInHandIsItsFailureToo) {
  stuck = bad;
  copy();
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(7));
    co_await world.eventually([&] { return gate.waiting() == 1; });
    co_await sleep_for(10s);  // meanwhile the append fails, if it is made at once
    gate.open();
    co_await world.eventually_committed("in", 7);
    EXPECT_EQ(account(worker, "copy").dead_lettered, 1U);
    EXPECT_EQ(co_await copied(), others(7, bad));
  });
  EXPECT_THAT(dead(), SizeIs(1));
}

TEST_P(RefusedOutput, ThatIsAwaitedIsThrownInTheHandler) {
  std::string seen;
  world.app.agent("copy", in, [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) {
      if (*event == bad) co_await compacted.send(0);
      co_await out.cast(*event);
    }
  });
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(7));
    co_await world.eventually_committed("in", 7);
    EXPECT_EQ(co_await copied(), others(7, bad));
  });
  ASSERT_THAT(dead(), SizeIs(1));
  EXPECT_THAT(dead()[0].header("x-error"), HasSubstr("compacted"));
}

TEST_P(RefusedOutput, OfABatchIsTheFailureOfAllItsEvents) {
  world.app.agent("copy", in, [this](Stream<int> stream) -> Task<void> {
    while (auto batch = co_await stream.batch(3, 1s)) {
      for (int value : batch) co_await out.cast(value);
      if (batch.values.front() == 3) co_await send_what_is_refused();
    }
  });
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(9));
    co_await world.eventually_committed("in", 9);
    EXPECT_EQ(account(worker, "copy").dead_lettered, 3U);
  });
  EXPECT_THAT(values(dead()), UnorderedElementsAre("3", "4", "5"));
  auto sent = world.run([&] { return world.values_in("out"); });
  if (exactly_once()) {
    EXPECT_THAT(sent, ElementsAre("0", "1", "2", "6", "7", "8"));
  }
}

TEST_P(RefusedOutput, IsSkippedWhereThePolicySaysSo) {
  copy({.on_error = {.then = Then::kSkip}});
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(10));
    co_await world.eventually_committed("in", 10);
    EXPECT_EQ(account(worker, "copy").skipped, 1U);
    EXPECT_EQ(co_await copied(), others(10, bad));
  });
  EXPECT_THAT(dead(), IsEmpty());
}

TEST_P(RefusedOutput, StopsThePartitionBeforeItWhereThePolicySaysSo) {
  copy({.on_error = {.then = Then::kStopPartition}});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(10));
    co_await world.eventually_committed("in", 5);
    co_await sleep_for(10s);
    EXPECT_EQ(co_await world.committed("in"), 5);
  });
}

TEST_P(RefusedOutput, EndsTheWorkerWithTheReasonWhereThePolicySaysSo) {
  copy({.on_error = {.then = Then::kCrash}});
  world.run([&]() -> Task<void> { co_await world.produce("in", numbered(10)); });
  EXPECT_THAT(world.reason_of_end(), AllOf(HasSubstr("agent copy"), HasSubstr("in/0@5"), HasSubstr("compacted")));
  world.run([&]() -> Task<void> { EXPECT_THAT(co_await world.committed("in"), ::testing::Le(5)); });
}

TEST_P(RefusedOutput, ToATopicThatIsDeletedMeanwhile) {
  world.app.agent("copy", in, [this](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) {
      if (*event == bad) value_or_throw(co_await world.log->delete_topic("out"));
      co_await out.cast(*event);
    }
  });
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(bad));
    co_await world.eventually_committed("in", bad);
    co_await world.produce("in", numbered(1, bad));
    co_await world.eventually([&] { return account(worker, "copy").dead_lettered == 1; });
    co_await world.produce("in", numbered(3, 6));
    co_await world.eventually_committed("in", 9);
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("6", "7", "8"))
        << "the topic is made anew for what comes next";
  });
  ASSERT_THAT(dead(), SizeIs(1));
  EXPECT_THAT(dead()[0].header("x-error"), HasSubstr("there is no topic out"));
}

TEST_P(RefusedOutput, ADeadLetterThatIsRefusedKeepsReasonAndCoordinatesWithoutTheBytes) {
  copy();
  world.work([&](Worker&) -> Task<void> {
    TopicConfig config;
    config.partitions = 1;
    config.compact = true;
    value_or_throw(co_await world.log->create_topic("app-copy-dlq", config));
    co_await world.produce("in", {{std::nullopt, "no number", {{"mine", "kept by no one"}}}});
    co_await world.produce("in", numbered(3));
    co_await world.eventually_committed("in", 4);
    EXPECT_EQ(co_await copied(), others(3, bad));
  });
  ASSERT_THAT(dead(), SizeIs(1));
  EXPECT_EQ(dead()[0].key, "in/0@0");
  EXPECT_EQ(dead()[0].value, "");
  EXPECT_EQ(dead()[0].header("x-offset"), "0");
  EXPECT_THAT(dead()[0].header("x-error"), HasSubstr("number"));
  EXPECT_THAT(dead()[0].header("x-value-cut"), HasSubstr("compacted"));
  EXPECT_EQ(dead()[0].header("mine"), "(no such header)");
}

TEST_P(RefusedOutput, AReplyThatIsRefusedIsDroppedAndCounted) {
  world.app.agent("square", in, [](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) co_yield *event** event;
  });
  world.work([&](Worker& worker) -> Task<void> {
    TopicConfig config;
    config.partitions = 1;
    config.compact = true;
    value_or_throw(co_await world.log->create_topic("f-reply-stranger", config));
    co_await world.produce(
        "in", {{std::nullopt, "3", {{"Faust-Ag-ReplyTo", "f-reply-stranger"}, {"Faust-Ag-CorrelationId", "1"}}}});
    co_await world.produce("in", numbered(2));
    co_await world.eventually_committed("in", 3);
    EXPECT_EQ(account(worker, "square").acked, 3U);
    EXPECT_EQ(shard_of(worker).outbox().refused().replies_dropped(), 1U);
    EXPECT_THAT(co_await world.records("app-square-dlq"), IsEmpty());
  });
}

TEST_P(RefusedOutput, ToATopicThatWasFirstAnAddressForAReply) {
  world.app.agent("square", in, [this](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) {
      if (*event == bad) co_await send_what_is_refused();
      co_yield *event** event;
    }
  });
  world.work([&](Worker& worker) -> Task<void> {
    TopicConfig config;
    config.partitions = 1;
    config.compact = true;
    value_or_throw(co_await world.log->create_topic("compacted", config));
    co_await world.produce("in",
                           {{std::nullopt, "3", {{"Faust-Ag-ReplyTo", "compacted"}, {"Faust-Ag-CorrelationId", "1"}}}});
    co_await world.eventually_committed("in", 1);
    EXPECT_EQ(shard_of(worker).outbox().refused().replies_dropped(), 1U);
    co_await world.produce("in", numbered(1, bad));
    co_await world.eventually_committed("in", 2);
    EXPECT_EQ(shard_of(worker).outbox().refused().replies_dropped(), 1U) << "what is sent there is no reply";
    EXPECT_EQ(account(worker, "square").dead_lettered, 1U);
    EXPECT_THAT(co_await world.records("app-square-dlq"), SizeIs(1));
  });
}

TEST_P(RefusedOutput, ATimersRefusedRecordEndsNobody) {
  copy();
  world.app.timer("tick", 1s, [this]() -> Task<void> { co_await send_what_is_refused(); });
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.eventually([&] { return shard_of(worker).outbox().refused().lost() >= 2; });
    co_await world.produce("in", numbered(3));
    co_await world.eventually_committed("in", 3);
    EXPECT_THAT(co_await copied(), SizeIs(3));
  });
}

TEST_P(RefusedOutput, ARequestThatIsRefusedIsItsAskersError) {
  auto& total = world.app.agent("total", compacted, [](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) co_yield *event;
  });
  std::string reason;
  world.work([&](Worker&) -> Task<void> {
    const auto start = world.loop.now();
    reason = co_await failure_of(total.ask(1));
    EXPECT_LT(world.loop.now() - start, 1s) << "told at once, not at the deadline";
  });
  EXPECT_THAT(reason, HasSubstr("compacted"));
}

TEST(RefusedCast, OfACommandIsItsError) {
  TestApp world;
  auto& compacted = world.app.topic<int>("compacted", {.partitions = 1, .compacting = true});
  auto& out = world.app.topic<int>("out", {.partitions = 1});
  world.run([&]() -> Task<void> {
    Client client{world.app, world.log};
    co_await out.cast(1);
    co_await compacted.cast(2);
    co_await out.cast(3);
    EXPECT_THAT(co_await failure_of(client.close()), HasSubstr("compacted"));
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("1", "3"));
  });
}

}  // namespace
}  // namespace mephisto::tests
