#include "mephisto/table/row_map.h"

namespace mephisto::detail {
namespace {

__extension__ using Product = unsigned __int128;

constexpr std::uint64_t kSeed = 0x2545F4914F6CDD1D;
constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15;

std::uint64_t mix(std::uint64_t hash, std::uint64_t bits) {
  const auto product = static_cast<Product>(hash ^ bits) * kFactor;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t load(const char* at, std::size_t size) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, at, size);
  return bits;
}

}  // namespace

// Eight bytes at a time; std::hash takes several times as long.
std::size_t hash_of_key(std::string_view key) {
  auto hash = mix(kSeed, key.size());
  const char* at = key.data();
  auto left = key.size();
  for (; left >= 8; at += 8, left -= 8) hash = mix(hash, load(at, 8));
  if (left > 0) hash = mix(hash, left >= 4 ? load(at, 4) | load(at + left - 4, 4) << 32 : load(at, left));
  return mix(hash, kSeed);
}

}  // namespace mephisto::detail
