// Two versions of an app run at once, as during an upgrade: their agents and topics differ.
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <mutex>
#include <set>

#include "support/other_worker.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

constexpr int kPartitions = 4;

// Under exactly once, each record of topic T becomes one record `agent VALUE` of `out`. Version 1 has agents on `both`,
// `changed` and `old`. Version 2 has agents on `both` and `added`, and a different agent on `changed`.
class Versions : public ::testing::TestWithParam<const char*> {
 protected:
  Versions() {
    if (std::string_view{GetParam()} == "local") {
      char name[] = "/tmp/mephisto-versions-XXXXXX";
      folder = mkdtemp(name);
      url = "local://" + folder;
    } else {
      url = std::string{"memory://versions-"} + ::testing::UnitTest::GetInstance()->current_test_info()->name();
    }
    log = open_log(url);
    reader.log = log;
    for (const char* topic : {"both", "changed", "old", "added"})
      reader.run([&] { return reader.create(topic, kPartitions); });
    reader.run([&] { return reader.create("out"); });
  }
  ~Versions() override {
    log.reset();
    reader.log.reset();
    if (!folder.empty()) std::filesystem::remove_all(folder);
  }

  std::unique_ptr<OtherWorker> version(int number) {
    return std::make_unique<OtherWorker>(url, [this, number](App& app) {
      app.settings().set("processing_guarantee", "exactly_once", "test");
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
        std::lock_guard lock{mutex};
        for (const auto& one : some) topics_of[number].insert(one.topic);
      };
    });
  }
  // Appends the next `count` numbers to each topic, spread over its partitions.
  void produce(int count) {
    for (const char* topic : {"both", "changed", "old", "added"}) {
      auto rows = numbered(count, produced);
      for (std::size_t i = 0; i < rows.size(); ++i) rows[i].partition = static_cast<int>(i) % kPartitions;
      reader.run([&] { return reader.produce(topic, rows); });
    }
    produced += count;
  }
  // The handled records as `topic VALUE`, whichever version's agent handled them.
  std::vector<std::string> handled() {
    std::vector<std::string> all;
    for (const auto& value : values(reader.run([&] { return reader.records("out"); }))) {
      auto text = value_or_throw(from_json<std::string>(value));
      all.push_back(text.starts_with("rewritten") ? "changed" + text.substr(9) : text);
    }
    return all;
  }
  bool eventually_handled(std::size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (handled().size() < count) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(5ms);  // between two checks
    }
    return true;
  }

  std::string folder;
  std::string url;
  TestApp reader{"app", {}, Loop::Clock::kReal};
  std::shared_ptr<Log> log;
  int produced = 0;
  std::mutex mutex;
  std::map<int, std::set<std::string>> topics_of;  // topics of the partitions that each version was given
};

TEST_P(Versions, EachRecordIsHandledOnceByAWorkerThatHasItsAgent) {
  auto first = version(1);
  produce(40);
  ASSERT_TRUE(eventually_handled(3 * 40)) << "what only version 2 can handle waits";
  auto second = version(2);
  for (int i = 0; i < 5; ++i) produce(40);
  ASSERT_TRUE(eventually_handled(4 * 240));
  first->stop();
  produce(40);
  ASSERT_TRUE(eventually_handled(4 * 240 + 3 * 40)) << "what only version 1 can handle waits";
  auto back = version(1);
  produce(40);
  ASSERT_TRUE(eventually_handled(4 * 320));
  back->stop();
  second->stop();

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
