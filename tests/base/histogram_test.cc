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

TEST(Histogram, HasFourBucketsAnOctave) {
  Histogram seconds;
  for (const double value : {1.0, 1.1892, 1.1893, 1.4142, 1.4143, 1.6817, 1.6818, 2.0}) {
    seconds.add(std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>{value}));
  }
  const auto at = [&](int bucket) {
    return seconds.counts.at(static_cast<std::size_t>(-Histogram::kFirst * Histogram::kOctave + bucket));
  };
  EXPECT_EQ(at(0), 1U) << "1";
  EXPECT_EQ(at(1), 1U) << "to 2^(1/4)";
  EXPECT_EQ(at(2), 2U) << "to 2^(1/2)";
  EXPECT_EQ(at(3), 2U) << "to 2^(3/4)";
  EXPECT_EQ(at(4), 2U) << "to 2";
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
