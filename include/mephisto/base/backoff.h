// The pauses between the attempts of something that fails.
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

namespace mephisto {

// Each pause is twice the one before, up to `longest`.
class Backoff {
 public:
  Backoff(std::chrono::milliseconds first, std::chrono::milliseconds longest)
      : first_(first), longest_(longest), next_(first) {}

  std::chrono::milliseconds next() { return std::exchange(next_, std::min(2 * next_, longest_)); }
  // After a success: begins with the first pause again.
  void reset() { next_ = first_; }

 private:
  std::chrono::milliseconds first_;
  std::chrono::milliseconds longest_;
  std::chrono::milliseconds next_;
};

}  // namespace mephisto
