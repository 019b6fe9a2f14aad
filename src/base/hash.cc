#include "base/hash.h"

#include <array>
#include <cstring>
#include <string>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace mephisto {

std::uint32_t murmur2(std::string_view bytes) {
  constexpr std::uint32_t kMultiplier = 0x5bd1e995;
  constexpr int kShift = 24;
  auto length = static_cast<std::uint32_t>(bytes.size());
  std::uint32_t h = 0x9747b28cU ^ length;
  const char* data = bytes.data();
  for (; length >= 4; length -= 4, data += 4) {
    std::uint32_t k = 0;
    std::memcpy(&k, data, 4);
    k *= kMultiplier;
    k ^= k >> kShift;
    k *= kMultiplier;
    h = h * kMultiplier ^ k;
  }
  auto byte = [&](int i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(data[i])); };
  if (length == 3) h ^= byte(2) << 16;
  if (length >= 2) h ^= byte(1) << 8;
  if (length >= 1) h = (h ^ byte(0)) * kMultiplier;
  h ^= h >> 13;
  h *= kMultiplier;
  return h ^ (h >> 15);
}

namespace {

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78U : 0);
    table[i] = crc;
  }
  return table;
}

std::uint32_t crc32c_table(std::string_view bytes, std::uint32_t crc) {
  static constexpr auto kTable = make_crc_table();
  for (char c : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return crc;
}

#if defined(__x86_64__)
// The instruction takes three cycles, and one can start each cycle: three runs of this many bytes are computed in
// parallel.
constexpr std::size_t kRun = 1024;

// Computes the effect of kRun further zero bytes on a checksum. The effect is linear, so it is looked up byte by byte.
class Shift {
 public:
  Shift() {
    for (std::size_t byte = 0; byte < 4; ++byte) {
      auto& table = tables_[byte];
      for (std::uint32_t bit = 1; bit < 256; bit <<= 1) {
        static const std::string kZeros(kRun, '\0');
        table[bit] = crc32c_table(kZeros, bit << (8 * byte));
        for (std::uint32_t lower = 1; lower < bit; ++lower) table[bit + lower] = table[bit] ^ table[lower];
      }
    }
  }
  std::uint32_t operator()(std::uint64_t crc) const {
    return tables_[0][crc & 0xff] ^ tables_[1][crc >> 8 & 0xff] ^ tables_[2][crc >> 16 & 0xff] ^
           tables_[3][crc >> 24 & 0xff];
  }

 private:
  std::array<std::array<std::uint32_t, 256>, 4> tables_{};
};

std::uint64_t word_at(const char* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, 8);
  return word;
}

__attribute__((target("sse4.2"))) std::uint32_t crc32c_hardware(std::string_view bytes, std::uint32_t crc) {
  static const Shift kShift;
  const char* data = bytes.data();
  std::size_t size = bytes.size();
  std::uint64_t first = crc;
  for (; size >= 3 * kRun; size -= 3 * kRun, data += 3 * kRun) {
    std::uint64_t second = 0;
    std::uint64_t third = 0;
    for (std::size_t i = 0; i < kRun; i += 8) {
      first = _mm_crc32_u64(first, word_at(data + i));
      second = _mm_crc32_u64(second, word_at(data + kRun + i));
      third = _mm_crc32_u64(third, word_at(data + 2 * kRun + i));
    }
    first = kShift(kShift(first) ^ second) ^ third;
  }
  for (; size >= 8; size -= 8, data += 8) first = _mm_crc32_u64(first, word_at(data));
  crc = static_cast<std::uint32_t>(first);
  for (; size > 0; --size, ++data) crc = _mm_crc32_u8(crc, static_cast<unsigned char>(*data));
  return crc;
}
#endif

}  // namespace

std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed) {
#if defined(__x86_64__)
  static const bool kHardware = __builtin_cpu_supports("sse4.2");
  if (kHardware) return ~crc32c_hardware(bytes, ~seed);
#endif
  return ~crc32c_table(bytes, ~seed);
}

}  // namespace mephisto
