// A histogram of durations, for metrics. Not thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace mephisto::detail {

// Its bounds are powers of two of a second: 2^kFirst (8 µs) to 2^kLast (36 h), and one bucket is above them.
struct Histogram {
  static constexpr int kFirst = -17;
  static constexpr int kLast = 17;

  void add(std::chrono::nanoseconds duration, std::uint64_t times = 1);
  Histogram& operator+=(const Histogram& other);
  // The values of at most 2^exponent seconds.
  std::uint64_t up_to(int exponent) const;
  std::uint64_t count() const;

  std::array<std::uint64_t, kLast - kFirst + 2> counts{};  // each without the values of the buckets before
  double sum = 0;                                          // in seconds
};

}  // namespace mephisto::detail
