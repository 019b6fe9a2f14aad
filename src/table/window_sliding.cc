// Sliding windows. The values of the records are kept for as long as a window could begin that holds them: a new window
// is made from exactly the records in it, in the order of their arrival.
#include <algorithm>
#include <map>

#include "table/window_run.h"

namespace mephisto::detail {
namespace {

// Windows that begin before 0 hold no times from 0 on, as in regular windows.
bool holds(const WindowBounds& window, std::int64_t time) {
  return window.start <= time && time <= window.end && (window.start >= 0 || time < 0);
}

}  // namespace

void WindowRun::add_to_sliding_windows(const WindowRecord& record) {
  if (!record.value) {
    ++progress_.skipped;
    return;
  }
  move_time(record.time);
  const auto time = record.time;
  const auto size = spec_.size();
  WindowBounds own{add_times(time, -size), time};
  if (time >= 0 && own.start < 0) own = {0, size};
  const auto right = sliding_from(add_times(time, 1));
  if (add_times(right.end, spec_.grace()) <= progress_.stream_time) return late(record, own);

  state_.put(value_key(record.key, time, progress_.arrivals++), *record.value);
  set_timer(add_times(add_times(right.end, spec_.grace()), 1), record.key, time, Timer::kForgetValues);
  const auto near = arrivals(record.key, add_times(own.start, -1), right.end);

  std::map<std::int64_t, StoredWindow> windows;
  std::vector<WindowBounds> finals;
  for (auto& window : sliding_windows(record.key, own.start, time)) {
    if (!is_open(window.bounds)) continue;
    if (window.is_final) {
      finals.push_back(window.bounds);
    } else {
      add(window, record);
      windows.emplace(window.bounds.start, std::move(window));
    }
  }
  const auto begin = [&](WindowBounds bounds) {
    if (!is_open(bounds) || windows.contains(bounds.start) || std::ranges::find(finals, bounds) != finals.end()) return;
    windows.emplace(bounds.start, fold(record.key, bounds, near));
    set_sliding_timer(record.key, bounds);
  };
  begin(own);
  std::optional<std::int64_t> before;
  bool followed = false;
  for (const auto& arrival : near) {
    if (arrival.time < time) before = std::max(before.value_or(arrival.time), arrival.time);
    followed = followed || holds(right, arrival.time);
  }
  if (before && holds(sliding_from(*before + 1), time)) begin(sliding_from(*before + 1));
  if (followed && !state_.get(window_key(record.key, right.start))) begin(right);

  for (const auto& bounds : finals) late(record, bounds);
  for (auto& [start, window] : windows) changed(record.key, start, window);
}

WindowBounds WindowRun::sliding_from(std::int64_t start) const { return {start, add_times(start, spec_.size())}; }

bool WindowRun::is_open(const WindowBounds& sliding) const {
  return add_times(sliding.end, spec_.grace()) >= progress_.stream_time;
}

void WindowRun::set_sliding_timer(std::string_view key, const WindowBounds& window) {
  const auto closes = add_times(window.end, spec_.grace());
  if (spec_.emit() == Emit::kOnClose) return set_timer(closes, key, window.start, Timer::kClose);
  set_timer(add_times(closes, 1), key, window.start, Timer::kForget);
}

std::vector<StoredWindow> WindowRun::sliding_windows(std::string_view key, std::int64_t from, std::int64_t to) {
  std::vector<StoredWindow> found;
  state_.scan(window_key(key, from), window_key(key, add_times(to, 1)), [&](std::string_view, std::string_view bytes) {
    found.push_back(StoredWindow::decode(bytes));
    return true;
  });
  return found;
}

std::vector<WindowRun::Arrival> WindowRun::arrivals(std::string_view key, std::int64_t from, std::int64_t to) {
  std::vector<Arrival> found;
  state_.scan(value_key(key, from, INT64_MIN), value_key(key, add_times(to, 1), INT64_MIN),
              [&](std::string_view bytes, std::string_view value) {
                bytes.remove_prefix(bytes.size() - 16);
                found.push_back({read_number(bytes), read_number(bytes.substr(8)), std::string{value}});
                return true;
              });
  std::ranges::sort(found, {}, &Arrival::number);
  return found;
}

StoredWindow WindowRun::fold(std::string_view key, WindowBounds bounds, const std::vector<Arrival>& arrivals) {
  StoredWindow window{.bounds = bounds, .time = INT64_MIN, .aggregate = aggregator_.init()};
  for (const auto& arrival : arrivals)
    if (holds(bounds, arrival.time)) add(window, {key, arrival.value, arrival.time});
  return window;
}

void WindowRun::forget_values(std::string_view key, std::int64_t time) {
  std::vector<std::string> keys;
  state_.scan(value_key(key, time, INT64_MIN), value_key(key, time, INT64_MAX),
              [&](std::string_view bytes, std::string_view) {
                keys.emplace_back(bytes);
                return true;
              });
  for (const auto& bytes : keys) state_.erase(bytes);
}

}  // namespace mephisto::detail
