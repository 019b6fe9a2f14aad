// local:// among processes: they see each other's records at once and without processor time, and take over from dead
// and stopped processes.
#include <gmock/gmock.h>

#include "local_process.h"

namespace mephisto::test {
namespace {

using ::testing::SizeIs;

const TopicPartition kZero{"orders", 0};

class LocalProcesses : public LocalTest {
 protected:
  // Polls `member` until `condition` holds; returns how long that took.
  std::chrono::milliseconds time_until(Member& member, const std::function<bool()>& condition) {
    const auto start = loop.now();
    until({&member}, condition);
    return since(start, loop);
  }
  // A child that is a member of `billing` and owns all partitions of orders.
  std::unique_ptr<Child> owner(const std::string& client) {
    auto child = std::make_unique<Child>(with("member", {"orders", "billing", client}));
    child->expect("ready");
    return child;
  }
  // A member in this process that takes its half.
  std::unique_ptr<Member> join(const std::string& client, std::size_t partitions) {
    auto mine = std::make_unique<Member>(*log, loop, in_group("billing", client, {"orders"}));
    until({mine.get()}, [&] { return mine->owned("orders").size() == partitions; });
    return mine;
  }
};

TEST_F(LocalProcesses, SeeEachOthersRecordsAtOnce) {
  create("orders", 2);
  Child child{with("watch", {"orders"})};
  child.expect("ready");
  ReaderOptions options;
  options.partitions[kZero] = 0;
  Member mine{*log, loop, options};
  std::vector<std::chrono::milliseconds> times;
  for (int round = 0; round < 15; ++round) {
    auto start = loop.now();
    append({"orders", 1}, 1, fmt::format("ours{}-", round));
    EXPECT_EQ(child.expect("record "), fmt::format("1@{} ours{}-0", round, round));
    times.push_back(since(start, loop));

    start = loop.now();
    child.send(fmt::format("append orders 0 theirs{}", round));
    std::size_t expected = static_cast<std::size_t>(round) + 1;
    while (mine.read[kZero].size() < expected && since(start, loop) < 20s) await(mine.step(20s));
    times.push_back(since(start, loop));
    child.expect("record 0@");
  }
  EXPECT_EQ(values(mine.read[kZero]).back(), "theirs14");
  std::ranges::sort(times);
  EXPECT_LT(times[times.size() / 2], 200ms) << "no clock is behind this";
}

TEST_F(LocalProcesses, AnIdleReaderUsesNoProcessorAndStillWakesAtOnce) {
  create("orders", 8);
  Child reader{with("watch", {"orders"})};
  reader.expect("ready");
  Child member{with("member", {"orders", "billing", "idle"})};
  member.expect("ready");
  const auto reader_before = reader.cpu();
  const auto member_before = member.cpu();
  const auto start = loop.now();
  await([]() -> Task<void> { co_await sleep_for(2s); }());  // the time that is measured
  const auto wall = loop.now() - start;
  EXPECT_LT(reader.cpu() - reader_before, wall * 2 / 100);
  EXPECT_LT(member.cpu() - member_before, wall * 2 / 100);
  const auto appended = loop.now();
  append({"orders", 5}, 1);
  reader.expect("record 5@0");
  member.expect("record 5@0");
  EXPECT_LT(since(appended, loop), 500ms);
}

TEST_F(LocalProcesses, TwoThatAppendAtOnceDoNotMixTheirBatches) {
  create("orders", 2);
  Child one{with("append", {"orders", "2", "0", "60", "100"})};
  Child two{with("append", {"orders", "2", "1000", "60", "100"})};
  EXPECT_THAT(one.rest(), SizeIs(60));
  EXPECT_THAT(two.rest(), SizeIs(60));
  for (int partition = 0; partition < 2; ++partition) {
    auto rows = read({"orders", partition});
    ASSERT_THAT(rows, SizeIs(240));
    std::map<bool, int> last{{false, -1}, {true, 999}};
    for (std::size_t i = 0; i < rows.size(); i += 2) {
      EXPECT_EQ(rows[i].key, rows[i + 1].key) << "the two records of one append stand together";
      const int number = std::stoi(*rows[i].key);
      EXPECT_EQ(number, ++last[number >= 1000]) << "in the order in which they were acknowledged";
    }
  }
}

TEST_F(LocalProcesses, AKilledMembersPartitionsMove) {
  create("orders", 4);
  auto child = owner("dies");
  auto mine = join("stays", 2);
  child->expect("revoked");
  child->signal(SIGKILL);
  child->wait();
  EXPECT_LT(time_until(*mine, [&] { return mine->owned("orders").size() == 4; }), 3s);
}

// Its parent does not wait for it, so the process still exists as a zombie.
TEST_F(LocalProcesses, AKilledMembersPartitionsMoveEvenWhileItIsAZombie) {
  create("orders", 4);
  auto child = owner("dies");
  auto mine = join("stays", 2);
  child->signal(SIGKILL);
  EXPECT_LT(time_until(*mine, [&] { return mine->owned("orders").size() == 4; }), 3s);
}

TEST_F(LocalProcesses, AMemberThatEndsGracefullyIsReplacedAtOnce) {
  create("orders", 4);
  auto child = owner("leaves");
  auto mine = join("stays", 2);
  child->send("quit");
  EXPECT_LT(time_until(*mine, [&] { return mine->owned("orders").size() == 4; }), 1s);
}

TEST_F(LocalProcesses, AStoppedMemberIsFencedWhenItWakesAndJoinsAgain) {
  create("orders", 2);
  append({"orders", 0}, 3);
  append({"orders", 1}, 3);
  auto child = owner("stops");
  child->send("commit");
  child->expect("committed");
  append({"orders", 0}, 1, "late");
  child->expect("record 0@3");
  child->stop();
  child->send("commit");  // the first thing it does when it wakes

  Member mine{*log, loop, in_group("billing", "takes over", {"orders"})};
  EXPECT_LT(time_until(mine, [&] { return mine.owned("orders").size() == 2; }), 3s);
  until({&mine}, [&] { return mine.read[kZero].size() == 1; });
  EXPECT_EQ(mine.read[kZero][0].value, "late0") << "from where the stopped one had committed";
  ASSERT_TRUE(await(mine.commit("new owner")));

  child->signal(SIGCONT);
  bool fenced = false;
  bool lost = false;
  bool back = false;
  const auto deadline = loop.now() + driver.patience;
  while (!(fenced && lost && back) && loop.now() < deadline) {
    await(mine.step(driver.wait));
    while (auto line = child->line(0ms)) {
      EXPECT_NE(*line, "committed");
      fenced |= *line == "commit fenced";
      lost |= line->starts_with("lost ");
      back |= lost && line->starts_with("assigned ");
    }
  }
  EXPECT_TRUE(fenced);
  EXPECT_TRUE(lost);
  EXPECT_TRUE(back) << "it is a member again";
  EXPECT_EQ(committed_offset("billing", kZero), 4);
  EXPECT_NE(committed("billing", kZero)->metadata, "by command");
  EXPECT_THAT(mine.owned("orders"), SizeIs(1));
}

// A stopped process must not keep the others from writing, even if it holds the lock of the store.
TEST_F(LocalProcesses, AProcessStoppedInTheMiddleOfAWriteDoesNotStopTheOthers) {
  create("orders");
  Child child{with("stop-in-write")};
  child.expect("writing");
  child.wait_until_stopped();
  const auto start = loop.now();
  append(kZero, 1);
  EXPECT_LT(since(start, loop), 12s);
  EXPECT_TRUE(child.killed_by(SIGKILL));
  dynamic_cast<KvLog&>(*log).kv().read(
      [](KvReader& tx) { EXPECT_FALSE(tx.get("x")) << "its half-made write is not there"; });
}

TEST_F(LocalProcesses, ALogWhoseOnlyWriterIsStoppedInAWriteCanBeOpened) {
  create("orders");
  append(kZero, 2);
  close_log();
  Child stopped{with("stop-in-write")};
  stopped.expect("writing");
  stopped.wait_until_stopped();
  Child reader{with("dump", {"orders"})};
  EXPECT_EQ(reader.expect("record "), "0@0 r0");
  reader.expect("done");
}

TEST_F(LocalProcesses, AStoppedReaderStopsNobody) {
  create("orders");
  Child child{with("watch", {"orders"})};
  child.expect("ready");
  child.stop();
  const auto start = loop.now();
  for (int i = 0; i < 20; ++i) append(kZero, 1);
  EXPECT_LT(since(start, loop), 3s);
  child.signal(SIGCONT);
  for (int i = 0; i < 20; ++i) child.expect(fmt::format("record 0@{} ", i));
}

TEST_F(LocalProcesses, TopicsAndGroupsOfOneAreSeenByAnother) {
  create("orders", 3);
  auto child = owner("other");
  auto groups = must(log->groups());
  ASSERT_THAT(groups, SizeIs(1));
  ASSERT_THAT(groups[0].members, SizeIs(1));
  EXPECT_EQ(groups[0].members[0].client, "other");
  EXPECT_THAT(groups[0].members[0].owned, SizeIs(3));
  must(log->delete_topic("orders"));
  EXPECT_THAT(child->expect(""), ::testing::AnyOf(::testing::StartsWith("revoked "), ::testing::StartsWith("lost ")));
}

TEST_F(LocalProcesses, TheMapGrowsWhileAnotherHasItOpen) {
  constexpr int kAppends = 38;
  constexpr std::size_t kRecord = std::size_t{4} << 20;
  create("orders");
  ReaderOptions options;
  options.partitions[kZero] = 0;
  auto consumer = log->reader(loop, options);
  Child child{with("append", {"orders", "1", "0", std::to_string(kAppends), std::to_string(kRecord)})};
  // Reads along, and writes in between.
  std::int64_t next = 0;
  int theirs = 0;
  int ours = 0;
  const auto deadline = loop.now() + 60s;
  while (theirs < 2 * kAppends && loop.now() < deadline) {
    auto polled = await(consumer->poll(16 << 20, 100ms));
    for (const auto& batch : polled.batches) {
      for (const auto& record : batch->records) {
        ASSERT_EQ(record.offset, next++);
        if (record.key == "k0") continue;
        ASSERT_EQ(record.value.size(), kRecord);
        const auto expected = fmt::format("{}/{}", theirs / 2, theirs % 2 == 0 ? "a" : "b");
        ASSERT_TRUE(record.value.starts_with(expected));
        ++theirs;
      }
    }
    if (ours++ % 8 == 0) append(kZero, 1);
  }
  EXPECT_EQ(theirs, 2 * kAppends);
  EXPECT_THAT(child.rest(), SizeIs(kAppends));
  EXPECT_GT(std::filesystem::file_size(dir() + "/data.mdb"), std::size_t{256} << 20);
  const auto last = append(kZero, 1, "after");
  EXPECT_EQ(last, 2 * kAppends + (ours + 7) / 8);
  Child late{with("watch", {"orders"})};
  late.expect(fmt::format("record 0@{} after0", last));
}

TEST_F(LocalProcesses, AReaderKilledInTheMiddleLeavesNoSnapshotBehind) {
  create("orders", {.partitions = 1, .retention = 1h});
  Child dies{with("hold-snapshot")};
  dies.expect("reading");
  dies.signal(SIGKILL);
  dies.wait();
  Child next{with("open")};  // the next process that opens the log clears the dead reader's entry
  next.expect("opened");

  // With the dead process's snapshot in place, no deleted page could be reused, and the file would grow with every
  // round.
  const auto round = [&] {
    append(kZero, {{"k", std::string(1 << 20, 'x'), now() - 2h, {}}});
    must(log->maintain());
  };
  for (int i = 0; i < 5; ++i) round();
  const auto size = std::filesystem::file_size(dir() + "/data.mdb");
  for (int i = 0; i < 20; ++i) round();
  EXPECT_LT(std::filesystem::file_size(dir() + "/data.mdb"), size + (6 << 20));
}

TEST_F(LocalProcesses, AReaderKilledInTheMiddleIsClearedByTheOtherProcesses) {
  create("orders", {.partitions = 1, .retention = 1h});
  Child dies{with("hold-snapshot")};
  dies.expect("reading");
  const auto size = [&] { return std::filesystem::file_size(dir() + "/data.mdb"); };
  const auto grows_in_a_round = [&] {
    const auto before = size();
    for (int i = 0; i < 5; ++i) {
      append(kZero, {{"k", std::string(1 << 20, 'x'), now() - 2h, {}}});
      must(log->maintain());
    }
    return size() > before;
  };
  EXPECT_TRUE(grows_in_a_round()) << "what its snapshot shows cannot be used again";
  dies.signal(SIGKILL);
  dies.wait();
  const auto deadline = loop.now() + driver.patience;
  while (grows_in_a_round() && loop.now() < deadline) {
  }
  EXPECT_LT(loop.now(), deadline);
}

}  // namespace
}  // namespace mephisto::test
