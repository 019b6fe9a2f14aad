// Snapshots of tables: a worker on a new machine begins with the newest sound one.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "mephisto/store/snapshots.h"
#include "store/places.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using test::LogLines;
using test::TempDir;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

constexpr const char* kChangelog = "app-counts-changelog";

class TableSnapshots : public testing::Test {
 protected:
  TableSnapshots() {
    world.set("tabledir", (folder / "tables").string())
        .set("table_snapshot_dir", (folder / "snapshots").string())
        .set("table_snapshot_interval", "10s")
        .set("broker_commit_interval", "20ms");
    TopicOptions one;
    one.partitions = 1;
    topic = &world.app.topic<std::string>("keys", one);
    table = &world.app.table<std::string, int>("counts", {.partitions = 1, .store = "rocksdb://"});
    world.app.agent("count", *topic, [this](Stream<std::string> stream) -> Task<void> {
      while (auto key = co_await stream.next()) (*table)[*key] += 1;
    });
  }

  Task<void> count(int events) {
    for (int i = 0; i < events; ++i) {
      co_await topic->send("k" + std::to_string(sent++ % 5));
      co_await world.eventually_committed("keys", sent);
    }
  }
  // Three snapshots, of which two are kept, and some changes after them.
  void make_snapshots() {
    world.work([&](Worker&) -> Task<void> {
      for (int i = 0; i < 3; ++i) {
        co_await count(10);
        co_await sleep_for(11s);
      }
      co_await sleep_for(60s);  // nothing changes, so there is no other
      co_await count(3);
    });
    ASSERT_THAT(snapshots.list(), SizeIs(2));
    EXPECT_EQ(snapshots.list()[0].first, 30);
    EXPECT_EQ(snapshots.list()[1].first, 20);
  }
  // A worker on another machine.
  void start_elsewhere() {
    std::filesystem::remove_all(folder / "tables");
    world.work([&](Worker& worker) -> Task<void> {
      co_await count(1);
      EXPECT_EQ((co_await worker.status()).tables.at(0).keys, 5U);
    });
    const auto rows = world.run([&]() -> Task<std::vector<Row>> { co_return co_await world.records(kChangelog); });
    std::map<std::string, int> last;
    int sum = 0;
    for (const auto& row : rows) last[*row.key] = std::stoi(*row.value);
    for (const auto& [key, value] : last) sum += value;
    EXPECT_EQ(sum, sent);
  }

  TempDir folder;
  TestApp world;
  LogLines lines;
  Topic<std::string>* topic = nullptr;
  Table<std::string, int>* table = nullptr;
  int sent = 0;
  detail::Snapshots snapshots{folder / "snapshots", kChangelog, 0};
};

TEST_F(TableSnapshots, AreWrittenNowAndThenAndBeganWithOnANewMachine) {
  make_snapshots();
  // What it does not have to read is not in the log any more.
  world.run([&]() -> Task<void> {
    TopicConfig config;
    config.partitions = 1;
    config.compact = true;
    config.retention_bytes = 1200;
    value_or_throw(co_await world.log->create_topic(kChangelog, config));
    value_or_throw(co_await world.log->maintain());
    const auto marks = value_or_throw(co_await world.log->watermarks({kChangelog, 0}));
    EXPECT_GT(marks.start, 0);
    EXPECT_LE(marks.start, 28) << "the last changes of all keys are there";
  });
  start_elsewhere();
  EXPECT_THAT(lines.text(), AllOf(HasSubstr("begins with the snapshot"), HasSubstr("/30")));
}

TEST_F(TableSnapshots, ThatAreDamagedArePassedOverAndTold) {
  make_snapshots();
  for (const auto& file : std::filesystem::directory_iterator{snapshots.list()[0].second}) {
    if (file.path().extension() != ".sst") continue;
    // Not in its place: the older snapshot has the same file.
    std::ifstream in{file.path(), std::ios::binary};
    std::string bytes{std::istreambuf_iterator<char>{in}, {}};
    bytes.replace(bytes.size() / 2, 6, "damage");
    std::filesystem::remove(file.path());
    std::ofstream{file.path(), std::ios::binary} << bytes;
  }
  std::filesystem::remove_all(folder / "tables");
  start_elsewhere();
  EXPECT_THAT(lines.text(),
              AllOf(HasSubstr("/30 is not used"), HasSubstr("begins with the snapshot"), HasSubstr("/20")));
}

TEST_F(TableSnapshots, AreNotUsedWhereThereIsASoundStore) {
  make_snapshots();
  world.work([&](Worker&) -> Task<void> { co_await count(1); });
  EXPECT_THAT(lines.text(), Not(HasSubstr("begins with the snapshot")));
}

// A partition moves while its snapshot is written, and its new worker writes one too.
TEST_F(TableSnapshots, OfOnePartitionAreWrittenByTwoWorkersAtATime) {
  constexpr int kRounds = 20;
  const auto write = [&](const std::string& machine) {
    const auto stores = detail::open_stores("rocksdb://", folder / machine, test::kBudget);
    const auto store = stores->open(kChangelog, 0);
    for (int i = 1; i <= kRounds; ++i) {
      const auto value = std::to_string(i);
      const detail::StoreChange change{"key", value};
      store->apply({&change, 1}, 2 * i + (machine == "a" ? 0 : 1));
      snapshots.writer (*store)();
    }
  };
  {
    const std::jthread first{write, "a"};
    const std::jthread second{write, "b"};
  }
  const auto all = snapshots.list();
  ASSERT_THAT(all, SizeIs(2));
  for (const auto& [position, path] : all) {
    const auto stores = detail::open_stores("rocksdb://", folder / path.filename().string(), test::kBudget);
    stores->restore(kChangelog, 0, path);
    const auto store = stores->open(kChangelog, 0);
    EXPECT_EQ(store->position(), position);
    EXPECT_EQ(store->get("key"), std::to_string(position / 2));
  }
}

TEST_F(TableSnapshots, ThatWereNotFinishedAreRemovedAfterADay) {
  const auto place = folder / "snapshots" / kChangelog / "0";
  for (const auto* name : {"next-old", "next-new"}) std::filesystem::create_directories(place / name);
  std::filesystem::last_write_time(place / "next-old", std::filesystem::file_time_type::clock::now() - 25h);
  make_snapshots();
  EXPECT_FALSE(std::filesystem::exists(place / "next-old"));
  EXPECT_TRUE(std::filesystem::exists(place / "next-new"));
}

TEST_F(TableSnapshots, ThatCannotBeWrittenStopNothing) {
  std::ofstream{folder / "snapshots"} << "a file";
  world.work([&](Worker& worker) -> Task<void> {
    co_await count(5);
    co_await sleep_for(30s);
    co_await count(5);
    EXPECT_EQ((co_await worker.status()).tables.at(0).state, "running");
  });
  EXPECT_THAT(lines.text(), HasSubstr("no snapshot is written now"));
}

}  // namespace
}  // namespace mephisto::tests
