// Hashes against values that other programs computed. murmur2 decides the partition of a key, CRC-32C whether stored
// bytes are intact.
#include <gtest/gtest.h>

#include <string>

#include "base/hash.h"
#include "mephisto/base/ids.h"

namespace mephisto {
namespace {

struct Golden {
  std::string_view key;
  std::uint32_t hash;
  int of_8;
  int of_12;
};

// From Kafka's Java client and Faust.
constexpr Golden kGolden[] = {
    {"", 0x106e08d9, 1, 9},      {"a", 0xa2d0b27c, 4, 4},          {"ab", 0x12d8262a, 2, 2},
    {"abc", 0x1c94221b, 3, 3},   {"abcd", 0xb11ab5f4, 4, 8},       {"hello world", 0x48d0c363, 3, 7},
    {"\"k\"", 0x0df64324, 4, 8}, {"account-42", 0x0c03eec4, 4, 8}, {"\xc3\xa9", 0x0b24f487, 7, 3},
};

TEST(Murmur2, HashesAsKafkaDoes) {
  for (const auto& golden : kGolden) EXPECT_EQ(murmur2(golden.key), golden.hash) << golden.key;
}

// The cases of org.apache.kafka.common.utils.UtilsTest.testMurmur2.
TEST(Murmur2, HashesAsTheTestOfKafkaExpects) {
  EXPECT_EQ(static_cast<std::int32_t>(murmur2("21")), -973932308);
  EXPECT_EQ(static_cast<std::int32_t>(murmur2("foobar")), -790332482);
  EXPECT_EQ(static_cast<std::int32_t>(murmur2("a-little-bit-long-string")), -985981536);
  EXPECT_EQ(static_cast<std::int32_t>(murmur2("a-little-bit-longer-string")), -1486304829);
  EXPECT_EQ(static_cast<std::int32_t>(murmur2("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8")), -58897971);
  EXPECT_EQ(static_cast<std::int32_t>(murmur2("abc")), 479470107);
}

TEST(Murmur2, ChoosesThePartitionOf8ThatKafkaChooses) {
  for (const auto& golden : kGolden) EXPECT_EQ(partition_of_key(golden.key, 8), golden.of_8) << golden.key;
}

TEST(Murmur2, ChoosesThePartitionOf12ThatKafkaChooses) {
  for (const auto& golden : kGolden) EXPECT_EQ(partition_of_key(golden.key, 12), golden.of_12) << golden.key;
}

TEST(Murmur2, HashesKeysAtAnyAddressAlike) {
  std::string bytes = "....account-42";
  for (std::size_t shift = 0; shift < 4; ++shift) {
    auto moved = bytes.substr(shift);
    EXPECT_EQ(murmur2(std::string_view{moved}.substr(4 - shift)), 0x0c03eec4U);
  }
}

TEST(Murmur2, SpreadsKeysEvenlyOverPartitions) {
  int counts[8] = {};
  for (int i = 0; i < 8000; ++i) ++counts[partition_of_key("account-" + std::to_string(i), 8)];
  for (int count : counts) EXPECT_NEAR(count, 1000, 150);
}

// One bit at a time, as in the definition of the polynomial.
std::uint32_t slow_crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0U;
  for (char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0);
  }
  return ~crc;
}

TEST(Crc32c, OfTheCheckStringIsTheOneInTheStandard) { EXPECT_EQ(crc32c("123456789"), 0xe3069283U); }
TEST(Crc32c, OfNothingIsZero) { EXPECT_EQ(crc32c(""), 0U); }
TEST(Crc32c, OfLongRunsIsTheSameAsByteByByte) {
  Random random{3};
  for (std::size_t length : {3071, 3072, 3073, 6144, 10'000, 100'001}) {
    std::string bytes;
    for (std::size_t i = 0; i < length; ++i) bytes += static_cast<char>(random.next());
    ASSERT_EQ(crc32c(bytes), slow_crc32c(bytes)) << length;
  }
}
TEST(Crc32c, Of32ZeroBytesIsTheOneInRfc3720) { EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU); }
TEST(Crc32c, Of32OneBytesIsTheOneInRfc3720) { EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U); }

TEST(Crc32c, Of32IncreasingBytesIsTheOneInRfc3720) {
  std::string bytes;
  for (char c = 0; c < 32; ++c) bytes += c;
  EXPECT_EQ(crc32c(bytes), 0x46dd794eU);
}

TEST(Crc32c, AgreesWithTheDefinitionForEveryLength) {
  Random random{1};
  std::string bytes;
  for (int length = 0; length < 100; ++length) {
    ASSERT_EQ(crc32c(bytes), slow_crc32c(bytes)) << length;
    bytes += static_cast<char>(random.next());
  }
}

TEST(Crc32c, ContinuesFromWhereAnotherEnded) {
  std::string text = "the quick brown fox jumps over the lazy dog";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(crc32c(std::string_view{text}.substr(cut), crc32c(std::string_view{text}.substr(0, cut))), crc32c(text))
        << cut;
  }
}

TEST(Crc32c, ChangesWithEveryBit) {
  std::string bytes(64, 'x');
  auto whole = crc32c(bytes);
  for (auto& c : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      c = static_cast<char>(c ^ (1 << bit));
      EXPECT_NE(crc32c(bytes), whole);
      c = static_cast<char>(c ^ (1 << bit));
    }
  }
}

}  // namespace
}  // namespace mephisto
