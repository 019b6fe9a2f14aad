// A changelog that is not what a table's store is a copy of: deleted, made anew, cut. It is told; a half of a table is
// never taken for the whole.
#include <gmock/gmock.h>

#include <filesystem>

#include "store/places.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using test::LogLines;
using test::TempDir;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kChangelog = "app-counts-changelog";

// On memory:// and on local://.
class ChangelogChanged : public testing::TestWithParam<bool> {
 protected:
  ChangelogChanged() : world("app", {}, GetParam() ? Loop::Clock::kReal : Loop::Clock::kVirtual) {
    if (GetParam()) world.log = open_log("local://" + (folder / "log").string());
    world.set("tabledir", (folder / "tables").string()).set("broker_commit_interval", "20ms");
  }

  void declare(const std::string& store) {
    TopicOptions one;
    one.partitions = 1;
    topic = &world.app.topic<std::string>("keys", one);
    table = &world.app.table<std::string, int>("counts", {.partitions = 1, .store = store});
    world.app.agent("count", *topic, [this](Stream<std::string> stream) -> Task<void> {
      while (auto key = co_await stream.next()) (*table)[*key] += 1;
    });
  }

  void count(int from, int to) {
    world.work([&](Worker&) -> Task<void> {
      for (int i = from; i < to; ++i) {
        co_await topic->send("k" + std::to_string(i));
        co_await world.eventually_committed("keys", i + 1);
      }
    });
  }
  Task<void> make_changelog(int records) {
    TopicConfig config;
    config.partitions = 1;
    config.compact = true;
    value_or_throw(co_await world.log->create_topic(kChangelog, config));
    std::vector<Row> rows;
    for (int i = 0; i < records; ++i) rows.push_back({fmt::format("\"other{}\"", i), "7", {}});
    for (const auto& row : rows) co_await world.produce(kChangelog, {row});
  }
  void delete_changelog() {
    world.run([&]() -> Task<void> { value_or_throw(co_await world.log->delete_topic(kChangelog)); });
  }
  // Deletes the records before the last one.
  void cut_changelog() {
    world.run([&]() -> Task<void> {
      TopicConfig config;
      config.partitions = 1;
      config.compact = true;
      config.retention_bytes = 1;
      value_or_throw(co_await world.log->create_topic(kChangelog, config));
      value_or_throw(co_await world.log->maintain());
      EXPECT_GT(value_or_throw(co_await world.log->watermarks({kChangelog, 0})).start, 0);
    });
  }
  std::string refused() {
    auto why = world.reason_of_end(60s);
    EXPECT_THAT(why, AllOf(HasSubstr("the store of table counts, partition 0 does not fit its changelog"),
                           HasSubstr(kChangelog), HasSubstr("reset")));
    EXPECT_TRUE(std::filesystem::exists(store_folder() / "CURRENT")) << "nothing is removed";
    return why;
  }
  std::filesystem::path store_folder() const { return folder / "tables" / kChangelog / "0"; }

  TempDir folder;
  TestApp world;
  LogLines lines;
  Topic<std::string>* topic = nullptr;
  Table<std::string, int>* table = nullptr;
};

TEST_P(ChangelogChanged, ThatWasDeletedIsToldByTheStore) {
  declare("rocksdb://");
  count(0, 10);
  delete_changelog();
  EXPECT_THAT(refused(), HasSubstr("the store is at offset 10, and the topic ends at 0"));
}

TEST_P(ChangelogChanged, ThatWasMadeAnewIsToldAlthoughItIsLongerThanBefore) {
  declare("rocksdb://");
  count(0, 10);
  delete_changelog();
  if (!GetParam()) world.run([]() -> Task<void> { co_await sleep_for(1s); });
  world.run([&]() -> Task<void> { co_await make_changelog(20); });
  EXPECT_THAT(refused(), HasSubstr("the record at offset 9 is another one"));
}

TEST_P(ChangelogChanged, ThatWasCutAfterTheStoresPositionIsTold) {
  declare("rocksdb://");
  count(0, 5);
  std::filesystem::copy(store_folder(), folder / "before", std::filesystem::copy_options::recursive);
  count(5, 10);
  std::filesystem::remove_all(store_folder());
  std::filesystem::rename(folder / "before", store_folder());
  cut_changelog();
  EXPECT_THAT(refused(), HasSubstr("the store is at offset 5, and the topic begins at 9"));
}

TEST_P(ChangelogChanged, ThatWasCutBeforeTheStoresPositionIsEnough) {
  declare("rocksdb://");
  count(0, 10);
  cut_changelog();
  count(10, 12);
  EXPECT_THAT(lines.text(), Not(HasSubstr("What was before is deleted")));
}

TEST_P(ChangelogChanged, ThatWasCutGivesWhatIsLeftAndAWarningWithoutAStore) {
  declare("memory://");
  count(0, 10);
  cut_changelog();
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.eventually([&] { return lines.text().find("What was before is deleted") != std::string::npos; });
    co_await topic->send("k9");
    co_await world.eventually_committed("keys", 11);
    const auto tables = (co_await worker.status()).tables;
    EXPECT_EQ(tables.at(0).keys, 1U);
  });
  EXPECT_THAT(lines.text(), HasSubstr("its changelog app-counts-changelog/0 begins at offset 9"));
}

TEST_P(ChangelogChanged, ThatWasDeletedIsToldAtTheStartWithoutAStore) {
  declare("memory://");
  count(0, 3);
  EXPECT_THAT(lines.text(), Not(HasSubstr("begin empty"))) << "the app is new";
  count(3, 6);
  EXPECT_THAT(lines.text(), Not(HasSubstr("begin empty")));
  delete_changelog();
  count(6, 7);
  EXPECT_THAT(lines.text(), AllOf(HasSubstr("do not exist, although app has processed records: counts"),
                                  HasSubstr("begin empty"), HasSubstr("lag --reset")));
}

// Compaction removes the record that the store compares.
TEST_P(ChangelogChanged, ByCompactionIsNoOther) {
  declare("rocksdb://");
  count(0, 5);
  std::filesystem::copy(store_folder(), folder / "before", std::filesystem::copy_options::recursive);
  world.work([&](Worker&) -> Task<void> {
    for (int i = 0; i < 5; ++i) {
      co_await topic->send("k4");
      co_await world.eventually_committed("keys", 6 + i);
    }
  });
  std::filesystem::remove_all(store_folder());
  std::filesystem::rename(folder / "before", store_folder());
  world.run([&]() -> Task<void> { value_or_throw(co_await world.log->maintain()); });
  count(10, 11);
  const auto rows = world.run([&]() -> Task<std::vector<Row>> { co_return co_await world.records(kChangelog); });
  std::map<std::string, std::string> last;
  for (const auto& row : rows) last[*row.key] = *row.value;
  EXPECT_EQ(last["\"k4\""], "6");
}

INSTANTIATE_TEST_SUITE_P(Logs, ChangelogChanged, testing::Bool(),
                         [](const auto& info) { return info.param ? "Local" : "Memory"; });

}  // namespace
}  // namespace mephisto::tests
