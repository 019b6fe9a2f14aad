// Conformance: reading without a group, pausing, and waiting.
#include <gmock/gmock.h>

#include <thread>

#include "drivers.h"
#include "mephisto/sync.h"

namespace mephisto::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const TopicPartition kZero{"orders", 0};
const TopicPartition kOne{"orders", 1};

bool nothing(const PollResult& polled) {
  return polled.lost.empty() && polled.revoked.empty() && polled.assigned.empty() && polled.batches.empty();
}

class LogConsuming : public LogTest {
 protected:
  Member reader(std::map<TopicPartition, std::int64_t> partitions) {
    ReaderOptions options;
    options.partitions = std::move(partitions);
    return {*log, loop, options};
  }
  // Polls until everything is read, so that the next poll returns nothing.
  void drain(Member& member) { settle({&member}); }
};

TEST_P(LogConsuming, WithoutAGroupItReadsThePartitionsAndOffsetsItIsGiven) {
  create("orders", 3);
  append(kZero, 3, "a");
  append(kOne, 3, "b");
  append({"orders", 2}, 3, "c");
  auto member = reader({{kZero, 1}, {kOne, -1}});
  until({&member}, [&] { return member.all_read().size() == 5; });
  EXPECT_THAT(values(member.read[kZero]), ElementsAre("a1", "a2"));
  EXPECT_THAT(values(member.read[kOne]), ElementsAre("b0", "b1", "b2"));
  ASSERT_THAT(member.assignments, SizeIs(2));
  EXPECT_EQ(member.assignments[0].partition, kZero);
  EXPECT_EQ(member.assignments[0].offset, 1);
  EXPECT_EQ(member.assignments[1].offset, 0);
  EXPECT_THAT(must(log->groups()), IsEmpty());
}

TEST_P(LogConsuming, AnOffsetAfterTheEndWaitsForItsRecord) {
  create("orders");
  append(kZero, 2, "a");
  auto member = reader({{kZero, 4}});
  drain(member);
  append(kZero, 2, "b");
  drain(member);
  EXPECT_THAT(member.all_read(), IsEmpty());
  append(kZero, 2, "c");
  drain(member);
  EXPECT_THAT(offsets(member.all_read()), ElementsAre(4, 5));
}

TEST_P(LogConsuming, APartitionThatIsNotThereIsNotFoundEveryTime) {
  create("orders");
  auto member = reader({{kZero, 0}, {{"orders", 5}, 0}});
  for (int attempt = 0; attempt < 2; ++attempt) {
    try {
      await(member.step(driver.wait));
      ADD_FAILURE() << "attempt " << attempt << " went well";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), ErrorKind::kNotFound);
      EXPECT_THAT(failure.what(), HasSubstr("orders/5"));
    }
  }
}

TEST_P(LogConsuming, AReaderCanBeClosedAndGivenUp) {
  create("orders");
  append(kZero, 2);
  auto member = reader({{kZero, 0}});
  drain(member);
  await(member.close());
}

TEST_P(LogConsuming, TwoReadersDoNotDisturbEachOther) {
  create("orders");
  append(kZero, 4);
  auto one = reader({{kZero, 0}});
  auto two = reader({{kZero, 2}});
  until({&one, &two}, [&] { return one.all_read().size() == 4 && two.all_read().size() == 2; });
  append(kZero, 1, "late");
  until({&one, &two}, [&] { return one.all_read().size() == 5 && two.all_read().size() == 3; });
}

TEST_P(LogConsuming, APausedPartitionBringsNothingUntilItIsResumed) {
  create("orders", 2);
  auto member = reader({{kZero, 0}, {kOne, 0}});
  drain(member);
  member.reader->pause(member.id_of(kZero));
  append(kZero, 2, "a");
  append(kOne, 2, "b");
  drain(member);
  EXPECT_THAT(values(member.all_read()), ElementsAre("b0", "b1"));
  member.reader->resume(member.id_of(kZero));
  drain(member);
  EXPECT_THAT(values(member.read[kZero]), ElementsAre("a0", "a1"));
  append(kZero, 1, "c");
  drain(member);
  EXPECT_THAT(values(member.read[kZero]), ElementsAre("a0", "a1", "c0"));
}

TEST_P(LogConsuming, AnAssignmentFromTheGroupBringsNothingBeforeItIsResumed) {
  create("orders", 2);
  append(kZero, 3, "a");
  append(kOne, 3, "b");
  auto one = member("billing", "one", {"orders"});
  one.resumes = false;
  until({&one}, [&] { return one.stays.size() == 2; });
  for (int i = 0; i < 3; ++i) await(one.step(driver.wait));
  EXPECT_THAT(one.all_read(), SizeIs(0));
  one.reader->resume(one.id_of(kOne));
  until({&one}, [&] { return one.all_read().size() == 3; });
  EXPECT_THAT(values(one.all_read()), ElementsAre("b0", "b1", "b2"));
  one.reader->resume(one.id_of(kZero));
  until({&one}, [&] { return one.all_read().size() == 6; });
  await(one.close());
}

TEST_P(LogConsuming, AReaderReadsWhatIsAddedUntilItIsRemoved) {
  create("orders", 2);
  append(kZero, 3, "a");
  append(kOne, 3, "b");
  auto member = reader({});
  const auto zero = member.reader->add(kZero, 1);
  until({&member}, [&] { return member.all_read().size() == 2; });
  EXPECT_EQ(member.id_of(kZero), zero);
  const auto one = member.reader->add(kOne, -1);
  until({&member}, [&] { return member.all_read().size() == 5; });
  EXPECT_THAT(values(member.read[kZero]), ElementsAre("a1", "a2"));
  EXPECT_THAT(values(member.read[kOne]), ElementsAre("b0", "b1", "b2"));
  member.reader->remove(zero);
  append(kZero, 1, "gone");
  append(kOne, 1, "more");
  until({&member}, [&] { return member.read[kOne].size() == 4; });
  EXPECT_THAT(member.read[kZero], SizeIs(2));
  member.reader->remove(one);
  member.reader->remove(one);
}

TEST_P(LogConsuming, PausingTwiceOrWhatIsNotHeldIsNoHarm) {
  create("orders");
  append(kZero, 1);
  auto member = reader({{kZero, 0}});
  drain(member);
  auto id = member.id_of(kZero);
  member.reader->pause(id);
  member.reader->pause(id);
  member.reader->pause(id + 1'000'000);
  member.reader->resume(id + 1'000'000);
  append(kZero, 1, "more");
  drain(member);
  EXPECT_THAT(member.all_read(), SizeIs(1));
  member.reader->resume(id);
  member.reader->resume(id);
  drain(member);
  EXPECT_THAT(member.all_read(), SizeIs(2));
}

TEST_P(LogConsuming, APollOfNothingEndsAfterItsWait) {
  create("orders");
  auto member = reader({{kZero, 0}});
  drain(member);
  for (auto wait : {50ms, 120ms}) {
    const auto start = loop.now();
    EXPECT_TRUE(nothing(await(member.reader->poll(1 << 20, wait))));
    EXPECT_GE(since(start, loop), wait - 1ms);
    EXPECT_LT(since(start, loop), wait + 2s);
  }
}

TEST_P(LogConsuming, APollThatMayNotWaitDoesNot) {
  create("orders");
  auto member = reader({{kZero, 0}});
  drain(member);
  append(kZero, 1);
  until({&member}, [&] {
    await(member.step(0ms));
    return member.all_read().size() == 1;
  });
  const auto start = loop.now();
  EXPECT_TRUE(nothing(await(member.reader->poll(1 << 20, 0ms))));
  EXPECT_LT(since(start, loop), 1s);
}

TEST_P(LogConsuming, AnAppendWakesAWaitingPoll) {
  create("orders");
  auto member = reader({{kZero, 0}});
  drain(member);
  std::optional<PollResult> polled;
  auto waiting = loop.spawn("reader", [](Member& who, std::optional<PollResult>& got) -> Task<void> {
    got = co_await who.reader->poll(1 << 20, 1h);
  }(member, polled));
  await([]() -> Task<void> { co_await yield(); }());
  EXPECT_FALSE(polled);
  const auto start = loop.now();
  append(kZero, 1);
  await(timeout(driver.patience, waiting.join()));
  EXPECT_LT(since(start, loop), 800ms) << "no timer is behind this";
  ASSERT_TRUE(polled);
  EXPECT_THAT(polled->batches, SizeIs(1));
}

// However the writer's commit and the reader's check coincide, the last record must wake the reader at once.
TEST_P(LogConsuming, NoRecordOfABusyWriterIsMissedByASleepingReader) {
  constexpr int kBursts = 60;
  create("orders");
  auto member = reader({{kZero, 0}});
  auto slowest = await([](World& world, Member& who) -> Task<std::chrono::milliseconds> {
    std::chrono::milliseconds worst{0};
    std::size_t sent = 0;
    for (int burst = 0; burst < kBursts; ++burst) {
      auto writing = world.loop.spawn("writer", [](World& in, int count) -> Task<void> {
        for (int i = 0; i < count; ++i) value_or_throw(co_await in.send(out(kZero, numbered(1, in.now()))));
      }(world, 1 + burst % 5));
      sent += static_cast<std::size_t>(1 + burst % 5);
      while (!writing.done()) co_await who.step(1ms);
      const auto start = world.loop.now();
      while (who.read[kZero].size() < sent && since(start, world.loop) < 2s) co_await who.step(2s);
      worst = std::max(worst, since(start, world.loop));
      if (worst >= 2s) break;  // the reader missed it; once is enough
    }
    co_return worst;
  }(*this, member));
  EXPECT_LT(slowest, 400ms);
  EXPECT_FALSE(HasFailure());
}

TEST_P(LogConsuming, ResumingWakesAWaitingPoll) {
  create("orders");
  auto member = reader({{kZero, 0}});
  drain(member);
  member.reader->pause(member.id_of(kZero));
  append(kZero, 1);
  drain(member);
  auto waiting = loop.spawn("reader", [](Member& who) -> Task<void> { co_await who.step(1h); }(member));
  await([]() -> Task<void> { co_await yield(); }());
  EXPECT_FALSE(waiting.done());
  member.reader->resume(member.id_of(kZero));
  await(timeout(driver.patience, waiting.join()));
  EXPECT_THAT(member.all_read(), SizeIs(1));
}

TEST_P(LogConsuming, ACancelledPollEndsAndTheNextOneLosesNothing) {
  create("orders");
  auto member = reader({{kZero, 0}});
  drain(member);
  auto waiting = loop.spawn("reader", [](Member& who) -> Task<void> { co_await who.step(1h); }(member));
  await([]() -> Task<void> { co_await yield(); }());
  waiting.cancel();
  await(timeout(driver.patience, waiting.finished()));
  append(kZero, 3);
  drain(member);
  EXPECT_THAT(member.all_read(), SizeIs(3));
}

TEST_P(LogConsuming, AMemberSeesATopicThatIsCreatedAfterItJoined) {
  create("orders");
  auto member = this->member("billing", "one", {"orders", "refunds"});
  settle({&member});
  EXPECT_EQ(member.owned("orders").size(), 1U);
  create("refunds", 2);
  append({"refunds", 1}, 1);
  until({&member}, [&] { return member.owned("refunds").size() == 2 && member.all_read().size() == 1; });
}

TEST_P(LogConsuming, LogsAreReadFromSeveralLoopsAtOnce) {
  create("orders");
  std::vector<std::thread> threads;
  std::array<std::size_t, 2> got{};
  for (std::size_t i = 0; i < got.size(); ++i) {
    threads.emplace_back([&, i] {
      Loop own{Loop::Clock::kReal};
      ReaderOptions options;
      options.partitions[kZero] = 0;
      Member member{*log, own, options};
      const auto deadline = own.now() + 20s;
      while (got[i] < 50 && own.now() < deadline) {
        own.run(member.step(20ms));
        got[i] = member.read[kZero].size();
      }
    });
  }
  for (int i = 0; i < 50; ++i) append(kZero, 1);
  for (auto& thread : threads) thread.join();
  EXPECT_THAT(got, ElementsAre(50U, 50U));
}

MEPHISTO_ON_EVERY_DRIVER(LogConsuming);

}  // namespace
}  // namespace mephisto::test
