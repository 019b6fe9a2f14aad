// local:// in folders that are not as they should be. Each is refused with what is wrong and what to do, and nothing is
// harmed.
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <lmdb.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <thread>

#include "base/hash.h"
#include "local_process.h"

namespace {

// The folder that is treated as one on a network file system, and that file system's kind.
std::string remote_folder;
long remote_kind = 0;

}  // namespace

// Replaces the system's function in this program.
extern "C" int statfs(const char* path, struct statfs* found) noexcept {
  static auto* system = reinterpret_cast<int (*)(const char*, struct statfs*)>(dlsym(RTLD_NEXT, "statfs"));
  const int result = system(path, found);
  if (!remote_folder.empty() && remote_folder == path) found->f_type = remote_kind;
  return result;
}

namespace mephisto::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

namespace fs = std::filesystem;

class LocalFolder : public LocalTest {
 protected:
  LocalFolder() {
    fs::permissions(folder.path(), fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
  }

  void fill_and_close() {
    create("orders");
    append({"orders", 0}, 2);
    close_log();
  }
  // The output of another user's process that opens this log.
  std::string as_nobody() {
    auto arguments = with("open");
    arguments.insert(arguments.begin(), {"--uid", "65534"});
    Child child{arguments};
    child.finish();
    auto lines = child.rest();
    EXPECT_TRUE(WIFEXITED(child.wait())) << "it died";
    return lines.empty() ? "" : lines.back();
  }
  void write_file(const std::string& path, const std::string& content) {
    std::ofstream{path, std::ios::binary} << content;
  }
  // Puts one entry into the closed log directly through LMDB.
  void put_raw(const std::string& key, const std::string& value) {
    MDB_env* env = nullptr;
    MDB_txn* txn = nullptr;
    MDB_dbi dbi{};
    ASSERT_EQ(mdb_env_create(&env), 0);
    ASSERT_EQ(mdb_env_open(env, dir().c_str(), 0, 0600), 0);
    ASSERT_EQ(mdb_txn_begin(env, nullptr, 0, &txn), 0);
    ASSERT_EQ(mdb_dbi_open(txn, nullptr, 0, &dbi), 0);
    MDB_val k{key.size(), const_cast<char*>(key.data())};
    MDB_val v{value.size(), const_cast<char*>(value.data())};
    ASSERT_EQ(mdb_put(txn, dbi, &k, &v, 0), 0);
    ASSERT_EQ(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
  }
};

TEST_F(LocalFolder, IsMadeWithItsParentsForItsOwnerOnly) {
  const auto path = folder / "a/b c/ä";
  {
    auto deep = open_log("local://" + path);
    must(deep->create_topic("orders", {.partitions = 1}));
  }
  for (const auto& file : fs::directory_iterator{path}) {
    EXPECT_EQ(file.status().permissions() & (fs::perms::group_all | fs::perms::others_all), fs::perms::none)
        << file.path();
  }
  EXPECT_THAT(must(open_log("local://" + path)->topics()), SizeIs(1));
}

TEST_F(LocalFolder, KeepsEverythingWhenItIsClosedAndOpened) {
  create("orders", {.partitions = 2, .retention = 5h, .compact = true});
  append({"orders", 1}, {{"k", "v", now(), {{"h", std::nullopt}}}, {"deleted", std::nullopt, now(), {}}});
  {
    auto one = member("billing", "one", {"orders"});
    until({&one}, [&] { return one.all_read().size() == 2; });
    ASSERT_TRUE(await(one.commit("note")));
    await(one.close());
  }
  const auto before = read({"orders", 1});
  const auto created = must(log->topic("orders")).created;
  reopen();
  EXPECT_EQ(read({"orders", 1}), before);
  EXPECT_EQ(must(log->topic("orders")).created, created);
  EXPECT_EQ(must(log->topic("orders")).config.retention, 5h);
  EXPECT_EQ(committed_offset("billing", {"orders", 1}), 2);
  EXPECT_EQ(committed("billing", {"orders", 1})->metadata, "note");
  EXPECT_EQ(append({"orders", 1}, 1), 2);
}

TEST_F(LocalFolder, OfAnotherUserIsRefusedWhateverItsRightsAre) {
  fs::permissions(dir(), fs::perms::all);
  EXPECT_THAT(as_nobody(), AllOf(StartsWith("error invalid: "), HasSubstr(dir()), HasSubstr("belongs to user root"),
                                 HasSubstr("nobody")));
  fs::permissions(dir(), fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec | fs::perms::others_read |
                             fs::perms::others_exec);
  EXPECT_THAT(as_nobody(), AllOf(StartsWith("error invalid: "), HasSubstr(dir()), HasSubstr("belongs to user root")));
}

TEST_F(LocalFolder, OfWhichOneMayNotEvenLookIsRefused) {
  fs::permissions(dir(), fs::perms::owner_all);
  EXPECT_THAT(as_nobody(), AllOf(StartsWith("error invalid: "), HasSubstr(dir()), HasSubstr("rights")));
  fs::permissions(folder.path(), fs::perms::owner_all);
  EXPECT_THAT(as_nobody(), AllOf(StartsWith("error invalid: "), HasSubstr(dir())));
}

TEST_F(LocalFolder, WithFilesOfAnotherUserIsRefused) {
  fill_and_close();
  for (const auto* name : {"leases", "lock.mdb", "data.mdb", "bell"}) {
    const auto path = dir() + "/" + name;
    ASSERT_EQ(chown(path.c_str(), 65534, 65534), 0);
    fs::permissions(path, fs::perms::all);
    auto error = open_error(dir());
    ASSERT_TRUE(error) << name;
    EXPECT_THAT(error->message, AllOf(HasSubstr(path), HasSubstr("belongs to user nobody")));
    ASSERT_EQ(chown(path.c_str(), 0, 0), 0);
  }
  reopen();
  for (const auto& file : fs::directory_iterator{dir()})
    EXPECT_EQ(file.status().permissions(), fs::perms::owner_read | fs::perms::owner_write) << file.path();
}

TEST_F(LocalFolder, WithALinkInPlaceOfAFileIsRefused) {
  fill_and_close();
  write_file(folder / "victim", "precious");
  for (const auto* name : {"leases", "lock.mdb", "data.mdb", "bell"}) {
    const auto path = dir() + "/" + name;
    fs::rename(path, folder / "kept");
    fs::create_symlink(folder / "victim", path);
    auto error = open_error(dir());
    ASSERT_TRUE(error) << name;
    EXPECT_THAT(error->message, AllOf(HasSubstr(path), HasSubstr("link")));
    EXPECT_EQ(fs::file_size(folder / "victim"), 8U) << name;
    fs::remove(path);
    fs::rename(folder / "kept", path);
  }
  reopen();
  EXPECT_THAT(read({"orders", 0}), SizeIs(2));
}

TEST_F(LocalFolder, IsForItsOwnerOnlyWhateverTheUmaskIs) {
  close_log();
  for (const mode_t mask : {0U, 077U, 0277U}) {
    fs::remove_all(dir());
    const auto before = umask(mask);
    log = open_log("local://" + dir());
    umask(before);
    producer = log->producer(loop);
    create("orders");
    append({"orders", 0}, 2);
    EXPECT_EQ(fs::status(dir()).permissions(), fs::perms::owner_all) << mask;
    for (const auto& file : fs::directory_iterator{dir()})
      EXPECT_EQ(file.status().permissions(), fs::perms::owner_read | fs::perms::owner_write) << file.path() << mask;
    close_log();
  }
}

TEST_F(LocalFolder, ThatCannotBeMadeIsRefused) {
  auto error = open_error("/proc/mephisto/log");
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind, ErrorKind::kInvalid);
  EXPECT_THAT(error->message, AllOf(HasSubstr("/proc/mephisto/log"), HasSubstr("local://FOLDER")));
}

TEST_F(LocalFolder, ThatIsAFileOrIsBelowOneIsRefused) {
  write_file(folder / "file", "not a folder");
  for (const auto& path : {folder / "file", folder / "file/log"}) {
    auto error = open_error(path);
    ASSERT_TRUE(error) << path;
    EXPECT_EQ(error->kind, ErrorKind::kInvalid);
    EXPECT_THAT(error->message, HasSubstr(path));
  }
}

TEST_F(LocalFolder, OnAReadOnlyFileSystemIsRefused) {
  fill_and_close();
  if (mount(folder.path().c_str(), folder.path().c_str(), nullptr, MS_BIND, nullptr) != 0)
    GTEST_SKIP() << "mount is not permitted here: " << std::strerror(errno);
  struct Unmount {
    std::string path;
    ~Unmount() { umount2(path.c_str(), MNT_DETACH); }
  } unmount{folder.path()};
  ASSERT_EQ(mount(nullptr, folder.path().c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), 0);
  for (const auto& path : {dir(), folder / "new"}) {
    auto error = open_error(path);
    ASSERT_TRUE(error) << path;
    EXPECT_EQ(error->kind, ErrorKind::kInvalid);
    EXPECT_THAT(error->message, AllOf(HasSubstr(path), HasSubstr("ead-only")));
  }
}

TEST_F(LocalFolder, OnANetworkFileSystemIsRefused) {
  const std::pair<long, const char*> kinds[] = {
      {0x6969, "NFS"}, {0xfe534d42, "SMB"}, {0xff534d42, "SMB"}, {0x01021997, "9P"}, {0x00c36400, "Ceph"}};
  for (const auto& [kind, name] : kinds) {
    remote_folder = folder / "far";
    remote_kind = kind;
    auto error = open_error(remote_folder);
    ASSERT_TRUE(error) << name;
    EXPECT_EQ(error->kind, ErrorKind::kInvalid);
    EXPECT_THAT(error->message,
                AllOf(HasSubstr(remote_folder), HasSubstr("network"), HasSubstr(name), HasSubstr("local disk")));
    EXPECT_TRUE(fs::is_empty(remote_folder)) << "nothing was written";
  }
  remote_folder.clear();
}

TEST_F(LocalFolder, WithTheDataOfAnotherProgramIsRefused) {
  close_log();
  fs::remove_all(dir());
  fs::create_directory(dir());
  put_raw("anything", "of somebody else");
  auto error = open_error(dir());
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind, ErrorKind::kInvalid);
  EXPECT_THAT(error->message, AllOf(HasSubstr(dir()), HasSubstr("another program")));
}

TEST_F(LocalFolder, ThatANewerProgramTakesOverIsLeftToIt) {
  create("orders");
  append({"orders", 0}, 1);
  auto put_format = [&](std::string_view version) {
    must(submit(dynamic_cast<KvLog&>(*log).kv(), [version](KvWriter& tx) -> Result<void> {
      tx.put("f", version);
      return {};
    }));
  };
  put_format("2");
  EXPECT_EQ(kind_of(send(out({"orders", 0}, numbered(1, now())))), ErrorKind::kInvalid);
  EXPECT_THAT(last_error, AllOf(HasSubstr(dir()), HasSubstr("version 2"), HasSubstr("newer program")));
  EXPECT_EQ(must(log->watermarks({"orders", 0})).end, 1);
}

// A later program of the same format may store more about a topic, a group or a commit. An older one works beside it.
TEST_F(LocalFolder, IsSharedWithALaterProgramThatKeepsMore) {
  create("orders");
  append({"orders", 0}, 3);
  {
    auto one = member("billing", "one", {"orders"});
    until({&one}, [&] { return one.all_read().size() == 3; });
    ASSERT_TRUE(await(one.member->commit({{one.id_of({"orders", 0}), 2, "note"}})));
    await(one.close());
  }
  must(submit(dynamic_cast<KvLog&>(*log).kv(), [](KvWriter& tx) -> Result<void> {
    for (const auto* prefix : {"t", "g", "c"}) {
      auto entry = tx.at_or_after(prefix);
      std::string key{entry->key};
      std::string value{entry->value.substr(0, entry->value.size() - 4)};
      value.insert(1, R"("later":{"a":[1,"x"],"b":null},)");
      const auto check = crc32c(value, crc32c(key));
      value.append(reinterpret_cast<const char*>(&check), 4);
      tx.put(key, std::string_view{value});
    }
    return {};
  }));
  reopen();
  EXPECT_EQ(must(log->topic("orders")).config.partitions, 1);
  EXPECT_EQ(committed("billing", {"orders", 0})->metadata, "note");
  auto two = member("billing", "two", {"orders"});
  until({&two}, [&] { return two.all_read().size() == 1; });
  EXPECT_TRUE(await(two.commit()));
}

TEST_F(LocalFolder, OfANewerFormatIsRefusedAndLeftAsItIs) {
  fill_and_close();
  put_raw("f", "99");
  auto error = open_error(dir());
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind, ErrorKind::kInvalid);
  EXPECT_THAT(error->message, AllOf(HasSubstr(dir()), HasSubstr("version 99"), HasSubstr("newer program")));
  put_raw("f", "1");
  reopen();
  EXPECT_THAT(values(read({"orders", 0})), ElementsAre("r0", "r1"));
}

TEST_F(LocalFolder, WithADamagedFormatIsRefused) {
  fill_and_close();
  for (const auto* version : {"", "x", "1 2", "-"}) {
    put_raw("f", version);
    auto error = open_error(dir());
    ASSERT_TRUE(error) << version;
    EXPECT_EQ(error->kind, ErrorKind::kCorrupt);
    EXPECT_THAT(error->message, HasSubstr(dir()));
  }
}

TEST_F(LocalFolder, WithADamagedTopicRecordSaysSo) {
  fill_and_close();
  put_raw("torders", "{\"id\":");
  reopen();
  try {
    (void)await(log->topic("orders"));
    ADD_FAILURE();
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), ErrorKind::kCorrupt);
    EXPECT_THAT(failure.what(), HasSubstr("topic orders"));
  }
}

TEST_F(LocalFolder, WithGarbageForDataIsRefused) {
  fill_and_close();
  for (std::size_t size : {1U, 100U, 4096U, 1'000'000U}) {
    fs::remove(dir() + "/lock.mdb");
    std::string garbage(size, '\0');
    for (std::size_t i = 0; i < size; ++i) garbage[i] = static_cast<char>(i * 37 + 11);
    write_file(dir() + "/data.mdb", garbage);
    auto error = open_error(dir());
    ASSERT_TRUE(error) << size;
    EXPECT_EQ(error->kind, ErrorKind::kInvalid) << size << ": " << error->message;
    EXPECT_THAT(error->message, AllOf(HasSubstr(dir()), HasSubstr("data.mdb"))) << size;
    EXPECT_EQ(fs::file_size(dir() + "/data.mdb"), size) << "it is left as it is";
  }
}

// Both meta pages point to a page that does not exist: the file is LMDB's, but cannot be used.
TEST_F(LocalFolder, WithADamagedRootIsCorrupt) {
  fill_and_close();
  constexpr std::streamoff kRootInMeta = 16 + 24 + 48 + 40;
  std::fstream file{dir() + "/data.mdb", std::ios::in | std::ios::out | std::ios::binary};
  for (std::streamoff page : {0, 4096}) {
    const std::uint64_t nowhere = 0x7fffffff;
    file.seekp(page + kRootInMeta);
    file.write(reinterpret_cast<const char*>(&nowhere), sizeof nowhere);
  }
  file.close();
  auto error = open_error(dir());
  ASSERT_TRUE(error);
  EXPECT_EQ(error->kind, ErrorKind::kCorrupt) << error->message;
  EXPECT_THAT(error->message, HasSubstr(dir()));
}

TEST_F(LocalFolder, WithDamagedLeasesWorks) {
  fill_and_close();
  write_file(dir() + "/leases", std::string(100'000, '\xee'));
  reopen();
  auto one = member("billing", "one", {"orders"});
  until({&one}, [&] { return one.all_read().size() == 2; });
  EXPECT_TRUE(await(one.commit()));
}

TEST_F(LocalFolder, WithAFolderInPlaceOfAFileIsRefused) {
  fill_and_close();
  for (const auto* name : {"leases", "bell", "data.mdb", "lock.mdb"}) {
    fs::rename(dir() + "/" + name, folder / "kept");
    fs::create_directory(dir() + "/" + name);
    auto error = open_error(dir());
    ASSERT_TRUE(error) << name;
    EXPECT_THAT(error->message, HasSubstr(dir())) << name;
    fs::remove(dir() + "/" + name);
    fs::rename(folder / "kept", dir() + "/" + name);
  }
  reopen();
  EXPECT_THAT(read({"orders", 0}), SizeIs(2));
}

// LMDB must not open it twice in a process: closing one opening would release the other's locks.
TEST_F(LocalFolder, IsNotOpenedAgainBeforeItIsClosed) {
  create("orders");
  close_log();
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([this] {
      Loop own;
      for (int round = 0; round < 60; ++round) {
        auto mine = open_log("local://" + dir());
        auto writer = mine->producer(own);
        auto batches = out({"orders", 0}, numbered(1, own.timestamp()));
        EXPECT_TRUE(own.run(writer->append(batches)));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  reopen();
  EXPECT_EQ(must(log->watermarks({"orders", 0})).end, 120);
}

TEST_F(LocalFolder, IsOpenedByManyProcessesAtTheSameTime) {
  close_log();
  fs::remove_all(dir());
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < 8; ++i) children.push_back(std::make_unique<Child>(with("open")));
  for (auto& child : children) {
    auto line = child->line(20s);
    EXPECT_EQ(line, "opened");
  }
}

}  // namespace
}  // namespace mephisto::test
