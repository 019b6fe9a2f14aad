// Random numbers and ids. Code that needs random numbers takes a Random, so that a run with a fixed seed is
// reproducible.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mephisto {

// A small fast generator (xoshiro256**). Not for secrets. Not thread-safe: one per shard.
class Random {
 public:
  Random();  // seeded from the system
  explicit Random(std::uint64_t seed);

  std::uint64_t next();
  std::uint64_t below(std::uint64_t bound);  // 0 … bound-1; 0 when bound is 0
  double uniform();                          // [0, 1)

 private:
  std::array<std::uint64_t, 4> state_;
};

struct Uuid {
  std::array<std::uint8_t, 16> bytes{};

  static Uuid random(Random& random);  // version 4
  static std::optional<Uuid> parse(std::string_view text);
  std::string str() const;  // canonical, lower case
  auto operator<=>(const Uuid&) const = default;
};

}  // namespace mephisto
