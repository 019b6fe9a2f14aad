// local:// while a process keeps its write lock, and when the lock is taken away. The others report it, continue where
// they can, and stop when asked.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "local_process.h"

namespace mephisto::test {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::StartsWith;

namespace fs = std::filesystem;

const TopicPartition kZero{"orders", 0};

class LocalFrozen : public LocalTest {
 protected:
  LocalFrozen() { create("orders"); }
  // A process that is in a write and not stopped; a process in a paused container looks like this.
  std::unique_ptr<Child> hold() {
    auto child = std::make_unique<Child>(with("hang-in-write"));
    child->expect("writing");
    return child;
  }
  std::chrono::milliseconds time_of(const std::function<void()>& action) {
    const auto start = loop.now();
    action();
    return since(start, loop);
  }
};

TEST_F(LocalFrozen, AWriteIsRefusedWithTheLocksHolderAndSucceedsAfterwards) {
  auto holder = hold();
  EXPECT_LT(time_of([&] { EXPECT_EQ(kind_of(send(out(kZero, numbered(1, now())))), ErrorKind::kUnavailable); }), 10s);
  EXPECT_THAT(last_error, AllOf(HasSubstr(dir()), HasSubstr(fmt::format("process {} (local_child)", holder->pid())),
                                ContainsRegex("since 20[0-9-]+T[0-9:]+"), HasSubstr("let it go on")));
  EXPECT_LT(time_of([&] { EXPECT_EQ(kind_of(log->create_topic("more", {.partitions = 1})), ErrorKind::kUnavailable); }),
            1s)
      << "it is known by now";
  EXPECT_EQ(must(log->watermarks(kZero)).end, 0) << "reading goes on";

  holder->send("go on");
  holder->expect("written");
  const auto deadline = loop.now() + driver.patience;
  while (kind_of(send(out(kZero, numbered(1, now(), "after")))) && loop.now() < deadline) {
  }
  EXPECT_THAT(values(read(kZero)), ::testing::ElementsAre("after0")) << "what was refused was not written";
}

TEST_F(LocalFrozen, AProcessOfAnotherContainerIsNamedAsSuchAndNeverKilled) {
  Child holder{with("stop-in-write")};
  holder.expect("writing");
  holder.wait_until_stopped();
  close_log();  // which would kill it
  auto arguments = with("append", {"orders", "1", "0", "1", "10"});
  arguments.insert(arguments.begin(), "--new-pids");
  Child waiter{arguments};
  EXPECT_THAT(waiter.expect("error "),
              AllOf(StartsWith("unavailable: "),
                    HasSubstr(fmt::format("another container, where its process id is {}", holder.pid()))));
  EXPECT_EQ(kill(holder.pid(), 0), 0);
  holder.signal(SIGCONT);
  holder.expect("written");
}

TEST_F(LocalFrozen, OneInsideOfAContainerIsSeenFromOutsideAndKilledWhenItIsStopped) {
  auto arguments = with("stop-in-write");
  arguments.insert(arguments.begin(), "--new-pids");
  Child holder{arguments};
  holder.expect("writing");
  EXPECT_LT(time_of([&] { append(kZero, 1); }), 12s);
  EXPECT_EQ(WEXITSTATUS(holder.wait()), 1) << "its parent tells that it was killed";
}

// A process that is stopped but does not hold the lock is not killed, whatever the file says.
TEST_F(LocalFrozen, NobodyIsKilledBecauseOfAForgedNumber) {
  Child bystander{with("open")};
  bystander.expect("opened");
  bystander.stop();
  auto holder = hold();
  {
    // An earlier program wrote this header. Somebody who knows only the number would forge the same.
    std::fstream leases{dir() + "/leases", std::ios::in | std::ios::out | std::ios::binary};
    const std::int64_t header[] = {1, 0, bystander.pid()};
    leases.write(reinterpret_cast<const char*>(header), sizeof header);
  }
  EXPECT_EQ(kind_of(send(out(kZero, numbered(1, now())))), ErrorKind::kUnavailable);
  EXPECT_THAT(last_error, HasSubstr("another process"));
  bystander.signal(SIGCONT);
  bystander.finish();
  EXPECT_TRUE(WIFEXITED(bystander.wait()));
}

TEST_F(LocalFrozen, ACancelledWriteHasNotHappened) {
  auto holder = hold();
  EXPECT_LT(time_of([&] {
              await([](LocalFrozen& self) -> Task<void> {
                auto writing = self.loop.spawn("write", [](LocalFrozen& of) -> Task<void> {
                  (void)co_await of.send(out(kZero, numbered(1, of.now(), "cancelled")));
                }(self));
                co_await sleep_for(300ms);
                writing.cancel();
                co_await writing.finished();
              }(*this));
            }),
            2s);
  holder->send("go on");
  holder->expect("written");
  append(kZero, 1, "next");
  EXPECT_THAT(values(read(kZero)), ::testing::ElementsAre("next0"));
}

TEST_F(LocalFrozen, TheLogIsClosedWithoutWaitingForTheOther) {
  auto holder = hold();
  auto writing = loop.spawn("write", [](LocalFrozen& self) -> Task<void> {
    (void)co_await self.send(out(kZero, numbered(1, self.now())));
  }(*this));
  await([]() -> Task<void> { co_await sleep_for(300ms); }());
  writing.cancel();
  await(writing.finished());
  EXPECT_LT(time_of([&] { close_log(); }), 4s);
  auto error = std::optional<Error>{};
  EXPECT_LT(time_of([&] { error = open_error(dir()); }), 15s);
  ASSERT_TRUE(error) << "LMDB must not have it open twice";
  EXPECT_THAT(error->message, HasSubstr("still closing"));
  holder->send("go on");
  holder->expect("written");
  const auto deadline = loop.now() + driver.patience;
  while (open_error(dir()) && loop.now() < deadline) {
  }
  reopen();
  EXPECT_EQ(append(kZero, 1), 0);
}

class LocalGone : public LocalFrozen, public ::testing::WithParamInterface<std::string> {
 protected:
  void take_away() {
    if (GetParam() == "removed")
      fs::remove_all(dir());
    else if (GetParam() == "renamed")
      fs::rename(dir(), folder / "elsewhere");
    else if (GetParam() == "exchanged") {
      fs::rename(dir(), folder / "elsewhere");
      fs::copy(folder / "elsewhere", dir());
    } else
      fs::remove(dir() + "/" + GetParam());
  }
};

TEST_P(LocalGone, ALogThatIsTakenAwayIsNoticedWithinSeconds) {
  Child member{with("member", {"orders", "billing", "one"})};
  member.expect("ready");
  Child reader{with("watch", {"orders"})};
  reader.expect("ready");
  append(kZero, 1);
  member.expect("record");
  EXPECT_LT(time_of([&] {
              take_away();
              EXPECT_THAT(member.expect("error ", 10s),
                          AllOf(StartsWith("fatal: "), HasSubstr(dir()), HasSubstr("removed or replaced")));
              EXPECT_THAT(reader.expect("error ", 10s), StartsWith("fatal: "));
            }),
            6s);
  EXPECT_EQ(kind_of(send(out(kZero, numbered(1, now())))), ErrorKind::kFatal)
      << "nothing is written where nobody finds it";
}

INSTANTIATE_TEST_SUITE_P(Log, LocalGone, ::testing::Values("removed", "renamed", "exchanged", "data.mdb", "lock.mdb"),
                         [](const auto& of) { return of.param.substr(0, of.param.find('.')); });

TEST_F(LocalFrozen, ABellThatIsExchangedStillWakes) {
  Child reader{with("watch", {"orders"})};
  reader.expect("ready");
  fs::remove(dir() + "/bell");
  append(kZero, 1, "first");
  reader.expect("record 0@0");
  await([]() -> Task<void> { co_await sleep_for(2500ms); }());  // both look for the bell in this time
  const auto start = loop.now();
  append(kZero, 1, "second");
  reader.expect("record 0@1");
  EXPECT_LT(since(start, loop), 500ms);
}

}  // namespace
}  // namespace mephisto::test
