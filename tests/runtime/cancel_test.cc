// Cancellation: it ends every wait of a task, even those that come later, and no code swallows it by accident.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "helpers.h"

namespace mephisto::testing_runtime {
namespace {

using testing::ElementsAre;

// Spawns `task`, lets it reach its first wait, cancels it, and returns how it ended.
Task<std::string> cancelled_while_waiting(Loop& loop, Task<void> task) {
  auto spawned = loop.spawn("victim", std::move(task));
  co_await yield();
  EXPECT_FALSE(spawned.done());
  spawned.cancel();
  co_await spawned.finished();
  co_return name_of(spawned.error());
}

Task<void> sleep_hour() { co_await sleep_for(1h); }

TEST(Cancel, EndsASleepAtOnce) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto start = loop.now();
    EXPECT_EQ(co_await cancelled_while_waiting(loop, sleep_hour()), "cancelled");
    EXPECT_EQ(loop.now(), start);
  });
}

TEST(Cancel, EndsAPopOfAnEmptyChannel) {
  Channel<int> channel{1};
  auto pop = [&]() -> Task<void> { (void)co_await channel.pop(); };
  EXPECT_EQ(run_virtual([&](Loop& loop) { return cancelled_while_waiting(loop, pop()); }), "cancelled");
}

TEST(Cancel, EndsAPushToAFullChannel) {
  Channel<int> channel{1};
  channel.try_push(1);
  auto push = [&]() -> Task<void> { (void)co_await channel.push(2); };
  EXPECT_EQ(run_virtual([&](Loop& loop) { return cancelled_while_waiting(loop, push()); }), "cancelled");
  EXPECT_EQ(channel.size(), 1U);
}

TEST(Cancel, EndsAWaitForAnotherTask) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto slow = loop.spawn("slow", sleep_hour());
    auto joins = [](Spawned task) -> Task<void> { co_await task.join(); };
    EXPECT_EQ(co_await cancelled_while_waiting(loop, joins(slow)), "cancelled");
    EXPECT_FALSE(slow.done());
    co_await slow.join();
  });
}

TEST(Cancel, GoesThroughNestedAwaitsFromTheInside) {
  std::vector<std::string> unwound;
  struct Note {
    std::vector<std::string>& list;
    std::string name;
    ~Note() { list.push_back(name); }
  };
  auto inner = [&]() -> Task<void> {
    Note note{unwound, "inner"};
    co_await sleep_for(1h);
  };
  auto outer = [&]() -> Task<void> {
    Note note{unwound, "outer"};
    co_await inner();
  };
  EXPECT_EQ(run_virtual([&](Loop& loop) { return cancelled_while_waiting(loop, outer()); }), "cancelled");
  EXPECT_THAT(unwound, ElementsAre("inner", "outer"));
}

TEST(Cancel, ReachesEveryTaskOfWhenAll) {
  std::string a;
  std::string b;
  auto both = [&]() -> Task<void> { co_await when_all(sleeps(a), sleeps(b)); };
  EXPECT_EQ(run_virtual([&](Loop& loop) -> Task<std::string> {
              auto spawned = loop.spawn("both", both());
              co_await sleep_for(1s);
              spawned.cancel();
              co_await spawned.finished();
              co_return name_of(spawned.error());
            }),
            "cancelled");
  EXPECT_EQ(a + " " + b, "cancelled cancelled");
}

TEST(Cancel, ReachesEveryTaskOfWhenAny) {
  std::string a;
  std::string b;
  auto any = [&]() -> Task<void> {
    std::vector<Task<void>> tasks;
    tasks.push_back(sleeps(a));
    tasks.push_back(sleeps(b));
    co_await when_any(std::move(tasks));
  };
  EXPECT_EQ(run_virtual([&](Loop& loop) -> Task<std::string> {
              auto spawned = loop.spawn("any", any());
              co_await sleep_for(1s);
              spawned.cancel();
              co_await spawned.finished();
              co_return name_of(spawned.error());
            }),
            "cancelled");
  EXPECT_EQ(a + " " + b, "cancelled cancelled");
}

TEST(Cancel, OfATimeoutFromOutsideIsNoTimeout) {
  std::string inside;
  auto limited = [&]() -> Task<void> { co_await timeout(1min, sleeps(inside)); };
  EXPECT_EQ(run_virtual([&](Loop& loop) -> Task<std::string> {
              auto spawned = loop.spawn("limited", limited());
              co_await sleep_for(1s);
              spawned.cancel();
              co_await spawned.finished();
              co_return name_of(spawned.error());
            }),
            "cancelled");
  EXPECT_EQ(inside, "cancelled");
}

TEST(Cancel, WaitsForTasksThatTakeTimeToEnd) {
  bool cleaned = false;
  auto cleaning = [&]() -> Task<void> {
    try {
      co_await sleep_for(1h);
    } catch (const Cancelled&) {
    }
    cleaned = true;
  };
  auto parent = [&]() -> Task<void> {
    co_await when_all(cleaning(), cleaning());
    ADD_FAILURE() << "the cancelled parent went on";
  };
  EXPECT_EQ(run_virtual([&](Loop& loop) -> Task<std::string> {
              auto spawned = loop.spawn("parent", parent());
              co_await sleep_for(1s);
              spawned.cancel();
              co_await spawned.finished();
              co_return name_of(spawned.error());
            }),
            "cancelled");
  EXPECT_TRUE(cleaned);
}

TEST(Cancel, StaysForEveryLaterWait) {
  std::vector<std::string> waits;
  auto stubborn = [&]() -> Task<void> {
    Channel<int> channel{1};
    for (int i = 0; i < 3; ++i) waits.push_back(co_await outcome(sleep_hour()));
    waits.push_back(co_await outcome([](Channel<int>& empty) -> Task<void> { (void)co_await empty.pop(); }(channel)));
    waits.push_back(co_await outcome([]() -> Task<void> { co_await when_all(sleep_hour(), sleep_hour()); }()));
  };
  run_virtual([&](Loop& loop) -> Task<void> {
    auto start = loop.now();
    EXPECT_EQ(co_await cancelled_while_waiting(loop, stubborn()), "");
    EXPECT_EQ(loop.now(), start);
  });
  EXPECT_THAT(waits, ElementsAre("cancelled", "cancelled", "cancelled", "cancelled", "cancelled"));
}

TEST(Cancel, EndsALoopThatOnlyYields) {
  bool cancelled = false;
  auto spinning = [&]() -> Task<void> {
    try {
      for (int i = 0; i < 1000; ++i) co_await yield();
    } catch (const Cancelled&) {
      cancelled = true;
    }
  };
  run_virtual([&](Loop& loop) { return cancelled_while_waiting(loop, spinning()); });
  EXPECT_TRUE(cancelled);
}

TEST(Cancel, BeforeTheStartEndsTheFirstWait) {
  std::string ended;
  run_virtual([&](Loop& loop) -> Task<void> {
    auto spawned = loop.spawn("early", sleeps(ended));
    spawned.cancel();
    co_await spawned.finished();
  });
  EXPECT_EQ(ended, "cancelled");
}

TEST(Cancel, OfOneselfEndsTheNextWait) {
  std::string ended;
  run_virtual([&](Loop& loop) -> Task<void> {
    auto stops_itself = [](std::string& text) -> Task<void> {
      TaskContext::current()->cancel();
      co_await sleeps(text);
    };
    co_await loop.spawn("stopper", stops_itself(ended)).finished();
  });
  EXPECT_EQ(ended, "cancelled");
}

TEST(Cancel, IsNotSwallowedByHandlersOfStandardExceptions) {
  auto careless = []() -> Task<void> {
    for (int i = 0; i < 3; ++i) {
      try {
        co_await sleep_for(1h);
      } catch (const std::exception&) {
        ADD_FAILURE() << "caught as a std::exception";
      }
    }
  };
  EXPECT_EQ(run_virtual([&](Loop& loop) { return cancelled_while_waiting(loop, careless()); }), "cancelled");
}

TEST(Cancel, TwiceIsOnce) {
  int times = 0;
  auto task = [&]() -> Task<void> {
    try {
      co_await sleep_for(1h);
    } catch (const Cancelled&) {
      ++times;
    }
  };
  run_virtual([&](Loop& loop) -> Task<void> {
    auto spawned = loop.spawn("twice", task());
    co_await yield();
    spawned.cancel();
    spawned.cancel();
    co_await spawned.finished();
    spawned.cancel();
  });
  EXPECT_EQ(times, 1);
}

TEST(Cancel, OfAFinishedTaskChangesNothing) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto spawned = loop.spawn("quick", []() -> Task<void> { co_return; }());
    co_await spawned.join();
    spawned.cancel();
    EXPECT_EQ(name_of(spawned.error()), "");
  });
}

TEST(Cancel, LeavesOtherTasksAlone) {
  std::string other;
  run_virtual([&](Loop& loop) -> Task<void> {
    auto survivor = loop.spawn("survivor", sleeps(other));
    co_await cancelled_while_waiting(loop, sleep_hour());
    co_await survivor.join();
  });
  EXPECT_EQ(other, "woke");
}

TEST(Cancel, OfAParentDoesNotReachTasksItOnlySpawned) {
  std::string child;
  run_virtual([&](Loop& loop) -> Task<void> {
    auto parent = loop.spawn("parent", [](Loop& same, std::string& ended) -> Task<void> {
      same.spawn("child", sleeps(ended));
      co_await sleep_for(1min);
    }(loop, child));
    co_await sleep_for(1s);
    parent.cancel();
    co_await sleep_for(2h);
  });
  EXPECT_EQ(child, "woke");
}

TEST(Cancel, IsSeenByTheTask) {
  std::vector<bool> seen;
  auto task = [&]() -> Task<void> {
    seen.push_back(TaskContext::current()->cancelled());
    (void)co_await outcome(sleep_hour());
    seen.push_back(TaskContext::current()->cancelled());
  };
  run_virtual([&](Loop& loop) { return cancelled_while_waiting(loop, task()); });
  EXPECT_THAT(seen, ElementsAre(false, true));
}

TEST(Cancel, OfAPushDropsItsValue) {
  auto value = std::make_shared<int>(1);
  Channel<std::shared_ptr<int>> channel{1};
  channel.try_push(nullptr);
  auto push = [&]() -> Task<void> { (void)co_await channel.push(value); };
  run_virtual([&](Loop& loop) { return cancelled_while_waiting(loop, push()); });
  EXPECT_EQ(value.use_count(), 1);
}

TEST(Cancel, LeavesAChannelUsable) {
  Channel<int> channel{1};
  auto pop = [&]() -> Task<void> { (void)co_await channel.pop(); };
  run_virtual([&](Loop& loop) -> Task<void> {
    co_await cancelled_while_waiting(loop, pop());
    EXPECT_TRUE(co_await channel.push(5));
    EXPECT_EQ(co_await channel.pop(), 5);
  });
}

}  // namespace
}  // namespace mephisto::testing_runtime
