// The faults that a test can request from memory://, each as an app meets it.
#include <fmt/ranges.h>
#include <gmock/gmock.h>

#include "drivers.h"

namespace mephisto::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const TopicPartition kZero{"orders", 0};
const TopicPartition kOne{"orders", 1};

class MemoryLog : public ::testing::Test, public World {
 protected:
  MemoryLog() : World(drivers().at(0)) {}

  MemoryFaults& faults() { return memory_faults(*log); }
  std::optional<ErrorKind> append_kind(const std::string& prefix) {
    return kind_of(send(out(kZero, numbered(1, now(), prefix))));
  }
  // Starts `task`, which may never be answered; its frame is kept until the process ends.
  Spawned& forget(Task<void> task) {
    static auto* kept = new std::vector<std::unique_ptr<Spawned>>;
    return *kept->emplace_back(std::make_unique<Spawned>(loop.spawn("unanswered", std::move(task))));
  }
  void turn() {
    await([]() -> Task<void> {
      for (int i = 0; i < 10; ++i) co_await yield();
    }());
  }
  static Task<void> append_and_note(World& world, TopicPartition partition, std::string prefix, bool& answered) {
    value_or_throw(co_await world.send(out(partition, numbered(2, world.now(), prefix))));
    answered = true;
  }
  static Task<void> commit_and_note(Member& member, bool& answered) {
    value_or_throw(co_await member.commit());
    answered = true;
  }
};

TEST_F(MemoryLog, TakesNoFaultsOnBehalfOfAnother) {
  TempDir other;
  auto local = open_log("local://" + other / "log");
  try {
    memory_faults(*local);
    ADD_FAILURE();
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), ErrorKind::kInvalid);
    EXPECT_THAT(failure.what(), HasSubstr("local://"));
  }
}

TEST_F(MemoryLog, IsEmptyAgainOnceNobodyHoldsIt) {
  const auto url = log->url();
  create("orders");
  EXPECT_THAT(must(open_log(url)->topics()), SizeIs(1));
  producer.reset();
  log.reset();
  log = open_log(url);
  EXPECT_THAT(must(log->topics()), IsEmpty());
}

TEST_F(MemoryLog, VirtualTimeMovesOnlyWhenNothingElseIsToDo) {
  create("orders");
  auto reader = member("billing", "one", {"orders"});
  const auto start = loop.now();
  append(kZero, 100);
  EXPECT_EQ(since(start, loop), 0ms);
  auto polled = await(reader.step(1h));
  EXPECT_EQ(since(start, loop), 0ms) << "there was something to do";
  settle({&reader});
  const auto later = loop.now();
  await(reader.step(1h));
  EXPECT_EQ(since(later, loop), 1h);
}

TEST_F(MemoryLog, ADelayIsBeforeEveryAnswer) {
  create("orders");
  auto member = this->member("billing", "one", {"orders"});
  until({&member}, [&] { return member.owns(kZero); });
  faults().delay = 150ms;
  auto start = loop.now();
  append(kZero, 1);
  EXPECT_EQ(since(start, loop), 150ms);
  start = loop.now();
  EXPECT_TRUE(await(member.commit()));
  EXPECT_EQ(since(start, loop), 150ms);
  faults().delay = 0ms;
  start = loop.now();
  append(kZero, 1);
  EXPECT_EQ(since(start, loop), 0ms);
  EXPECT_THAT(read(kZero), SizeIs(2));
}

TEST_F(MemoryLog, AppendsFailAsManyTimesAsAskedAndWriteNothing) {
  create("orders");
  faults().fail_appends = 2;
  EXPECT_EQ(append_kind("a"), ErrorKind::kUnavailable);
  EXPECT_THAT(last_error, HasSubstr("injected"));
  EXPECT_EQ(append_kind("b"), ErrorKind::kUnavailable);
  EXPECT_EQ(append_kind("c"), std::nullopt);
  EXPECT_EQ(faults().fail_appends, 0);
  auto rows = read(kZero);
  EXPECT_THAT(values(rows), ElementsAre("c0"));
  EXPECT_THAT(offsets(rows), ElementsAre(0));
}

TEST_F(MemoryLog, AFailedAppendLeavesItsTransactionsOffsetsAlone) {
  create("orders");
  create("out");
  append(kZero, 3);
  auto member = this->member("billing", "one", {"orders"});
  until({&member}, [&] { return member.all_read().size() == 3; });
  faults().fail_appends = 1;
  EXPECT_EQ(kind_of(send_with(out({"out", 0}, numbered(1, now())), *member.member, {{member.id_of(kZero), 3, ""}})),
            ErrorKind::kUnavailable);
  EXPECT_EQ(committed_offset("billing", kZero), -1);
  EXPECT_THAT(read({"out", 0}), IsEmpty());
}

TEST_F(MemoryLog, ACommitWhoseReplyIsLostHasHappened) {
  create("orders");
  create("out");
  append(kZero, 3);
  auto member = this->member("billing", "one", {"orders"});
  until({&member}, [&] { return member.all_read().size() == 3; });
  faults().lose_commit_replies = 2;
  EXPECT_EQ(kind_of(member.member->commit({{member.id_of(kZero), 2, ""}})), ErrorKind::kIndefinite);
  EXPECT_THAT(last_error, HasSubstr("unknown"));
  EXPECT_EQ(committed_offset("billing", kZero), 2);
  EXPECT_EQ(kind_of(send_with(out({"out", 0}, numbered(1, now())), *member.member, {{member.id_of(kZero), 3, ""}})),
            ErrorKind::kIndefinite);
  EXPECT_EQ(committed_offset("billing", kZero), 3);
  EXPECT_THAT(read({"out", 0}), SizeIs(1));
  EXPECT_TRUE(await(member.commit()));
}

TEST_F(MemoryLog, WhatIsHeldIsSeenButNotAnsweredUntilItIsFlushed) {
  create("orders");
  bool answered = false;
  faults().hold = true;
  auto& writing = forget(append_and_note(*this, kZero, "a", answered));
  turn();
  EXPECT_THAT(values(read(kZero)), ElementsAre("a0", "a1"));
  EXPECT_FALSE(answered);
  faults().flush();
  await(writing.join());
  EXPECT_TRUE(answered);
  EXPECT_THAT(values(read(kZero)), ElementsAre("a0", "a1"));
}

TEST_F(MemoryLog, ACrashForgetsWhatWasNotFlushedAndKeepsTheRest) {
  create("orders", 2);
  append(kZero, 1, "kept");
  auto member = this->member("billing", "one", {"orders"});
  until({&member}, [&] { return member.owned("orders").size() == 2 && member.all_read().size() == 1; });
  ASSERT_TRUE(await(member.member->commit({{member.id_of(kZero), 0, "kept"}})));
  bool flushed = false;
  bool zero = false;
  bool one = false;
  bool committed = false;
  faults().hold = true;
  auto& kept = forget(append_and_note(*this, kOne, "flushed", flushed));
  turn();
  faults().flush();
  await(kept.join());
  forget(append_and_note(*this, kZero, "gone", zero));
  forget(append_and_note(*this, kOne, "gone", one));
  forget(commit_and_note(member, committed));
  turn();
  EXPECT_EQ(committed_offset("billing", kZero), 1);
  faults().crash();
  faults().hold = false;
  turn();
  EXPECT_TRUE(flushed);
  EXPECT_FALSE(zero || one || committed) << "nobody is told anything";
  EXPECT_EQ(committed_offset("billing", kZero), 0);
  EXPECT_EQ(this->committed("billing", kZero)->metadata, "kept");
  EXPECT_EQ(append(kZero, 1, "new"), 1);
  EXPECT_THAT(values(read(kZero)), ElementsAre("kept0", "new0"));
  EXPECT_THAT(values(read(kOne)), ElementsAre("flushed0", "flushed1"));
}

TEST_F(MemoryLog, AfterACrashEveryMemberIsOut) {
  create("orders");
  append(kZero, 2);
  auto member = this->member("billing", "one", {"orders"});
  until({&member}, [&] { return member.all_read().size() == 2; });
  faults().crash();
  EXPECT_EQ(kind_of(member.member->commit({{member.id_of(kZero), 1, ""}})), ErrorKind::kFenced);
  until({&member}, [&] { return member.lost == 1 && member.owns(kZero); });
}

TEST_F(MemoryLog, AMemberThatReadWhatACrashTookReadsWhatComesInItsPlace) {
  create("orders");
  append(kZero, 2, "kept");
  auto member = this->member("billing", "one", {"orders"});
  until({&member}, [&] { return member.all_read().size() == 2; });
  ASSERT_TRUE(await(member.commit()));
  faults().hold = true;
  bool answered = false;
  forget(append_and_note(*this, kZero, "gone", answered));
  until({&member}, [&] { return member.all_read().size() == 4; });
  faults().crash();
  faults().hold = false;
  member.read.clear();
  append(kZero, 1, "new");
  until({&member}, [&] { return !member.all_read().empty(); });
  EXPECT_THAT(values(member.all_read()), ElementsAre("new0"));
}

TEST_F(MemoryLog, AnExpiredMembersPartitionsMoveAndItsCommitsAreFenced) {
  create("orders", 2);
  append(kZero, 2);
  append(kOne, 2);
  auto one = member("billing", "one", {"orders"});
  auto two = member("billing", "two", {"orders"});
  until({&one, &two}, [&] { return one.owned("orders").size() == 1 && two.owned("orders").size() == 1; });
  ASSERT_TRUE(await(one.member->commit({{one.id_of(kZero), 1, ""}})));
  faults().expire("one");
  const auto start = loop.now();
  until({&two}, [&] { return two.owned("orders").size() == 2; });
  EXPECT_LE(since(start, loop), 1s) << "a look at the leases is due every quarter of a session";
  EXPECT_EQ(kind_of(one.member->commit({{one.id_of(kZero), 2, ""}})), ErrorKind::kFenced);
  EXPECT_EQ(two.stays.at(two.id_of(kZero)).assigned.offset, 1);
  settle({&one, &two});
  EXPECT_EQ(one.lost, 1);
  EXPECT_THAT(one.owned("orders"), SizeIs(1)) << "it is back";
}

TEST_F(MemoryLog, ExpiresMembersByTheirWholeName) {
  create("orders", 3);
  auto one = member("billing", "worker-1", {"orders"});
  auto ten = member("billing", "worker-10", {"orders"});
  auto two = member("billing", "worker-2", {"orders"});
  until({&one, &ten, &two}, [&] {
    return one.owned("orders").size() == 1 && ten.owned("orders").size() == 1 && two.owned("orders").size() == 1;
  });
  faults().expire("worker-1");
  until({&ten, &two}, [&] { return ten.owned("orders").size() + two.owned("orders").size() == 3; });
  settle({&ten, &two});
  EXPECT_EQ(ten.lost, 0);
  EXPECT_EQ(two.lost, 0);
}

TEST_F(MemoryLog, AMemberAloneThatExpiresLosesItsPartitionsToo) {
  create("orders");
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.owns(kZero); });
  faults().expire("");
  until({&one}, [&] { return one.lost == 1 && one.owns(kZero); });
}

TEST_F(MemoryLog, TheSameStepsHaveTheSameOutcome) {
  std::set<std::string> outcomes;
  for (int run = 0; run < 10; ++run) {
    World world{drivers().at(0)};
    world.create("orders", 6);
    std::vector<std::unique_ptr<Member>> members;
    for (int i = 0; i < 3; ++i)
      members.push_back(
          std::make_unique<Member>(*world.log, world.loop, world.in_group("billing", "worker", {"orders"})));
    world.settle({members[0].get(), members[1].get(), members[2].get()});
    std::string outcome;
    for (const auto& member : members) outcome += fmt::format("[{}]", fmt::join(member->owned("orders"), ","));
    outcomes.insert(outcome);
  }
  EXPECT_THAT(outcomes, SizeIs(1)) << "memory:// is deterministic: nothing may depend on chance";
}

// Four members poll at the same time, copy what they read in transactions, and meet every kind of fault. Returns what
// each of them sees, with the time.
std::string session() {
  World world{drivers().at(0)};
  world.create("orders", 6);
  world.create("out", 2);
  std::string trace;
  auto note = [&](const std::string& who, const std::string& what) {
    trace += fmt::format("{} {}: {}\n", since({}, world.loop).count(), who, what);
  };
  std::vector<std::unique_ptr<Member>> members;
  std::vector<Spawned> tasks;
  for (int i = 0; i < 4; ++i) {
    members.push_back(std::make_unique<Member>(*world.log, world.loop,
                                               world.in_group("copying", fmt::format("m{}", i % 3), {"orders"})));
    members.back()->forgiving = true;
    tasks.push_back(
        world.loop.spawn("member", [](World& in, Member& self, std::string name, decltype(note)& say) -> Task<void> {
          for (;;) {
            auto polled = co_await self.step(300ms, 500);
            for (auto id : polled.lost) say(name, fmt::format("lost {}", id == 0 ? "?" : "one"));
            for (const auto& one : polled.assigned)
              say(name, fmt::format("has {} from {} in {}", one.partition.str(), one.offset, one.generation));
            for (const auto& batch : polled.batches) {
              auto outputs = out({"out", static_cast<int>(batch->next_offset % 2)}, {});
              for (const auto& record : batch->records)
                outputs[0].records.add(record.key, record.value, record.timestamp());
              auto done = co_await in.send_with(std::move(outputs), *self.member,
                                                {{batch->assignment, batch->next_offset, ""}});
              say(name, fmt::format("{} records: {}", batch->records.size(),
                                    done ? fmt::format("at {}", done->at(0).offset) : done.error().message));
            }
          }
        }(world, *members.back(), fmt::format("m{}", i), note)));
  }
  world.await([](World& in) -> Task<void> {
    auto& faults = memory_faults(*in.log);
    for (int round = 0; round < 40; ++round) {
      std::vector<OutBatch> batches;
      for (int i = 0; i < 3; ++i)
        batches.push_back(
            out_batch({"orders", (round + i) % 6}, numbered(2, in.now(), fmt::format("{}-{}-", round, i))));
      (void)co_await in.send(std::move(batches));
      if (round == 7) faults.expire("m1");
      if (round == 12) faults.delay = 30ms;
      if (round == 15) faults.delay = 0ms;
      if (round == 18) faults.lose_commit_replies = 3;
      if (round == 22) faults.fail_appends = 2;
      if (round == 30) faults.expire("");
      co_await sleep_for(100ms);
    }
    co_await sleep_for(3s);
  }(world));
  for (auto& task : tasks) task.cancel();
  for (auto& task : tasks) world.await(task.finished());
  for (int partition = 0; partition < 2; ++partition)
    trace += fmt::format("{}\n", fmt::join(values(world.read({"out", partition})), " "));
  return trace;
}

TEST(MemoryLogSession, RepeatsItselfToTheLastStep) {
  const auto first = session();
  EXPECT_THAT(first, HasSubstr("lost"));
  EXPECT_THAT(first, HasSubstr("injected"));
  std::vector<std::unique_ptr<char[]>> elsewhere;  // so that addresses differ from the time before
  for (std::size_t run = 1; run <= 5; ++run) {
    for (std::size_t i = 0; i < 200; ++i) elsewhere.emplace_back(new char[16 + i * 24 * run % 900]);
    ASSERT_EQ(session(), first);
  }
}

}  // namespace
}  // namespace mephisto::test
