// Tables whose store cannot be used for a while: a full disk, a folder that is removed or read-only, failing writes, a
// damaged file. Nothing is lost or doubled, and other partitions go on.
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

#include "store/places.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using test::LogLines;
using test::TempDir;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int kKeys = 50;

struct Entry {
  int count = 0;
  std::string padding;  // so that the store has to write files
};

std::string incompressible(int seed) {
  std::mt19937 random{static_cast<std::uint32_t>(seed)};
  std::string text(8000, ' ');
  for (auto& one : text) one = static_cast<char>('0' + random() % 75);
  std::ranges::replace(text, '\\', '~');
  return text;
}

// Counts keys in a table of two partitions. Partition 0 of its store is a folder that the test can take away.
class LostStore : public testing::TestWithParam<bool> {
 protected:
  LostStore() {
    std::filesystem::create_directories(place);
    world.set("tabledir", folder.path()).set("memory_budget", "1MiB").set("broker_commit_interval", "100ms");
    if (GetParam()) world.set("processing_guarantee", "exactly_once");
    TopicOptions two;
    two.partitions = 2;
    topic = &world.app.topic<std::string>("keys", two);
    table = &world.app.table<std::string, Entry>("counts", {.partitions = 2, .store = "rocksdb://"});
    world.app.agent("count", *topic, [this](Stream<std::string> stream) -> Task<void> {
      while (auto key = co_await stream.next()) {
        auto& entry = (*table)[*key];
        ++entry.count;
        entry.padding = incompressible(entry.count);
      }
    });
  }
  ~LostStore() override {
    if (mounted) umount2(place.c_str(), MNT_DETACH);
  }

  void mount_small_disk() {
    mounted = mount("tmpfs", place.c_str(), "tmpfs", 0, "size=12m") == 0;
    ASSERT_TRUE(mounted) << "the tests run as root, so that they can make a disk full";
  }
  void fill() const { std::ofstream{place / "ballast"} << std::string(32 << 20, 'b'); }
  void make_room() const { std::filesystem::remove(place / "ballast"); }

  // Sends each key so many times to each partition.
  Task<void> send(int times, std::vector<int> partitions = {0, 1}) {
    for (int i = 0; i < times * kKeys; ++i) {
      for (const int partition : partitions) {
        SendOptions options;
        options.partition = partition;
        co_await topic->cast(fmt::format("k{}", i % kKeys), options);
      }
    }
    for (const int partition : partitions) sent[partition] += times;
  }
  // The partition is processed and committed up to its end.
  Task<void> done(int partition) {
    co_await world.eventually_committed("keys", static_cast<std::int64_t>(sent[partition]) * kKeys, partition, 600s);
  }
  // What the changelog says, which is what the store is made of.
  Task<void> expect_all() {
    for (const int partition : {0, 1}) {
      std::map<std::string, int> counts;
      for (const auto& row : co_await world.records("app-counts-changelog")) {
        if (row.partition != partition) continue;
        Entry entry;
        value_or_throw(Codec::json().load(json::padded_copy(*row.value), entry));
        counts[*row.key] = entry.count;
      }
      EXPECT_EQ(counts.size(), static_cast<std::size_t>(kKeys));
      for (const auto& [key, count] : counts) EXPECT_EQ(count, sent[partition]) << key << " in " << partition;
    }
    EXPECT_THAT(co_await world.records("app-count-dlq"), IsEmpty());
  }
  Task<status::TableStatus> status_of(const Worker& worker, int partition) {
    for (auto& one : (co_await const_cast<Worker&>(worker).status()).tables) {
      if (one.partition == partition) co_return one;
    }
    co_return status::TableStatus{};
  }
  Task<void> runs(const Worker& worker, int partition) {
    for (int i = 0; i < 600; ++i) {
      if ((co_await status_of(worker, partition)).state == "running") co_return;
      co_await sleep_for(100ms);
    }
    ADD_FAILURE() << "partition " << partition << " does not go on";
  }
  // Sends until partition 0 waits.
  Task<void> send_until_it_waits(Worker& worker) {
    for (int i = 0; i < 100; ++i) {
      co_await send(1, {0});
      co_await sleep_for(1s);
      if ((co_await status_of(worker, 0)).state == "waiting") co_return;
    }
    ADD_FAILURE() << "the store of partition 0 does not fail";
  }

  TempDir folder;
  std::filesystem::path place = folder / "app-counts-changelog" / "0";
  bool mounted = false;
  TestApp world;
  LogLines lines;
  Topic<std::string>* topic = nullptr;
  Table<std::string, Entry>* table = nullptr;
  std::map<int, int> sent;
};

TEST_P(LostStore, AFullDiskPausesThePartitionUntilThereIsRoom) {
  mount_small_disk();
  world.work([&](Worker& worker) -> Task<void> {
    co_await send(2);
    co_await done(0);
    co_await done(1);
    for (int round = 0; round < 3; ++round) {
      fill();
      co_await send_until_it_waits(worker);
      fill();  // what the store has given up
      const auto waiting = co_await status_of(worker, 0);
      EXPECT_THAT(waiting.trouble.value_or(""), AllOf(HasSubstr("disk is full"), HasSubstr("free some space")));
      bool told = false;
      for (const auto& one : (co_await worker.status()).partitions) {
        if (one.topic != "keys" || one.partition != 0) continue;
        for (const auto& reason : one.reasons) told |= reason.text.find("disk is full") != std::string::npos;
      }
      EXPECT_TRUE(told) << "why says it";
      co_await send(2, {1});
      co_await done(1);
      EXPECT_EQ((co_await status_of(worker, 1)).state, "running");
      EXPECT_EQ((co_await status_of(worker, 0)).state, "waiting");
      make_room();
      co_await done(0);
      co_await runs(worker, 0);
    }
    co_await expect_all();
  });
}

TEST_P(LostStore, ADiskThatIsFullAtTheStartIsWaitedFor) {
  mount_small_disk();
  fill();
  world.work([&](Worker& worker) -> Task<void> {
    co_await send(1);
    co_await done(1);
    EXPECT_EQ((co_await status_of(worker, 0)).state, "waiting");
    make_room();
    co_await done(0);
    co_await expect_all();
  });
}

TEST_P(LostStore, AFolderThatIsRemovedIsRestored) {
  world.work([&](Worker& worker) -> Task<void> {
    co_await send(2);
    co_await done(0);
    std::filesystem::remove_all(folder / "app-counts-changelog");
    for (int i = 0; i < 20; ++i) {
      co_await send(1);
      co_await done(0);
      co_await done(1);
    }
    EXPECT_EQ((co_await status_of(worker, 0)).state, "running");
    co_await expect_all();
  });
  EXPECT_THAT(lines.text(), HasSubstr("Its records wait until its state is restored"));
  EXPECT_TRUE(std::filesystem::exists(place / "CURRENT"));
}

TEST_P(LostStore, AReadOnlyDiskIsWaitedFor) {
  mount_small_disk();
  world.work([&](Worker& worker) -> Task<void> {
    co_await send(1);
    co_await done(0);
    umount2(place.c_str(), MNT_DETACH);
    mounted = mount("tmpfs", place.c_str(), "tmpfs", MS_RDONLY, "size=12m") == 0;
    EXPECT_TRUE(mounted);
    co_await world.expel({"keys"});
    co_await send(1);
    co_await done(1);
    EXPECT_EQ((co_await status_of(worker, 0)).state, "waiting");
    EXPECT_THAT((co_await status_of(worker, 0)).trouble.value_or(""), HasSubstr("Read-only file system"));
    EXPECT_EQ(mount("tmpfs", place.c_str(), "tmpfs", MS_REMOUNT, "size=12m"), 0);
    co_await done(0);
    co_await expect_all();
  });
}

TEST_P(LostStore, WritesThatFailAreRestored) {
  world.work([&](Worker& worker) -> Task<void> {
    co_await send(2);
    co_await done(0);
    rlimit before{};
    EXPECT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{.rlim_cur = 20'000, .rlim_max = before.rlim_max};
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 10; ++i) {
      co_await send(1);
      co_await sleep_for(1s);
    }
    EXPECT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    co_await done(0);
    co_await done(1);
    co_await runs(worker, 0);
    co_await expect_all();
  });
  EXPECT_THAT(lines.text(), AllOf(HasSubstr("File too large"), HasSubstr("its state is restored, and it goes on")));
}

// Found when an event reads it: the event is none of the agent's failures.
TEST_P(LostStore, ADamagedStoreIsRestoredAndNoEventFails) {
  world.work([&](Worker&) -> Task<void> {
    co_await send(2);
    co_await done(0);
    co_await done(1);
  });
  for (const auto& file : std::filesystem::directory_iterator{place}) {
    if (file.path().extension() != ".sst") continue;
    std::fstream bytes{file.path(), std::ios::in | std::ios::out | std::ios::binary};
    bytes.seekp(static_cast<std::streamoff>(file.file_size() / 2));
    bytes << "damage";
  }
  world.work([&](Worker&) -> Task<void> {
    co_await send(1);
    co_await done(0);
    co_await done(1);
    co_await expect_all();
  });
  EXPECT_THAT(lines.text(), AllOf(HasSubstr("cannot be trusted"), HasSubstr("its state is restored, and it goes on")));
}

INSTANTIATE_TEST_SUITE_P(Guarantees, LostStore, testing::Bool(),
                         [](const auto& info) { return info.param ? "ExactlyOnce" : "AtLeastOnce"; });

// A store in memory whose next change fails if that is demanded.
struct Disk {
  std::unique_ptr<detail::Stores> kept = detail::open_stores("memory://", {}, 0);
  Loop& loop;
  bool fails = false;
  Loop::time_point lost{};
  std::vector<Loop::duration> pauses{};  // from each loss to the next opening
};

class FragileStore : public detail::Store {
 public:
  FragileStore(Disk& disk, std::unique_ptr<detail::Store> kept) : disk_(disk), kept_(std::move(kept)) {}
  std::int64_t position() const override { return kept_->position(); }
  std::optional<std::string_view> get(std::string_view key) override { return kept_->get(key); }
  void scan(std::string_view from, std::string_view to,
            const std::function<bool(std::string_view, std::string_view)>& visit) override {
    kept_->scan(from, to, visit);
  }
  void apply(std::span<const detail::StoreChange> changes, std::int64_t position) override {
    if (!disk_.fails) return kept_->apply(changes, position);
    disk_.lost = disk_.loop.now();
    throw Failure(ErrorKind::kUnavailable, "the disk is full");
  }
  const std::string& note() const override { return kept_->note(); }
  void set_note(std::string note) override { kept_->set_note(std::move(note)); }
  std::function<std::int64_t()> snapshot(const std::filesystem::path& path) override { return kept_->snapshot(path); }
  bool wanted() const override { return kept_->wanted(); }
  std::size_t size() const override { return kept_->size(); }
  std::size_t bytes() const override { return kept_->bytes(); }

 private:
  Disk& disk_;
  std::unique_ptr<detail::Store> kept_;
};

class FragileStores : public detail::Stores {
 public:
  explicit FragileStores(Disk& disk) : disk_(disk) {}
  std::unique_ptr<detail::Store> open(const std::string& name, int partition) override {
    if (std::exchange(disk_.fails, false)) disk_.pauses.push_back(disk_.loop.now() - disk_.lost);
    return std::make_unique<FragileStore>(disk_, disk_.kept->open(name, partition));
  }
  void restore(const std::string& name, int partition, const std::filesystem::path& from) override {
    disk_.kept->restore(name, partition, from);
  }
  void remove(const std::string& name, int partition) override { disk_.kept->remove(name, partition); }
  std::vector<std::pair<std::string, int>> list() override { return disk_.kept->list(); }

 private:
  Disk& disk_;
};

// To open and close a store costs the other partitions of the shard.
TEST(LostStores, ThatAreLostAgainAndAgainRestLonger) {
  TestApp world;
  TopicOptions one;
  one.partitions = 1;
  auto& topic = world.app.topic<std::string>("words", one);
  auto& counts = world.app.table<std::string, int>("counts", {.partitions = 1});
  Disk disk{.loop = world.loop};
  bool failing = true;
  world.app.agent("count", topic, [&](Stream<std::string> stream) -> Task<void> {
    while (auto word = co_await stream.next()) {
      counts[*word] += 1;
      disk.fails = failing;
    }
  });
  int sent = 0;
  const auto count = [&]() -> Task<void> {
    co_await topic.send("word");
    co_await world.eventually_committed("words", ++sent, 0, 100s);
    co_await sleep_for(100ms);
  };
  world.loop.run([](TestApp& at, Disk& of, bool& fails, const auto& send) -> Task<void> {
    Worker worker{at.app, at.log, {.memory_stores = std::make_shared<FragileStores>(of)}};
    co_await worker.start();
    for (int i = 0; i < 8; ++i) co_await send();
    fails = false;
    co_await send();
    co_await sleep_for(61s);
    fails = true;
    co_await send();
    fails = false;
    co_await send();
    co_await worker.stop();
  }(world, disk, failing, count));
  std::vector<std::int64_t> seconds;
  for (const auto& pause : disk.pauses) seconds.push_back(pause / 1s);
  EXPECT_THAT(seconds, ElementsAre(0, 1, 2, 4, 8, 16, 30, 30, 0));
  const auto rows = world.run([&] { return world.records("app-counts-changelog"); });
  ASSERT_FALSE(rows.empty());
  EXPECT_EQ(rows.back().value, std::to_string(sent));
}

// A handler may still run when its partition has moved.
TEST(LostPartition, ItsHandlerCanNeitherReadNorChangeTheTable) {
  TestApp world;
  auto& topic = world.app.topic<int>("numbers", [] {
    TopicOptions one;
    one.partitions = 1;
    return one;
  }());
  auto& sums = world.app.table<std::string, int>("sums", {.partitions = 1});
  Gate gate;
  int passed = 0;
  world.app.agent("add", topic, [&](Stream<int> stream) -> Task<void> {
    while (auto number = co_await stream.next()) {
      sums["first"] += *number;
      co_await gate.pass();
      sums["second"] += *number;
      ++passed;
    }
  });
  world.work([&](Worker&) -> Task<void> {
    co_await topic.send(5);
    co_await world.eventually([&] { return gate.waiting() == 1; });
    co_await world.expel({"numbers"});
    gate.open();
    co_await world.eventually_committed("numbers", 1);
  });
  EXPECT_EQ(passed, 1);
  const auto rows =
      world.run([&]() -> Task<std::vector<Row>> { co_return co_await world.records("app-sums-changelog"); });
  ASSERT_EQ(rows.size(), 2U);
  for (const auto& row : rows) EXPECT_EQ(row.value, "5");
}

}  // namespace
}  // namespace mephisto::tests
