// The shared engine on a store that fails when the test says so. An operation that fails for a while succeeds later,
// and nothing is lost in between.
#include <gmock/gmock.h>

#include "drivers.h"
#include "log/memory/memory_kv.h"
#include "log/store_keys.h"
#include "mephisto/sync.h"

namespace mephisto::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const TopicPartition kZero{"orders", 0};
const TopicPartition kOne{"orders", 1};

// A store in memory whose writes fail as on a full disk: nothing is written, and the answer is kUnavailable (or another
// kind). Or they are done, but the answer is the same error.
class FailingKv : public MemoryKv {
 public:
  // The write with this number, counting from 1, fails, and so do `more` writes after it.
  void fail_at(int number, int more = 0, bool are_done = false) {
    from_ = writes_ + number;
    to_ = from_ + more;
    are_done_ = are_done;
  }
  void set_kind(ErrorKind kind) { kind_ = kind; }
  int writes() const { return writes_; }

  std::uint64_t submit(Loop& loop, KvChange change, std::function<void(Result<void>)> done) override {
    ++writes_;
    if (writes_ < from_ || writes_ > to_) return MemoryKv::submit(loop, std::move(change), std::move(done));
    auto refuse = [done = std::move(done), kind = kind_](const Result<void>&) {
      done(fail(kind, "the disk is full (by the test)"));
    };
    if (are_done_) return MemoryKv::submit(loop, std::move(change), std::move(refuse));
    loop.post([refuse] { refuse({}); });
    return 0;
  }

 private:
  int writes_ = 0;
  int from_ = 0;
  int to_ = -1;
  bool are_done_ = false;
  ErrorKind kind_ = ErrorKind::kUnavailable;
};

struct FailingWorld : World {
  FailingWorld() : World(drivers().at(0)) {
    log = std::make_shared<KvLog>("test://", kv);
    producer = log->producer(loop);
  }
  // A poll that may fail temporarily.
  bool try_step(Member& member) {
    member.forgiving = true;
    try {
      await(member.step(driver.wait));
      return true;
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), ErrorKind::kUnavailable) << failure.what();
      return false;
    }
  }
  // Flips a bit in the value of the first batch at or after a partition's offset.
  void damage(const TopicPartition& partition, std::int64_t offset) {
    must(submit(*kv, [&](KvWriter& tx) -> Result<void> {
      auto topic = store::find_topic(tx, partition.topic);
      return store::scan_batches(tx, topic->id, partition.partition, offset, [&](const store::StoredBatch& batch) {
        std::string bytes{batch.entry.value};
        bytes[bytes.size() - 65] ^= 4;
        tx.put(std::string{batch.entry.key}, std::string_view{bytes});
        return false;
      });
    }));
  }
  std::shared_ptr<FailingKv> kv = std::make_shared<FailingKv>();
};

class EngineFaults : public ::testing::Test, public FailingWorld {};

TEST_F(EngineFaults, AnAppendThatFailsCanBeRepeated) {
  create("orders");
  kv->fail_at(1);
  EXPECT_EQ(kind_of(send(out(kZero, numbered(2, now())))), ErrorKind::kUnavailable);
  EXPECT_EQ(append(kZero, 2), 0);
}

TEST_F(EngineFaults, AMemberThatCannotJoinJoinsLater) {
  create("orders");
  append(kZero, 2);
  auto one = member("billing", "one", {"orders"});
  kv->fail_at(1, 2);
  EXPECT_FALSE(try_step(one));
  until({}, [&] {
    try_step(one);
    return one.all_read().size() == 2;
  });
}

TEST_F(EngineFaults, ARejectedCommitCanBeRepeated) {
  create("orders");
  append(kZero, 2);
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.all_read().size() == 2; });
  kv->fail_at(1);
  EXPECT_EQ(kind_of(one.commit()), ErrorKind::kUnavailable);
  EXPECT_EQ(committed_offset("billing", kZero), -1);
  EXPECT_TRUE(await(one.commit()));
  EXPECT_EQ(committed_offset("billing", kZero), 2);
}

TEST_F(EngineFaults, APartitionWhoseReleaseFailedStillReachesItsNextOwner) {
  create("orders", 2);
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.owned("orders").size() == 2; });
  one.hold_on = true;
  auto two = member("billing", "two", {"orders"});
  until({&one, &two}, [&] { return one.revoked.size() == 1; });
  kv->fail_at(1);
  EXPECT_EQ(kind_of(one.give_up()), ErrorKind::kUnavailable);
  EXPECT_EQ(kind_of(one.give_up()), std::nullopt)
      << "the same call goes through once the log is available: " << last_error;
  until({&one, &two}, [&] { return two.owned("orders").size() == 1; });
}

TEST_F(EngineFaults, APollThatFailsDoesNotSwallowWhatWasLost) {
  create("orders", 2);
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.owned("orders").size() == 2; });
  await(driver.expel(*log, "billing", "one"));
  kv->fail_at(1);
  try_step(one);  // it cannot join again yet
  until({}, [&] {
    try_step(one);
    return one.lost == 2 && one.owned("orders").size() == 2;
  });
}

TEST_F(EngineFaults, APollThatFailsDoesNotSwallowWhatWasRevoked) {
  create("orders", 6);
  auto two = member("billing", "2", {"orders"});
  auto three = member("billing", "3", {"orders"});
  until({&two, &three}, [&] { return two.owned("orders").size() == 3 && three.owned("orders").size() == 3; });
  await(three.close());
  auto one = member("billing", "1", {"orders"});
  await(one.step(0ms));  // 0-2 are its own now; 3-5 are free for the second
  kv->fail_at(1);
  try_step(two);  // it cannot take them yet
  until({}, [&] {
    try_step(two);
    try_step(one);
    return one.owned("orders").size() == 3 && two.owned("orders").size() == 3;
  });
}

TEST_F(EngineFaults, ACloseThatFailsThrowsNothing) {
  create("orders");
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.owns(kZero); });
  kv->fail_at(1);
  EXPECT_NO_THROW(await(one.close()));
}

TEST_F(EngineFaults, MaintenanceThatFailsSaysSo) {
  create("orders", {.partitions = 1, .retention = 1h});
  append(kZero, {{"k", "old", now() - 2h, {}}});
  kv->fail_at(1);
  EXPECT_EQ(kind_of(log->maintain()), ErrorKind::kUnavailable);
  EXPECT_EQ(kind_of(log->maintain()), std::nullopt);
  EXPECT_EQ(must(log->watermarks(kZero)).start, 1);
}

TEST_F(EngineFaults, MaintenanceEndsWhereTheLogIsBroken) {
  create("orders", {.partitions = 2, .retention = 1h});
  kv->set_kind(ErrorKind::kFatal);
  kv->fail_at(1, 1000);
  const auto before = kv->writes();
  EXPECT_EQ(kind_of(log->maintain()), ErrorKind::kFatal);
  EXPECT_EQ(kv->writes(), before + 2) << "each partition is tried once";
}

TEST_F(EngineFaults, MaintenanceThatIsCancelledEndsAfterTheWriteUnderWay) {
  create("orders", {.partitions = 100, .retention = 1h});
  const auto before = kv->writes();
  await([](FailingWorld& world, int writes) -> Task<void> {
    auto maintenance =
        world.loop.spawn("maintenance", [](Log& log) -> Task<void> { (void)co_await log.maintain(); }(*world.log));
    while (world.kv->writes() == writes) co_await yield();
    maintenance.cancel();
    co_await maintenance.finished();
  }(*this, before));
  EXPECT_EQ(kv->writes(), before + 1);
}

// Any write of a session may fail, or be done without its answer arriving, and as often as the test says. Still the two
// members end with each record read and everything committed.
class EngineFaultSweep : public ::testing::TestWithParam<bool> {};

TEST_P(EngineFaultSweep, NoFailedWriteStopsAGroupForGood) {
  for (int more : {0, 1, 4}) {
    for (int number = 1;; ++number) {
      SCOPED_TRACE(fmt::format("write {} and {} more fail", number, more));
      FailingWorld world;
      world.create("orders", 4);
      for (int partition = 0; partition < 4; ++partition)
        world.append({"orders", partition}, 3, fmt::format("p{}-", partition));
      auto one = std::make_unique<Member>(*world.log, world.loop, world.in_group("billing", "one", {"orders"}));
      auto two = std::make_unique<Member>(*world.log, world.loop, world.in_group("billing", "two", {"orders"}));
      const auto before = world.kv->writes();
      world.kv->fail_at(number, more, GetParam());

      auto work = [&](Member& member) {
        world.try_step(member);
        (void)world.await(member.commit());
      };
      for (int turn = 0; turn < 3; ++turn) work(*one);
      for (int turn = 0; turn < 8; ++turn) {
        work(*two);
        work(*one);
      }
      auto read = one->read;
      world.await(one->close());
      one.reset();
      const auto deadline = world.loop.now() + 30s;
      auto done = [&] {
        for (int partition = 0; partition < 4; ++partition) {
          if (world.committed_offset("billing", {"orders", partition}) != 3) return false;
        }
        return two->owned("orders").size() == 4;
      };
      while (!done() && world.loop.now() < deadline) work(*two);
      EXPECT_TRUE(done()) << "a partition is stuck";
      for (const auto& [partition, rows] : two->read)
        read[partition].insert(read[partition].end(), rows.begin(), rows.end());
      for (const auto& [partition, rows] : read) {
        std::set<std::string> distinct;
        for (const auto& row : rows) distinct.insert(*row.value);
        EXPECT_THAT(distinct, SizeIs(3)) << partition.str();
      }
      if (::testing::Test::HasFailure()) return;
      if (world.kv->writes() - before < number) break;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Writes, EngineFaultSweep, ::testing::Bool(),
                         [](const auto& info) { return std::string{info.param ? "DoneUnheard" : "NotDone"}; });

TEST_F(EngineFaults, APartitionOfAnotherTopicIsReleasedAlthoughOneIsGone) {
  create("orders");
  create("refunds");
  append({"refunds", 0}, 2);
  auto one = member("billing", "one", {"orders", "refunds"});
  until({&one}, [&] { return one.owns(kZero) && one.all_read().size() == 2; });
  const auto orders = one.id_of(kZero);
  const auto refunds = one.id_of({"refunds", 0});
  must(log->delete_topic("orders"));
  EXPECT_EQ(kind_of(one.member->release({{orders, 0, ""}, {refunds, 2, ""}})), ErrorKind::kFenced)
      << "the one of the deleted topic";
  EXPECT_EQ(committed_offset("billing", {"refunds", 0}), 2) << "the other was committed and given up";
}

TEST_F(EngineFaults, ADamagedBatchIsNeverReadAsSomethingElse) {
  create("orders");
  append(kZero, 2, "good");
  append(kZero, 2, "bad");
  damage(kZero, 2);
  ReaderOptions options;
  options.partitions[kZero] = 2;
  Member reader{*log, loop, options};
  int told = 0;
  for (int attempt = 0; attempt < 4; ++attempt) {
    try {
      await(reader.step(driver.wait));
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), ErrorKind::kCorrupt);
      EXPECT_THAT(failure.what(), HasSubstr("orders/0@2"));
      ++told;
    }
  }
  EXPECT_GE(told, 3) << "every time, but for a poll that has the assignment to tell";
  EXPECT_THAT(reader.all_read(), SizeIs(0));
}

TEST_F(EngineFaults, ADamagedBatchDoesNotMakeAnotherPartitionsRecordsVanish) {
  create("orders", 2);
  append(kZero, 3, "good");
  append(kOne, 2, "bad");
  damage(kOne, 0);
  ReaderOptions options;
  options.partitions = {{kZero, 0}, {kOne, 0}};
  Member reader{*log, loop, options};
  int told = 0;
  for (int attempt = 0; attempt < 10; ++attempt) {
    try {
      await(reader.step(driver.wait));
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), ErrorKind::kCorrupt);
      ++told;
    }
    if (attempt == 5) append(kZero, 1, "late");
  }
  EXPECT_GT(told, 0);
  EXPECT_THAT(reader.assignments, SizeIs(2)) << "the assignments were made known";
  EXPECT_THAT(values(reader.read[kZero]), ElementsAre("good0", "good1", "good2", "late0"));
}

TEST_F(EngineFaults, ADamagedBatchStopsCompactionAndOffsetAtWithTheReason) {
  create("orders", {.partitions = 1, .compact = true});
  append(kZero, 2, "a");
  append(kZero, 2, "a");
  damage(kZero, 0);
  EXPECT_EQ(kind_of(log->maintain()), ErrorKind::kCorrupt);
  EXPECT_EQ(kind_of(log->offset_at(kZero, now() - 1h)), ErrorKind::kCorrupt);
  EXPECT_EQ(must(log->watermarks(kZero)).end, 4) << "nothing was deleted";
}

TEST_F(EngineFaults, NumbersThatNobodyCanHaveWrittenAreCorruptThoughTheirChecksumFits) {
  create("orders");
  auto replace = [&](const std::string& key, std::string value) {
    must(submit(*kv, [&](KvWriter& tx) -> Result<void> {
      store::put_checked(tx, key, value);
      return {};
    }));
  };
  auto thrown_by = [&]<class T>(Task<T> task) -> std::optional<ErrorKind> {
    try {
      (void)await(std::move(task));
      return std::nullopt;
    } catch (const Failure& failure) {
      return failure.kind();
    }
  };
  const store::Partition backwards{.start = 3, .end = 1, .bytes = 0};
  replace(store::partition_key(store::kPartitionPrefix, 1, 0),
          {reinterpret_cast<const char*>(&backwards), sizeof backwards});
  EXPECT_EQ(thrown_by(log->watermarks(kZero)), ErrorKind::kCorrupt);
  replace(store::key_of(store::kTopicPrefix, "orders"), R"({"id":1,"partitions":-1,"compact":false,"created_ms":0})");
  EXPECT_EQ(thrown_by(log->topic("orders")), ErrorKind::kCorrupt);
  replace(store::key_of(store::kGroupPrefix, "g"), R"({"generation":-1,"members":[],"ownerships":[]})");
  EXPECT_EQ(thrown_by(log->groups()), ErrorKind::kCorrupt);
}

TEST_F(EngineFaults, ADamagedTopicDoesNotKeepTheOthersFromBeingMaintained) {
  for (const auto* topic : {"a", "b", "c"}) {
    create(topic, {.partitions = 1, .retention = 1h, .compact = true});
    append({topic, 0}, {{"k", "old", now() - 2h, {}}});
    append({topic, 0}, {{"k", "1", now(), {}}});
    append({topic, 0}, {{"k", "2", now(), {}}});
  }
  damage({"b", 0}, 1);
  EXPECT_EQ(kind_of(log->maintain()), ErrorKind::kCorrupt);
  EXPECT_THAT(last_error, HasSubstr("b/0@1"));
  EXPECT_THAT(values(read({"a", 0})), ElementsAre("2"));
  EXPECT_THAT(values(read({"c", 0})), ElementsAre("2"));
}

}  // namespace
}  // namespace mephisto::test
