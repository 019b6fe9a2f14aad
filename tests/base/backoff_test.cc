#include <gmock/gmock.h>

#include <stdexcept>

#include "mephisto/base/backoff.h"
#include "mephisto/base/defer.h"

namespace mephisto::tests {
namespace {

using std::chrono::milliseconds;

TEST(BackoffTest, DoublesUpToTheLongest) {
  Backoff backoff{milliseconds{50}, milliseconds{300}};
  std::vector<std::int64_t> pauses;
  for (int i = 0; i < 5; ++i) pauses.push_back(backoff.next().count());
  EXPECT_THAT(pauses, ::testing::ElementsAre(50, 100, 200, 300, 300));
  backoff.reset();
  EXPECT_EQ(backoff.next(), milliseconds{50});
}

TEST(DeferTest, RunsItsActionHoweverTheScopeEnds) {
  int ran = 0;
  {
    const Defer count{[&] { ++ran; }};
    EXPECT_EQ(ran, 0);
  }
  EXPECT_EQ(ran, 1);
  try {
    const Defer count{[&] { ++ran; }};
    throw std::runtime_error{"no"};
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(ran, 2);
}

}  // namespace
}  // namespace mephisto::tests
