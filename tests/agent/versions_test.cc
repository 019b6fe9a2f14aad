// Two versions of an app run at once, as during an upgrade: their agents and topics differ.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <set>

#include "support/other_worker.h"

namespace mephisto::tests {
namespace {

constexpr int kPartitions = 4;

// Under exactly once, each record of topic T becomes one record `agent VALUE` of `out`. Version 1 has agents on `both`,
// `changed` and `old`. Version 2 has agents on `both` and `added`, and a different agent on `changed`.
class Versions : public ::testing::TestWithParam<const char*> {
 protected:
  Versions() : world("shared", {}, on_disk() ? Loop::Clock::kReal : Loop::Clock::kVirtual) {
    if (on_disk()) {
      char name[] = "/tmp/mephisto-versions-XXXXXX";
      folder = mkdtemp(name);
      world.log = open_log("local://" + folder);
    }
    world.run([&]() -> Task<void> {
      for (const char* topic : {"both", "changed", "old", "added"}) co_await world.create(topic, kPartitions);
      co_await world.create("out");
    });
  }
  ~Versions() override {
    world.log.reset();
    if (!folder.empty()) std::filesystem::remove_all(folder);
  }
  static bool on_disk() { return std::string_view{GetParam()} == "local"; }

  Task<std::unique_ptr<OtherWorker>> version(int number) {
    return OtherWorker::start(world, [this, number](App& app) {
      app.settings().set("processing_guarantee", "exactly_once", "test");
      app.settings().set("broker_commit_interval", "20ms", "test");
      app.settings().set("topic_disable_leader", "true", "test");
      auto& out = app.topic<std::string>("out", {.partitions = 1});
      auto copy = [&](const std::string& agent, const std::string& topic) {
        app.agent(agent, app.topic<int>(topic, {.partitions = kPartitions}),
                  [agent, &out](Stream<int> stream) -> Task<void> {
                    while (auto event = co_await stream.next()) co_await out.cast(fmt::format("{} {}", agent, *event));
                  });
      };
      copy("both", "both");
      copy(number == 1 ? "changed" : "rewritten", "changed");
      copy(number == 1 ? "old" : "added", number == 1 ? "old" : "added");
      app.on_partitions_assigned = [this, number](const std::vector<TopicPartition>& some) {
        for (const auto& one : some) topics_of[number].insert(one.topic);
      };
    });
  }
  // Appends the next `count` numbers to each topic, spread over its partitions.
  Task<void> produce(int count) {
    for (const char* topic : {"both", "changed", "old", "added"}) {
      auto rows = numbered(count, produced);
      for (std::size_t i = 0; i < rows.size(); ++i) rows[i].partition = static_cast<int>(i) % kPartitions;
      co_await world.produce(topic, rows);
    }
    produced += count;
  }
  // The handled records as `topic VALUE`, whichever version's agent handled them.
  std::vector<std::string> handled() {
    std::vector<std::string> all;
    for (const auto& value : values(world.run([&] { return world.records("out"); }))) {
      auto text = value_or_throw(from_json<std::string>(value));
      all.push_back(text.starts_with("rewritten") ? "changed" + text.substr(9) : text);
    }
    return all;
  }

  std::string folder;
  TestApp world;
  int produced = 0;
  std::map<int, std::set<std::string>> topics_of;  // topics of the partitions that each version was given
};

TEST_P(Versions, EachRecordIsHandledOnceByAWorkerThatHasItsAgent) {
  world.run([&]() -> Task<void> {
    auto first = co_await version(1);
    co_await produce(40);
    co_await world.eventually_in("out", 3 * 40);  // what only version 2 can handle waits
    auto second = co_await version(2);
    for (int i = 0; i < 5; ++i) co_await produce(40);
    co_await world.eventually_in("out", 4 * 240);
    co_await first->worker.stop();
    co_await produce(40);
    co_await world.eventually_in("out", 4 * 240 + 3 * 40);  // what only version 1 can handle waits
    auto back = co_await version(1);
    co_await produce(40);
    co_await world.eventually_in("out", 4 * 320);
    co_await back->worker.stop();
    co_await second->worker.stop();
  });

  std::vector<Row> expected;
  for (const char* topic : {"both", "changed", "old", "added"}) {
    for (int i = 0; i < produced; ++i) expected.push_back({std::nullopt, fmt::format("{} {}", topic, i), {}});
  }
  EXPECT_EQ(difference(handled(), expected), Difference{});
  EXPECT_EQ(handled().size(), expected.size());
  EXPECT_EQ(topics_of[1], (std::set<std::string>{"both", "changed", "old"}));
  EXPECT_EQ(topics_of[2], (std::set<std::string>{"both", "changed", "added"}));
}

INSTANTIATE_TEST_SUITE_P(Drivers, Versions, ::testing::Values("memory", "local"),
                         [](const auto& info) { return std::string{info.param}; });

}  // namespace
}  // namespace mephisto::tests
