// Damage to the bytes on the disk, and a full disk: each is reported as what it is, and never read as wrong data.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cstring>
#include <fstream>

#include "local_process.h"
#include "mephisto/base/ids.h"

namespace mephisto::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const TopicPartition kZero{"orders", 0};

class LocalDamage : public LocalTest {
 protected:
  std::string data() const {
    std::ifstream file{dir() + "/data.mdb", std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
  }
  void flip(std::size_t place, int bit) {
    std::fstream file{dir() + "/data.mdb", std::ios::in | std::ios::out | std::ios::binary};
    file.seekg(static_cast<std::streamoff>(place));
    auto byte = static_cast<char>(file.get() ^ 1 << bit);
    file.seekp(static_cast<std::streamoff>(place));
    file.put(byte);
  }
  // Reads a partition from `from` on; returns the rows, or the error.
  Result<std::vector<Row>> try_read(const TopicPartition& partition, std::int64_t from) {
    ReaderOptions options;
    options.partitions[partition] = from;
    Member reader{*log, loop, options};
    try {
      await(reader.step(0ms));
      await(reader.step(0ms));
    } catch (const Failure& failure) {
      return std::unexpected(failure.error());
    }
    return reader.read[partition];
  }
};

TEST_F(LocalDamage, AFlippedBitInAStoredBatchIsCorruptAndNotWrongData) {
  create("orders", 2);
  append(kZero, 1, "good");
  const std::string marker = "the value whose bits are flipped";
  // Large enough for pages of its own, which no later write copies.
  append(kZero, {{"key", marker, now(), {{"name", "header"}}}, {"key2", std::string(5000, 'v'), now(), {}}});
  append(kZero, 1, "good");
  append({"orders", 1}, 1, "other");
  close_log();
  const auto bytes = data();
  const auto value = bytes.find(marker);
  ASSERT_NE(value, std::string::npos);
  ASSERT_EQ(bytes.find(marker, value + 1), std::string::npos) << "it is there once";

  // From the checksum at the batch's start to the batch's end. Before the value there are at most 40 bytes of header
  // and about 30 of the record.
  const auto header = bytes.rfind(std::string("\x01\0\0\0\x02\0\0\0\x02\0\0\0", 12), value) - 8;
  ASSERT_LT(value - header, 80U);
  Random random{5};
  for (std::size_t place = header; place < value + marker.size() + 150; place += place < value ? 1 : 13) {
    const int bit = static_cast<int>(random.below(8));
    flip(place, bit);
    reopen();
    auto read = try_read(kZero, 1);
    ASSERT_FALSE(read) << "byte " << place - header << " of the batch";
    if (place == header + 8)
      EXPECT_EQ(read.error().kind, ErrorKind::kInvalid) << "a version that is not known";
    else
      EXPECT_EQ(read.error().kind, ErrorKind::kCorrupt) << read.error().message;
    EXPECT_THAT(read.error().message, HasSubstr("orders/0@1"));
    EXPECT_THAT(value_or_throw(try_read(kZero, 3)), SizeIs(1)) << "what lies behind can be read";
    EXPECT_THAT(value_or_throw(try_read({"orders", 1}, 0)), SizeIs(1));
    close_log();
    flip(place, bit);
  }
  reopen();
  EXPECT_THAT(value_or_throw(try_read(kZero, 0)), SizeIs(4));
}

// The output of a process that reads a whole topic.
struct Dump {
  std::vector<std::string> lines;
  bool whole = false;  // everything is there, as far as it knows
  std::string error;
  bool died = false;  // LMDB met a damaged page of its own
};

class LocalFlippedBit : public LocalDamage {
 protected:
  Dump dump() {
    Child child{with("dump", {"orders"})};
    Dump result{child.rest(), false, "", false};
    result.died = !WIFEXITED(child.wait());
    if (result.died || result.lines.empty()) return result;
    if (result.lines.back() == "done")
      result.whole = true;
    else
      result.error = result.lines.back();
    result.lines.pop_back();
    return result;
  }
  // Two partitions with batches of several sizes, in a closed log; returns their contents.
  Dump filled() {
    create("orders", 2);
    for (int i = 0; i < 40; ++i)
      append({"orders", i % 2}, {{"k", fmt::format("{} {}", i, std::string(i % 5 == 0 ? 3000 : 50, 'v')), now(), {}}});
    close_log();
    return dump();
  }
  void flip_all(const std::vector<std::size_t>& places, int bit) {
    for (auto place : places) flip(place, bit);
  }
  // All positions of `bytes` in the file, because LMDB keeps earlier copies of a page.
  std::vector<std::size_t> places_of(const std::string& bytes) const {
    std::vector<std::size_t> places;
    const auto all = data();
    for (auto place = all.find(bytes); place != std::string::npos; place = all.find(bytes, place + 1))
      places.push_back(place);
    return places;
  }
  static void expect_nothing_wrong(const Dump& seen, const Dump& expected) {
    ASSERT_LE(seen.lines.size(), expected.lines.size());
    EXPECT_TRUE(std::equal(seen.lines.begin(), seen.lines.end(), expected.lines.begin())) << "something else was read";
    if (seen.whole) EXPECT_EQ(seen.lines.size(), expected.lines.size()) << "something is missing, and nothing was said";
  }
};

TEST_F(LocalFlippedBit, AnywhereIsReportedOrHasTouchedNothing) {
  const auto expected = filled();
  ASSERT_THAT(expected.lines, SizeIs(40));
  Random random{6};
  int told = 0;
  for (int i = 0; i < 150; ++i) {
    const auto place = random.below(std::filesystem::file_size(dir() + "/data.mdb"));
    const int bit = static_cast<int>(random.below(8));
    SCOPED_TRACE(fmt::format("byte {} bit {}", place, bit));
    flip(place, bit);
    auto seen = dump();
    expect_nothing_wrong(seen, expected);
    if (!seen.whole && !seen.died) EXPECT_THAT(seen.error, ::testing::StartsWith("error "));
    told += seen.whole ? 0 : 1;
    flip(place, bit);
  }
  EXPECT_GT(told, 20);
  EXPECT_TRUE(dump().whole);
}

TEST_F(LocalFlippedBit, InTheKeyOfABatchMovesNoRecord) {
  const auto expected = filled();
  const std::string key("b\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\x05", 17);  // the sixth of partition 1
  const auto places = places_of(key);
  ASSERT_FALSE(places.empty());
  for (std::size_t byte = 0; byte < key.size(); ++byte) {
    auto moved = places;
    for (auto& place : moved) place += byte;
    const int bit = static_cast<int>(byte * 5 % 8);
    SCOPED_TRACE(fmt::format("byte {} bit {}", byte, bit));
    flip_all(moved, bit);
    auto seen = dump();
    expect_nothing_wrong(seen, expected);
    EXPECT_THAT(seen.error, ::testing::StartsWith("error corrupt: orders/1@"));
    flip_all(moved, bit);
  }
}

TEST_F(LocalFlippedBit, InAPartitionsRecordIsReportedAndNothingIsOverwritten) {
  const auto expected = filled();
  const auto places = places_of(std::string("p\0\0\0\x01\0\0\0\x01", 9));
  ASSERT_FALSE(places.empty());
  for (std::size_t byte = 9; byte < 9 + 28; byte += 3) {
    auto moved = places;
    for (auto& place : moved) place += byte;
    SCOPED_TRACE(byte);
    flip_all(moved, 2);
    auto seen = dump();
    expect_nothing_wrong(seen, expected);
    EXPECT_THAT(seen.error, ::testing::StartsWith("error corrupt: "));
    Child child{with("append", {"orders", "2", "0", "1", "10"})};
    EXPECT_THAT(child.rest(), ::testing::ElementsAre(::testing::StartsWith("error corrupt: ")));
    flip_all(moved, 2);
  }
  EXPECT_TRUE(dump().whole);
}

TEST_F(LocalFlippedBit, InACommitIsReported) {
  create("orders");
  append(kZero, 3);
  {
    auto one = member("billing", "one", {"orders"});
    until({&one}, [&] { return one.all_read().size() == 3; });
    ASSERT_TRUE(await(one.commit()));
    await(one.close());
  }
  close_log();
  auto places = places_of("{\"offset\":3");
  ASSERT_FALSE(places.empty());
  for (auto& place : places) place += 10;
  flip_all(places, 0);  // 2
  reopen();
  auto two = member("billing", "two", {"orders"});
  bool told = false;
  for (int attempt = 0; attempt < 5 && !told; ++attempt) {
    try {
      await(two.step(driver.wait));
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), ErrorKind::kCorrupt);
      EXPECT_THAT(failure.what(), HasSubstr("the commit of billing on orders/0"));
      told = true;
    }
  }
  EXPECT_TRUE(told);
}

class LocalCut : public LocalFlippedBit {
 protected:
  static constexpr std::uint64_t kPage = 4096;

  std::string file() const { return dir() + "/data.mdb"; }
  std::uint64_t size() const { return std::filesystem::file_size(file()); }
  void cut(std::uint64_t bytes) const { std::filesystem::resize_file(file(), bytes); }
  void store(std::string_view key, std::size_t bytes, bool erased_at_once) {
    must(submit(dynamic_cast<KvLog&>(*log).kv(), [=](KvWriter& tx) -> Result<void> {
      tx.put(key, std::string_view{std::string(bytes, 'v')});
      if (erased_at_once) tx.erase(key);
      return {};
    }));
  }
  // The size at which LMDB has written each page up to the last that it has given a number.
  std::uint64_t full_size() const {
    std::uint64_t last = 0;
    std::uint64_t newest = 0;
    for (std::size_t meta : {std::size_t{0}, std::size_t{kPage}}) {
      std::uint64_t numbers[2];
      std::memcpy(numbers, data().data() + meta + 16 + 120, sizeof numbers);
      if (numbers[1] >= newest) last = numbers[0];
      newest = std::max(newest, numbers[1]);
    }
    return (last + 1) * kPage;
  }
};

TEST_F(LocalCut, AnywhereIsReportedOrHasTouchedNothing) {
  const auto expected = filled();
  ASSERT_THAT(expected.lines, SizeIs(40));
  const auto whole = data();
  ASSERT_EQ(whole.size() % kPage, 0U);
  std::size_t told = 0;
  std::size_t cuts = 0;
  for (std::uint64_t page = 0; page < whole.size() / kPage; ++page) {
    for (std::uint64_t bytes : {page * kPage, page * kPage + 1, page * kPage + kPage / 2, page * kPage + kPage - 1}) {
      SCOPED_TRACE(bytes);
      cut(bytes);
      auto seen = dump();
      EXPECT_FALSE(seen.died);
      expect_nothing_wrong(seen, expected);
      if (!seen.whole) EXPECT_THAT(seen.error, AllOf(::testing::StartsWith("error "), HasSubstr("data.mdb")));
      if (!seen.whole && bytes >= kPage) EXPECT_THAT(seen.error, HasSubstr("restore the folder from a copy"));
      told += seen.whole ? 0 : 1;
      ++cuts;
      std::ofstream{file(), std::ios::binary} << whole;
    }
  }
  EXPECT_GT(told, cuts - 20) << "at most the last pages are free";
  EXPECT_TRUE(dump().whole);
}

// LMDB gives a page a number, but does not write it, if the same transaction frees it again.
TEST_F(LocalCut, PagesThatWereNeverWrittenAreNotMissed) {
  create("orders");
  for (std::size_t pages : {std::size_t{1}, std::size_t{40}, std::size_t{3000}}) {
    store("x", pages * kPage, true);
    append(kZero, 1);
    store("y", (pages + 10) * kPage, true);
    close_log();
    EXPECT_LT(size(), full_size()) << pages;
    reopen();
    close_log();
    cut(2 * kPage);
    auto error = open_error(dir());
    ASSERT_TRUE(error) << pages;
    EXPECT_EQ(error->kind, ErrorKind::kCorrupt);
    EXPECT_THAT(error->message, HasSubstr("shortened"));
    std::filesystem::remove_all(dir());
    reopen();
    create("orders");
  }
}

TEST_F(LocalCut, ToNothingIsRefusedWhereALogWas) {
  create("orders");
  append(kZero, 1);
  close_log();
  for (const bool there : {true, false}) {
    if (there)
      cut(0);
    else
      std::filesystem::remove(file());
    auto error = open_error(dir());
    ASSERT_TRUE(error);
    EXPECT_EQ(error->kind, ErrorKind::kCorrupt);
    EXPECT_THAT(error->message, AllOf(HasSubstr(dir()), HasSubstr(there ? "data.mdb is empty" : "data.mdb is missing"),
                                      HasSubstr("restore the folder from a copy")));
    EXPECT_EQ(std::filesystem::exists(file()), there) << "it is left as it is";
  }
}

TEST_F(LocalCut, AnEmptyFileOfALogThatNeverBeganIsANewLog) {
  close_log();
  cut(0);
  std::filesystem::remove(dir() + "/bell");
  reopen();
  create("orders");
  EXPECT_EQ(append(kZero, 1), 0);
}

TEST_F(LocalCut, WhileItIsInUseEndsItsProcesses) {
  create("orders");
  append(kZero, 1);
  store("x", 50 * kPage, false);
  Child reader{with("watch", {"orders"})};
  reader.expect("ready");
  store("x", 1, false);  // frees the last pages: nobody reads them
  cut(size() - 10 * kPage);
  EXPECT_THAT(reader.expect("error ", 10s),
              AllOf(::testing::StartsWith("fatal: "), HasSubstr(dir()), HasSubstr("was shortened while it was in use"),
                    HasSubstr("restore the folder from a copy")));
}

TEST_F(LocalCut, SaysWhatItWasIfTheSystemEndsAProcess) {
  ::testing::internal::CaptureStderr();
  Child reader{with("open"), {"ASAN_OPTIONS=handle_sigbus=0", "TSAN_OPTIONS=handle_sigbus=0"}};
  reader.expect("opened");
  reader.signal(SIGBUS);
  EXPECT_TRUE(reader.killed_by(SIGBUS));
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), AllOf(HasSubstr(file()), HasSubstr("was shortened")));
}

TEST_F(LocalDamage, ATopicThatIsGoneIsMissed) {
  create("orders");
  create("refunds");
  must(submit(dynamic_cast<KvLog&>(*log).kv(), [](KvWriter& tx) -> Result<void> {
    tx.erase("trefunds");
    return {};
  }));
  close_log();
  auto error = open_error(dir());
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind, ErrorKind::kCorrupt);
  EXPECT_THAT(error->message, AllOf(HasSubstr(dir()), HasSubstr("it has 1 topics, but 2 were created")));
}

TEST_F(LocalDamage, AMemberHearsOfItToo) {
  create("orders");
  append(kZero, {{"key", "marked value" + std::string(5000, 'v'), now(), {}}});
  close_log();
  flip(data().find("marked value"), 0);
  reopen();
  auto one = member("billing", "one", {"orders"});
  bool told = false;
  for (int attempt = 0; attempt < 20 && !told; ++attempt) {
    try {
      await(one.step(driver.wait));
    } catch (const Failure& failure) {
      told = failure.kind() == ErrorKind::kCorrupt;
    }
  }
  EXPECT_TRUE(told);
  EXPECT_THAT(one.all_read(), SizeIs(0));
  EXPECT_EQ(committed_offset("billing", kZero), -1);
}

// A small file system of its own, if the test may create one.
class LocalFullDisk : public ::testing::Test {
 protected:
  static constexpr const char* kSize = "size=8m";

  void SetUp() override {
    if (mount("tmpfs", folder.path().c_str(), "tmpfs", 0, kSize) != 0)
      GTEST_SKIP() << "mount is not permitted here, so no disk can be made full: " << std::strerror(errno);
    mounted = true;
  }
  void TearDown() override {
    if (mounted) umount2(folder.path().c_str(), MNT_DETACH);
  }
  // Fills the free space, except for `keep` bytes.
  void fill_up(std::size_t keep = 0) {
    std::ofstream file{folder / "ballast", std::ios::binary | std::ios::app};
    const std::string some(4096, 'b');
    for (;;) {
      struct statvfs now{};
      ASSERT_EQ(statvfs(folder.path().c_str(), &now), 0);
      if (now.f_bavail * now.f_bsize <= keep ||
          !file.write(some.data(), static_cast<std::streamsize>(some.size())).flush())
        return;
    }
  }
  void free_space() { std::filesystem::remove(folder / "ballast"); }

  TempDir folder;
  bool mounted = false;
};

struct DiskWorld : World {
  static Driver on(const TempDir& disk) {
    auto driver = drivers().at(1);
    driver.new_url = [&disk](const TempDir&) { return "local://" + disk / "log"; };
    return driver;
  }
  explicit DiskWorld(const TempDir& disk) : World(on(disk)) {}
};

TEST_F(LocalFullDisk, IsReportedLosesNothingAcknowledgedAndRecoversWhenThereIsSpace) {
  std::ofstream{folder / "ballast", std::ios::binary} << std::string(3 << 20, 'b');
  DiskWorld world{folder};
  world.create("orders", 2);
  world.create("small");
  auto one = world.member("billing", "one", {"orders"});
  world.until({&one}, [&] { return one.owned("orders").size() == 2; });

  std::vector<std::string> acked;
  Result<std::vector<AppendResult>> result;
  for (int i = 0; i < 1000; ++i) {
    Row row{"k", fmt::format("{}-{}", i, std::string(30'000, 'x')), world.now(), {}};
    result = world.await(world.send(out(kZero, {row})));
    if (!result) break;
    acked.push_back(*row.value);
  }
  ASSERT_FALSE(result) << "8 MiB hold no 30 MB";
  EXPECT_EQ(result.error().kind, ErrorKind::kUnavailable);
  EXPECT_TRUE(result.error().retriable());
  EXPECT_THAT(result.error().message,
              AllOf(HasSubstr("disk is full"), HasSubstr(folder.path()), HasSubstr("free some space")));
  EXPECT_GT(acked.size(), 50U);

  // Each large write fails again and again, and the acknowledged records can be read all the time.
  for (int i = 0; i < 3; ++i) {
    auto kind = world.kind_of(world.send(out({"orders", 1}, {{"k", std::string(1 << 20, 'y'), world.now(), {}}})));
    EXPECT_EQ(kind, ErrorKind::kUnavailable) << world.last_error;
  }
  EXPECT_EQ(values(world.read(kZero)), acked);
  EXPECT_EQ(world.must(world.log->watermarks({"orders", 1})).end, 0);

  free_space();
  world.append(kZero, {{"k", "after", world.now(), {}}});
  acked.emplace_back("after");
  world.until({&one}, [&] { return one.all_read().size() == acked.size(); });
  EXPECT_TRUE(world.await(one.commit()));
  EXPECT_EQ(values(world.read(kZero)), acked);
  EXPECT_EQ(world.committed_offset("billing", kZero), static_cast<std::int64_t>(acked.size()));

  world.producer.reset();
  one.reader.reset();
  world.log = open_log(world.log->url());
  EXPECT_EQ(values(world.read(kZero)), acked) << "also when it is opened again";
}

TEST_F(LocalFullDisk, CommitsAndJoinsFailForNowOnly) {
  DiskWorld world{folder};
  world.create("orders", 2);
  world.append(kZero, 5);
  auto one = world.member("billing", "one", {"orders"});
  world.until({&one}, [&] { return one.all_read().size() == 5; });
  fill_up();
  std::optional<ErrorKind> kind;
  for (int i = 0; i < 200 && !kind; ++i)
    kind = world.kind_of(one.commit(std::string(2000, 'n')));  // free pages of the file are used first
  EXPECT_EQ(kind, ErrorKind::kUnavailable) << world.last_error;

  auto two = world.member("billing", "two", {"orders"});
  for (int i = 0; i < 3; ++i) {
    try {
      world.await(two.step(0ms));
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), ErrorKind::kUnavailable) << failure.what();
    }
  }
  free_space();
  world.until({&one, &two}, [&] { return one.owned("orders").size() == 1 && two.owned("orders").size() == 1; });
  EXPECT_TRUE(world.await(one.commit()));
  EXPECT_TRUE(world.await(two.commit()));
}

// The system cuts short a write that only fits in part, without ENOSPC.
TEST_F(LocalFullDisk, IsReportedHoweverLittleIsLeft) {
  DiskWorld world{folder};
  world.create("orders");
  world.append(kZero, 1);
  for (std::size_t left = 0; left < 40; left += 3) {
    fill_up(left * 4096);
    auto kind = world.kind_of(world.send(out(kZero, {{"k", std::string(2 << 20, 'x'), world.now(), {}}})));
    EXPECT_EQ(kind, ErrorKind::kUnavailable) << left << " blocks left: " << world.last_error;
    EXPECT_THAT(world.last_error, HasSubstr("disk is full"));
    free_space();
    world.append(kZero, 1);
  }
  EXPECT_THAT(world.read(kZero), SizeIs(15));
}

TEST_F(LocalFullDisk, ANewLogOnItIsRefused) {
  fill_up();
  Child child{{"local://" + folder / "log", "open"}};
  child.finish();
  auto lines = child.rest();
  EXPECT_TRUE(WIFEXITED(child.wait())) << "it died of signal " << WTERMSIG(child.wait());
  ASSERT_THAT(lines, SizeIs(1));
  EXPECT_THAT(lines[0], AllOf(HasSubstr("error"), HasSubstr(folder / "log")));
}

TEST_F(LocalFullDisk, AnExistingLogOnItCanBeOpenedAndRead) {
  {
    DiskWorld world{folder};
    world.create("orders");
    world.append(kZero, 3);
  }
  fill_up();
  Child child{{"local://" + folder / "log", "watch", "orders"}};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(child.expect("record "), fmt::format("0@{} r{}", i, i));
}

}  // namespace
}  // namespace mephisto::test
