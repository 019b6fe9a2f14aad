// How joins write keys and numbers into their state: the order of the bytes is the order of what they mean. For the
// joins' own files only.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

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

inline void put_number(std::string& to, std::int64_t number) {
  const auto bits = static_cast<std::uint64_t>(number) ^ (std::uint64_t{1} << 63);
  for (int shift = 56; shift >= 0; shift -= 8) to += static_cast<char>(bits >> shift & 0xff);
}

inline std::int64_t take_number(std::string_view& from) {
  std::uint64_t bits = 0;
  for (const char byte : from.substr(0, 8)) bits = bits << 8 | static_cast<unsigned char>(byte);
  from.remove_prefix(8);
  return static_cast<std::int64_t>(bits ^ (std::uint64_t{1} << 63));
}

// A record's key within a key of the state. A zero byte is written as 00 FF and the end as 00 01, so that no key is the
// beginning of another.
inline void put_key(std::string& to, std::string_view key) {
  for (const char byte : key) {
    to += byte;
    if (byte == '\0') to += '\xff';
  }
  to.append("\0\1", 2);
}

inline std::string take_key(std::string_view& from) {
  std::string key;
  for (std::size_t at = 0;; ++at) {
    const char byte = from[at];
    if (byte == '\0' && from[++at] == '\1') {
      from.remove_prefix(at + 1);
      return key;
    }
    key += byte;
  }
}

// The end of the range of keys that begin with `prefix`. Prefixes here end with a byte below FF.
inline std::string after_prefix(std::string prefix) {
  prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
  return prefix;
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
