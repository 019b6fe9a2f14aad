// What every kind of store promises.
#include "mephisto/store/store.h"

namespace mephisto::detail {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(Store, HoldsWhatWasAppliedInOrder) {
  auto stores = open_stores("memory://", "", 1 << 20);
  auto store = stores->open("a-changelog", 0);
  EXPECT_EQ(store->position(), -1);
  store->apply(std::vector<StoreChange>{{"b", "2"}, {"a", "1"}}, 5);
  EXPECT_EQ(store->position(), 5);
  EXPECT_EQ(store->get("b"), "2");
}

}  // namespace
}  // namespace mephisto::detail
