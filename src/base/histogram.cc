#include "mephisto/base/histogram.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mephisto::detail {

void Histogram::add(std::chrono::nanoseconds duration, std::uint64_t times) {
  const double seconds = std::max(std::chrono::duration<double>{duration}.count(), 0.0);
  sum += seconds * static_cast<double>(times);
  int exponent = kFirst;
  // seconds = mantissa * 2^exponent with a mantissa of 0.5 to 1: a power of two is the bound of its own bucket.
  if (seconds > 0 && std::frexp(seconds, &exponent) == 0.5) --exponent;
  counts.at(static_cast<std::size_t>(std::clamp(exponent, kFirst, kLast + 1) - kFirst)) += times;
}

Histogram& Histogram::operator+=(const Histogram& other) {
  for (std::size_t i = 0; i < counts.size(); ++i) counts.at(i) += other.counts.at(i);
  sum += other.sum;
  return *this;
}

std::uint64_t Histogram::up_to(int exponent) const {
  return std::accumulate(counts.begin(), counts.begin() + (exponent - kFirst + 1), std::uint64_t{0});
}

std::uint64_t Histogram::count() const { return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}); }

}  // namespace mephisto::detail
