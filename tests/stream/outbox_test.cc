// Sending at least once: which records are appended, in which order, and which are retried or refused.
#include <gmock/gmock.h>

#include <cmath>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A client that sends to `out`.
class Sending : public ::testing::Test {
 protected:
  template <class Body>
  void send(Body body) {
    world.run([&]() -> Task<void> {
      Client client{world.app, world.log};
      co_await body();
      co_await client.close();
    });
  }
  std::vector<Row> sent() {
    return world.run([&] { return world.records("out"); });
  }

  TestApp world;
  const Topic<std::string>& out = world.app.topic<std::string>("out", {.partitions = 1, .serializer = "raw"});
};

TEST_F(Sending, SendGivesThePlaceOfTheRecord) {
  send([&]() -> Task<void> {
    co_await out.send("a");
    auto second = co_await out.send("b");
    EXPECT_EQ(second.topic, "out");
    EXPECT_EQ(second.partition, 0);
    EXPECT_EQ(second.offset, 1);
    EXPECT_EQ(second.timestamp, world.loop.timestamp());
  });
}

TEST_F(Sending, SendIsDurableWhenItReturns) {
  auto& faults = memory_faults(*world.log);
  send([&]() -> Task<void> {
    co_await world.create("out");
    faults.hold = true;
    auto sending =
        world.loop.spawn("send", [](const Topic<std::string>& to) -> Task<void> { (void)co_await to.send("a"); }(out));
    co_await sleep_for(1min);
    EXPECT_FALSE(sending.done());
    faults.hold = false;
    faults.flush();
    co_await sending.join();
  });
}

TEST_F(Sending, CastsKeepTheirOrder) {
  send([&]() -> Task<void> {
    for (int i = 0; i < 100; ++i) co_await out.cast(std::to_string(i));
  });
  EXPECT_EQ(values(sent()), values(numbered(100)));
}

TEST_F(Sending, AFailedAppendIsTriedAgainAndNothingIsLostOrDoubled) {
  send([&]() -> Task<void> {
    co_await world.create("out");
    memory_faults(*world.log).fail_appends = 5;
    for (int i = 0; i < 10; ++i) {
      co_await out.cast(std::to_string(i));
      co_await yield();
      co_await yield();
    }
  });
  EXPECT_EQ(values(sent()), values(numbered(10)));
}

TEST_F(Sending, KeyHeadersAndTimestampGoWithTheRecord) {
  send([&]() -> Task<void> {
    co_await out.send("v", {.key = "k", .timestamp = Timestamp{5ms}, .headers = {{"a", "1"}, {"b", std::nullopt}}});
  });
  auto row = sent().at(0);
  EXPECT_EQ(row.key, "k");
  EXPECT_THAT(row.headers, ElementsAre(Header{"a", "1"}, Header{"b", std::nullopt}));
}

TEST_F(Sending, APartitionThatIsNotThereIsNamed) {
  send([&]() -> Task<void> {
    EXPECT_EQ(co_await failure_of(out.send("v", {.partition = 3})), "topic out has partitions 0 to 0, not 3");
  });
}

TEST_F(Sending, OutsideOfAnAppSaysWhereItWorks) {
  world.run([&]() -> Task<void> {
    EXPECT_THAT(co_await failure_of(out.send("v")),
                HasSubstr("sending to topic out works in an agent, task, timer or command"));
  });
}

TEST_F(Sending, ATombstoneIsSentRaw) {
  send([&]() -> Task<void> { co_await out.send_raw(std::nullopt, {.key = "k"}); });
  EXPECT_EQ(sent().at(0).value, std::nullopt);
}

TEST_F(Sending, ARecordThatIsTooLargeIsItsSendersError) {
  send([&]() -> Task<void> {
    co_await world.create("out");
    EXPECT_THAT(co_await failure_of(out.send(std::string(kMaxRecordBytes + 1, 'x'))),
                AllOf(HasSubstr("too large"), HasSubstr("out/0")));
    EXPECT_EQ((co_await out.send("after")).offset, 0);
  });
}

TEST_F(Sending, ARecordThatIsTooLargeTakesNoOtherWithIt) {
  send([&]() -> Task<void> {
    co_await world.create("out");
    co_await out.cast("before");
    auto large = world.loop.spawn("large", [](const Topic<std::string>& to) -> Task<void> {
      (void)co_await failure_of(to.send(std::string(kMaxRecordBytes + 1, 'x')));
    }(out));
    co_await large.join();
    EXPECT_EQ(co_await failure_of(out.send("after")), "");
  });
  EXPECT_THAT(values(sent()), ElementsAre("before", "after"));
}

TEST_F(Sending, TwoSendersGetTheirOwnOutcomeWhenOneRecordIsTooLarge) {
  send([&]() -> Task<void> {
    co_await world.create("out");
    auto [good, bad] =
        co_await when_all(failure_of(out.send("good")), failure_of(out.send(std::string(kMaxRecordBytes + 1, 'x'))));
    EXPECT_EQ(good, "");
    EXPECT_THAT(bad, HasSubstr("too large"));
  });
  EXPECT_THAT(values(sent()), ElementsAre("good"));
}

TEST_F(Sending, AValueThatIsRefusedTakesNoOtherWithIt) {
  const auto& numbers = world.app.topic<double>("numbers", {.partitions = 1});
  send([&]() -> Task<void> {
    co_await numbers.cast(1);
    EXPECT_THAT(co_await failure_of(numbers.send(std::nan(""))), HasSubstr("NaN is not a number in JSON"));
    EXPECT_THROW(co_await numbers.cast(HUGE_VAL), Failure);
    co_await numbers.send(2);
  });
  EXPECT_THAT(values(world.run([&] { return world.records("numbers"); })), ElementsAre("1.0", "2.0"));
}

TEST_F(Sending, HeadersAreLimitedAsTheyAreStored) {
  send([&]() -> Task<void> {
    co_await world.create("out");
    SendOptions options;
    for (int i = 0; i < 32 << 10; ++i)
      options.headers.push_back({"h", "v"});  // 64 KiB of names, values and their lengths
    EXPECT_THAT(co_await failure_of(out.send("v", options)), AllOf(HasSubstr("headers"), HasSubstr("out/0")));
    EXPECT_EQ((co_await out.send("after")).offset, 0);
  });
}

TEST_F(Sending, ACancelledSendLeavesTheOthersAlone) {
  send([&]() -> Task<void> {
    auto sending =
        world.loop.spawn("send", [](const Topic<std::string>& to) -> Task<void> { (void)co_await to.send("a"); }(out));
    co_await yield();
    sending.cancel();
    co_await out.send("b");
  });
  EXPECT_THAT(values(sent()), ::testing::Contains("b"));
}

TEST_F(Sending, SendersWaitWhileTooMuchIsUnderWay) {
  auto& faults = memory_faults(*world.log);
  send([&]() -> Task<void> {
    co_await world.create("out");
    faults.fail_appends = 1'000'000;
    int cast = 0;
    auto sending = world.loop.spawn("cast", [](const Topic<std::string>& to, int& count) -> Task<void> {
      for (; count < 100; ++count) co_await to.cast(std::string(1 << 20, 'x'));
    }(out, cast));
    co_await sleep_for(1min);
    EXPECT_LT(cast, 30) << "MiB are kept for a log that takes nothing";
    faults.fail_appends = 0;
    co_await sending.join();
  });
}

// An agent under at least once: its output is durable before its offset is committed.
class SendingAgent : public ::testing::Test {
 protected:
  SendingAgent() {
    world.app.agent("copy", world.app.topic<int>("in", {.partitions = 1}), [this](Stream<int> stream) -> Task<void> {
      while (auto event = co_await stream.next())
        co_await out.cast(*event == large ? std::string(kMaxRecordBytes + 1, 'x') : std::to_string(*event));
    });
  }
  TestApp world;
  int large = -1;
  const Topic<std::string>& out = world.app.topic<std::string>("out", {.partitions = 1, .serializer = "raw"});
};

TEST_F(SendingAgent, AnOffsetIsNotCommittedBeforeItsOutputIsAppended) {
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(3));
    memory_faults(*world.log).fail_appends = 1'000'000;
    co_await world.eventually([&] { return account(worker, "copy").acked == 3; });
    co_await sleep_for(1min);
    EXPECT_EQ(co_await world.committed("in"), -1);
    memory_faults(*world.log).fail_appends = 0;
    co_await world.eventually_committed("in", 3);
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("0", "1", "2"));
  });
}

TEST_F(SendingAgent, AStopWaitsForOutputsThatAreTriedAgain) {
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.produce("in", numbered(3));
    memory_faults(*world.log).fail_appends = 5;
    co_await world.eventually([&] { return account(worker, "copy").acked == 3; });
  });
  EXPECT_THAT(values(world.run([&] { return world.records("out"); })), ElementsAre("0", "1", "2"));
}

TEST_F(SendingAgent, AStopEndsAlsoWhileTheLogTakesNothing) {
  world.set("drain_timeout", "5s");
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.produce("in", numbered(3));
    memory_faults(*world.log).fail_appends = 1'000'000;
    co_await world.eventually([&] { return account(worker, "copy").acked == 3; });
    co_await sleep_for(10s);  // a commit waits for its outputs
    const auto start = world.loop.now();
    EXPECT_THAT(co_await failure_of(worker.stop()), HasSubstr("did not accept"));
    EXPECT_LT(world.loop.now() - start, 10s);
    EXPECT_EQ(co_await world.committed("in"), -1) << "an offset without its output";
    memory_faults(*world.log).fail_appends = 0;
  });
}

TEST_F(SendingAgent, AnOutputThatIsTooLargeIsAnErrorOfItsEvent) {
  large = 1;
  EXPECT_EQ(world.run([&]() -> Task<std::string> {
    Worker worker{world.app, world.log};
    co_await worker.start();
    co_await world.produce("in", numbered(3));
    co_await sleep_for(10min);
    EXPECT_THAT(co_await world.values_in("app-copy-dlq"), ElementsAre("1"));
    EXPECT_EQ(co_await world.committed("in"), 3);
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("0", "2"));
    co_return co_await failure_of(worker.stop());
  }),
            "");
}

}  // namespace
}  // namespace mephisto::tests
