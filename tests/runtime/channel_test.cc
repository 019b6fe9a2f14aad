// Channel and WaitQueue: tasks of one loop that wait for each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "helpers.h"
#include "mephisto/base/defer.h"

namespace mephisto::testing_runtime {
namespace {

using testing::ElementsAre;

TEST(Channel, GivesItemsInTheOrderTheyCame) {
  run_virtual([](Loop&) -> Task<void> {
    Channel<int> channel{10};
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(co_await channel.push(i));
    for (int i = 0; i < 5; ++i) EXPECT_EQ(co_await channel.pop(), i);
  });
}

TEST(Channel, TakesNoMoreThanItsCapacity) {
  Channel<int> channel{2};
  EXPECT_TRUE(channel.try_push(1));
  EXPECT_TRUE(channel.try_push(2));
  EXPECT_FALSE(channel.try_push(3));
  EXPECT_EQ(channel.size(), 2U);
}

TEST(Channel, PushWaitsForRoom) {
  run_virtual([](Loop& loop) -> Task<void> {
    Channel<int> channel{1};
    channel.try_push(1);
    auto pusher =
        loop.spawn("pusher", [](Channel<int>& to) -> Task<void> { EXPECT_TRUE(co_await to.push(2)); }(channel));
    co_await sleep_for(1min);
    EXPECT_FALSE(pusher.done());
    EXPECT_EQ(co_await channel.pop(), 1);
    co_await pusher.join();
    EXPECT_EQ(co_await channel.pop(), 2);
  });
}

TEST(Channel, PopWaitsForAnItem) {
  run_virtual([](Loop& loop) -> Task<void> {
    Channel<int> channel{1};
    auto pusher = loop.spawn("pusher", [](Channel<int>& to) -> Task<void> {
      co_await sleep_for(1min);
      to.try_push(7);
    }(channel));
    auto start = loop.now();
    EXPECT_EQ(co_await channel.pop(), 7);
    EXPECT_EQ(loop.now() - start, 1min);
    co_await pusher.join();
  });
}

TEST(Channel, CarriesItemsThatCanOnlyMove) {
  run_virtual([](Loop&) -> Task<void> {
    Channel<std::unique_ptr<int>> channel{1};
    co_await channel.push(std::make_unique<int>(3));
    auto item = co_await channel.pop();
    EXPECT_EQ(**item, 3);
  });
}

TEST(Channel, StillGivesWhatItHeldWhenItWasClosed) {
  run_virtual([](Loop&) -> Task<void> {
    Channel<int> channel{2};
    channel.try_push(1);
    channel.try_push(2);
    channel.close();
    EXPECT_EQ(co_await channel.pop(), 1);
    EXPECT_EQ(co_await channel.pop(), 2);
    EXPECT_EQ(co_await channel.pop(), std::nullopt);
    EXPECT_EQ(co_await channel.pop(), std::nullopt);
  });
}

TEST(Channel, TakesNothingOnceClosed) {
  run_virtual([](Loop&) -> Task<void> {
    Channel<int> channel{2};
    channel.close();
    EXPECT_TRUE(channel.closed());
    EXPECT_FALSE(channel.try_push(1));
    EXPECT_FALSE(co_await channel.push(1));
    EXPECT_EQ(channel.size(), 0U);
  });
}

TEST(Channel, ClosingEndsEveryWaitingPush) {
  std::vector<bool> pushed;
  run_virtual([&](Loop& loop) -> Task<void> {
    Channel<int> channel{1};
    channel.try_push(0);
    auto push = [](Channel<int>& to, std::vector<bool>& results) -> Task<void> {
      results.push_back(co_await to.push(1));
    };
    auto a = loop.spawn("a", push(channel, pushed));
    auto b = loop.spawn("b", push(channel, pushed));
    co_await sleep_for(1s);
    channel.close();
    co_await a.join();
    co_await b.join();
    EXPECT_EQ(channel.size(), 1U);
  });
  EXPECT_THAT(pushed, ElementsAre(false, false));
}

TEST(Channel, ClosingEndsEveryWaitingPop) {
  std::vector<std::optional<int>> popped;
  run_virtual([&](Loop& loop) -> Task<void> {
    Channel<int> channel{1};
    auto pop = [](Channel<int>& from, std::vector<std::optional<int>>& results) -> Task<void> {
      results.push_back(co_await from.pop());
    };
    auto a = loop.spawn("a", pop(channel, popped));
    auto b = loop.spawn("b", pop(channel, popped));
    co_await sleep_for(1s);
    channel.close();
    co_await a.join();
    co_await b.join();
  });
  EXPECT_THAT(popped, ElementsAre(std::nullopt, std::nullopt));
}

// Several producers push 0…999, each with its number, and several consumers collect the items. `capacity` limits the
// items between them.
struct Traffic {
  using Item = std::pair<int, int>;  // producer, sequence

  Traffic(std::size_t capacity, int producers, int consumers) {
    run_virtual([&](Loop& loop) -> Task<void> {
      Channel<Item> channel{capacity};
      received.resize(static_cast<std::size_t>(consumers));
      std::vector<Spawned> sending;
      std::vector<Spawned> receiving;
      for (auto& list : received) receiving.push_back(loop.spawn("consumer", consume(channel, list)));
      for (int i = 0; i < producers; ++i) sending.push_back(loop.spawn("producer", produce(channel, i)));
      for (auto& task : sending) co_await task.join();
      channel.close();
      for (auto& task : receiving) co_await task.join();
    });
  }

  Task<void> produce(Channel<Item>& channel, int producer) {
    for (int i = 0; i < 1000; ++i) {
      EXPECT_TRUE(co_await channel.push({producer, i}));
      largest = std::max(largest, channel.size());
      if (i % 7 == producer) co_await yield();
    }
  }
  Task<void> consume(Channel<Item>& channel, std::vector<Item>& list) {
    while (auto item = co_await channel.pop()) {
      list.push_back(*item);
      if (item->second % 5 == 0) co_await yield();
    }
  }

  std::size_t largest = 0;
  std::vector<std::vector<Item>> received;
};

TEST(Channel, BetweenManyProducersAndConsumersEveryItemArrivesOnce) {
  Traffic traffic{3, 4, 5};
  std::set<Traffic::Item> items;
  std::size_t count = 0;
  for (const auto& list : traffic.received) {
    count += list.size();
    items.insert(list.begin(), list.end());
  }
  EXPECT_EQ(count, 4000U);
  EXPECT_EQ(items.size(), 4000U);
}

TEST(Channel, BetweenManyProducersAndConsumersEachProducersOrderIsKept) {
  Traffic traffic{3, 4, 5};
  for (const auto& list : traffic.received) {
    std::map<int, int> last;
    for (auto [producer, sequence] : list) {
      EXPECT_TRUE(!last.contains(producer) || last[producer] < sequence);
      last[producer] = sequence;
    }
  }
}

TEST(Channel, NeverHoldsMoreThanItsCapacityWhateverTheTraffic) { EXPECT_EQ((Traffic{3, 4, 1}.largest), 3U); }
TEST(Channel, EveryConsumerGetsItsShare) {
  for (const auto& list : Traffic{3, 4, 5}.received) EXPECT_GT(list.size(), 100U);
}
TEST(Channel, OfOneItemPassesEverything) { EXPECT_EQ((Traffic{1, 3, 1}.received[0].size()), 3000U); }

Task<void> wait_and_note(WaitQueue& queue, std::string name, std::vector<std::string>& woken) {
  co_await queue.wait("a test");
  woken.push_back(name);
}

TEST(WaitQueue, WakesOneAtATimeInOrder) {
  std::vector<std::string> woken;
  run_virtual([&](Loop& loop) -> Task<void> {
    WaitQueue queue;
    auto a = loop.spawn("a", wait_and_note(queue, "a", woken));
    auto b = loop.spawn("b", wait_and_note(queue, "b", woken));
    co_await sleep_for(1s);
    queue.notify_one();
    co_await sleep_for(1s);
    EXPECT_THAT(woken, ElementsAre("a"));
    queue.notify_one();
    co_await b.join();
    EXPECT_TRUE(a.done());
  });
  EXPECT_THAT(woken, ElementsAre("a", "b"));
}

TEST(WaitQueue, WakesAll) {
  std::vector<std::string> woken;
  run_virtual([&](Loop& loop) -> Task<void> {
    WaitQueue queue;
    auto a = loop.spawn("a", wait_and_note(queue, "a", woken));
    auto b = loop.spawn("b", wait_and_note(queue, "b", woken));
    co_await sleep_for(1s);
    EXPECT_FALSE(queue.empty());
    queue.notify_all();
    EXPECT_TRUE(queue.empty());
    co_await a.join();
    co_await b.join();
  });
  EXPECT_THAT(woken, ElementsAre("a", "b"));
}

Task<void> hold(Mutex& mutex, Loop::duration time, std::string name, std::vector<std::string>& order) {
  const auto lock = co_await mutex.lock("a test");
  order.push_back(name + " begins");
  co_await sleep_for(time);
  order.push_back(name + " ends");
}

TEST(MutexTest, LetsOneTaskThroughAtATime) {
  std::vector<std::string> order;
  run_virtual([&](Loop& loop) -> Task<void> {
    Mutex mutex;
    auto a = loop.spawn("a", hold(mutex, 2s, "a", order));
    auto b = loop.spawn("b", hold(mutex, 1s, "b", order));
    co_await a.join();
    co_await b.join();
  });
  EXPECT_THAT(order, ElementsAre("a begins", "a ends", "b begins", "b ends"));
}

// Here it is cancelled after the lock was free for it, and before its next step.
TEST(MutexTest, ATaskThatIsCancelledHoldsUpNobody) {
  std::vector<std::string> order;
  run_virtual([&](Loop& loop) -> Task<void> {
    Mutex mutex;
    Spawned b;
    const auto unlock_and_cancel = [&]() -> Task<void> {
      const Defer after{[&] { b.cancel(); }};
      const auto lock = co_await mutex.lock("a test");
      co_await sleep_for(1s);
    };
    auto a = loop.spawn("a", unlock_and_cancel());
    b = loop.spawn("b", hold(mutex, 1s, "b", order));
    auto c = loop.spawn("c", hold(mutex, 1s, "c", order));
    co_await c.join();
  });
  EXPECT_THAT(order, ElementsAre("b begins", "c begins", "c ends"));
}

TEST(WaitQueue, DoesNotRememberANotificationThatNobodyWaitedFor) {
  run_virtual([](Loop& loop) -> Task<void> {
    WaitQueue queue;
    queue.notify_one();
    queue.notify_all();
    auto start = loop.now();
    co_await queue.wait_until(loop.now() + 1s, "a test");
    EXPECT_EQ(loop.now() - start, 1s);
  });
}

TEST(WaitQueue, AWaitWithADeadlineEndsAtTheNotificationBeforeIt) {
  run_virtual([](Loop& loop) -> Task<void> {
    WaitQueue queue;
    auto start = loop.now();
    auto notifier = loop.spawn("notifier", [](WaitQueue& waiters) -> Task<void> {
      co_await sleep_for(1s);
      waiters.notify_one();
    }(queue));
    co_await queue.wait_until(start + 1min, "a test");
    EXPECT_EQ(loop.now() - start, 1s);
    co_await notifier.join();
  });
}

TEST(WaitQueue, AWaitThatReachedItsDeadlineIsNotInTheQueueAnyMore) {
  run_virtual([](Loop& loop) -> Task<void> {
    WaitQueue queue;
    co_await queue.wait_until(loop.now() + 1s, "a test");
    EXPECT_TRUE(queue.empty());
  });
}

TEST(WaitQueue, AWaitWithADeadlineCanBeCancelled) {
  run_virtual([](Loop& loop) -> Task<void> {
    WaitQueue queue;
    auto waiter = loop.spawn("waiter", [](Loop& same, WaitQueue& waiters) -> Task<void> {
      co_await waiters.wait_until(same.now() + 1min, "a test");
    }(loop, queue));
    co_await sleep_for(1s);
    waiter.cancel();
    EXPECT_TRUE(queue.empty());
    co_await waiter.finished();
    EXPECT_EQ(name_of(waiter.error()), "cancelled");
    co_await sleep_for(1h);
  });
}

}  // namespace
}  // namespace mephisto::testing_runtime
