// Histograms of durations: the bounds, and sums of several.
#include "mephisto/base/histogram.h"

#include <gtest/gtest.h>

namespace mephisto::tests {
namespace {

using namespace std::chrono_literals;
using detail::Histogram;

TEST(Histogram, ABoundBelongsToItsBucket) {
  Histogram seconds;
  seconds.add(1s);
  seconds.add(1s + 1ns);
  seconds.add(500ms, 3);
  EXPECT_EQ(seconds.up_to(-2), 0U);
  EXPECT_EQ(seconds.up_to(-1), 3U);
  EXPECT_EQ(seconds.up_to(0), 4U);
  EXPECT_EQ(seconds.up_to(1), 5U);
  EXPECT_NEAR(seconds.sum, 3.5, 1e-6);
}

TEST(Histogram, TakesEveryDuration) {
  Histogram all;
  all.add(-5s);  // a clock of another machine
  all.add(0s);
  all.add(1ns);
  all.add(24h * 365);
  EXPECT_EQ(all.up_to(Histogram::kFirst), 3U);
  EXPECT_EQ(all.up_to(Histogram::kLast), 3U);
  EXPECT_EQ(all.count(), 4U);
  EXPECT_NEAR(all.sum, 365.0 * 24 * 3600, 1);
}

TEST(Histogram, AddsUp) {
  Histogram one;
  one.add(1s, 2);
  Histogram other;
  other.add(2s);
  one += other;
  EXPECT_EQ(one.count(), 3U);
  EXPECT_EQ(one.up_to(0), 2U);
  EXPECT_NEAR(one.sum, 4, 1e-9);
}

}  // namespace
}  // namespace mephisto::tests
