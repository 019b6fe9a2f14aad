#include "mephisto/base/histogram.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mephisto::detail {

void Histogram::add(std::chrono::nanoseconds duration, std::uint64_t times) {
  const double seconds = std::max(std::chrono::duration<double>{duration}.count(), 0.0);
  sum += seconds * static_cast<double>(times);
  // seconds = mantissa * 2^exponent with a mantissa of 0.5 to 1: above so many of these it is in a later bucket. A
  // bound belongs to its own bucket.
  // 2 to the power of -1, -3/4, -1/2 and -1/4.
  static constexpr std::array<double, kOctave> kBounds{0.5, 0.5946035575013605, 0.7071067811865476, 0.8408964152537145};
  int exponent = 0;
  const double mantissa = std::frexp(seconds, &exponent);
  const auto above = std::ranges::count_if(kBounds, [&](double bound) { return mantissa > bound; });
  const auto bucket = seconds > 0 ? (exponent - 1 - kFirst) * kOctave + static_cast<int>(above) : 0;
  counts.at(static_cast<std::size_t>(std::clamp(bucket, 0, static_cast<int>(counts.size()) - 1))) += times;
}

Histogram& Histogram::operator+=(const Histogram& other) {
  for (std::size_t i = 0; i < counts.size(); ++i) counts.at(i) += other.counts.at(i);
  sum += other.sum;
  return *this;
}

std::uint64_t Histogram::up_to(int exponent) const {
  return std::accumulate(counts.begin(), counts.begin() + ((exponent - kFirst) * kOctave + 1), std::uint64_t{0});
}

std::uint64_t Histogram::count() const { return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}); }

}  // namespace mephisto::detail
