#include "mephisto/table/window_timer.h"

#include <gtest/gtest.h>

#include "mephisto/error.h"
#include "table/map_state.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;
using Tick = StreamTimer::Tick;

TEST(StreamTimer, FiresOnceForEachRecordThatReachesATime) {
  MapState state;
  const auto reach = [&](std::int64_t time) { return StreamTimer{"p", 10ms}.reach(state, time); };
  EXPECT_EQ(reach(5), (Tick{0, 5, 0})) << "the first record";
  EXPECT_EQ(reach(7), std::nullopt);
  EXPECT_EQ(reach(100), (Tick{100, 100, 9})) << "10 to 90 were missed";
  EXPECT_EQ(reach(103), std::nullopt);
  EXPECT_EQ(reach(109), std::nullopt);
  EXPECT_EQ(reach(117), (Tick{110, 117, 0}));
  EXPECT_EQ(reach(120), (Tick{120, 120, 0}));
  EXPECT_EQ(reach(12), std::nullopt) << "a late record";
}

TEST(StreamTimer, TimersOfOtherNamesAreApart) {
  MapState state;
  EXPECT_TRUE(StreamTimer("one", 10ms).reach(state, 5));
  EXPECT_TRUE(StreamTimer("other", 10ms).reach(state, 5));
  EXPECT_FALSE(StreamTimer("one", 10ms).reach(state, 6));
}

TEST(StreamTimer, TimesBefore1970AreOnTheSameGrid) {
  MapState state;
  EXPECT_EQ((StreamTimer{"p", 10ms}.reach(state, -5)), (Tick{-10, -5, 0}));
  EXPECT_EQ((StreamTimer{"p", 10ms}.reach(state, 0)), (Tick{0, 0, 0}));
}

TEST(StreamTimer, AnIntervalOfNothingIsRefused) { EXPECT_THROW(StreamTimer("p", 0ms), Failure); }

}  // namespace
}  // namespace mephisto
