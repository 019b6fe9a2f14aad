// The windows of Faust's tables, and their keys in its changelogs. All functions are pure.
//
// A table's window has several values of a key at the same time. Which of them is read:
//
//   now()       earliest(the latest time of the partition; outside of an event the clock)
//   current()   current(the event's time)
//   value()     current(the time that relative_to_now, relative_to_stream or relative_to_field gives)
//   delta(d)    delta(the event's time, d)
//
// A write changes all of ranges(time). Unlike Faust's, sizes and steps below a second work. In a changelog Faust calls
// a window's end 0.1 s less than it is; here a window is [start, end) with its real end.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/codec/json_write.h"
#include "mephisto/error.h"
#include "mephisto/table/window.h"

namespace mephisto {

class FaustWindows {
 public:
  using milliseconds = std::chrono::milliseconds;

  // `expires` zero: never. Throws Failure (kInvalid) if the step is larger than the size, or one is not positive.
  static FaustWindows tumbling(milliseconds size, milliseconds expires = milliseconds{0});
  static FaustWindows hopping(milliseconds size, milliseconds step, milliseconds expires = milliseconds{0});

  // Times are milliseconds since 1970. By rising start; as in Faust also windows that start before 0.
  std::vector<WindowBounds> ranges(std::int64_t time) const;
  WindowBounds earliest(std::int64_t time) const;  // the oldest of them
  WindowBounds current(std::int64_t time) const;   // the newest of them
  WindowBounds delta(std::int64_t time, milliseconds d) const { return current(time - d.count()); }
  // Zero: never.
  std::int64_t expires() const { return expires_; }
  // Whether a window expired, if it is `now`.
  bool stale(const WindowBounds& window, std::int64_t now) const;

 private:
  FaustWindows(std::int64_t size, std::int64_t step, std::int64_t expires)
      : size_(size), step_(step), expires_(expires) {}
  WindowBounds from(std::int64_t start) const { return {start, start + size_}; }

  std::int64_t size_;
  std::int64_t step_;
  std::int64_t expires_;
};

// The key of a windowed table's changelog: `["k",[1600000000.0,1600000009.9]]`. `key` is the key's JSON.
struct FaustWindowKey {
  std::string key;
  WindowBounds window;
  bool operator==(const FaustWindowKey&) const = default;
};
std::string write_faust_window_key(const FaustWindowKey& key, Dialect dialect = Dialect::kOrjson);
// Reads keys of all of Faust's JSON libraries. kDecode if it is none.
Result<FaustWindowKey> read_faust_window_key(std::string_view bytes);

// With key_index, the name of the table that has each key of a windowed table, with the value 1.
inline std::string faust_key_index(std::string_view table) { return std::string{table} + "-key_index"; }

}  // namespace mephisto
