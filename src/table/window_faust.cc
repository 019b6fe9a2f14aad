#include "mephisto/table/window_faust.h"

#include <fmt/format.h>

#include <cmath>
#include <tuple>

#include "mephisto/codec/json_read.h"
#include "mephisto/table/faust_table.h"

namespace mephisto {
namespace {

constexpr double kHidden = 0.1;  // seconds by which Faust's ends are too early

using WireKey = std::tuple<Json, std::tuple<double, double>>;

std::int64_t floor_to(std::int64_t time, std::int64_t step) { return time - ((time % step) + step) % step; }

std::int64_t to_ms(double seconds) { return std::llround(seconds * 1000); }

}  // namespace

WindowBounds detail::window_of(std::string_view stored) {
  constexpr auto bytes = 2 * sizeof(std::int64_t);
  if (stored.size() < bytes) throw Failure(ErrorKind::kCorrupt, "a stored key of a windowed table has no window");
  stored.remove_prefix(stored.size() - bytes);
  const auto start = take_number(stored);
  return {start, take_number(stored)};
}

FaustWindows FaustWindows::tumbling(milliseconds size, milliseconds expires) { return hopping(size, size, expires); }

FaustWindows FaustWindows::hopping(milliseconds size, milliseconds step, milliseconds expires) {
  if (step.count() < 1 || size < step || expires.count() < 0)
    throw Failure(
        ErrorKind::kInvalid,
        fmt::format("window: size {} ms, step {} ms, expires {} ms: the step must be at least 1 ms and at most "
                    "the size, and expires not negative",
                    size.count(), step.count(), expires.count()));
  return {size.count(), step.count(), expires.count()};
}

std::vector<WindowBounds> FaustWindows::ranges(std::int64_t time) const {
  std::vector<WindowBounds> windows;
  for (auto start = earliest(time).start; start <= time; start += step_) windows.push_back(from(start));
  return windows;
}

// If the size is no multiple of the step, Faust's windows do not begin at multiples of the step, and the oldest does
// not depend on where the time is between two steps.
WindowBounds FaustWindows::earliest(std::int64_t time) const { return from(floor_to(time, step_) - size_ + step_); }

WindowBounds FaustWindows::current(std::int64_t time) const {
  const auto oldest = earliest(time).start;
  return from(oldest + (time - oldest) / step_ * step_);
}

bool FaustWindows::stale(const WindowBounds& window, std::int64_t now) const {
  return expires_ > 0 && window.end <= current(now - expires_).start;
}

// The sum in the order of Faust's, so that the digits are the same.
std::string write_faust_window_key(const FaustWindowKey& key, Dialect dialect) {
  const auto start = static_cast<double>(key.window.start) / 1000;
  const auto size = static_cast<double>(key.window.end - key.window.start) / 1000;
  return to_json(WireKey{Json{key.key}, {start, start + size - kHidden}}, dialect);
}

Result<FaustWindowKey> read_faust_window_key(std::string_view bytes) {
  auto read = from_json<WireKey>(bytes);
  if (!read)
    return fail(ErrorKind::kDecode, "not a key of a windowed table, [key,[start,end]]: " + read.error().message);
  auto& [key, range] = *read;
  for (const auto seconds : {std::get<0>(range), std::get<1>(range)})
    if (!(std::abs(seconds) < 1e14)) return fail(ErrorKind::kDecode, "a window of millions of years from now");
  return FaustWindowKey{std::move(key.text), {to_ms(std::get<0>(range)), to_ms(std::get<1>(range) + kHidden)}};
}

}  // namespace mephisto
