// Windows against plain ones, on random inputs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "support/sanitized.h"
#include "table/map_state.h"
#include "table/window_reference.h"

namespace mephisto {
namespace {

using reference::Input;
using reference::Result;
using std::chrono::milliseconds;
using testing::ElementsAreArray;
using testing::IsEmpty;

constexpr std::uint64_t kRuns = tests::kSanitized ? 20 : 150;

std::int64_t pick(Random& random, std::initializer_list<std::int64_t> from) {
  return from.begin()[random.below(from.size())];
}

// The parameters of one run.
struct Chance {
  explicit Chance(std::uint64_t seed)
      : random{seed},
        size(pick(random, {1, 2, 5, 10, 30})),
        advance(1 + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(size)))),
        grace(pick(random, {0, 0, 1, 7, 40})),
        from(pick(random, {0, 1'700'000'000'000})) {}

  std::vector<Input> inputs(std::int64_t latest) { return reference::random_inputs(random, 150, latest, from); }
  WindowOptions options(Emit emit) const {
    return {.grace = milliseconds{grace}, .emit = emit, .every = milliseconds{emit == Emit::kEvery ? 7 : 0}};
  }
  std::vector<WindowSpec> all_kinds(Emit emit) const {
    auto count = options(emit);
    count.grace = {};
    return {WindowSpec::tumbling(milliseconds{size}, options(emit)),
            WindowSpec::hopping(milliseconds{size}, milliseconds{advance}, options(emit)),
            WindowSpec::sliding(milliseconds{size}, options(emit)),
            WindowSpec::session(milliseconds{size}, options(emit)), WindowSpec::count(size, count)};
  }

  Random random;
  std::int64_t size;
  std::int64_t advance;
  std::int64_t grace;
  std::int64_t from;
};

constexpr Emit kEmits[] = {Emit::kOnUpdate, Emit::kOnClose, Emit::kEvery};

TEST(WindowProperty, RegularFinalsAreTheFoldOfTheInputs) {
  for (std::uint64_t seed = 0; seed < kRuns; ++seed) {
    Chance chance{seed};
    if (chance.from == 0) chance.from = -500;
    const auto inputs = chance.inputs(60);
    MapState state;
    const auto spec =
        WindowSpec::hopping(milliseconds{chance.size}, milliseconds{chance.advance}, chance.options(Emit::kOnClose));
    EXPECT_THAT(reference::ours(spec, inputs, state),
                ElementsAreArray(reference::regular_finals(inputs, chance.size, chance.advance, chance.grace)))
        << "seed " << seed;
  }
}

TEST(WindowProperty, SlidingWindowsHoldExactlyTheRecordsThatCameWhileTheyWereOpen) {
  for (const bool on_close : {false, true}) {
    for (std::uint64_t seed = 0; seed < kRuns; ++seed) {
      Chance chance{seed};
      const auto inputs = chance.inputs(60);
      MapState state;
      const auto spec =
          WindowSpec::sliding(milliseconds{chance.size}, chance.options(on_close ? Emit::kOnClose : Emit::kOnUpdate));
      auto ours = reference::ours(spec, inputs, state);
      if (!on_close) {
        std::ranges::sort(ours, {}, [](const auto& result) { return std::pair{result.after, result.window.start}; });
      }
      EXPECT_THAT(ours, ElementsAreArray(reference::sliding(inputs, chance.size, chance.grace, on_close)))
          << "seed " << seed;
    }
  }
}

// Records that are so late that only an open session could take them may find an old session forgotten (decision 0029).
TEST(WindowProperty, SessionsAreAsIfNoneWereForgotten) {
  for (std::uint64_t seed = 0; seed < kRuns; ++seed) {
    Chance chance{seed};
    const auto inputs = chance.inputs(chance.size + chance.grace);
    MapState state;
    const auto spec = WindowSpec::session(milliseconds{chance.size}, chance.options(Emit::kOnUpdate));
    EXPECT_THAT(reference::ours(spec, inputs, state),
                ElementsAreArray(reference::session_updates(inputs, chance.size, chance.grace)))
        << "seed " << seed;
  }
}

TEST(WindowProperty, EachFinalResultComesOnceAndEachRecordOfASessionIsInOneOrLate) {
  for (std::uint64_t seed = 0; seed < kRuns; ++seed) {
    Chance chance{seed};
    auto inputs = chance.inputs(60);
    inputs.push_back({"z", chance.from + 1'000'000});
    for (const auto& spec : chance.all_kinds(Emit::kOnClose)) {
      MapState state;
      std::vector<std::pair<std::size_t, WindowBounds>> late;
      const auto results = reference::ours(spec, inputs, state, std::nullopt, &late);
      std::set<std::pair<std::string, WindowBounds>> windows;
      std::multiset<std::size_t> records;
      for (const auto& result : results) {
        EXPECT_TRUE(windows.insert({result.key, result.window}).second) << "seed " << seed;
        records.insert(result.records.begin(), result.records.end());
      }
      if (spec.kind() != WindowSpec::Kind::kSession) continue;
      for (const auto& [number, window] : late) records.insert(number);
      std::vector<std::size_t> all(inputs.size() - 1);
      std::iota(all.begin(), all.end(), 0);
      EXPECT_THAT(records, ElementsAreArray(all)) << "seed " << seed;
    }
  }
}

TEST(WindowProperty, ALateRecordIsToldOnceForEachWindowThatItMissed) {
  std::size_t told = 0;
  for (std::uint64_t seed = 0; seed < kRuns; ++seed) {
    Chance chance{seed};
    const auto inputs = chance.inputs(60);
    for (const auto emit : kEmits) {
      for (const auto& spec : chance.all_kinds(emit)) {
        MapState state;
        std::vector<std::pair<std::size_t, WindowBounds>> late;
        const auto results = reference::ours(spec, inputs, state, std::nullopt, &late);
        const std::set<std::pair<std::size_t, WindowBounds>> once{late.begin(), late.end()};
        EXPECT_EQ(once.size(), late.size()) << "seed " << seed;
        if (emit == Emit::kOnUpdate)
          for (const auto& result : results)
            EXPECT_FALSE(once.contains({result.after, result.window})) << "seed " << seed;
        told += late.size();
      }
    }
  }
  EXPECT_GT(told, 60 * kRuns);
}

TEST(WindowProperty, ARestartAnywhereChangesNothing) {
  for (std::uint64_t seed = 0; seed < kRuns / 4; ++seed) {
    Chance chance{seed};
    const auto inputs = chance.inputs(60);
    for (const auto emit : kEmits) {
      for (const auto& spec : chance.all_kinds(emit)) {
        MapState one;
        MapState other;
        EXPECT_EQ(reference::ours(spec, inputs, one), reference::ours(spec, inputs, other, chance.random.below(150)));
        EXPECT_EQ(one.entries(), other.entries());
      }
    }
  }
}

// What waits for its time is sent when the window closes at the latest.
TEST(WindowProperty, TheLastOfTheResultsFromTimeToTimeIsTheLastUpdate) {
  for (std::uint64_t seed = 0; seed < kRuns; ++seed) {
    Chance chance{seed};
    auto inputs = chance.inputs(chance.size + chance.grace);
    inputs.push_back({"z", chance.from + 1'000'000});
    const auto updates = chance.all_kinds(Emit::kOnUpdate);
    const auto sometimes = chance.all_kinds(Emit::kEvery);
    for (std::size_t kind = 0; kind < updates.size(); ++kind) {
      if (updates[kind].kind() == WindowSpec::Kind::kCount) continue;  // one that is not full is never closed
      const auto last = [&](const WindowSpec& spec) {
        MapState state;
        std::map<std::pair<std::string, WindowBounds>, std::vector<std::size_t>> all;
        for (const auto& result : reference::ours(spec, inputs, state)) {
          if (result.key == "z") continue;
          if (result.records.empty()) {
            EXPECT_EQ(all.erase({result.key, result.window}), 1) << "a retraction of what was not sent";
          } else {
            all[{result.key, result.window}] = result.records;
          }
        }
        return all;
      };
      EXPECT_EQ(last(updates[kind]), last(sometimes[kind])) << "seed " << seed << " kind " << kind;
    }
  }
}

// What the clock closes is what a record at that time would close, whenever it looks.
TEST(WindowProperty, AnIdlePartitionGetsTheSameFinalResults) {
  for (std::uint64_t seed = 0; seed < kRuns; ++seed) {
    Chance chance{seed};
    auto inputs = chance.inputs(60);
    const auto latest = std::ranges::max(inputs, {}, &Input::time).time;
    for (const auto& spec : chance.all_kinds(Emit::kOnClose)) {
      MapState by_clock;
      auto closed = reference::ours(spec, inputs, by_clock);
      const auto before = closed.size();
      const WindowSink sink{.result = [&](const WindowResult& result) {
        closed.push_back({inputs.size(), std::string{result.key}, result.window, {}, result.time});
      }};
      for (const auto now : {latest + 3, latest + 3, latest + 20, latest + 200})
        Windows{spec, {[] { return ""; }, [](auto&, auto&) {}, [](auto&, auto) {}}}.close_idle(by_clock, now, sink);

      MapState by_record;
      auto with_record = inputs;
      with_record.push_back({"z", latest + 200});
      auto expected = reference::ours(spec, with_record, by_record);
      std::erase_if(expected, [](const Result& result) { return result.key == "z"; });
      for (auto i = before; i < expected.size(); ++i) expected[i].records.clear();
      EXPECT_THAT(closed, ElementsAreArray(expected)) << "seed " << seed;
    }
  }
}

TEST(WindowProperty, NothingIsKeptOfWindowsThatAreOver) {
  for (std::uint64_t seed = 0; seed < kRuns; ++seed) {
    Chance chance{seed};
    const auto inputs = chance.inputs(60);
    for (const auto emit : kEmits) {
      for (const auto& spec : chance.all_kinds(emit)) {
        if (spec.kind() == WindowSpec::Kind::kCount) continue;  // the numbers of each key's records are kept
        MapState state;
        reference::ours(spec, inputs, state);
        Windows{spec, {[] { return ""; }, [](auto&, auto&) {}, [](auto&, auto) {}}}.close_idle(
            state, chance.from + 1'000'000, {.result = [](auto&) {}});
        EXPECT_EQ(state.entries().size(), 1) << "seed " << seed;
      }
    }
  }
}

}  // namespace
}  // namespace mephisto
