// A histogram of durations, for metrics. Not thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace mephisto::detail {

// Its bounds are powers of the fourth root of 2, in seconds: those of Prometheus' native histograms of schema 2. Every
// fourth one is a power of two: 2^kFirst (8 µs) to 2^kLast (36 h). One bucket is above them.
struct Histogram {
  static constexpr int kFirst = -17;
  static constexpr int kLast = 17;
  static constexpr int kOctave = 4;

  void add(std::chrono::nanoseconds duration, std::uint64_t times = 1);
  Histogram& operator+=(const Histogram& other);
  // The values of at most 2^exponent seconds.
  std::uint64_t up_to(int exponent) const;
  std::uint64_t count() const;

  // Each without the values of the buckets before. The first one has all up to 2^kFirst seconds.
  std::array<std::uint64_t, (kLast - kFirst) * kOctave + 2> counts{};
  double sum = 0;  // in seconds
};

}  // namespace mephisto::detail
