// A worker with several shards: on one loop and its virtual clock, and on threads of their own.
#include <gmock/gmock.h>
#include <stdlib.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <set>
#include <thread>

#include "app/status_socket.h"
#include "base/private_file.h"
#include "support/metered_log.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr int kPartitions = 4;

TopicOptions four() {
  TopicOptions options;
  options.partitions = kPartitions;
  options.internal = true;
  return options;
}

// An app that copies `in` to `out`. Its shards run on the test's loop, or on threads.
class Shards : public ::testing::TestWithParam<bool> {
 protected:
  Shards() {
    world.set("topic_disable_leader", "true").set("broker_commit_interval", "20ms");
    auto& out = world.app.topic<int>("out", {.partitions = 1});
    world.app.agent(
        "copy", world.app.topic<int>("in", four()),
        [&](Stream<int> stream) -> Task<void> {
          while (auto event = co_await stream.next()) {
            {
              std::lock_guard lock{mutex};
              threads.insert(std::this_thread::get_id());
            }
            if (*event == bad) throw std::runtime_error("no way on");
            co_await out.cast(*event);
          }
        },
        crashing());
  }
  static AgentOptions crashing() {
    AgentOptions options;
    options.on_error.then = ErrorPolicy::Then::kCrash;
    return options;
  }
  WorkerOptions options(int shards) const { return {.shards = shards, .own_threads = GetParam()}; }
  Task<void> produce(int count) {
    auto rows = numbered(count);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].partition = static_cast<int>(i) % kPartitions;
    co_await world.produce("in", rows);
  }
  static Task<void> have_all(Worker& worker) {
    while (!worker.partitions().contains("in") || worker.partitions().at("in").size() < kPartitions)
      co_await worker.partitions_changed();
  }

  TestApp world{"app", {}, GetParam() ? Loop::Clock::kReal : Loop::Clock::kVirtual};
  int bad = -1;
  std::mutex mutex;
  std::set<std::thread::id> threads;
};

TEST_P(Shards, ShareThePartitionsAndTellOneStatus) {
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log, options(2)};
    co_await worker.start();
    co_await have_all(worker);
    EXPECT_THAT(worker.partitions().at("in"), ElementsAre(0, 1, 2, 3));
    co_await produce(100);
    co_await world.eventually_in("out", 100);
    auto status = co_await worker.status();
    while (status.sent_records < 100) status = co_await worker.status();  // the records are visible before the reply
    EXPECT_EQ(status.app, "app");
    EXPECT_THAT(status.partitions, SizeIs(kPartitions));
    std::set<std::string> members;
    for (const auto& one : status.partitions) members.insert(one.member);
    EXPECT_THAT(members, UnorderedElementsAre(status.worker + ":0", status.worker + ":1"));
    EXPECT_THAT(status.rebalances, SizeIs(2)) << "each shard has its partitions from the start on";
    EXPECT_EQ(status.sent_records, 100);
    EXPECT_THAT(status.silent, IsEmpty());
    EXPECT_THAT(co_await worker.describe(),
                AllOf(Contains("--- shard 0: what every task does ---"),
                      Contains("--- shard 1: what every task does ---"), Contains(HasSubstr("copy in/3 (running"))));
    co_await worker.stop();
    EXPECT_THAT(worker.errors(), IsEmpty());
  });
  EXPECT_EQ(difference(values(world.run([&] { return world.records("out"); })), numbered(100)), Difference{});
  EXPECT_EQ(threads.size(), GetParam() ? 2 : 1);
  EXPECT_EQ(threads.contains(std::this_thread::get_id()), !GetParam());
}

TEST_P(Shards, AnErrorOfOneEndsAll) {
  bad = 6;
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log, options(3)};
    co_await worker.start();
    co_await produce(8);
    EXPECT_THAT(co_await failure_of(worker.finished()), HasSubstr("no way on"));
    EXPECT_THAT(worker.errors(), ElementsAre(HasSubstr("no way on")));
    EXPECT_THAT(co_await failure_of(worker.stop()), HasSubstr("no way on"));
    for (const auto& group : value_or_throw(co_await world.log->groups())) EXPECT_THAT(group.members, IsEmpty());
  });
}

TEST_P(Shards, AStartThatFailsEndsAll) {
  world.app.on_started = []() -> Task<void> {
    co_await sleep_for(20ms);
    throw std::runtime_error("no key");
  };
  world.run([&]() -> Task<void> {
    {
      Worker worker{world.app, world.log, options(2)};
      EXPECT_THROW(co_await worker.start(), std::runtime_error);
      EXPECT_THAT(worker.errors(), ElementsAre("no key"));
      for (const auto& group : value_or_throw(co_await world.log->groups())) EXPECT_THAT(group.members, IsEmpty());
    }
    EXPECT_THAT(world.loop.describe_tasks(), ElementsAre(HasSubstr("main")));
  });
}

// Creates no topic.
class ClosedLog : public MeteredLog {
 public:
  using MeteredLog::MeteredLog;
  Task<Result<TopicInfo>> create_topic(std::string, TopicConfig, IfExists) override {
    ++asked;
    co_return fail(ErrorKind::kUnavailable, "no broker answers");
  }
  std::atomic<int> asked{0};
};

TEST_P(Shards, AStopEndsAStartThatWaitsForTheLog) {
  auto log = std::make_shared<ClosedLog>(world.log);
  bool started = false;
  world.app.on_started = [&]() -> Task<void> {
    started = true;
    co_return;
  };
  world.run([&]() -> Task<void> {
    Worker worker{world.app, log, options(2)};
    auto start = world.loop.spawn("start", worker.start());
    co_await world.eventually([&] { return log->asked > 1; });
    const auto before = world.loop.now();
    EXPECT_EQ(co_await failure_of(worker.stop()), "");
    EXPECT_LT(world.loop.now() - before, 5s);
    co_await start.finished();
    EXPECT_EQ(start.error(), nullptr);
  });
  EXPECT_FALSE(started);
}

TEST_P(Shards, AStopEndsAStartThatWaitsForOnStarted) {
  bool stopping = false;
  world.app.on_started = []() -> Task<void> { co_await sleep_for(1h); };
  world.app.on_stopping = [&]() -> Task<void> {
    stopping = true;
    co_return;
  };
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log, options(2)};
    auto start = world.loop.spawn("start", worker.start());
    co_await have_all(worker);
    EXPECT_EQ(co_await failure_of(worker.stop()), "");
    for (const auto& group : value_or_throw(co_await world.log->groups())) EXPECT_THAT(group.members, IsEmpty());
  });
  EXPECT_FALSE(stopping) << "it has not started";
}

// The app's own signals get each partition once, whoever else looks at the partitions.
TEST_P(Shards, TheAppsSignalsAreItsOwn) {
  std::multiset<int> assigned;
  std::multiset<int> before_the_stop;
  world.app.on_partitions_assigned = [&](const std::vector<TopicPartition>& some) {
    std::lock_guard lock{mutex};
    for (const auto& one : some) assigned.insert(one.partition);
  };
  for (int run = 0; run < 2; ++run) {
    assigned.clear();
    world.run([&]() -> Task<void> {
      Worker worker{world.app, world.log, options(2)};
      co_await worker.start();
      co_await have_all(worker);
      {
        std::lock_guard lock{mutex};
        before_the_stop = assigned;
      }
      co_await worker.stop();  // the first one that leaves the group may pass partitions to the others
    });
    EXPECT_THAT(before_the_stop, ElementsAre(0, 1, 2, 3));
  }
}

// Keeps nothing; notes what is called.
class Noter : public detail::Participant {
 public:
  explicit Noter(std::atomic<int>& restored) : restored_(restored) {}
  Task<void> restore(const detail::Assignment&) override {
    ++restored_;
    co_return;
  }
  void merge(const detail::Assignment*, detail::StateChange&) override {}
  void prepare(Transaction&) override {}
  void committed(const Transaction&, std::span<const AppendResult>) override {}
  void rolled_back() override {}
  void closed(const detail::Assignment&) override {}

 private:
  std::atomic<int>& restored_;
};

TEST_P(Shards, EachGetsTheAppsStateOnceAndOnItsThreadBeforeItConsumes) {
  std::vector<std::pair<detail::Shard*, std::thread::id>> made;
  std::atomic<int> restored{0};
  for (int i = 0; i < 2; ++i) {
    world.app.add_participant([&](detail::Shard& shard) {
      std::lock_guard lock{mutex};
      EXPECT_EQ(restored, 0);
      EXPECT_EQ(&shard.loop(), Loop::current());
      made.emplace_back(&shard, std::this_thread::get_id());
      return std::make_unique<Noter>(restored);
    });
  }
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log, options(3)};
    co_await worker.start();
    EXPECT_THROW(world.app.add_participant({}), Failure) << "while the app runs";
    co_await have_all(worker);
    EXPECT_EQ(restored, 2 * kPartitions);
    co_await worker.stop();
  });
  std::map<detail::Shard*, int> by_shard;
  std::set<std::thread::id> on;
  for (const auto& [shard, thread] : made) {
    ++by_shard[shard];
    on.insert(thread);
  }
  EXPECT_THAT(made, SizeIs(6));
  EXPECT_THAT(by_shard, SizeIs(3));
  for (const auto& [shard, times] : by_shard) EXPECT_EQ(times, 2);
  EXPECT_EQ(on.size(), GetParam() ? 3 : 1);
}

// It fails, and what was in progress is finished and committed nonetheless.
TEST_P(Shards, OnStoppingThatFailsKeepsNoShardFromDraining) {
  world.set("broker_commit_interval", "1h");
  world.app.on_stopping = []() -> Task<void> {
    co_await sleep_for(10ms);
    throw Failure(ErrorKind::kInvalid, "no goodbye");
  };
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log, options(2)};
    co_await worker.start();
    co_await produce(8);
    co_await world.eventually_in("out", 8);
    EXPECT_EQ(co_await failure_of(worker.stop()), "no goodbye");
    EXPECT_THAT(worker.errors(), ElementsAre("no goodbye"));
    for (int partition = 0; partition < kPartitions; ++partition)
      EXPECT_EQ(co_await world.committed("in", partition), 2) << partition;
    for (const auto& group : value_or_throw(co_await world.log->groups())) EXPECT_THAT(group.members, IsEmpty());
  });
}

TEST_P(Shards, AWorkerThatNeverStartsEnds) {
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log, options(2)};
    co_await worker.stop();
  });
}

INSTANTIATE_TEST_SUITE_P(Loops, Shards, ::testing::Bool(),
                         [](const auto& of) { return of.param ? "threads" : "one_loop"; });

TEST(Worker, HasAShardOrMore) {
  TestApp world;
  EXPECT_THAT(world.run([&]() -> Task<std::string> {
    return failure_of([](TestApp& of) -> Task<void> {
      Worker worker{of.app, of.log, {.shards = 0}};
      co_return;
    }(world));
  }),
              HasSubstr("1 shard or more, and not 0"));
}

TEST(Worker, AHandlerThatKeepsItsThreadKeepsNeitherTheStopNorTheOtherShards) {
  TestApp world{"app", {}, Loop::Clock::kReal};
  world.set("drain_timeout", "100ms").set("topic_disable_leader", "true");
  std::atomic<bool> kept{false};
  std::atomic<bool> release{false};
  world.app.agent("keeps", world.app.topic<int>("in", {.partitions = 2}), [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) {
      if (*event == 1) continue;
      kept = true;
      release.wait(false);
    }
  });
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log, {.shards = 2, .own_threads = true}};
    co_await worker.start();
    co_await world.produce("in", {{std::nullopt, "0", {}, 0}, {std::nullopt, "1", {}, 1}});
    co_await world.eventually([&] { return kept.load(); });
    const auto before = world.loop.now();
    EXPECT_THAT(co_await failure_of(worker.stop()), HasSubstr("the stop takes longer than drain_timeout"));
    EXPECT_LT(world.loop.now() - before, 10s);
    EXPECT_THAT(worker.unended(), ElementsAre(MatchesRegex("Shard [01]: a handler keeps its thread")));
    EXPECT_THAT((co_await worker.status()).silent, SizeIs(1));
    EXPECT_EQ(co_await world.committed("in", 1), 1);
    release = true;
    release.notify_all();
  });
}

// With a folder, which other processes find it by.
class WorkerWithAFolder : public ::testing::Test {
 protected:
  WorkerWithAFolder() {
    char name[] = "/tmp/mephisto-worker-XXXXXX";
    folder = mkdtemp(name);
    world.set("datadir", folder + "/data").set("topic_disable_leader", "true");
    world.app.agent("nothing", world.app.topic<int>("in", {.partitions = 1}), [](Stream<int> stream) -> Task<void> {
      while (co_await stream.next()) {
      }
    });
    own_folder(world.app.appdir());
  }
  ~WorkerWithAFolder() override { std::filesystem::remove_all(folder); }

  TestApp world{"app", {}, Loop::Clock::kReal};
  std::string folder;
};

TEST_F(WorkerWithAFolder, AnswersCommands) {
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log, {.shards = 2, .answers_commands = true}};
    Workers workers{world.app};
    EXPECT_THAT(co_await workers.ask(), IsEmpty());
    co_await worker.start();
    while (worker.partitions().empty()) co_await worker.partitions_changed();
    const auto all = co_await workers.ask();
    EXPECT_THAT(all, SizeIs(1));
    EXPECT_EQ(to_json(all.at(0)), to_json(co_await worker.status()));
    EXPECT_THAT(all.at(0).partitions, SizeIs(1));
    co_await worker.stop();
    EXPECT_THAT(co_await workers.ask(), IsEmpty());
  });
}

TEST_F(WorkerWithAFolder, EndsWhenItIsRemoved) {
  world.run([&]() -> Task<void> {
    Worker worker{world.app, world.log, {.answers_commands = true}};
    co_await worker.start();
    std::filesystem::remove_all(folder);
    EXPECT_THAT(co_await failure_of(worker.finished()), HasSubstr("was removed or replaced while it was in use"));
  });
}

}  // namespace
}  // namespace mephisto::tests
