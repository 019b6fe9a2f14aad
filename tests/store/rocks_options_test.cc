// What many databases share: memory, threads, and when their buffers go to the disk.
#include "store/rocks_options.h"

#include <rocksdb/db.h>

#include <set>

#include "store/places.h"

namespace mephisto::test {
namespace {

using detail::open_stores;
using detail::RocksMemory;
using ::testing::IsEmpty;

int entries_of(const std::filesystem::path& folder) {
  return static_cast<int>(
      std::distance(std::filesystem::directory_iterator{folder}, std::filesystem::directory_iterator{}));
}

class SharedMemory : public ::testing::Test {
 protected:
  std::unique_ptr<rocksdb::DB> open(RocksMemory& memory, const std::string& name) {
    auto options = memory.options();
    options.create_if_missing = true;
    rocksdb::DB* made = nullptr;
    EXPECT_TRUE(rocksdb::DB::Open(options, folder / name, &made).ok());
    memory.add(made);
    return std::unique_ptr<rocksdb::DB>{made};
  }
  static void put(RocksMemory& memory, rocksdb::DB& database, std::size_t bytes) {
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    std::string noise;
    while (noise.size() < bytes) noise += static_cast<char>(random_());
    ASSERT_TRUE(database.Put(options, noise.substr(0, 16), noise).ok());
    memory.after_write();
  }
  // After its flush, if there is one.
  static std::size_t files_of(rocksdb::DB& database) {
    std::uint64_t unwritten = 1;
    while (unwritten > 0) database.GetIntProperty(rocksdb::DB::Properties::kNumImmutableMemTable, &unwritten);
    std::vector<rocksdb::LiveFileMetaData> files;
    database.GetLiveFilesMetaData(&files);
    return files.size();
  }

  TempDir folder;
  static inline std::mt19937_64 random_{9};
};

// An idle database that holds much must not make a busy one write a file for each of its changes.
TEST_F(SharedMemory, TheLargestBufferIsWrittenNotThatOfTheWriter) {
  RocksMemory memory{16 << 20};
  auto idle = std::vector<std::unique_ptr<rocksdb::DB>>{};
  for (int i = 0; i < 3; ++i) {
    idle.push_back(open(memory, std::to_string(i)));
    put(memory, *idle.back(), 1'300'000);
  }
  const auto busy = open(memory, "busy");
  std::size_t most = 0;
  for (int i = 0; i < 60; ++i) {
    put(memory, *busy, 10'000);
    most = std::max(most, files_of(*busy));
  }
  EXPECT_EQ(most, 0U);
  std::size_t written = 0;
  for (const auto& one : idle) written += files_of(*one);
  EXPECT_GE(written, 1U);
  EXPECT_LE(written, 3U);
  for (const auto& one : idle) memory.remove(one.get());
  memory.remove(busy.get());
}

TEST_F(SharedMemory, ChangesOfAnIdleDatabaseAreOnTheDiskAfterTheDelay) {
  for (const auto delay : {std::chrono::milliseconds{0}, std::chrono::milliseconds{1'000'000}}) {
    RocksMemory memory{16 << 20, delay};
    const auto idle = open(memory, fmt::format("idle{}", delay.count()));
    const auto busy = open(memory, fmt::format("busy{}", delay.count()));
    put(memory, *idle, 100);
    for (int i = 0; i < 3; ++i) put(memory, *busy, 100);
    EXPECT_EQ(files_of(*idle), delay.count() == 0 ? 1U : 0U);
    memory.remove(idle.get());
    memory.remove(busy.get());
  }
}

TEST_F(SharedMemory, BuffersAndCachesOfManyDatabasesKeepToTheBudget) {
  constexpr std::size_t kShared = 16 << 20;
  RocksMemory memory{kShared};
  std::vector<std::unique_ptr<rocksdb::DB>> all;
  for (int i = 0; i < 40; ++i) all.push_back(open(memory, std::to_string(i)));
  std::size_t most = 0;
  for (int round = 0; round < 400; ++round) {
    for (int i = 0; i < 10; ++i) put(memory, *all[random_() % all.size()], 10'000);
    std::string value;
    (void)all[random_() % all.size()]->Get({}, "x", &value);
    std::uint64_t cached = 0;  // with the buffers, which are charged to it
    all[0]->GetIntProperty(rocksdb::DB::Properties::kBlockCacheUsage, &cached);
    most = std::max<std::size_t>(most, cached);
  }
  EXPECT_LE(most, kShared);
  EXPECT_GT(most, kShared / 8);
  for (const auto& one : all) memory.remove(one.get());
}

TEST(ManyRocksStores, ShareTheirThreadsAndHaveFewFiles) {
  TempDir folder;
  auto stores = open_stores("rocksdb://", folder.path(), kBudget);
  std::vector<std::unique_ptr<Store>> all;
  all.push_back(stores->open(kName, 0));
  const auto threads = entries_of("/proc/self/task");
  const auto files = entries_of("/proc/self/fd");
  for (int partition = 1; partition <= 50; ++partition) {
    all.push_back(stores->open(kName, partition));
    for (int i = 0; i < 5; ++i) Changes{i}.to(*all.back(), i);
  }
  EXPECT_LE(entries_of("/proc/self/task"), threads + 4);
  EXPECT_LE(entries_of("/proc/self/fd") - files, 50 * 12);
  all.clear();
  for (int partition = 1; partition <= 50; ++partition)
    EXPECT_LE(entries_of(folder / kName / std::to_string(partition)), 12);
}

}  // namespace
}  // namespace mephisto::test
