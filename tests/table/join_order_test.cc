// Joins of an app take the records of their topics by time: after an outage, and from full topics, they give what they
// would have given live.
#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <random>
#include <set>

#include "base/hash.h"
#include "support/other_worker.h"

namespace mephisto::tests {
namespace {

using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr int kPartitions = 3;

struct Sent {
  std::string topic;
  std::string key;
  std::optional<std::string> value;
  std::int64_t ms = 0;
};

using Declare = std::function<void(App&, Topic<std::string>&, Topic<std::string>&)>;

struct Kind {
  std::string name;
  Declare join;
};

std::ostream& operator<<(std::ostream& out, const Kind& kind) { return out << kind.name; }

template <class Options>
Kind kind(std::string name, Options how) {
  return {std::move(name),
          [how](App& app, Topic<std::string>& a, Topic<std::string>& b) { app.join("joined", a, b, how); }};
}

std::vector<Kind> kinds() {
  using detail::TableOptions;
  std::vector<Kind> all;
  all.push_back(kind("streams_inner", StreamJoinOptions{.before = 20ms, .after = 30ms}));
  all.push_back(kind("streams_outer", StreamJoinOptions{.kind = Join::kOuter, .before = 20ms, .after = 30ms}));
  all.push_back(kind("stream_table", StreamTableJoinOptions{.kind = Join::kLeft}));
  all.push_back(
      kind("stream_history", StreamTableJoinOptions{.kind = Join::kLeft, .table = {.history = 50ms}, .grace = 20ms}));
  all.push_back(kind("tables_inner", TableJoinOptions{}));
  all.push_back(kind("tables_outer", TableJoinOptions{.kind = Join::kOuter}));
  for (const auto& [name, direction] : {std::pair{"backward", AsOf::kBackward}, std::pair{"forward", AsOf::kForward},
                                        std::pair{"nearest", AsOf::kNearest}})
    all.push_back(kind(fmt::format("as_of_{}", name),
                       AsOfJoinOptions{.kind = Join::kLeft, .direction = direction, .tolerance = 40ms}));
  return all;
}

// Records of both topics at rising times. The left topic has most of them first, the right one at the end.
std::vector<Sent> random_records(unsigned seed, int count = 400) {
  std::mt19937 random{seed};
  const auto below = [&](int end) { return static_cast<int>(random() % static_cast<unsigned>(end)); };
  std::vector<Sent> all;
  std::int64_t ms = 1000;
  for (int i = 0; i < count; ++i) {
    ms += 1 + below(8);
    Sent one{below(count) < i ? "b" : "a", fmt::format("key {}", below(12)), std::nullopt, ms};
    // Large, so that a topic is fetched in many parts.
    if (below(10) > 0) one.value = fmt::format("{} {}", i, std::string(4000, 'x'));
    all.push_back(std::move(one));
  }
  return all;
}

void declare(App& app, const Declare& join) {
  TopicOptions options;
  options.partitions = kPartitions;
  auto& a = app.topic<std::string>("a", options);
  auto& b = app.topic<std::string>("b", options);
  app.settings().set("topic_partitions", std::to_string(kPartitions), "test");
  app.settings().set("processing_guarantee", "exactly_once", "test");
  join(app, a, b);
}

class JoinWorld {
 public:
  explicit JoinWorld(const Declare& join, Loop::Clock clock = Loop::Clock::kVirtual, std::shared_ptr<Log> log = nullptr)
      : world("app", {}, clock) {
    if (log) world.log = std::move(log);
    declare(world.app, join);
    world.run([&]() -> Task<void> {
      co_await world.create("a", kPartitions);
      co_await world.create("b", kPartitions);
    });
  }

  Task<void> send(std::vector<Sent> records) {
    std::map<TopicPartition, BatchBuilder> builders;
    for (const auto& one : records) {
      const TopicPartition to{one.topic, partition_of_key(one.key, kPartitions)};
      const auto json = one.value ? std::optional{to_json(*one.value)} : std::nullopt;
      builders[to].add(one.key, json ? std::optional<std::string_view>{*json} : std::nullopt,
                       Timestamp{std::chrono::milliseconds{one.ms}});
      ends_[to]++;
    }
    std::vector<OutBatch> batches;
    for (auto& [to, builder] : builders) batches.push_back({to, std::move(builder)});
    const auto producer = world.log->producer(world.loop);
    value_or_throw(co_await producer->append(batches));
  }
  // Waits until the workers have processed all that was sent.
  Task<void> processed(std::vector<const Worker*> workers) {
    co_await world.eventually([&] {
      std::set<TopicPartition> done;
      for (const auto* worker : workers) {
        for (const auto& lane : lanes(*worker)) {
          const auto end = ends_.find(lane.partition);
          if (end != ends_.end() && lane.committable >= end->second) done.insert(lane.partition);
        }
      }
      return done.size() == ends_.size();
    });
  }
  // The results, partition after partition.
  std::vector<std::string> results() {
    return world.run([&]() -> Task<std::vector<std::string>> {
      std::vector<std::string> all;
      for (const auto& row : co_await world.records("app-joined")) {
        auto text = fmt::format("{} {}: {}", row.partition, row.key.value_or("-"), row.value.value_or("null"));
        std::erase(text, 'x');
        all.push_back(std::move(text));
      }
      co_return all;
    });
  }

  TestApp world;

 private:
  std::map<TopicPartition, std::int64_t> ends_;
};

// What the join gives when each record is processed before the next one is sent.
std::vector<std::string> live(const Kind& kind, const std::vector<Sent>& records) {
  JoinWorld join{kind.join};
  join.world.work([&](Worker& worker) -> Task<void> {
    for (const auto& one : records) {
      co_await join.send({one});
      co_await join.processed({&worker});
    }
  });
  return join.results();
}

// The same records with workers that run only after all of them, or a part of them, were sent.
std::vector<std::string> late(JoinWorld& join, const std::vector<Sent>& records, std::size_t parts) {
  const auto size = records.size() / parts;
  for (std::size_t from = 0; from < records.size(); from += size) {
    const auto to = std::min(from + size, records.size());
    join.world.run([&]() -> Task<void> {
      for (auto at = from; at < to; at += 10)  // in several batches
        co_await join.send({records.begin() + static_cast<std::ptrdiff_t>(at),
                            records.begin() + static_cast<std::ptrdiff_t>(std::min(at + 10, to))});
    });
    join.world.work([&](Worker& worker) -> Task<void> { co_await join.processed({&worker}); });
  }
  return join.results();
}

class JoinOrder : public testing::TestWithParam<Kind> {};

TEST_P(JoinOrder, FromFullTopicsIsThatOfTheLiveRun) {
  for (unsigned seed = 0; seed < 3; ++seed) {
    const auto records = random_records(seed);
    const auto expected = live(GetParam(), records);
    EXPECT_THAT(expected, SizeIs(testing::Ge(20U)));
    for (const std::size_t parts : {1, 4}) {
      JoinWorld join{GetParam().join};
      EXPECT_THAT(late(join, records, parts), ElementsAreArray(expected)) << "seed " << seed << ", parts " << parts;
    }
  }
}

TEST_P(JoinOrder, OnALocalLogIsThatOfTheLiveRun) {
  const auto records = random_records(7);
  std::string folder = "/tmp/mephisto-join-XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  {
    JoinWorld join{GetParam().join, Loop::Clock::kReal, open_log("local://" + folder)};
    EXPECT_THAT(late(join, records, 2), ElementsAreArray(live(GetParam(), records)));
  }
  std::filesystem::remove_all(folder);
}

// A second worker joins, both lose their leases, and the second one leaves, while records come.
TEST_P(JoinOrder, StaysWhilePartitionsMove) {
  const auto records = random_records(11);
  const auto expected = live(GetParam(), records);
  JoinWorld join{GetParam().join};
  join.world.work([&](Worker& worker) -> Task<void> {
    std::unique_ptr<OtherWorker> other;
    const auto part = records.size() / 10;
    for (std::size_t i = 0; i < 10; ++i) {
      co_await join.send({records.begin() + static_cast<std::ptrdiff_t>(i * part),
                          records.begin() + static_cast<std::ptrdiff_t>((i + 1) * part)});
      if (i == 2) {
        other = co_await OtherWorker::start(join.world, [](App& app) { declare(app, GetParam().join); });
        co_await join.world.eventually([&] { return !lanes(other->worker).empty(); });
      }
      if (i == 5) memory_faults(*join.world.log).expire("");
      if (i == 8) co_await other->worker.stop();
    }
    co_await join.processed({&worker});
  });
  EXPECT_THAT(join.results(), ElementsAreArray(expected));
}

INSTANTIATE_TEST_SUITE_P(Kinds, JoinOrder, testing::ValuesIn(kinds()),
                         [](const auto& info) { return info.param.name; });

const Kind& stream_table() {
  static const auto one = kind("stream_table", StreamTableJoinOptions{.kind = Join::kLeft});
  return one;
}

TEST(JoinTopics, OneThatIsEmptyHoldsNothing) {
  JoinWorld join{stream_table().join};
  join.world.work([&](Worker& worker) -> Task<void> {
    co_await join.send({{"a", "key 1", "one", 10}, {"a", "key 2", "two", 20}});
    co_await join.processed({&worker});
  });
  EXPECT_THAT(join.results(), SizeIs(2));
}

// The group is at the first of the records that retention has deleted, and nothing follows them.
TEST(JoinTopics, OneThatRetentionHasEmptiedHoldsNothing) {
  JoinWorld join{stream_table().join};
  auto& world = join.world;
  world.run([&]() -> Task<void> {
    TopicConfig config;
    config.partitions = kPartitions;
    config.retention = 1h;
    value_or_throw(co_await world.log->create_topic("b", config));
    co_await join.send({{"b", "key 1", "one", 10}});
  });
  world.work([&](Worker& worker) -> Task<void> { co_await join.processed({&worker}); });
  world.run([&]() -> Task<void> {
    co_await join.send({{"b", "key 1", "two", 20}});
    value_or_throw(co_await world.log->maintain());
    co_await join.send({{"a", "key 1", "event", 30}});
  });
  world.work([&](Worker&) -> Task<void> { co_await world.eventually_in("app-joined", 1); });
  EXPECT_THAT(join.results(), SizeIs(1));
}

}  // namespace
}  // namespace mephisto::tests
