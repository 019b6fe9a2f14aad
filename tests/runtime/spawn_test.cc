// Spawned tasks: how they start, end, and are waited for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "helpers.h"

namespace mephisto::testing_runtime {
namespace {

using testing::ElementsAre;

Task<void> note(std::vector<std::string>& notes, std::string text) {
  notes.push_back(std::move(text));
  co_return;
}

TEST(Spawned, StartsAtTheLoopsNextTurn) {
  std::vector<std::string> notes;
  run_virtual([&](Loop& loop) -> Task<void> {
    auto task = loop.spawn("child", note(notes, "child"));
    notes.push_back("parent");
    co_await task.join();
  });
  EXPECT_THAT(notes, ElementsAre("parent", "child"));
}

TEST(Spawned, TasksStartInTheOrderTheyWereSpawned) {
  std::vector<std::string> notes;
  run_virtual([&](Loop& loop) -> Task<void> {
    loop.spawn("a", note(notes, "a"));
    loop.spawn("b", note(notes, "b"));
    co_await loop.spawn("c", note(notes, "c")).join();
  });
  EXPECT_THAT(notes, ElementsAre("a", "b", "c"));
}

TEST(Spawned, IsDoneWhenItsTaskHasEnded) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto task = loop.spawn("child", sleep_task(1s));
    EXPECT_FALSE(task.done());
    co_await task.join();
    EXPECT_TRUE(task.done());
    EXPECT_EQ(task.error(), nullptr);
  });
}

TEST(Spawned, JoinWaitsForTheEnd) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto start = loop.now();
    co_await loop.spawn("child", sleep_task(5s)).join();
    EXPECT_EQ(loop.now() - start, 5s);
  });
}

TEST(Spawned, JoinThrowsWhatTheTaskThrew) {
  EXPECT_EQ(run_virtual([](Loop& loop) -> Task<std::string> {
              auto task = loop.spawn("child", fails_after(1s, "broken"));
              co_return co_await outcome(task.join());
            }),
            "broken");
}

TEST(Spawned, JoinThrowsEachTimeAndLongAfter) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto task = loop.spawn("child", fails("broken"));
    co_await sleep_for(1h);
    EXPECT_EQ(co_await outcome(task.join()), "broken");
    EXPECT_EQ(co_await outcome(task.join()), "broken");
  });
}

TEST(Spawned, JoinStillWaitsWhenItsHandleIsGivenAwayBeforeItIsAwaited) {
  EXPECT_EQ(run_virtual([](Loop& loop) -> Task<std::string> {
              auto task = loop.spawn("child", fails_after(1s, "broken"));
              auto join = task.join();
              task = Spawned{};
              auto ended = co_await outcome(std::move(join));
              co_await sleep_for(1min);
              co_return ended;
            }),
            "broken");
}

TEST(Spawned, JoinOfACancelledTaskDoesNotThrow) {
  EXPECT_EQ(run_virtual([](Loop& loop) -> Task<std::string> {
              auto task = loop.spawn("child", sleep_task(1h));
              task.cancel();
              co_return co_await outcome(task.join());
            }),
            "");
}

TEST(Spawned, FinishedNeverThrowsWhatTheTaskThrew) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto task = loop.spawn("child", fails_after(1s, "broken"));
    EXPECT_EQ(co_await outcome(task.finished()), "");
    EXPECT_EQ(name_of(task.error()), "broken");
  });
}

TEST(Spawned, ManyMayWaitForOne) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto task = loop.spawn("child", fails_after(1s, "broken"));
    auto [a, b, c] = co_await when_all(outcome(task.join()), outcome(task.join()), outcome(task.finished()));
    EXPECT_EQ(a + "," + b + "," + c, "broken,broken,");
  });
}

TEST(Spawned, AFailureReachesNobodyWhoDoesNotJoin) {
  EXPECT_EQ(run_virtual([](Loop& loop) -> Task<int> {
              loop.spawn("child", fails("broken"));
              co_await sleep_for(1s);
              co_return 3;
            }),
            3);
}

TEST(Spawned, RunsOnWhenItsHandleIsDropped) {
  std::vector<std::string> notes;
  run_virtual([&](Loop& loop) -> Task<void> {
    loop.spawn("child", [](std::vector<std::string>& list) -> Task<void> {
      co_await sleep_for(1s);
      list.push_back("done");
    }(notes));
    co_await sleep_for(1min);
  });
  EXPECT_THAT(notes, ElementsAre("done"));
}

TEST(Spawned, HandlesAreCopiesOfOneTask) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto task = loop.spawn("child", sleep_task(1h));
    auto copy = task;
    copy.cancel();
    co_await task.finished();
    EXPECT_TRUE(copy.done());
    EXPECT_EQ(name_of(copy.error()), "cancelled");
  });
}

TEST(Spawned, AnEmptyHandleIsDone) {
  run_virtual([](Loop&) -> Task<void> {
    Spawned none;
    EXPECT_TRUE(none.done());
    none.cancel();
    co_await none.join();
    co_await none.finished();
  });
}

TEST(Spawned, MayOutliveItsLoop) {
  Spawned task;
  run_virtual([&](Loop& loop) -> Task<void> {
    task = loop.spawn("child", fails("broken"));
    co_await task.finished();
  });
  EXPECT_TRUE(task.done());
  task.cancel();
  EXPECT_EQ(name_of(task.error()), "broken");
}

TEST(Spawned, CancellingAWaiterDoesNotCancelTheTask) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto task = loop.spawn("child", sleep_task(1min));
    auto waiter = loop.spawn("waiter", [](Spawned child) -> Task<void> { co_await child.finished(); }(task));
    co_await sleep_for(1s);
    waiter.cancel();
    co_await waiter.finished();
    EXPECT_EQ(name_of(waiter.error()), "cancelled");
    co_await task.join();
    EXPECT_EQ(name_of(task.error()), "");
  });
}

TEST(Spawned, CanBeSpawnedBeforeTheLoopRuns) {
  std::vector<std::string> notes;
  Loop loop{Loop::Clock::kVirtual};
  auto task = loop.spawn("early", note(notes, "early"));
  EXPECT_FALSE(task.done());
  loop.run();
  EXPECT_TRUE(task.done());
  EXPECT_THAT(notes, ElementsAre("early"));
}

TEST(Spawned, HundredThousandTasksOneAfterAnother) {
  int done = 0;
  run_virtual([&](Loop& loop) -> Task<void> {
    auto count = [](int& counter) -> Task<void> {
      ++counter;
      co_return;
    };
    for (int i = 0; i < 100'000; ++i) co_await loop.spawn("child", count(done)).join();
  });
  EXPECT_EQ(done, 100'000);
}

TEST(TaskGroup, CountsItsChildren) {
  run_virtual([](Loop&) -> Task<void> {
    TaskGroup group{"group"};
    group.spawn(sleep_task());
    group.spawn(sleep_task());
    EXPECT_EQ(group.size(), 2U);
    co_await group.wait();
  });
}

TEST(TaskGroup, KeepsTheErrorOfEachChildWithoutThrowingIt) {
  run_virtual([](Loop&) -> Task<void> {
    TaskGroup group{"group"};
    group.spawn(sleep_task());
    group.spawn(fails("broken"));
    co_await group.wait();
    EXPECT_EQ(name_of(group.error(0)), "");
    EXPECT_EQ(name_of(group.error(1)), "broken");
  });
}

TEST(TaskGroup, CanWaitForTheFirstOnly) {
  run_virtual([](Loop& loop) -> Task<void> {
    TaskGroup group{"group"};
    group.spawn(sleep_task(1h));
    group.spawn(sleep_task(1s));
    co_await group.wait(true);
    EXPECT_EQ(loop.now().time_since_epoch(), 1s);
    group.cancel_all();
    co_await group.wait();
    EXPECT_EQ(loop.now().time_since_epoch(), 1s);
  });
}

TEST(TaskGroup, TakesMoreChildrenAfterItWaited) {
  run_virtual([](Loop& loop) -> Task<void> {
    TaskGroup group{"group"};
    group.spawn(sleep_task(1s));
    co_await group.wait();
    group.spawn(sleep_task(2s));
    co_await group.wait();
    EXPECT_EQ(loop.now().time_since_epoch(), 3s);
  });
}

TEST(TaskGroup, ChildrenCarryTheNameOfTheirParent) {
  run_virtual([](Loop& loop) -> Task<void> {
    std::string name;
    auto ask = [](std::string& place) -> Task<void> {
      place = TaskContext::current()->name();
      co_return;
    };
    auto parent = [](Task<void> child) -> Task<void> { co_await when_all(std::move(child)); };
    co_await loop.spawn("fetcher", parent(ask(name))).join();
    EXPECT_EQ(name, "fetcher");
  });
}

TEST(TaskGroup, ChildrenSeeTheEventOfTheirParent) {
  run_virtual([](Loop&) -> Task<void> {
    char there = 0;
    auto* unit = reinterpret_cast<detail::UnitOfWork*>(&there);
    TaskContext::current()->current_unit = unit;
    auto ask = []() -> Task<detail::UnitOfWork*> { co_return TaskContext::current()->current_unit; };
    auto [seen] = co_await when_all(ask());
    EXPECT_EQ(seen, unit);
  });
}

TEST(TaskGroup, OutsideOfATaskIsAMisuse) {
  TaskGroup group{"group"};
  EXPECT_THROW(group.spawn(sleep_task()), Failure);
}

}  // namespace
}  // namespace mephisto::testing_runtime
