// rocksdb:// with damaged files: a store gives what it was given up to its position, or says that it is damaged. It is
// RocksDB's own checksums that bind values to keys, so every kind of file is damaged here.
#include "store/places.h"

namespace mephisto::test {
namespace {

using detail::open_stores;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr std::int64_t kPositions = 60;

class RocksDamage : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    history.assign(1, {});
    for (std::int64_t i = 0; i < kPositions; ++i) {
      history.push_back(history.back());
      Changes{i}.to(history.back());
    }
  }

  RocksDamage() {
    // Each opening writes what the log holds to a file. The last changes stay in the log.
    for (std::int64_t i = 0; i < kPositions; ++i) {
      if (i % 20 == 0) store.reset(), store = stores->open(kName, 0);
      Changes{i}.to(*store, i);
    }
    store.reset();
    std::filesystem::rename(place, folder / "sound");
  }

  // The sound store, as often as it is wanted. Returns its files. What the cache has of them is forgotten, because it
  // would be read instead.
  std::vector<std::filesystem::path> begin_anew() {
    stores = open_stores("rocksdb://", folder.path(), kBudget);
    std::filesystem::remove_all(folder / kName);
    std::filesystem::create_directories(folder / kName);
    std::filesystem::copy(folder / "sound", place);
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator{place}) files.push_back(entry.path());
    std::ranges::sort(files);
    return files;
  }

  // Reads everything. Returns what happened: "sound", "older", "set aside", "told".
  std::string read() {
    try {
      auto opened = stores->open(kName, 0);
      const auto position = opened->position();
      const auto& expected = history.at(static_cast<std::size_t>(position + 1));
      EXPECT_EQ(all_of(*opened), expected) << "at position " << position;
      for (int i = 0; i < 300; ++i) {
        const auto key = fmt::format("key{:03}", i);
        const auto found = expected.find(key);
        EXPECT_EQ(opened->get(key),
                  found == expected.end() ? std::nullopt : std::optional<std::string_view>{found->second});
      }
      if (position == kPositions - 1) return "sound";
      if (position >= 0) return "older";
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), ErrorKind::kCorrupt) << failure.what();
      EXPECT_EQ(stores->open(kName, 0)->position(), -1) << failure.what();
      EXPECT_THAT(set_aside(folder.path()), SizeIs(1));
      return "told";
    }
    EXPECT_THAT(set_aside(folder.path()), SizeIs(1)) << "nothing is deleted";
    return "set aside";
  }

  static std::string bytes_of(const std::filesystem::path& path) {
    std::ifstream file{path, std::ios::binary};
    return {std::istreambuf_iterator<char>{file}, {}};
  }
  static void write(const std::filesystem::path& path, const std::string& bytes) {
    std::ofstream{path, std::ios::binary | std::ios::trunc} << bytes;
  }

  static std::vector<Contents> history;  // by position + 1
  LogLines lines;
  TempDir folder;
  std::filesystem::path place = folder / kName / "0";
  std::unique_ptr<Stores> stores = open_stores("rocksdb://", folder.path(), kBudget);
  std::unique_ptr<Store> store;
};

std::vector<Contents> RocksDamage::history;

TEST_F(RocksDamage, TheStoreItselfIsSound) {
  begin_anew();
  EXPECT_EQ(read(), "sound");
}

TEST_F(RocksDamage, AFlippedBitIsToldOrChangesNothing) {
  const char* wanted = std::getenv("MEPHISTO_FLIPS");
  std::mt19937_64 random{5};
  std::map<std::string, int> seen;
  for (int left = wanted != nullptr ? std::atoi(wanted) : 250; left > 0 && !HasFailure(); --left) {
    const auto files = begin_anew();
    const auto& path = files[random() % files.size()];
    auto bytes = bytes_of(path);
    if (bytes.empty()) continue;
    const auto at = random() % bytes.size();
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
    write(path, bytes);
    SCOPED_TRACE(fmt::format("{} byte {}", path.filename().string(), at));
    ++seen[path.extension().string() + " " + read()];
  }
  EXPECT_GT(seen[".sst set aside"] + seen[".sst told"], 10);
  EXPECT_EQ(seen[".sst older"], 0);
  if (wanted != nullptr)
    for (const auto& [what, times] : seen) fmt::print("{}: {}\n", what, times);
}

TEST_F(RocksDamage, AShortMissingOrForeignFileIsToldOrChangesNothing) {
  for (const auto& sound : begin_anew()) {
    for (const std::string kind : {"empty", "half", "one less", "more", "zeros", "missing", "another's"}) {
      SCOPED_TRACE(sound.filename().string() + " is " + kind);
      const auto files = begin_anew();
      auto bytes = bytes_of(sound);
      if (kind == "empty") bytes.clear();
      if (kind == "half") bytes.resize(bytes.size() / 2);
      if (kind == "one less" && !bytes.empty()) bytes.pop_back();
      if (kind == "more") bytes += "more";
      if (kind == "zeros") bytes.assign(bytes.size(), '\0');
      if (kind == "another's") {
        for (const auto& other : files)
          if (other != sound && other.extension() == sound.extension()) bytes = bytes_of(other);
      }
      write(sound, bytes);
      if (kind == "missing") std::filesystem::remove(sound);
      const auto result = read();
      if (sound.extension() == ".sst" && kind != "more") {
        EXPECT_TRUE(result == "set aside" || result == "told") << result;
      }
      if (HasFailure()) return;
    }
  }
}

TEST_F(RocksDamage, AllFilesOfAnotherStoreAreNotServed) {
  begin_anew();
  std::filesystem::rename(place, folder / kName / "1");
  EXPECT_EQ(stores->open(kName, 1)->position(), -1);
  EXPECT_THAT(lines.text(), ::testing::HasSubstr(fmt::format("it is the store of {} partition 0", kName)));
}

TEST_F(RocksDamage, ADamagedStoreOnlyThrowsUntilItIsOpenedAgain) {
  for (const auto& path : begin_anew()) {
    if (path.extension() != ".sst") continue;
    auto bytes = bytes_of(path);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write(path, bytes);
  }
  auto opened = stores->open(kName, 0);
  ASSERT_EQ(opened->position(), kPositions - 1) << "only reading finds it";
  EXPECT_EQ(kind_of([&] { all_of(*opened); }), ErrorKind::kCorrupt);
  EXPECT_THAT(lines.text(), ::testing::ContainsRegex("cannot be trusted: Corruption.*is kept as .*0\\.corrupt-"));
  EXPECT_EQ(kind_of([&] { all_of(*opened); }), ErrorKind::kCorrupt);
  EXPECT_EQ(kind_of([&] { (void)opened->get("key000"); }), ErrorKind::kCorrupt);
  EXPECT_EQ(kind_of([&] { opened->apply({}, 100); }), ErrorKind::kCorrupt);
  EXPECT_EQ(kind_of([&] { opened->snapshot(folder / "snapshot")(); }), ErrorKind::kCorrupt);
  EXPECT_EQ(opened->size(), 0U);
  opened.reset();
  opened = stores->open(kName, 0);
  EXPECT_EQ(opened->position(), -1);
  Changes{0}.to(*opened, 0);
  EXPECT_EQ(all_of(*opened), contents_at(0));
}

}  // namespace
}  // namespace mephisto::test
