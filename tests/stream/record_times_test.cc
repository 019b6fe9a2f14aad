// The times of records until their commit.
#include "mephisto/stream/record_times.h"

#include <gtest/gtest.h>

#include <limits>

namespace mephisto::tests {
namespace {

using detail::RecordTimes;

constexpr auto kAll = std::numeric_limits<std::uint64_t>::max();

std::uint64_t records(const std::vector<RecordTimes::Run>& runs) {
  std::uint64_t sum = 0;
  for (const auto& run : runs) sum += run.records;
  return sum;
}

TEST(RecordTimes, EqualTimesAreOneRun) {
  RecordTimes times;
  for (const auto ms : {0, 0, 5, 5, 5, 4}) times.add(ms);
  times.seal(kAll);
  const auto runs = times.take_sealed();
  ASSERT_EQ(runs.size(), 3U);
  EXPECT_EQ(runs[0].records, 2U);
  EXPECT_EQ(runs[1].ms, 5);
  EXPECT_EQ(runs[1].records, 3U);
  EXPECT_EQ(runs[2].ms, 4);
}

TEST(RecordTimes, ACommitTakesThoseThatAreDone) {
  RecordTimes times;
  for (const auto ms : {1, 1, 2, 2, 2}) times.add(ms);
  times.seal(3);
  const auto first = times.take_sealed();
  ASSERT_EQ(first.size(), 2U);
  EXPECT_EQ(first[0].records, 2U);
  EXPECT_EQ(first[1].ms, 2);
  EXPECT_EQ(first[1].records, 1U);
  times.add(2);
  times.seal(3);
  EXPECT_EQ(records(times.take_sealed()), 0U);
  times.seal(2);  // an acknowledgement was taken back
  EXPECT_EQ(records(times.take_sealed()), 0U);
  times.seal(6);
  EXPECT_EQ(records(times.take_sealed()), 3U);
}

TEST(RecordTimes, ACommitThatFailsLeavesThemToTheNextOne) {
  RecordTimes times;
  times.add(1);
  times.seal(1);
  times.add(2);
  times.seal(2);
  EXPECT_EQ(records(times.take_sealed()), 2U);
}

TEST(RecordTimes, TheirNumberIsBoundedAndNoRecordIsForgotten) {
  RecordTimes times;
  for (int ms = 0; ms < 100'001; ++ms) {
    times.add(ms);
    if (ms % 1000 == 0) times.seal(static_cast<std::uint64_t>(ms) / 2);
  }
  times.seal(kAll);
  const auto runs = times.take_sealed();
  EXPECT_LE(runs.size(), 1024U);
  EXPECT_EQ(records(runs), 100'001U);
  EXPECT_LT(runs.front().ms, runs.back().ms);
}

}  // namespace
}  // namespace mephisto::tests
