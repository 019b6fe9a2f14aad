// Task: what a coroutine returns, when it runs, and that its frame and its arguments are destroyed exactly once.
#include <gtest/gtest.h>

#include <set>

#include "helpers.h"

namespace mephisto::testing_runtime {
namespace {

Task<int> number(int value) { co_return value; }
Task<int> sum_of(int a, int b) { co_return co_await number(a) + co_await number(b); }

TEST(Task, GivesItsValue) {
  EXPECT_EQ(run_virtual([](Loop&) -> Task<int> { co_return 42; }), 42);
}

TEST(Task, GivesTheValuesOfTasksItAwaits) {
  EXPECT_EQ(run_virtual([](Loop&) { return sum_of(1, 2); }), 3);
}

TEST(Task, GivesValuesThatCanOnlyMove) {
  auto value = run_virtual([](Loop&) -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(7); });
  EXPECT_EQ(*value, 7);
}

TEST(Task, GivesValuesWithoutADefaultConstructor) {
  struct Exact {
    explicit Exact(int given) : value(given) {}
    int value;
  };
  EXPECT_EQ(run_virtual([](Loop&) -> Task<Exact> { co_return Exact{3}; }).value, 3);
}

TEST(Task, WithoutAValueRunsToItsEnd) {
  bool ran = false;
  run_virtual([&](Loop&) -> Task<void> {
    ran = true;
    co_return;
  });
  EXPECT_TRUE(ran);
}

TEST(Task, ThrowsWhatItThrewToItsAwaiter) {
  EXPECT_EQ(run_virtual([](Loop&) { return outcome(fails("broken")); }), "broken");
}

TEST(Task, ThrowsFromRunToo) {
  EXPECT_THROW(run_virtual([](Loop&) { return fails("broken"); }), std::runtime_error);
}

TEST(Task, ThrowsThroughTasksThatDoNotCatch) {
  auto middle = [](Task<void> inner) -> Task<void> { co_await std::move(inner); };
  EXPECT_EQ(run_virtual([&](Loop&) { return outcome(middle(middle(fails("deep")))); }), "deep");
}

TEST(Task, GoesOnAfterCatching) {
  EXPECT_EQ(run_virtual([](Loop&) -> Task<int> {
              try {
                co_await fails("broken");
              } catch (const std::runtime_error&) {
              }
              co_return co_await number(5);
            }),
            5);
}

TEST(Task, DoesNotStartBeforeItIsAwaited) {
  run_virtual([](Loop&) -> Task<void> {
    bool started = false;
    auto task = [](bool& flag) -> Task<void> {
      flag = true;
      co_return;
    }(started);
    co_await yield();
    EXPECT_FALSE(started);
    co_await std::move(task);
    EXPECT_TRUE(started);
  });
}

TEST(Task, CanBeAwaitedByName) {
  EXPECT_EQ(run_virtual([](Loop&) -> Task<int> {
              auto task = number(9);
              co_return co_await task;
            }),
            9);
}

TEST(Task, IsEmptyAfterItWasMovedFrom) {
  auto task = number(1);
  auto other = std::move(task);
  EXPECT_FALSE(task);
  EXPECT_TRUE(other);
}

// Knows which of its objects are alive. `faults` and `alive` show a compiler that destroys a temporary twice or not at
// all.
class Counted {
 public:
  Counted() { born(); }
  Counted(const Counted&) { born(); }
  Counted(Counted&&) noexcept { born(); }
  Counted& operator=(const Counted&) = default;
  Counted& operator=(Counted&&) = default;
  ~Counted() {
    if (alive().erase(this) == 0) ++faults;
  }

  static std::set<const Counted*>& alive() {
    static std::set<const Counted*> objects;
    return objects;
  }
  static inline int faults = 0;

 private:
  void born() {
    if (!alive().insert(this).second) ++faults;
  }
};

struct Request {
  Counted url;
  Counted body;
  int retries = 0;
};

Task<int> send(Request request) {
  co_await yield();
  co_return request.retries;
}
Task<int> send_by_reference(const Request& request) {
  co_await yield();
  co_return request.retries;
}
template <class Call>
Task<int> call(Call function) {
  co_await yield();
  co_return function();
}

// Runs `body` and expects that every Counted was destroyed exactly once.
template <class Body>
void expect_each_dies_once(Body body) {
  Counted::faults = 0;
  ASSERT_TRUE(Counted::alive().empty());
  run_virtual(std::move(body));
  EXPECT_EQ(Counted::faults, 0);
  EXPECT_TRUE(Counted::alive().empty());
}

TEST(Lifetime, ABracedArgumentOfAnAwaitedCallDiesOnce) {
  expect_each_dies_once([](Loop&) -> Task<void> { EXPECT_EQ(co_await send({.url = Counted{}, .retries = 3}), 3); });
}

TEST(Lifetime, ABracedArgumentByReferenceDiesOnceAndAfterTheCall) {
  expect_each_dies_once(
      [](Loop&) -> Task<void> { EXPECT_EQ(co_await send_by_reference({.url = Counted{}, .retries = 4}), 4); });
}

TEST(Lifetime, WhatALambdaArgumentCapturesDiesOnce) {
  expect_each_dies_once([](Loop&) -> Task<void> {
    Counted counted;
    EXPECT_EQ(co_await call([counted] { return static_cast<int>(Counted::alive().contains(&counted)); }), 1);
  });
}

TEST(Lifetime, WhatATemporaryLambdaHoldsDiesOnce) {
  expect_each_dies_once([](Loop&) -> Task<void> { co_await call([counted = Counted{}] { return counted.faults; }); });
}

TEST(Lifetime, ArgumentsInAConditionDieOnce) {
  expect_each_dies_once([](Loop&) -> Task<void> {
    if (co_await send({.url = Counted{}, .retries = 1}) == 1 && co_await send({.retries = 0}) == 0) co_await yield();
  });
}

TEST(Lifetime, ArgumentsDieOnceWhenTheTaskThrows) {
  expect_each_dies_once([](Loop&) -> Task<void> {
    auto failing = [](Request) -> Task<void> {
      co_await yield();
      throw std::runtime_error("broken");
    };
    EXPECT_EQ(co_await outcome(failing({.url = Counted{}})), "broken");
  });
}

TEST(Lifetime, ArgumentsOfATaskThatNeverStartsDieOnce) {
  expect_each_dies_once([](Loop&) -> Task<void> {
    auto task = send({});
    EXPECT_FALSE(Counted::alive().empty());
    co_return;
  });
}

TEST(Lifetime, ArgumentsOfASpawnedTaskAreGoneWhenItIsJoined) {
  expect_each_dies_once([](Loop& loop) -> Task<void> {
    auto spawned = loop.spawn("sender", [](Request) -> Task<void> { co_await sleep_for(1s); }({.url = Counted{}}));
    co_await spawned.join();
    EXPECT_TRUE(Counted::alive().empty());
  });
}

TEST(Lifetime, TheValueOfATaskDiesOnce) {
  expect_each_dies_once([](Loop&) -> Task<void> {
    auto make = []() -> Task<Counted> { co_return Counted{}; };
    auto counted = co_await make();
    EXPECT_TRUE(Counted::alive().contains(&counted));
  });
}

TEST(Lifetime, ArgumentsOfCombinedTasksDieOnce) {
  expect_each_dies_once([](Loop&) -> Task<void> {
    auto [a, b] = co_await when_all(send({.retries = 1}), call([counted = Counted{}] { return counted.faults + 2; }));
    EXPECT_EQ(a + b, 3);
  });
}

TEST(Stack, AMillionAwaitsInALoopDoNotGrowIt) {
  EXPECT_EQ(run_virtual([](Loop&) -> Task<std::int64_t> {
              std::int64_t sum = 0;
              for (int i = 0; i < 1'000'000; ++i) sum += co_await number(1);
              co_return sum;
            }),
            1'000'000);
}

Task<int> depth_of(int left) {
  if (left == 0) co_return 0;
  co_return 1 + co_await depth_of(left - 1);
}

TEST(Stack, TenThousandAwaitsInEachOtherDoNotOverflowIt) {
  EXPECT_EQ(run_virtual([](Loop&) { return depth_of(10'000); }), 10'000);
}

Task<void> throw_from(int depth) {
  if (depth == 0) throw std::runtime_error("from the bottom");
  co_await throw_from(depth - 1);
}

TEST(Stack, AnExceptionComesUpFromTenThousandAwaits) {
  EXPECT_EQ(run_virtual([](Loop&) { return outcome(throw_from(10'000)); }), "from the bottom");
}

Task<void> sleep_at(int depth) {
  if (depth == 0)
    co_await sleep_for(1h);
  else
    co_await sleep_at(depth - 1);
}

TEST(Stack, CancellationComesUpFromTenThousandAwaits) {
  EXPECT_EQ(run_virtual([](Loop& loop) -> Task<std::string> {
              auto spawned = loop.spawn("deep", sleep_at(10'000));
              co_await yield();
              spawned.cancel();
              co_await spawned.finished();
              co_return name_of(spawned.error());
            }),
            "cancelled");
}

}  // namespace
}  // namespace mephisto::testing_runtime
