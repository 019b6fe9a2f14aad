// The folders of rocksdb://: whose they are, what they hold, snapshots, and full disks.
#include <rocksdb/comparator.h>
#include <rocksdb/db.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "base/hash.h"
#include "store/places.h"

namespace mephisto::test {
namespace {

using detail::open_stores;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

class RocksFolders : public ::testing::Test {
 protected:
  void fill(Store& store, std::int64_t until = 50) {
    for (auto i = store.position() + 1; i <= until; ++i) Changes{i}.to(store, i);
  }
  // A store with all changes until 50, closed.
  void make() { fill(*stores->open(kName, 0)); }
  LogLines lines;
  void write_format(const std::string& text) {
    std::ofstream{place / "FORMAT", std::ios::trunc} << text << fmt::format("{:08x}\n", crc32c(text));
  }

  TempDir folder;
  std::filesystem::path place = folder / kName / "0";
  std::unique_ptr<Stores> stores = open_stores("rocksdb://", folder.path(), kBudget);
};

TEST_F(RocksFolders, AreForTheirOwnerOnly) {
  const auto before = umask(0);
  {
    auto store = stores->open(kName, 0);
    fill(*store);
    store->snapshot(folder / "snapshot")();
    store.reset();
    stores->restore(kName, 0, folder / "snapshot");
    store = stores->open(kName, 0);
  }
  umask(before);
  for (const auto& entry : std::filesystem::recursive_directory_iterator{folder.path()}) {
    const auto rights = entry.status().permissions() & std::filesystem::perms::all;
    EXPECT_EQ(static_cast<int>(rights), entry.is_directory() ? 0700 : 0600) << entry.path();
  }
}

TEST_F(RocksFolders, OfANewerFormatAreRefused) {
  make();
  write_format(fmt::format("mephisto-store 2\n{}\n0\n", kName));
  std::string message;
  EXPECT_EQ(kind_of([&] { (void)stores->open(kName, 0); }, &message), ErrorKind::kInvalid);
  EXPECT_THAT(message, AllOf(HasSubstr("has format 2"), HasSubstr("up to 1"), HasSubstr(place.string())));
  EXPECT_THAT(set_aside(folder.path()), IsEmpty());
  write_format(fmt::format("mephisto-store 1\n{}\n0\n", kName));
  EXPECT_EQ(all_of(*stores->open(kName, 0)), contents_at(50)) << "nothing has changed";
}

struct NumericOrder final : rocksdb::Comparator {
  const char* Name() const override { return "rocksdict"; }
  int Compare(const rocksdb::Slice& a, const rocksdb::Slice& b) const override { return a.compare(b); }
  void FindShortestSeparator(std::string*, const rocksdb::Slice&) const override {}
  void FindShortSuccessor(std::string*) const override {}
};

TEST_F(RocksFolders, OfAnotherProgramAreSetAsideAndItsComparatorIsNamed) {
  std::filesystem::create_directories(place);
  static const NumericOrder order;
  rocksdb::Options options;
  options.create_if_missing = true;
  options.comparator = &order;
  rocksdb::DB* database = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open(options, place, &database).ok());
  ASSERT_TRUE(database->Put({}, "a", "1").ok());
  delete database;
  EXPECT_EQ(stores->open(kName, 0)->position(), -1);
  EXPECT_THAT(lines.text(), AllOf(HasSubstr("rocksdict"), HasSubstr(place.string() + ".corrupt-")));
  ASSERT_THAT(set_aside(folder.path()), SizeIs(1));
  database = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open(options, set_aside(folder.path())[0], &database).ok()) << "it is as it was";
  std::string value;
  EXPECT_TRUE(database->Get({}, "a", &value).ok());
  delete database;
}

TEST_F(RocksFolders, OfAnotherProgramWithTheSameOrderAreSetAside) {
  std::filesystem::create_directories(place);
  rocksdb::Options options;
  options.create_if_missing = true;
  rocksdb::DB* database = nullptr;
  ASSERT_TRUE(rocksdb::DB::Open(options, place, &database).ok());
  ASSERT_TRUE(database->Put({}, "a", "1").ok());
  delete database;
  EXPECT_THAT(all_of(*stores->open(kName, 0)), IsEmpty());
  EXPECT_THAT(set_aside(folder.path()), SizeIs(1));
}

TEST_F(RocksFolders, CannotBeOutsideOfTheirFolder) {
  for (const auto* name : {"", ".", "..", "../x", "a/b", "/x"}) {
    EXPECT_EQ(kind_of([&] { (void)stores->open(name, 0); }), ErrorKind::kInvalid) << name;
    EXPECT_EQ(kind_of([&] { stores->remove(name, 0); }), ErrorKind::kInvalid) << name;
  }
  EXPECT_EQ(kind_of([&] { (void)stores->open(kName, -1); }), ErrorKind::kInvalid);
}

TEST_F(RocksFolders, WithTheLongestNameCanBeSetAside) {
  const std::string name(249, 'n');
  (void)stores->open(name, 0);
  std::ofstream{folder / name / "0" / "CURRENT"} << "nonsense";
  EXPECT_EQ(stores->open(name, 0)->position(), -1);
  EXPECT_THAT(stores->list(), ElementsAre(Pair(name, 0)));
}

TEST_F(RocksFolders, SnapshotsAreStoresOfTheirTime) {
  auto store = stores->open(kName, 0);
  fill(*store, 20);
  store->snapshot(folder / "at20")();
  fill(*store, 50);
  EXPECT_EQ(all_of(*store), contents_at(50)) << "the store goes on";
  EXPECT_EQ(kind_of([&] { store->snapshot(folder / "at20")(); }), ErrorKind::kInvalid) << "there is one";
  store->snapshot(folder / "at50")();
  store.reset();
  stores->remove(kName, 0);

  const TempDir machine;
  auto elsewhere = open_stores("rocksdb://", machine.path(), kBudget);
  for (const auto position : {20, 50, 20}) {
    elsewhere->restore(kName, 0, folder / fmt::format("at{}", position));
    store = elsewhere->open(kName, 0);
    EXPECT_EQ(store->position(), position);
    EXPECT_EQ(all_of(*store), contents_at(position));
    fill(*store, 60);
    EXPECT_EQ(all_of(*store), contents_at(60));
    store.reset();
  }
}

TEST_F(RocksFolders, ASnapshotThatIsNotSoundChangesNothing) {
  auto store = stores->open(kName, 0);
  fill(*store, 20);
  store->snapshot(folder / "snapshot")();
  fill(*store, 30);
  EXPECT_EQ(kind_of([&] { stores->restore(kName, 0, folder / "snapshot"); }), ErrorKind::kUnavailable) << "it is open";
  store.reset();
  EXPECT_EQ(kind_of([&] { stores->restore(kName, 0, folder / "none"); }), ErrorKind::kCorrupt);
  EXPECT_EQ(kind_of([&] { stores->restore(kName, 1, folder / "snapshot"); }), ErrorKind::kCorrupt) << "another's";
  std::string message;
  for (const auto& entry : std::filesystem::directory_iterator{folder / "snapshot"}) {
    if (entry.path().extension() != ".sst") continue;
    // The store has the same file by another name, and stays sound.
    std::filesystem::copy_file(entry.path(), folder / "copy");
    std::filesystem::rename(folder / "copy", entry.path());
    std::fstream file{entry.path(), std::ios::in | std::ios::out | std::ios::binary};
    file.seekp(10).put('\x7f');
  }
  EXPECT_EQ(kind_of([&] { stores->restore(kName, 0, folder / "snapshot"); }, &message), ErrorKind::kCorrupt);
  EXPECT_THAT(message, HasSubstr((folder / "snapshot").string()));
  EXPECT_FALSE(std::filesystem::exists(folder / kName / "0.new"));
  EXPECT_EQ(all_of(*stores->open(kName, 0)), contents_at(30));
  EXPECT_THAT(stores->list(), ElementsAre(Pair(kName, 0)));
}

// --- full disks ---

constexpr std::size_t kLarge = 8000;

void apply(Store& store, std::int64_t position) { Changes{position, kLarge}.to(store, position); }

// Applies until it fails. Returns the kind of the failure.
ErrorKind apply_until_it_fails(Store& store, std::string& message) {
  return kind_of(
      [&] {
        for (int i = 0; i < 10'000; ++i) apply(store, store.position() + 1);
      },
      &message);
}

// What waits for space looks for it now and then.
void apply_when_there_is_room(Store& store, std::int64_t position) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{30};
  for (;;) {
    try {
      return apply(store, position);
    } catch (const Failure& failure) {
      if (failure.kind() != ErrorKind::kUnavailable || std::chrono::steady_clock::now() > until) throw;
    }
  }
}

// Fills the disk, goes on for three times, and looks whether what was applied is all that is there, also after a
// reopening.
void fill_and_go_on(Stores& stores, const std::function<void()>& fill, const std::function<void()>& make_room) {
  auto store = stores.open(kName, 0);
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    fill();
    std::string message;
    EXPECT_EQ(apply_until_it_fails(*store, message), ErrorKind::kUnavailable);
    EXPECT_THAT(message, AllOf(HasSubstr("disk is full"), HasSubstr("free some space"), HasSubstr(kName)));
    const auto last = store->position();
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(kind_of([&] { apply(*store, last + 1); }), ErrorKind::kUnavailable);
      EXPECT_EQ(store->position(), last);
    }
    EXPECT_TRUE(all_of(*store) == contents_at(last, kLarge)) << "it can be read, and has nothing of what failed";
    make_room();
    for (auto i = last + 1; i <= last + 50; ++i) apply_when_there_is_room(*store, i);
    const auto expected = contents_at(last + 50, kLarge);
    EXPECT_TRUE(all_of(*store) == expected);
    store.reset();
    store = stores.open(kName, 0);
    EXPECT_EQ(store->position(), last + 50);
    EXPECT_TRUE(all_of(*store) == expected);
  }
}

struct SmallDisk {
  SmallDisk() : mounted(mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=24m") == 0) {}
  ~SmallDisk() {
    if (mounted) umount2(folder.path().c_str(), MNT_DETACH);
  }
  void fill() const { std::ofstream{folder / "ballast"} << std::string(32 << 20, 'b'); }
  void make_room() const { std::filesystem::remove(folder / "ballast"); }
  TempDir folder;
  bool mounted;
};

TEST(RocksFullDisk, IsToldAndTheStoreGoesOn) {
  const SmallDisk disk;
  if (!disk.mounted) GTEST_SKIP() << "mount is not permitted here, so no disk can be made full";
  auto stores = open_stores("rocksdb://", disk.folder / "state", kBudget);
  fill_and_go_on(*stores, [&] { disk.fill(); }, [&] { disk.make_room(); });
  EXPECT_THAT(set_aside(disk.folder / "state"), IsEmpty());
}

// RocksDB does not go on after other errors. The store says so, and is behind but sound when it is opened again.
TEST(RocksFullDisk, WhatCannotBeWrittenIsToldAndIsRestored) {
  TempDir folder;
  auto stores = open_stores("rocksdb://", folder.path(), kBudget);
  auto store = stores->open(kName, 0);
  for (int i = 0; i < 100; ++i) apply(*store, i);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{.rlim_cur = 100'000, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string message;
  EXPECT_EQ(apply_until_it_fails(*store, message), ErrorKind::kCorrupt);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_THAT(message, AllOf(HasSubstr(kName), HasSubstr("lost its last changes"), HasSubstr("File too large")));
  EXPECT_EQ(kind_of([&] { apply(*store, 10'000); }), ErrorKind::kCorrupt);
  store.reset();

  store = stores->open(kName, 0);
  EXPECT_TRUE(all_of(*store) == contents_at(store->position(), kLarge));
  for (auto i = store->position() + 1; i < 200; ++i) apply(*store, i);
  EXPECT_TRUE(all_of(*store) == contents_at(199, kLarge));
  EXPECT_THAT(set_aside(folder.path()), IsEmpty());
}

// What is in memory then is lost; the store is behind, but sound.
TEST(RocksFullDisk, AStoreThatIsClosedMeanwhileIsSoundWhenItIsOpenedAgain) {
  const SmallDisk disk;
  if (!disk.mounted) GTEST_SKIP() << "mount is not permitted here, so no disk can be made full";
  auto stores = open_stores("rocksdb://", disk.folder / "state", kBudget);
  auto store = stores->open(kName, 0);
  for (int i = 0; i < 50; ++i) apply(*store, i);
  store = nullptr;
  store = stores->open(kName, 0);
  auto other = stores->open(kName, 1);
  for (int i = 0; i < 50; ++i) apply(*other, i);
  disk.fill();
  std::string message;
  EXPECT_EQ(apply_until_it_fails(*store, message), ErrorKind::kUnavailable);
  EXPECT_EQ(kind_of([&] { store->snapshot(disk.folder / "snapshot")(); }), ErrorKind::kUnavailable);
  {
    LogLines lines;
    store.reset();
    EXPECT_THAT(lines.text(), AllOf(HasSubstr("disk is full"), HasSubstr("restored from the changelog")));
  }
  disk.fill();
  EXPECT_EQ(kind_of([&] { (void)stores->open(kName, 2); }, &message), ErrorKind::kUnavailable);
  EXPECT_THAT(message, HasSubstr("free some space"));
  disk.make_room();

  store = stores->open(kName, 0);
  EXPECT_GE(store->position(), 49);
  EXPECT_TRUE(all_of(*store) == contents_at(store->position(), kLarge));
  for (auto i = store->position() + 1; i < 200; ++i) apply_when_there_is_room(*store, i);
  EXPECT_TRUE(all_of(*store) == contents_at(199, kLarge));
  EXPECT_TRUE(all_of(*other) == contents_at(49, kLarge));
  EXPECT_THAT(set_aside(disk.folder / "state"), IsEmpty());
}

}  // namespace
}  // namespace mephisto::test
