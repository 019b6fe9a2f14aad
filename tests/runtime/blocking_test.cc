// Slow work on other threads, and Asio operations: what reaches a loop from outside.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "helpers.h"
#include "runtime/asio.h"

namespace mephisto::testing_runtime {
namespace {

using testing::Each;
using testing::ElementsAre;

// A door that one thread opens for others. Waiting ends after some seconds, so that a mistake fails instead of hanging.
class Door {
 public:
  void open() {
    std::lock_guard lock{mutex_};
    open_ = true;
    changed_.notify_all();
  }
  bool wait() {
    std::unique_lock lock{mutex_};
    return changed_.wait_for(lock, 10s, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

// Each thread waits until all have arrived. If a pool runs them one after another, they never meet.
class Meeting {
 public:
  explicit Meeting(int expected) : expected_(expected) {}
  bool join() {
    std::unique_lock lock{mutex_};
    ++there_;
    changed_.notify_all();
    return changed_.wait_for(lock, 2s, [this] { return there_ == expected_; });
  }

 private:
  int expected_;
  int there_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
};

TEST(Blocking, CallsRunAtTheSameTime) {
  run_virtual([](Loop&) -> Task<void> {
    for (int round = 0; round < 200; ++round) {
      int expected = 2 + round % 7;
      Meeting meeting{expected};
      std::vector<Task<bool>> calls;
      for (int i = 0; i < expected; ++i) calls.push_back(blocking([&] { return meeting.join(); }));
      auto met = co_await when_all(std::move(calls));
      EXPECT_THAT(met, Each(true)) << "round " << round;
      if (std::ranges::find(met, false) != met.end()) co_return;
    }
  });
}

TEST(Blocking, GivesTheValueOfItsWork) {
  EXPECT_EQ(run_virtual([](Loop&) { return blocking([] { return 42; }); }), 42);
}

TEST(Blocking, GivesValuesThatCanOnlyMove) {
  auto value = run_virtual([](Loop&) { return blocking([] { return std::make_unique<int>(7); }); });
  EXPECT_EQ(*value, 7);
}

TEST(Blocking, WithoutAValueRunsItsWork) {
  std::atomic<bool> ran = false;
  run_virtual([&](Loop&) { return blocking([&] { ran = true; }); });
  EXPECT_TRUE(ran);
}

TEST(Blocking, ThrowsWhatItsWorkThrew) {
  EXPECT_EQ(run_virtual([](Loop&) { return outcome(blocking([]() { throw std::runtime_error("disk gone"); })); }),
            "disk gone");
}

TEST(Blocking, RunsOffTheLoopsThreadAndResumesOnIt) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto loops = std::this_thread::get_id();
    auto works = co_await blocking([] { return std::this_thread::get_id(); });
    EXPECT_NE(works, loops);
    EXPECT_EQ(std::this_thread::get_id(), loops);
    EXPECT_EQ(Loop::current(), &loop);
  });
}

TEST(Blocking, WorkIsOutsideOfEveryTask) {
  EXPECT_TRUE(run_virtual(
      [](Loop&) { return blocking([] { return Loop::current() == nullptr && TaskContext::current() == nullptr; }); }));
}

TEST(Blocking, LetsOtherTasksRunMeanwhile) {
  run_virtual([](Loop& loop) -> Task<void> {
    Door door;
    auto opener = loop.spawn("opener", [](Door& shut) -> Task<void> {
      co_await yield();
      shut.open();
    }(door));
    EXPECT_TRUE(co_await blocking([&] { return door.wait(); }));
    co_await opener.join();
  });
}

TEST(Blocking, HoldsVirtualTimeUntilItIsDone) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto sleeper = loop.spawn("sleeper", sleep_task(1s));
    auto start = loop.now();
    for (int i = 0; i < 10; ++i) co_await blocking([] { std::this_thread::yield(); });
    EXPECT_EQ(loop.now(), start);
    EXPECT_FALSE(sleeper.done());
    co_await sleeper.join();
  });
}

TEST(Blocking, ACancelledCallerWaitsForTheEndOfTheCall) {
  run_virtual([](Loop& loop) -> Task<void> {
    Door door;
    std::atomic<bool> ended = false;
    auto works = [](Door& shut, std::atomic<bool>& flag) -> Task<void> {
      co_await blocking([&] {
        shut.wait();
        flag = true;
      });
    };
    auto task = loop.spawn("worker", works(door, ended));
    co_await yield();
    task.cancel();
    for (int i = 0; i < 100; ++i) co_await yield();
    EXPECT_FALSE(task.done());
    door.open();
    co_await task.finished();
    EXPECT_TRUE(ended);
    EXPECT_EQ(name_of(task.error()), "cancelled");
  });
}

TEST(Blocking, ATimeoutWaitsForTheEndOfTheCall) {
  Loop loop;  // real time, because a running call holds virtual time
  loop.run([]() -> Task<void> {
    Door door;
    std::atomic<bool> ended = false;
    auto works = [](Door& shut, std::atomic<bool>& flag) -> Task<int> {
      co_return co_await blocking([&] {
        shut.wait();
        flag = true;
        return 1;
      });
    };
    auto opens = [](Door& shut) -> Task<void> {
      try {
        co_await sleep_for(1h);
      } catch (const Cancelled&) {
        shut.open();
      }
    };
    auto both = [&]() -> Task<void> { co_await when_all(works(door, ended), opens(door)); };
    EXPECT_EQ(co_await outcome(timeout(1ms, both())), "not done within 1 ms");
    EXPECT_TRUE(ended);
  }());
}

TEST(Blocking, ManyCallsAllEnd) {
  run_virtual([](Loop&) -> Task<void> {
    std::vector<Task<int>> calls;
    for (int i = 0; i < 200; ++i) calls.push_back(blocking([i] { return i; }));
    auto values = co_await when_all(std::move(calls));
    for (int i = 0; i < 200; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], i);
  });
}

TEST(Blocking, FromLoopsOnSeveralThreadsGivesEachItsOwn) {
  int sums[3] = {};
  {
    std::vector<std::jthread> threads;
    for (int& sum : sums) {
      threads.emplace_back([&sum] {
        sum = run_virtual([](Loop&) -> Task<int> {
          int total = 0;
          for (int i = 0; i < 100; ++i) total += co_await blocking([i] { return i; });
          co_return total;
        });
      });
    }
  }
  EXPECT_THAT(sums, ElementsAre(4950, 4950, 4950));
}

TEST(Blocking, IsWhatTheTaskIsSaidToWaitFor) {
  run_virtual([](Loop& loop) -> Task<void> {
    Door door;
    auto works = [](Door& shut) -> Task<void> { co_await blocking([&] { shut.wait(); }, "the disk"); };
    auto task = loop.spawn("worker", works(door));
    co_await yield();
    EXPECT_THAT(loop.describe_tasks(), ElementsAre("main: running", "worker: waits for the disk since 0 ms"));
    door.open();
    co_await task.join();
  });
}

TEST(Blocking, DestroysWhatItsWorkHolds) {
  auto held = std::make_shared<int>(5);
  run_virtual([&](Loop&) -> Task<void> {
    EXPECT_EQ(co_await blocking([held] { return *held; }), 5);
    EXPECT_EQ(held.use_count(), 1);
  });
}

boost::asio::awaitable<int> asio_sleep(std::chrono::milliseconds duration, int value) {
  boost::asio::steady_timer timer{co_await boost::asio::this_coro::executor, duration};
  co_await timer.async_wait(boost::asio::use_awaitable);
  co_return value;
}

boost::asio::awaitable<void> asio_fails() {
  throw std::runtime_error("connection refused");
  co_return;
}

Task<void> awaits_asio(std::chrono::milliseconds duration) {
  (void)co_await await_asio(asio_sleep(duration, 0), "the network");
}

TEST(Asio, AnOperationGivesItsValue) {
  EXPECT_EQ(run_virtual([](Loop&) -> Task<int> { co_return co_await await_asio(asio_sleep(1ms, 6), "the network"); }),
            6);
}

TEST(Asio, AnOperationThrowsWhatItThrew) {
  EXPECT_EQ(run_virtual([](Loop&) -> Task<std::string> {
              auto task = []() -> Task<void> { co_await await_asio(asio_fails(), "the network"); };
              co_return co_await outcome(task());
            }),
            "connection refused");
}

TEST(Asio, CancellingTheTaskCancelsTheOperation) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto task = loop.spawn("client", awaits_asio(1h));
    for (int i = 0; i < 1000; ++i) co_await yield();
    task.cancel();
    co_await task.finished();
    EXPECT_EQ(name_of(task.error()), "cancelled");
  });
}

TEST(Asio, ATaskThatIsCancelledAlreadyDoesNotStayInAnOperation) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto task = loop.spawn("client", awaits_asio(1h));
    task.cancel();
    co_await task.finished();
    EXPECT_EQ(name_of(task.error()), "cancelled");
  });
}

TEST(Asio, AnOperationHoldsVirtualTimeUntilItIsDone) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto sleeper = loop.spawn("sleeper", sleep_task(1s));
    co_await awaits_asio(1ms);
    EXPECT_FALSE(sleeper.done());
    co_await sleeper.join();
  });
}

TEST(Asio, AnOperationIsWhatTheTaskIsSaidToWaitFor) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto task = loop.spawn("client", awaits_asio(1h));
    co_await yield();
    EXPECT_THAT(loop.describe_tasks(), ElementsAre("client: waits for the network since 0 ms", "main: running"));
    task.cancel();
    co_await task.finished();
  });
}

}  // namespace
}  // namespace mephisto::testing_runtime
