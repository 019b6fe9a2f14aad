// Loop: its clocks, its order, what reaches it from outside, and what it reports when nothing can happen any more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <future>
#include <thread>

#include "helpers.h"
#include "mephisto/logging.h"

namespace mephisto::testing_runtime {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

TEST(VirtualTime, JumpsToTheNextTimer) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto start = loop.now();
    co_await sleep_for(24h);
    EXPECT_EQ(loop.now() - start, 24h);
  });
}

TEST(VirtualTime, StandsStillWhileTasksRun) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto start = loop.now();
    for (int i = 0; i < 1000; ++i) co_await yield();
    EXPECT_EQ(loop.now(), start);
  });
}

TEST(VirtualTime, WallTimeBeginsWith2026) {
  EXPECT_EQ(format_iso8601(Loop{Loop::Clock::kVirtual}.wall_time()), "2026-01-01T00:00:00Z");
}

TEST(VirtualTime, WallTimeMovesWithTheClock) {
  run_virtual([](Loop& loop) -> Task<void> {
    co_await sleep_for(24h + 1500ms);
    EXPECT_EQ(format_iso8601(loop.wall_time()), "2026-01-02T00:00:01.500000Z");
    EXPECT_EQ(loop.timestamp(), std::chrono::floor<std::chrono::milliseconds>(loop.wall_time()));
  });
}

TEST(VirtualTime, RunEndsWhenNothingIsLeftThatCouldHappen) {
  Loop loop{Loop::Clock::kVirtual};
  auto task = loop.spawn("sleeper", sleep_task(1h));
  loop.run();
  EXPECT_TRUE(task.done());
  EXPECT_EQ(loop.now().time_since_epoch(), 1h);
}

Task<void> note_after(Loop::duration duration, std::string name, std::vector<std::string>& notes) {
  co_await sleep_for(duration);
  notes.push_back(name);
}

TEST(Timers, FireInTheOrderOfTheirTimes) {
  std::vector<std::string> notes;
  run_virtual([&](Loop&) -> Task<void> {
    co_await when_all(note_after(3s, "c", notes), note_after(1s, "a", notes), note_after(2s, "b", notes));
  });
  EXPECT_THAT(notes, ElementsAre("a", "b", "c"));
}

TEST(Timers, OfTheSameTimeFireInTheOrderTheyWereSet) {
  std::vector<std::string> notes;
  run_virtual([&](Loop&) -> Task<void> {
    co_await when_all(note_after(1s, "a", notes), note_after(1s, "b", notes), note_after(1s, "c", notes));
  });
  EXPECT_THAT(notes, ElementsAre("a", "b", "c"));
}

TEST(Timers, ThatAreDueAlreadyDoNotMoveTheClock) {
  run_virtual([](Loop& loop) -> Task<void> {
    co_await sleep_for(1h);
    auto start = loop.now();
    co_await sleep_until(start - 1min);
    co_await sleep_for(0s);
    co_await sleep_for(-5s);
    EXPECT_EQ(loop.now(), start);
  });
}

TEST(Timers, OfTheLongestDurationDoNotFireAtOnce) {
  EXPECT_EQ(run_virtual([](Loop&) -> Task<std::string> {
              co_await sleep_for(1s);
              co_return co_await outcome(timeout(1h, sleep_task(Loop::duration::max())));
            }),
            "not done within 1 h 0 min");
}

TEST(Timers, OnRealTimeDoNotFireEarly) {
  Loop loop;
  auto start = loop.now();
  loop.run(sleep_task(2ms));
  EXPECT_GE(loop.now() - start, 2ms);
}

TEST(Timers, GetTheirTurnAmongBusyTasks) {
  Loop loop;
  loop.run([](Loop& same) -> Task<void> {
    auto sleeper = same.spawn("sleeper", sleep_task(1ms));
    while (!sleeper.done()) co_await yield();
  }(loop));
}

TEST(Timers, OutsideOfATaskAreAMisuse) { EXPECT_THROW((void)sleep_for(1s), Failure); }

TEST(Yield, LetsEveryOtherReadyTaskRunFirst) {
  std::vector<std::string> notes;
  auto turns = [&](std::string name) -> Task<void> {
    for (int i = 0; i < 2; ++i) {
      notes.push_back(name + std::to_string(i));
      co_await yield();
    }
  };
  run_virtual([&](Loop&) -> Task<void> { co_await when_all(turns("a"), turns("b"), turns("c")); });
  EXPECT_THAT(notes, ElementsAre("a0", "b0", "c0", "a1", "b1", "c1"));
}

TEST(Loop, IsCurrentOnlyWhileItRuns) {
  EXPECT_EQ(Loop::current(), nullptr);
  run_virtual([](Loop& loop) -> Task<void> {
    EXPECT_EQ(Loop::current(), &loop);
    EXPECT_EQ(&TaskContext::current()->loop(), &loop);
    co_return;
  });
  EXPECT_EQ(Loop::current(), nullptr);
  EXPECT_EQ(TaskContext::current(), nullptr);
}

TEST(Loop, RunsOneTaskAfterAnother) {
  Loop loop{Loop::Clock::kVirtual};
  EXPECT_EQ(loop.run(after(1s, 1)) + loop.run(after(1s, 2)), 3);
  EXPECT_EQ(loop.now().time_since_epoch(), 2s);
}

TEST(Loop, GoesOnAfterATaskThatThrew) {
  Loop loop{Loop::Clock::kVirtual};
  EXPECT_THROW(loop.run(fails("broken")), std::runtime_error);
  EXPECT_EQ(loop.run(after(1s, 2)), 2);
}

TEST(Loop, ThatIsStoppedReturnsAndCanRunAgain) {
  Loop loop{Loop::Clock::kVirtual};
  auto task = loop.spawn("stopper", [](Loop& same) -> Task<void> {
    co_await sleep_for(1s);
    same.stop();
    co_await sleep_for(1s);
  }(loop));
  loop.run();
  EXPECT_FALSE(task.done());
  loop.run();
  EXPECT_TRUE(task.done());
}

TEST(Loop, ThatIsStoppedBeforeItRunsDoesNotRun) {
  Loop loop{Loop::Clock::kVirtual};
  auto task = loop.spawn("sleeper", sleep_task(1h));
  loop.stop();
  loop.run();
  EXPECT_FALSE(task.done());
  loop.run();  // lets the task end
}

TEST(Loop, IsStoppedFromAnotherThread) {
  Loop loop;
  bool running = false;
  std::jthread stopper;
  loop.post([&] {
    running = true;
    stopper = std::jthread{[&] { loop.stop(); }};
  });
  loop.run();
  EXPECT_TRUE(running);
}

TEST(Post, RunsOnTheLoopsThread) {
  Loop loop;
  std::thread::id ran;
  std::jthread poster{[&] {
    loop.post([&] {
      ran = std::this_thread::get_id();
      loop.stop();
    });
  }};
  loop.run();
  EXPECT_EQ(ran, std::this_thread::get_id());
}

TEST(Post, FromAnotherThreadKeepsItsOrder) {
  Loop loop;
  std::vector<int> order;
  std::jthread poster{[&] {
    for (int i = 0; i < 10'000; ++i) loop.post([&order, i] { order.push_back(i); });
    loop.post([&] { loop.stop(); });
  }};
  loop.run();
  EXPECT_EQ(order.size(), 10'000U);
  EXPECT_TRUE(std::ranges::is_sorted(order));
}

TEST(Post, FromSeveralThreadsKeepsTheOrderOfEach) {
  Loop loop;
  std::vector<int> orders[4];
  int ended = 0;
  std::vector<std::jthread> posters;
  for (auto& order : orders) {
    posters.emplace_back([&] {
      for (int i = 0; i < 2000; ++i) loop.post([&order, i] { order.push_back(i); });
      loop.post([&] {
        if (++ended == 4) loop.stop();
      });
    });
  }
  loop.run();
  for (const auto& order : orders) {
    EXPECT_EQ(order.size(), 2000U);
    EXPECT_TRUE(std::ranges::is_sorted(order));
  }
}

TEST(Post, CanSpawnATaskFromAnotherThread) {
  Loop loop;
  bool ran = false;
  auto task = [&]() -> Task<void> {
    co_await sleep_for(1ms);
    ran = true;
    loop.stop();
  };
  std::jthread poster{[&] { loop.post([&] { loop.spawn("posted", task()); }); }};
  loop.run();
  EXPECT_TRUE(ran);
}

TEST(Post, GetsItsTurnAmongBusyTasks) {
  run_virtual([](Loop& loop) -> Task<void> {
    bool posted = false;
    loop.post([&] { posted = true; });
    while (!posted) co_await yield();
  });
}

TEST(Deadlock, IsAFailureThatNamesWhatEachTaskWaitsFor) {
  // The stuck task refers to its loop for ever, so neither is destroyed here.
  static auto* loop = new Loop{Loop::Clock::kVirtual};
  static Channel<int> channel{1};
  auto stuck = []() -> Task<void> { (void)co_await channel.pop(); };
  loop->spawn("consumer", stuck());
  try {
    loop->run([]() -> Task<void> {
      co_await sleep_for(2s);
      (void)co_await channel.pop();
    }());
    FAIL();
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), ErrorKind::kInvalid);
    EXPECT_STREQ(failure.what(),
                 "nothing can happen any more, but the task is not done; waiting:\n"
                 "  consumer: waits for an item in a channel since 2.0 s\n"
                 "  main: waits for an item in a channel since 0 ms");
  }
}

TEST(DescribeTasks, NamesEveryTaskAndWhatItWaitsForSinceWhen) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto sleeper = loop.spawn("sleeper", sleep_task(1min));
    auto joiner = loop.spawn("joiner", [](Spawned task) -> Task<void> { co_await task.join(); }(sleeper));
    co_await sleep_for(5s);
    EXPECT_THAT(loop.describe_tasks(), UnorderedElementsAre("joiner: waits for a task to end since 5.0 s",
                                                            "main: running", "sleeper: waits for a timer since 5.0 s"));
    co_await joiner.join();
    EXPECT_THAT(loop.describe_tasks(), ElementsAre("main: running"));
  });
}

TEST(DescribeTasks, ShowsWhichCombinatorATaskWaitsIn) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto all = []() -> Task<void> { co_await when_all(sleep_task(1min)); };
    auto task = loop.spawn("parent", all());
    co_await sleep_for(1s);
    EXPECT_THAT(loop.describe_tasks(), UnorderedElementsAre("main: running", "parent: waits for a timer since 1.0 s",
                                                            "parent: waits for when_all since 1.0 s"));
    co_await task.join();
  });
}

TEST(LogLines, OfATaskCarryItsName) {
  testing::internal::CaptureStderr();
  run_virtual([](Loop& loop) -> Task<void> {
    auto writes = []() -> Task<void> {
      co_await yield();
      log::warn("from a task");
    };
    co_await loop.spawn("fetcher", writes()).join();
  });
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr(":fetcher:"));
}

TEST(Signals, ReachTheLoop) {
  Loop loop;
  std::vector<int> signals;
  loop.on_signal({SIGUSR1, SIGUSR2}, [&](int signal) {
    signals.push_back(signal);
    EXPECT_EQ(Loop::current(), &loop);
    loop.stop();
  });
  loop.post([] { std::raise(SIGUSR2); });
  loop.run();
  EXPECT_THAT(signals, ElementsAre(SIGUSR2));
}

TEST(Signals, ReachTheLoopAgainAndAgain) {
  Loop loop;
  int count = 0;
  loop.on_signal({SIGUSR2}, [&](int) {
    if (++count == 3) return loop.stop();
    std::raise(SIGUSR2);
  });
  loop.post([] { std::raise(SIGUSR2); });
  loop.run();
  EXPECT_EQ(count, 3);
}

TEST(Signals, ReachEveryHandler) {
  Loop loop;
  int first = 0;
  int second = 0;
  auto stop_when_both = [&] {
    if (first > 0 && second > 0) loop.stop();
  };
  loop.on_signal({SIGUSR2}, [&](int) { ++first, stop_when_both(); });
  loop.on_signal({SIGUSR2}, [&](int) { ++second, stop_when_both(); });
  loop.post([] { std::raise(SIGUSR2); });
  loop.run();
  EXPECT_EQ(first + second, 2);
}

TEST(Loops, TasksAndTimersHaveTheirTurnWhilePostsHaveNoEnd) {
  Loop loop;
  bool more = true;
  std::function<void()> again = [&] {
    if (more) loop.post(again);
  };
  loop.post(again);
  loop.run([](bool& flag) -> Task<void> {
    for (int i = 0; i < 100; ++i) co_await yield();
    co_await sleep_for(std::chrono::milliseconds{1});
    flag = false;
  }(more));
}

TEST(Loops, OnSeveralThreadsDoNotKnowEachOther) {
  std::int64_t sums[3] = {};
  {
    std::vector<std::jthread> threads;
    for (auto& sum : sums) {
      threads.emplace_back([&sum] {
        sum = run_virtual([](Loop& loop) -> Task<std::int64_t> {
          Channel<int> channel{4};
          auto producer = loop.spawn("producer", [](Channel<int>& to) -> Task<void> {
            for (int i = 0; i < 1000; ++i) co_await to.push(i);
            to.close();
          }(channel));
          std::int64_t total = 0;
          while (auto item = co_await channel.pop()) total += *item;
          co_await producer.join();
          co_return total;
        });
      });
    }
  }
  EXPECT_THAT(sums, ElementsAre(499'500, 499'500, 499'500));
}

TEST(RealTime, AnotherThreadSeesWhichTaskHasTheThread) {
  Loop loop;
  std::promise<void> began;
  std::promise<void> end;
  EXPECT_FALSE(loop.busy());
  const auto before = std::chrono::steady_clock::now();
  std::thread thread{[&] {
    loop.run([](Loop& of, std::promise<void>& to_begin, std::future<void> to_end) -> Task<void> {
      co_await of
          .spawn("keeps",
                 [](std::promise<void>& here, std::future<void> until) -> Task<void> {
                   here.set_value();
                   until.wait();
                   co_return;
                 }(to_begin, std::move(to_end)))
          .join();
    }(loop, began, end.get_future()));
  }};
  began.get_future().wait();
  const auto busy = loop.busy();
  ASSERT_TRUE(busy);
  EXPECT_EQ(busy->task, "keeps");
  EXPECT_GE(busy->since, before);
  EXPECT_LE(busy->since, std::chrono::steady_clock::now());
  end.set_value();
  thread.join();
  EXPECT_FALSE(loop.busy());
}

}  // namespace
}  // namespace mephisto::testing_runtime
