// Times and numbers in the state of joins. For the joins' own files only.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "mephisto/table/ordered_bytes.h"
#include "mephisto/table/state_view.h"

namespace mephisto::detail {

// Before the first record, and after every record.
inline constexpr std::int64_t kNoTime = std::numeric_limits<std::int64_t>::min();
inline constexpr std::int64_t kEnd = std::numeric_limits<std::int64_t>::max();

// Stays at the ends of what 64 bits hold, so that "for ever" is a duration like any other.
inline std::int64_t plus(std::int64_t time, std::int64_t duration) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(time, duration, &sum)) return duration < 0 ? kNoTime : kEnd;
  return sum;
}
inline std::int64_t minus(std::int64_t time, std::int64_t duration) {
  std::int64_t difference = 0;
  if (__builtin_sub_overflow(time, duration, &difference)) return duration < 0 ? kEnd : kNoTime;
  return difference;
}

// The numbers that a join keeps under one key of its state, such as its stream time.
template <std::size_t kCount>
class Numbers {
 public:
  Numbers(StateView& state, std::string_view key, const std::array<std::int64_t, kCount>& initial)
      : state_(state), key_(key), now_(initial) {
    if (auto stored = state.get(key); stored && stored->size() == 8 * kCount) {
      for (auto& number : now_) number = take_number(*stored);
    }
    stored_ = now_;
  }
  std::int64_t& operator[](std::size_t index) { return now_[index]; }
  std::array<std::int64_t, kCount>& now() { return now_; }
  void save() {
    if (now_ == stored_) return;
    std::string bytes;
    for (const auto number : now_) put_number(bytes, number);
    state_.put(key_, bytes);
    stored_ = now_;
  }

 private:
  StateView& state_;
  std::string_view key_;
  std::array<std::int64_t, kCount> now_;
  std::array<std::int64_t, kCount> stored_;
};

}  // namespace mephisto::detail
