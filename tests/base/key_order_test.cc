#include "mephisto/base/key_order.h"

#include <gmock/gmock.h>

#include <deque>
#include <random>
#include <string>

namespace mephisto::detail {
namespace {

struct Item {
  std::string key_;
  std::string_view key() const { return key_; }
};

class KeyOrderTest : public testing::Test {
 protected:
  void add(std::string key) { items.push_back({std::move(key)}); }
  std::vector<std::string> range(std::string_view from, std::string_view to) {
    std::vector<std::string> keys;
    auto [at, end] = order.range(from, to, items.size(), [&](std::size_t i) { return &items[i]; });
    for (; at != end; ++at) keys.emplace_back((*at)->key());
    return keys;
  }

  std::deque<Item> items;
  KeyOrder<Item> order;
};

TEST_F(KeyOrderTest, RangesHoldWhatCameBeforeAndAfterTheLastOne) {
  for (const auto* key : {"w2", "t9", "w1", "t10", "u"}) add(key);
  EXPECT_THAT(range("t", "u"), testing::ElementsAre("t10", "t9"));
  add("t5");
  add("w0");
  EXPECT_THAT(range("t10", "t9"), testing::ElementsAre("t10", "t5"));
  EXPECT_THAT(range("w", "x"), testing::ElementsAre("w0", "w1", "w2"));
  EXPECT_THAT(range("t9", "w1"), testing::ElementsAre("t9", "u", "w0"));
  EXPECT_THAT(range("u", ""), testing::ElementsAre("u", "w0", "w1", "w2"));
  items.clear();
  order.clear();
  add("t1");
  EXPECT_THAT(range("t", "u"), testing::ElementsAre("t1"));
  EXPECT_THAT(range("", ""), testing::ElementsAre("t1"));
}

TEST_F(KeyOrderTest, EqualsASortedListForAnyBytes) {
  std::mt19937 random{1};
  const auto some = [&] {
    std::string key(random() % 3, '\0');
    for (auto& byte : key) byte = "\x00\x01\x7f\x80\xfe\xff"[random() % 6];
    return key;
  };
  std::set<std::string> all;
  for (int i = 0; i < 3000; ++i) {
    if (auto key = some(); all.insert(key).second) add(key);
    const auto from = some();
    const auto to = some();
    if (!to.empty() && from >= to) continue;
    std::vector<std::string> expected;
    for (const auto& key : all) {
      if (key >= from && (to.empty() || key < to)) expected.push_back(key);
    }
    ASSERT_EQ(range(from, to), expected);
    if (random() % 50 == 0) {
      all.clear();
      items.clear();
      order.clear();
    }
  }
}

}  // namespace
}  // namespace mephisto::detail
