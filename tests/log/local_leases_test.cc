// Leases of local:// when their file is cut, grown, exchanged, removed or overwritten: no process ends, and no member
// is removed because of it.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "local_process.h"
#include "log/local/leases.h"
#include "log/store.h"

namespace mephisto::test {
namespace {

namespace fs = std::filesystem;

class LocalLeases : public LocalTest {
 protected:
  LocalLeases() { create("orders", 4); }
  std::string leases() const { return dir() + "/leases"; }
  // The descriptor is not closed, because that would release this process's own locks on the file.
  void overwrite(std::string_view pattern) {
    static int kept = -1;
    kept = ::open(leases().c_str(), O_WRONLY | O_CLOEXEC);
    std::string bytes;
    while (bytes.size() < 300'000) bytes += pattern;
    ASSERT_EQ(::pwrite(kept, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
  }
  std::unique_ptr<Child> start_member(const std::string& client) {
    auto child = std::make_unique<Child>(with("member", {"orders", "billing", client}));
    child->expect("ready");
    return child;
  }
  std::int64_t generation() { return must(log->groups()).at(0).generation.value_or(-1); }
  std::size_t members() { return must(log->groups()).at(0).members.size(); }
  // Lets the members poll for twice as long as a session.
  void let_pass() {
    await([]() -> Task<void> { co_await sleep_for(4500ms); }());
  }
};

TEST_F(LocalLeases, NoMemberIsRemovedWhateverHappensToTheFile) {
  auto one = start_member("one");
  auto two = start_member("two");
  one->expect("revoked");
  until({}, [&] { return members() == 2; });
  const auto before = generation();
  const std::vector<std::pair<std::string, std::function<void()>>> damages = {
      {"cut to nothing", [&] { ASSERT_EQ(::truncate(leases().c_str(), 0), 0); }},
      {"cut in a slot", [&] { ASSERT_EQ(::truncate(leases().c_str(), 64 + 64 + 7), 0); }},
      {"grown", [&] { ASSERT_EQ(::truncate(leases().c_str(), 10 << 20), 0); }},
      {"overwritten", [&] { overwrite("\xee\x01 foreign"); }},
      {"full of zeros", [&] { overwrite(std::string_view{"\0", 1}); }},
      {"removed", [&] { fs::remove(leases()); }},
      {"exchanged by another",
       [&] {
         std::ofstream{dir() + "/other"} << "somebody else's";
         fs::rename(dir() + "/other", leases());
       }},
      {"exchanged by an empty one",
       [&] {
         std::ofstream{dir() + "/other"};
         fs::rename(dir() + "/other", leases());
       }},
  };
  for (const auto& [name, damage] : damages) {
    damage();
    let_pass();
    EXPECT_EQ(generation(), before) << name;
    for (auto* child : {one.get(), two.get()}) {
      child->send("commit");
      EXPECT_THAT(child->expect("commit"), ::testing::AnyOf("ted", " fenced")) << name;
      while (auto line = child->line(0ms)) EXPECT_FALSE(line->starts_with("lost")) << name;
    }
    struct stat file{};
    ASSERT_EQ(stat(leases().c_str(), &file), 0) << name;
    EXPECT_EQ(file.st_mode & 077U, 0U) << name;
  }
}

// An example from practice: the file is deleted, and a second worker starts.
TEST_F(LocalLeases, AProcessThatStartsAfterTheFileWasRemovedRemovesNobody) {
  auto one = start_member("one");
  fs::remove(leases());
  auto two = start_member("two");
  one->expect("revoked");
  let_pass();
  EXPECT_EQ(members(), 2U);
  const auto settled = generation();
  EXPECT_EQ(settled, 2) << "each joined once";
  let_pass();
  EXPECT_EQ(generation(), settled);
}

TEST_F(LocalLeases, DeadMembersAreRemovedAlsoAfterTheFileWasExchanged) {
  auto one = start_member("one");
  auto two = start_member("two");
  fs::remove(leases());
  let_pass();
  two->signal(SIGKILL);
  two->wait();
  EXPECT_TRUE(until({}, [&] { return members() == 1; }));
}

TEST_F(LocalLeases, AProcessWithTheSlotOfADeadOneIsNotTakenForIt) {
  const auto path = folder / "own";
  std::ofstream{path};  // otherwise it is a new file, which others may not know yet
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
  Leases leases{path};
  const GroupMember first{.id = "first", .client = "", .topics = {}, .lease = leases.take("first")};
  EXPECT_TRUE(leases.alive(first));
  leases.drop(first.lease);
  EXPECT_FALSE(leases.alive(first));
  const GroupMember dead{.id = "dead", .client = "", .topics = {}, .lease = leases.take("second")};
  EXPECT_FALSE(leases.alive(dead));
  EXPECT_TRUE(leases.claimed("second"));
  EXPECT_FALSE(leases.claimed("first"));
}

// An asker's topic stays while its process lives, even when the process is stopped. It is deleted soon after the
// process was killed.
TEST_F(LocalLeases, AReplyTopicGoesSoonAfterItsAskerWasKilled) {
  const std::string kTopic = "f-reply-1";
  must(submit(dynamic_cast<KvLog&>(*log).kv(), [&, made = now() - 2min](KvWriter& tx) -> Result<void> {
    value_or_throw(store::create_topic(tx, kTopic, {.partitions = 1, .retention = 1h}, made));
    return {};
  }));
  append({kTopic, 0}, 1);
  Child asker{with("watch", {kTopic})};
  asker.expect("ready");
  const auto there = [&] {
    must(log->maintain());
    return await(log->topic(kTopic)).has_value();
  };
  EXPECT_TRUE(there());
  asker.stop();
  let_pass();
  EXPECT_TRUE(there()) << "it is stopped, not dead";
  asker.signal(SIGKILL);
  asker.wait();
  EXPECT_FALSE(there());
}

TEST_F(LocalLeases, AReplyTopicThatWasJustMadeStays) {
  create("f-reply-2", {.partitions = 1, .retention = 1h});
  must(log->maintain());
  EXPECT_TRUE(await(log->topic("f-reply-2")));
}

}  // namespace
}  // namespace mephisto::test
