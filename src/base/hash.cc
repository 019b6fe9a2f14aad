#include "base/hash.h"

#include <array>
#include <cstring>

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
__attribute__((target("sse4.2"))) std::uint32_t crc32c_hardware(std::string_view bytes, std::uint32_t crc) {
  const char* data = bytes.data();
  std::size_t size = bytes.size();
  std::uint64_t wide = crc;
  for (; size >= 8; size -= 8, data += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = static_cast<std::uint32_t>(wide);
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
