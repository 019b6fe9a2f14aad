// Buffer: bytes written in place.
#include <gtest/gtest.h>

#include <string>

#include "mephisto/base/buffer.h"

namespace mephisto {
namespace {

TEST(Buffer, StartsEmpty) {
  Buffer buffer;
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.view(), "");
}

TEST(Buffer, KeepsWhatIsAppended) {
  Buffer buffer;
  buffer.append("ab");
  buffer.append('c');
  buffer.append("");
  EXPECT_EQ(buffer.view(), "abc");
}

TEST(Buffer, KeepsItsBytesWhileItGrows) {
  Buffer buffer;
  std::string expected;
  for (int i = 0; i < 10'000; ++i) {
    buffer.append(std::to_string(i));
    expected += std::to_string(i);
  }
  EXPECT_EQ(buffer.view(), expected);
}

TEST(Buffer, TakesOnlyWhatWasCommittedOfTheRoom) {
  Buffer buffer;
  char* at = buffer.room(10);
  std::memcpy(at, "abcdef", 6);
  buffer.commit(at + 3);
  EXPECT_EQ(buffer.view(), "abc");
}

TEST(Buffer, RoomIsThereEvenForMoreThanTwiceTheCapacity) {
  Buffer buffer{8};
  buffer.append("x");
  char* at = buffer.room(1000);
  std::memset(at, 'y', 1000);
  buffer.commit(at + 1000);
  EXPECT_EQ(buffer.view(), "x" + std::string(1000, 'y'));
}

TEST(Buffer, TruncatesToASize) {
  Buffer buffer;
  buffer.append("abcdef");
  buffer.truncate(2);
  buffer.append("z");
  EXPECT_EQ(buffer.view(), "abz");
}

TEST(Buffer, ClearingKeepsTheMemory) {
  Buffer buffer{1000};
  buffer.append("abc");
  buffer.clear();
  EXPECT_TRUE(buffer.empty());
  EXPECT_GE(buffer.capacity(), 1000U);
}

TEST(Buffer, MovingTakesTheBytesAlong) {
  Buffer from;
  from.append("abc");
  Buffer to{std::move(from)};
  EXPECT_EQ(to.view(), "abc");
}

TEST(Buffer, SwappingExchangesTheBytes) {
  Buffer a;
  Buffer b;
  a.append("left");
  b.append("right");
  a.swap(b);
  EXPECT_EQ(a.view(), "right");
  EXPECT_EQ(b.view(), "left");
}

}  // namespace
}  // namespace mephisto
