// Two workers share the partitions of one app. All of them are on one loop and its clock.
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "support/other_worker.h"

namespace mephisto::tests {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

class Sharing : public ::testing::Test {
 protected:
  // Appends the next numbers, in turn to the four partitions.
  Task<void> produce(int count) {
    auto rows = numbered(count, produced);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].partition = static_cast<int>(i % 4);
    produced += count;
    co_await world.produce("in", rows);
  }
  // A worker that counts under its name what it has handled.
  Task<std::unique_ptr<OtherWorker>> hire(std::string name, int shards = 1) {
    return OtherWorker::start(world,
                              [this, name](App& app) {
                                app.settings().set("broker_commit_interval", "20ms", "test");
                                app.settings().set("topic_disable_leader", "true", "test");
                                auto& out = app.topic<int>("out", {.partitions = 1});
                                app.agent("work", app.topic<int>("in", {.partitions = 4}),
                                          [this, name, &out](Stream<int> stream) -> Task<void> {
                                            while (auto event = co_await stream.next()) {
                                              co_await out.cast(*event);
                                              handled.insert(*event);
                                              ++by_worker[name];
                                            }
                                          });
                              },
                              {.shards = shards});
  }
  Task<void> have_all() {
    co_await world.eventually([&] { return static_cast<int>(handled.size()) == produced; });
  }
  // How what is in `out` differs from what was produced.
  Difference result() {
    return difference(values(world.run([&] { return world.records("out"); })), numbered(produced));
  }
  static std::size_t partitions(const OtherWorker& other) { return lanes(other.worker).size(); }

  TestApp world{"shared"};
  int produced = 0;
  std::set<int> handled;
  std::map<std::string, int> by_worker;
};

TEST_F(Sharing, TwoWorkersShareThePartitions) {
  world.run([&]() -> Task<void> {
    auto a = co_await hire("a");
    auto b = co_await hire("b");
    co_await world.eventually([&] { return partitions(*a) == 2 && partitions(*b) == 2; });
    co_await produce(8);
    co_await have_all();
    EXPECT_THAT(by_worker, ElementsAre(Pair("a", 4), Pair("b", 4)));
    co_await a->worker.stop();
    co_await b->worker.stop();
  });
}

TEST_F(Sharing, AWorkerThatStopsLeavesItsPartitionsToTheOther) {
  world.run([&]() -> Task<void> {
    auto a = co_await hire("a");
    auto b = co_await hire("b");
    co_await produce(8);
    co_await have_all();
    co_await b->worker.stop();
    co_await world.eventually([&] { return partitions(*a) == 4; });
    co_await produce(8);
    co_await have_all();
    co_await a->worker.stop();
  });
  EXPECT_EQ(result(), Difference{});
}

TEST_F(Sharing, AStopAndAStartWithoutFaultsDoubleNothing) {
  world.run([&]() -> Task<void> {
    auto a = co_await hire("a");
    co_await produce(40);
    auto b = co_await hire("b");
    co_await produce(40);
    co_await have_all();
    co_await b->worker.stop();
    co_await a->worker.stop();
    auto c = co_await hire("c");
    co_await produce(40);
    co_await have_all();
    co_await c->worker.stop();
  });
  EXPECT_EQ(result(), Difference{});
}

TEST_F(Sharing, ExpelledWorkersLoseNothing) {
  world.run([&]() -> Task<void> {
    auto a = co_await hire("a");
    auto b = co_await hire("b");
    Random random{7};
    for (int round = 0; round < 40; ++round) {
      co_await produce(20);
      co_await sleep_for(std::chrono::milliseconds{random.below(50)});
      if (round % 5 == 2) memory_faults(*world.log).expire("");
    }
    co_await have_all();
    co_await a->worker.stop();
    co_await b->worker.stop();
  });
  EXPECT_THAT(result().lost, IsEmpty());
}

TEST_F(Sharing, WorkersThatComeAndGoLoseNothing) {
  world.run([&]() -> Task<void> {
    auto constant = co_await hire("constant");
    Random random{7};
    for (int round = 0; round < 20; ++round) {
      auto guest = co_await hire(fmt::format("guest {}", round), 1 + round % 3);
      co_await produce(40);
      co_await sleep_for(std::chrono::milliseconds{random.below(100)});
      co_await guest->worker.stop();
    }
    co_await have_all();
    co_await constant->worker.stop();
  });
  EXPECT_EQ(result(), Difference{});
}

// The reason of the first change of a shard's partitions, how many it then had, and the number of changes.
std::string beginning(const detail::Shard& shard) {
  const auto all = shard.rebalances();
  return fmt::format("{}: {} -> {}, {} in all", all.at(0).reason, all.at(0).before, all.at(0).after, all.size());
}

TEST_F(Sharing, TheShardsOfAWorkerGetTheirPartitionsWithOneRebalance) {
  world.run([&]() -> Task<void> {
    auto a = co_await hire("a", 2);
    co_await world.eventually([&] { return partitions(*a) == 4; });
    co_await sleep_for(1min);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(beginning(shard_of(a->worker, i)), "start: 0 -> 2, 1 in all") << i;
      EXPECT_THAT(shard_of(a->worker, i).transitions(), SizeIs(1)) << "no partition is released to another shard";
    }
    co_await a->worker.stop();
  });
}

TEST_F(Sharing, AWorkerWithSeveralShardsJoinsAnotherWithOneRebalanceOfThat) {
  world.run([&]() -> Task<void> {
    auto a = co_await hire("a", 2);
    co_await world.eventually([&] { return partitions(*a) == 4; });
    auto b = co_await hire("b", 2);
    co_await world.eventually([&] { return partitions(*a) == 2 && partitions(*b) == 2; });
    co_await sleep_for(1min);
    for (std::size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(shard_of(a->worker, i).rebalances().size(), 2) << "the start, and the one for b";
      EXPECT_EQ(lanes(b->worker).size(), 2);
    }
    co_await a->worker.stop();
    co_await b->worker.stop();
  });
}

}  // namespace
}  // namespace mephisto::tests
