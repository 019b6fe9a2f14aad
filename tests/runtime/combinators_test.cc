// when_all, when_any and timeout.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "helpers.h"

namespace mephisto::testing_runtime {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

template <class... T>
auto list_of(T... tasks) {
  using First = std::tuple_element_t<0, std::tuple<T...>>;
  std::vector<First> list;
  (list.push_back(std::move(tasks)), ...);
  return list;
}

// Records its name when it ends, in whatever way.
Task<int> noted(std::string name, std::vector<std::string>& ended, Loop::duration duration, int value) {
  struct Note {
    std::string name;
    std::vector<std::string>& list;
    ~Note() { list.push_back(name); }
  } note{std::move(name), ended};
  co_await sleep_for(duration);
  co_return value;
}

TEST(WhenAll, GivesTheValuesInTheOrderOfItsArguments) {
  run_virtual([](Loop&) -> Task<void> {
    auto [number, text] = co_await when_all(after(2s, 7), after<std::string>(1s, "x"));
    EXPECT_EQ(number, 7);
    EXPECT_EQ(text, "x");
  });
}

TEST(WhenAll, GivesTheValuesOfAListInItsOrder) {
  run_virtual([](Loop&) -> Task<void> {
    EXPECT_THAT(co_await when_all(list_of(after(3s, 1), after(1s, 2), after(2s, 3))), ElementsAre(1, 2, 3));
  });
}

TEST(WhenAll, RunsItsTasksAtTheSameTime) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto start = loop.now();
    co_await when_all(after(2s, 1), after(3s, 2), after(1s, 3));
    EXPECT_EQ(loop.now() - start, 3s);
  });
}

TEST(WhenAll, OfNothingIsDoneAtOnce) {
  run_virtual([](Loop&) -> Task<void> {
    EXPECT_THAT(co_await when_all(std::vector<Task<int>>{}), IsEmpty());
    co_await when_all();
  });
}

TEST(WhenAll, TakesTasksWithoutValues) {
  bool ran = false;
  run_virtual([&](Loop&) -> Task<void> {
    auto sets = [](bool& flag) -> Task<void> {
      flag = true;
      co_return;
    };
    auto [nothing, number] = co_await when_all(sets(ran), after(1s, 5));
    EXPECT_EQ(number, 5);
    EXPECT_EQ(nothing, std::monostate{});
  });
  EXPECT_TRUE(ran);
}

TEST(WhenAll, CarriesValuesThatCanOnlyMove) {
  run_virtual([](Loop&) -> Task<void> {
    auto make = []() -> Task<std::unique_ptr<int>> { co_return std::make_unique<int>(4); };
    auto values = co_await when_all(list_of(make()));
    EXPECT_EQ(*values[0], 4);
  });
}

TEST(WhenAll, ThrowsTheFirstErrorInOrderNotInTime) {
  EXPECT_EQ(run_virtual([](Loop&) -> Task<std::string> {
              auto both = []() -> Task<void> {
                co_await when_all(fails_after(2s, "first in order"), fails_after(1s, "first in time"));
              };
              co_return co_await outcome(both());
            }),
            "first in order");
}

TEST(WhenAll, ThrowsOnlyAfterAllAreDone) {
  std::vector<std::string> ended;
  run_virtual([&](Loop& loop) -> Task<void> {
    auto all = [](std::vector<std::string>& list) -> Task<void> {
      co_await when_all(fails("early"), noted("slow", list, 1min, 1));
    };
    auto start = loop.now();
    EXPECT_EQ(co_await outcome(all(ended)), "early");
    EXPECT_EQ(loop.now() - start, 1min);
    EXPECT_THAT(ended, ElementsAre("slow"));
  });
}

TEST(WhenAll, ThrowsTheErrorOfAListToo) {
  EXPECT_EQ(run_virtual([](Loop&) -> Task<std::string> {
              auto all = []() -> Task<void> {
                co_await when_all(list_of(sleep_task(), fails("second"), fails("third")));
              };
              co_return co_await outcome(all());
            }),
            "second");
}

TEST(WhenAll, NestsInItself) {
  EXPECT_EQ(run_virtual([](Loop&) -> Task<int> {
              auto pair = [](int a, int b) -> Task<int> {
                auto [x, y] = co_await when_all(after(1s, a), after(2s, b));
                co_return x + y;
              };
              auto [left, right] = co_await when_all(pair(1, 2), pair(3, 4));
              co_return left + right;
            }),
            10);
}

TEST(WhenAll, OfManyTasksIsDone) {
  run_virtual([](Loop&) -> Task<void> {
    std::vector<Task<int>> tasks;
    for (int i = 0; i < 10'000; ++i) tasks.push_back(after(std::chrono::seconds{i % 60}, i));
    auto values = co_await when_all(std::move(tasks));
    for (int i = 0; i < 10'000; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], i);
  });
}

TEST(WhenAny, GivesTheFirstAndItsIndex) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto start = loop.now();
    auto [index, value] = co_await when_any(list_of(after(1h, 1), after(1s, 2), after(1min, 3)));
    EXPECT_EQ(index, 1U);
    EXPECT_EQ(value, 2);
    EXPECT_EQ(loop.now() - start, 1s);
  });
}

TEST(WhenAny, CancelsTheOthersAndWaitsForTheirEnd) {
  std::vector<std::string> ended;
  run_virtual([&](Loop&) -> Task<void> {
    co_await when_any(list_of(noted("slow", ended, 1h, 1), noted("fast", ended, 1s, 2)));
    EXPECT_THAT(ended, ElementsAre("fast", "slow"));
  });
}

TEST(WhenAny, TakesTasksWithoutValues) {
  run_virtual([](Loop&) -> Task<void> {
    auto [index, nothing] = co_await when_any(list_of(sleep_task(1h), sleep_task(1s)));
    EXPECT_EQ(index, 1U);
    EXPECT_EQ(nothing, std::monostate{});
  });
}

TEST(WhenAny, GivesTheOneThatEndedFirstEvenIfAnotherEndsInTheSameTurn) {
  EXPECT_EQ(run_virtual([](Loop&) -> Task<std::size_t> {
              auto a_turn_later = []() -> Task<int> {
                co_await yield();
                co_return 1;
              };
              auto at_once = []() -> Task<int> { co_return 2; };
              co_return (co_await when_any(list_of(a_turn_later(), at_once()))).first;
            }),
            1U);
}

TEST(WhenAny, ThrowsWhatTheFirstThrew) {
  EXPECT_EQ(run_virtual([](Loop&) -> Task<std::string> {
              auto any = []() -> Task<void> { co_await when_any(list_of(fails_after(1s, "broken"), sleep_task(1h))); };
              co_return co_await outcome(any());
            }),
            "broken");
}

TEST(WhenAny, ThrowsWhatTheFirstThrewWhereverItStands) {
  EXPECT_EQ(run_virtual([](Loop&) -> Task<std::string> {
              auto any = []() -> Task<void> { co_await when_any(list_of(sleep_task(1h), fails_after(1s, "broken"))); };
              co_return co_await outcome(any());
            }),
            "broken");
}

TEST(WhenAnyDeathTest, OfNothingThrows) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  auto try_it = [] {
    auto any = []() -> Task<void> { co_await when_any(std::vector<Task<int>>{}); };
    auto text = run_virtual([&](Loop&) { return outcome(any()); });
    std::_Exit(text.empty() ? 1 : 0);
  };
  EXPECT_EXIT(try_it(), testing::ExitedWithCode(0), "");
}

TEST(Timeout, GivesTheValueOfATaskInTime) {
  EXPECT_EQ(run_virtual([](Loop&) { return timeout(2s, after(1s, 5)); }), 5);
}

TEST(Timeout, DoesNotWaitForItsLimit) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto start = loop.now();
    co_await timeout(1h, after(1s, 5));
    EXPECT_EQ(loop.now() - start, 1s);
  });
}

TEST(Timeout, OfALateTaskIsAFailureOfItsKind) {
  run_virtual([](Loop& loop) -> Task<void> {
    auto start = loop.now();
    try {
      co_await timeout(2500ms, sleep_task(1h));
      ADD_FAILURE();
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), ErrorKind::kTimeout);
      EXPECT_STREQ(failure.what(), "not done within 2.5 s");
    }
    EXPECT_EQ(loop.now() - start, 2500ms);
  });
}

TEST(Timeout, CancelsALateTaskAndWaitsForItsEnd) {
  std::string ended;
  run_virtual([&](Loop&) -> Task<void> {
    EXPECT_EQ(co_await outcome(timeout(1s, sleeps(ended))), "not done within 1.0 s");
    EXPECT_EQ(ended, "cancelled");
  });
}

TEST(Timeout, ThrowsWhatTheTaskThrew) {
  EXPECT_EQ(run_virtual([](Loop&) { return outcome(timeout(2s, fails_after(1s, "broken"))); }), "broken");
}

TEST(Timeout, OfATaskWithoutAValueReturns) {
  EXPECT_EQ(run_virtual([](Loop&) { return outcome(timeout(2s, sleep_task(1s))); }), "");
}

TEST(Timeout, LetsTheTaskWinThatIsReadyAtItsLimit) {
  EXPECT_EQ(run_virtual([](Loop&) { return timeout(1s, after(1s, 5)); }), 5);
}

TEST(Timeout, NestsAndTheShorterOneStrikes) {
  EXPECT_EQ(run_virtual([](Loop&) { return outcome(timeout(1min, timeout(1s, sleep_task(1h)))); }),
            "not done within 1.0 s");
}

TEST(Timeout, LeavesNoTimerBehind) {
  Loop loop{Loop::Clock::kVirtual};
  loop.run(timeout(1h, after(1s, 5)));
  loop.run();  // until nothing can happen any more
  EXPECT_EQ(loop.now().time_since_epoch(), 1s);
}

}  // namespace
}  // namespace mephisto::testing_runtime
