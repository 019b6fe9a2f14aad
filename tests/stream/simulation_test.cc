// Two workers of one group, each on a loop of its own, on one virtual clock. A seed decides which task runs next.
#include <gmock/gmock.h>

#include <set>
#include <sstream>

#include "mephisto/log/reply_topics.h"
#include "mephisto/runtime/simulation.h"
#include "stream/counter.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kPartitions = 4;

// What the workers did, as the lines `NAME VALUE`.
using Journal = std::vector<std::string>;

// A worker that passes `in` on to `out`, and counts its events of each partition.
class CountingWorker {
 public:
  CountingWorker(Simulation& simulation, std::shared_ptr<Log> log, std::string name, Journal& journal)
      : world(simulation), name_(std::move(name)) {
    world.log = std::move(log);
    world.set("processing_guarantee", "exactly_once").set("topic_disable_leader", "true");
    TopicOptions internal;
    internal.partitions = kPartitions;
    internal.internal = true;
    auto& in = world.app.topic<int>("in", internal);
    auto& out = world.app.topic<int>("out", internal);
    world.app.topic<int>("changelog", internal);
    world.app.agent("count", in, [this, &out, &journal](Stream<int> stream) -> Task<void> {
      while (auto event = co_await stream.next()) {
        journal.push_back(fmt::format("{} {}", name_, *event));
        counter_->count();
        SendOptions same;
        same.partition = event.partition();
        co_await out.cast(*event, same);
      }
    });
    world.app.add_participant([this](detail::Shard& shard) {
      auto made = std::make_unique<Counter>(shard.loop(), shard.log(), "changelog");
      counter_ = made.get();
      return made;
    });
  }

  void start() {
    world.run([&]() -> Task<void> {
      worker_ = std::make_unique<Worker>(world.app, world.log);
      co_await worker_->start();
    });
  }
  void stop() {
    world.run([&] { return worker_->stop(); });
    worker_.reset();
  }
  std::size_t partitions() const { return lanes(*worker_).size(); }
  std::map<int, std::int64_t> counts() const { return counter_->counts(); }

  TestApp world;

 private:
  std::string name_;
  Counter* counter_ = nullptr;  // the shard's
  std::unique_ptr<Worker> worker_;
};

// Two workers, and a loop for the test.
class TwoWorkers {
 public:
  explicit TwoWorkers(std::optional<std::uint64_t> seed) : simulation(seed), test(simulation) {
    test.log = log;
    test.set("processing_guarantee", "exactly_once");
  }

  // Appends the next `count` numbers to each partition.
  Task<void> send(int count) {
    std::vector<Row> rows;
    for (int i = 0; i < count; ++i) {
      for (int partition = 0; partition < kPartitions; ++partition)
        rows.push_back({std::nullopt, std::to_string(sent++), {}, partition});
    }
    co_await test.produce("in", rows);
  }
  // The counts of both workers by partition.
  std::map<int, std::int64_t> counts() const {
    auto all = one.counts();
    all.merge(two.counts());
    return all;
  }
  Task<bool> counted() {
    co_return co_await test.eventually([this] {
      const auto all = counts();
      return one.partitions() + two.partitions() == kPartitions && all.size() == kPartitions &&
             std::ranges::all_of(all, [this](const auto& count) { return count.second == sent / kPartitions; });
    });
  }

  Simulation simulation;
  std::shared_ptr<Log> log = open_log("memory://two-workers");
  Journal journal;
  TestApp test;
  CountingWorker one{simulation, log, "one", journal};
  CountingWorker two{simulation, log, "two", journal};
  int sent = 0;
};

// The workers share the partitions; the second one loses its lease, comes back, and then leaves.
void rebalance(TwoWorkers& both) {
  both.one.start();
  both.two.start();
  both.test.run([&]() -> Task<void> {
    co_await both.test.eventually([&] { return both.one.partitions() == 2 && both.two.partitions() == 2; });
    co_await both.send(20);
    co_await both.counted();
    memory_faults(*both.log).expire("");
    co_await both.send(20);
    co_await both.counted();
  });
  both.two.stop();
  both.test.run([&]() -> Task<void> {
    co_await both.test.eventually([&] { return both.one.partitions() == kPartitions; });
    co_await both.send(20);
    co_await both.test.eventually([&] {
      const auto counts = both.one.counts();
      return std::ranges::all_of(counts, [](const auto& count) { return count.second == 60; });
    });
  });
  both.one.stop();
}

std::vector<std::string> expected(int sent) { return values(numbered(sent)); }
std::vector<std::string> sorted(std::vector<std::string> all) {
  std::ranges::sort(all, {}, [](const auto& one) { return std::stoi(one); });
  return all;
}

class Rebalance : public ::testing::TestWithParam<std::optional<std::uint64_t>> {};

TEST_P(Rebalance, BetweenTwoLoopsLosesAndDoublesNothing) {
  TwoWorkers both{GetParam()};
  const auto began = both.test.loop.now();
  rebalance(both);
  EXPECT_EQ(sorted(both.test.run([&] { return both.test.values_in("out"); })), expected(both.sent));
  EXPECT_GT(both.test.loop.now(), began);
  EXPECT_EQ(both.one.world.loop.now(), both.two.world.loop.now());
  EXPECT_THAT(both.journal, Contains(StartsWith("two "))) << "as long as it ran";
  for (int value = 160; value < 240; ++value) EXPECT_THAT(both.journal, Contains(fmt::format("one {}", value)));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Rebalance, ::testing::Values(std::nullopt, 1U, 2U),
                         [](const auto& info) { return info.param ? "seed_" + std::to_string(*info.param) : "none"; });

// What a run did: the journal, and the log lines without the time of day.
struct Run {
  Journal journal;
  std::vector<std::string> lines;
};

Run run_with(std::uint64_t seed) {
  Run run;
  testing::internal::CaptureStderr();
  {
    TwoWorkers both{seed};
    log::configure({.level = log::Level::kDebug, .file = "", .colour = false});
    rebalance(both);
    log::configure({.level = log::Level::kCrit, .file = ""});
    run.journal = both.journal;
  }
  std::istringstream text{testing::internal::GetCapturedStderr()};
  for (std::string line; std::getline(text, line);) run.lines.push_back(line.substr(line.find('|')));
  return run;
}

TEST(SameSeed, GivesTheSameEventsAndLogLines) {
  for (std::uint64_t seed : {1U, 2U, 3U}) {
    const auto first = run_with(seed);
    const auto again = run_with(seed);
    EXPECT_EQ(first.journal, again.journal);
    EXPECT_EQ(first.lines, again.lines);
    EXPECT_THAT(first.lines, Contains(HasSubstr("restoring -> running")));
  }
}

TEST(OtherSeeds, GiveOtherOrdersOfEvents) {
  std::set<Journal> journals;
  for (std::uint64_t seed = 0; seed < 30; ++seed) journals.insert(run_with(seed).journal);
  EXPECT_GT(journals.size(), 3U);
}

// The partitions of records without a key, and the name of the reply topic.
std::vector<std::string> drawn_with(std::uint64_t seed) {
  Simulation simulation{seed};
  TestApp world{simulation};
  auto& out = world.app.topic<int>("out", {.partitions = 8});
  auto& echo = world.app.agent("echo", [](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) co_yield *event;
  });
  std::vector<std::string> drawn;
  world.work([&](Worker&) -> Task<void> {
    for (int i = 0; i < 20; ++i) drawn.push_back(std::to_string((co_await out.send(i)).partition));
    EXPECT_EQ(co_await echo.ask(7), 7);
    for (const auto& topic : value_or_throw(co_await world.log->topics())) {
      if (topic.name.starts_with(kReplyTopicPrefix)) drawn.push_back(topic.name);
    }
  });
  return drawn;
}

TEST(Chance, ComesFromTheSeed) {
  const auto drawn = drawn_with(1);
  EXPECT_EQ(drawn.size(), 21U);
  EXPECT_EQ(drawn_with(1), drawn);
  const auto others = drawn_with(2);
  EXPECT_NE(std::vector(others.begin(), others.end() - 1), std::vector(drawn.begin(), drawn.end() - 1)) << "partitions";
  EXPECT_NE(others.back(), drawn.back()) << "the reply topic";
}

// Sends records and injects faults of memory://, all at random.
Task<void> faults(TwoWorkers& both) {
  auto random = both.simulation.random("faults");
  auto& log = memory_faults(*both.log);
  for (int round = 0; round < 20; ++round) {
    co_await both.send(static_cast<int>(random.below(20)));
    co_await sleep_for(std::chrono::milliseconds{random.below(200)});
    log.delay = std::chrono::milliseconds{random.below(4) == 0 ? random.below(50) : 0};
    switch (random.below(4)) {
      case 0: log.expire(""); break;
      case 1: log.lose_commit_replies = 1; break;
      case 2: log.fail_appends = static_cast<int>(random.below(4)); break;
      default: break;
    }
  }
  log.delay = 0ms;
  log.fail_appends = log.lose_commit_replies = 0;
}

class AnySeed : public ::testing::TestWithParam<int> {};

TEST_P(AnySeed, CountsEveryEventOnce) {
  TwoWorkers both{static_cast<std::uint64_t>(GetParam())};
  both.one.start();
  both.two.start();
  both.test.run([&]() -> Task<void> {
    co_await faults(both);
    co_await both.counted();
  });
  both.two.stop();
  both.one.stop();
  EXPECT_EQ(sorted(both.test.run([&] { return both.test.values_in("out"); })), expected(both.sent));
}

INSTANTIATE_TEST_SUITE_P(Seeds, AnySeed, ::testing::Range(0, 50));

}  // namespace
}  // namespace mephisto::tests
