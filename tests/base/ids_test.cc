// UUIDs, and randomness that repeats for the same seed.
#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "mephisto/base/ids.h"

namespace mephisto {
namespace {

std::vector<std::uint64_t> draw(Random random, int count) {
  std::vector<std::uint64_t> drawn;
  for (int i = 0; i < count; ++i) drawn.push_back(random.next());
  return drawn;
}

TEST(Random, RepeatsItselfFromTheSameSeed) { EXPECT_EQ(draw(Random{42}, 100), draw(Random{42}, 100)); }
TEST(Random, DiffersFromAnotherSeed) { EXPECT_NE(draw(Random{42}, 100), draw(Random{43}, 100)); }
TEST(Random, DiffersEachTimeWithoutASeed) { EXPECT_NE(draw(Random{}, 4), draw(Random{}, 4)); }

TEST(Random, WorksFromSeedZero) {
  auto drawn = draw(Random{0}, 100);
  EXPECT_EQ((std::set<std::uint64_t>{drawn.begin(), drawn.end()}).size(), 100U);
}

TEST(Random, BelowStaysBelowItsBound) {
  Random random{1};
  for (std::uint64_t bound : {1ULL, 2ULL, 3ULL, 10ULL, 1ULL << 32, ~0ULL}) {
    for (int i = 0; i < 1000; ++i) ASSERT_LT(random.below(bound), bound);
  }
}

TEST(Random, BelowReachesEveryValue) {
  Random random{2};
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(random.below(10));
  EXPECT_EQ(seen.size(), 10U);
}

TEST(Random, BelowIsEven) {
  Random random{3};
  int counts[6] = {};
  for (int i = 0; i < 60'000; ++i) ++counts[random.below(6)];
  for (int count : counts) EXPECT_NEAR(count, 10'000, 500);
}

TEST(Random, BelowOfZeroIsZero) { EXPECT_EQ(Random{4}.below(0), 0U); }

TEST(Random, UniformStaysWithinZeroAndOne) {
  Random random{5};
  double sum = 0;
  for (int i = 0; i < 10'000; ++i) {
    auto value = random.uniform();
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    sum += value;
  }
  EXPECT_NEAR(sum / 10'000, 0.5, 0.02);
}

TEST(Uuid, ReadsBackFromItsText) {
  Random random{6};
  for (int i = 0; i < 1000; ++i) {
    auto uuid = Uuid::random(random);
    ASSERT_EQ(Uuid::parse(uuid.str()), uuid) << uuid.str();
  }
}

TEST(Uuid, RandomOnesAreOfVersion4) {
  Random random{7};
  for (int i = 0; i < 1000; ++i) {
    auto text = Uuid::random(random).str();
    ASSERT_EQ(text[14], '4') << text;
    ASSERT_TRUE(std::string_view{"89ab"}.contains(text[19])) << text;
  }
}

TEST(Uuid, RandomOnesDiffer) {
  Random random{8};
  std::set<Uuid> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(Uuid::random(random));
  EXPECT_EQ(seen.size(), 1000U);
}

TEST(Uuid, TheTextIsLowerCaseWithDashesInTheirPlaces) {
  Uuid uuid{{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}};
  EXPECT_EQ(uuid.str(), "00112233-4455-6677-8899-aabbccddeeff");
}

TEST(Uuid, UpperCaseTextIsRead) {
  EXPECT_EQ(Uuid::parse("00112233-4455-6677-8899-AABBCCDDEEFF")->str(), "00112233-4455-6677-8899-aabbccddeeff");
}

TEST(Uuid, OtherTextIsRefused) {
  for (auto text : {"", "00112233445566778899aabbccddeeff", "00112233-4455-6677-8899-aabbccddeef",
                    "00112233-4455-6677-8899-aabbccddeefff", "00112233-4455-6677-8899-aabbccddeefg",
                    "0011223-34455-6677-8899-aabbccddeeff", "{0112233-4455-6677-8899-aabbccddeef}",
                    "00112233-4455-6677-8899_aabbccddeeff", " 0112233-4455-6677-8899-aabbccddeeff"}) {
    EXPECT_EQ(Uuid::parse(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace mephisto
