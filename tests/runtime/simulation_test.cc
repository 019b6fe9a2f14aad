// Several loops on one virtual clock, and the seed that decides which task runs next.
#include <gmock/gmock.h>

#include <latch>
#include <set>
#include <thread>

#include "mephisto/runtime/simulation.h"
#include "runtime/helpers.h"

namespace mephisto::testing_runtime {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Sleeps for each of the times and notes when it wakes.
Task<void> wakes(std::vector<std::string>& notes, std::string name, std::vector<std::chrono::seconds> times) {
  for (auto time : times) {
    co_await sleep_for(time);
    const auto at =
        std::chrono::duration_cast<std::chrono::seconds>(TaskContext::current()->loop().now().time_since_epoch());
    notes.push_back(name + "@" + std::to_string(at.count()));
  }
}

Task<void> notes_turns(std::vector<std::string>& notes, std::string name, int turns) {
  for (int i = 0; i < turns; ++i) {
    notes.push_back(name + std::to_string(i));
    co_await yield();
  }
}

// The order in which 3 tasks on each of 2 loops take 5 turns.
std::vector<std::string> order_of_turns(std::optional<std::uint64_t> seed) {
  Simulation simulation{seed};
  Loop one{simulation};
  Loop two{simulation};
  std::vector<std::string> notes;
  for (const char* name : {"a", "b", "c"}) one.spawn(name, notes_turns(notes, name, 5));
  for (const char* name : {"x", "y", "z"}) two.spawn(name, notes_turns(notes, name, 5));
  simulation.run();
  return notes;
}

class Simulated : public ::testing::TestWithParam<std::optional<std::uint64_t>> {
 protected:
  Simulation simulation{GetParam()};
  Loop one{simulation};
  Loop two{simulation};
  std::vector<std::string> notes;
};

TEST_P(Simulated, LoopsShareTheClock) {
  two.spawn("two", wakes(notes, "two", {2s, 2s, 3s}));
  one.run(wakes(notes, "one", {1s, 2s, 2s}));
  EXPECT_THAT(notes, ElementsAre("one@1", "two@2", "one@3", "two@4", "one@5"));
  EXPECT_EQ(two.now(), one.now());
  EXPECT_EQ(format_iso8601(two.wall_time()), "2026-01-01T00:00:05Z");
  simulation.run();
  EXPECT_EQ(notes.back(), "two@7");
}

TEST_P(Simulated, TheClockStandsStillWhileAnyLoopHasSomethingToDo) {
  two.spawn("busy", notes_turns(notes, "turn", 5000));
  one.run(sleep_task(1ms));
  EXPECT_EQ(notes.size(), 5000U);
}

TEST_P(Simulated, TheClockStandsStillDuringABlockingCall) {
  std::latch let_go{1};
  std::jthread ends{[&] { let_go.count_down(); }};
  bool called = false;
  two.spawn("caller", [](std::latch& held, bool& done) -> Task<void> {
    co_await blocking([&] { held.wait(); });
    done = true;
  }(let_go, called));
  one.run(sleep_task(24h));
  EXPECT_TRUE(called);
}

TEST_P(Simulated, LoopsPostToEachOther) {
  int received = 0;
  std::function<void()> to_one = [&] {
    EXPECT_EQ(Loop::current(), &one);
    if (++received < 100)
      two.post([&] {
        EXPECT_EQ(Loop::current(), &two);
        one.post(to_one);
      });
  };
  one.post(to_one);
  simulation.run();
  EXPECT_EQ(received, 100);
  EXPECT_EQ(Loop::current(), nullptr);
}

TEST_P(Simulated, RunEndsWhenNothingCanHappenOnAnyLoop) {
  one.spawn("one", wakes(notes, "one", {1s}));
  two.spawn("two", wakes(notes, "two", {5s}));
  simulation.run();
  EXPECT_THAT(notes, ElementsAre("one@1", "two@5"));
}

TEST_P(Simulated, ATaskThatCanNeverEndIsNamedWhicheverItsLoop) {
  // The stuck tasks refer to their loops for ever, so these are not destroyed here.
  struct Stuck {
    explicit Stuck(std::optional<std::uint64_t> seed) : simulation(seed) {}
    Simulation simulation;
    Loop first{simulation};
    Loop second{simulation};
    WaitQueue queue;
  };
  static auto& kept = *new std::vector<Stuck*>;  // reachable for ever
  kept.push_back(new Stuck{GetParam()});
  auto* first = &kept.back()->first;
  auto* second = &kept.back()->second;
  auto* queue = &kept.back()->queue;
  auto stuck = [](WaitQueue& for_ever, const char* what) -> Task<void> { co_await for_ever.wait(what); };
  second->spawn("peer", stuck(*queue, "a reply"));
  try {
    first->run(stuck(*queue, "the peer"));
    FAIL();
  } catch (const Failure& failure) {
    EXPECT_THAT(failure.what(), AllOf(HasSubstr("main: waits for the peer"), HasSubstr("peer: waits for a reply")));
  }
}

TEST_P(Simulated, StopEndsTheRunOfItsLoopOnly) {
  two.spawn("two", wakes(notes, "two", {1s, 1s, 1s}));
  one.spawn("stopper", [](Loop& loop) -> Task<void> {
    co_await sleep_for(1500ms);
    loop.stop();
  }(one));
  one.run();
  EXPECT_THAT(notes, ElementsAre("two@1"));
  two.run();
  EXPECT_THAT(notes, ElementsAre("two@1", "two@2", "two@3"));
}

TEST_P(Simulated, ALoopThatHasEndedIsLeftOut) {
  {
    Loop third{simulation};
    third.run(sleep_task(1s));
  }
  one.run(wakes(notes, "one", {1s}));
  EXPECT_THAT(notes, ElementsAre("one@2"));
}

TEST_P(Simulated, ATaskCannotRunALoopOfItsOwnSimulation) {
  const auto ended = one.run(outcome([](Loop& other) -> Task<void> {
    other.run(sleep_task());
    co_return;
  }(two)));
  EXPECT_EQ(ended, "this simulation runs already: co_await the task instead of running a loop");
  one.run(sleep_task(1min));  // the other loop's task ends too
}

INSTANTIATE_TEST_SUITE_P(Seeds, Simulated, ::testing::Values(std::nullopt, 0U, 1U, 42U),
                         [](const auto& info) { return info.param ? "seed_" + std::to_string(*info.param) : "none"; });

TEST(Seed, WithoutOneTasksRunInTheirOrder) {
  EXPECT_THAT(order_of_turns(std::nullopt),
              ElementsAre("a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2", "a3", "b3", "c3", "a4", "b4", "c4",  //
                          "x0", "y0", "z0", "x1", "y1", "z1", "x2", "y2", "z2", "x3", "y3", "z3", "x4", "y4", "z4"));
}

TEST(Seed, GivesTheSameOrderAgain) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) EXPECT_EQ(order_of_turns(seed), order_of_turns(seed));
}

TEST(Seed, OthersGiveOtherOrdersOfTasksAndLoops) {
  std::set<std::vector<std::string>> orders;
  std::set<std::string> first;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    const auto order = order_of_turns(seed);
    orders.insert(order);
    first.insert(order.front());
  }
  EXPECT_EQ(orders.size(), 100U);
  EXPECT_EQ(first, (std::set<std::string>{"a0", "b0", "c0", "x0", "y0", "z0"}));
}

std::vector<std::uint64_t> numbers(Random random) { return {random.next(), random.next(), random.next()}; }

TEST(Seed, GivesTheSameRandomNumbersAgain) {
  Simulation one{7};
  Simulation two{7};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(numbers(one.random("outbox")), numbers(two.random("outbox")));
}

// Ids of two workers, or of two runs, must differ.
TEST(Seed, GivesEachSourceItsOwnRandomNumbers) {
  std::set<std::vector<std::uint64_t>> all;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Simulation simulation{seed};
    for (int i = 0; i < 10; ++i) {
      all.insert(numbers(simulation.random("outbox")));
      all.insert(numbers(simulation.random("replies")));
    }
  }
  EXPECT_EQ(all.size(), 200U);
}

TEST(Seed, WithoutOneRandomNumbersAreTheSystems) {
  Simulation one;
  Simulation two;
  EXPECT_NE(numbers(one.random("outbox")), numbers(two.random("outbox")));
  EXPECT_NE(numbers(Environment::system().random("outbox")), numbers(Environment::system().random("outbox")));
}

TEST(Environments, ALoopHasTheSystemsUnlessAnotherIsGiven) {
  Loop real;
  EXPECT_EQ(&real.environment(), &Environment::system());
  EXPECT_FALSE(real.virtual_time());
  Simulation simulation;
  Loop simulated{simulation};
  EXPECT_EQ(&simulated.environment(), &simulation);
  EXPECT_TRUE(simulated.virtual_time());
  Loop alone{Loop::Clock::kVirtual};
  EXPECT_TRUE(alone.virtual_time());
  alone.run(sleep_task(1h));
  EXPECT_EQ(simulated.now(), Loop::time_point{}) << "each such loop has a clock of its own";
}

}  // namespace
}  // namespace mephisto::testing_runtime
