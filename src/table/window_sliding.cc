// Sliding windows. The values of the records are kept for as long as a window could begin that holds them: a new window
// is made from exactly the records in it, in the order of their arrival.
#include <algorithm>
#include <map>
#include <set>

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
  WindowBounds own{time - size, time};
  if (time >= 0 && own.start < 0) own = {0, size};
  const auto right = sliding_from(time + 1);
  if (right.end + spec_.grace() <= progress_.stream_time) return late(record, own);

  auto near = arrivals(record.key, own.start - 1, right.end);
  near.push_back({time, progress_.arrivals, progress_.stream_time, std::string{*record.value}});

  std::map<std::int64_t, StoredWindow> windows;
  std::set<WindowBounds> closed;
  for (auto& window : sliding_windows(record.key, own.start, time)) {
    if (window.is_final || !is_open(window.bounds)) {
      closed.insert(window.bounds);
    } else {
      add(window, record);
      windows.emplace(window.bounds.start, std::move(window));
    }
  }
  const auto begin = [&](WindowBounds bounds) {
    if (windows.contains(bounds.start) || closed.contains(bounds)) return;
    if (!is_open(bounds)) {
      closed.insert(bounds);
    } else {
      windows.emplace(bounds.start, fold(record.key, bounds, near));
      set_sliding_timer(record.key, bounds);
    }
  };
  begin(own);
  std::optional<std::int64_t> before;
  bool followed = false;
  for (const auto& arrival : near) {
    if (arrival.time < time) before = std::max(before.value_or(arrival.time), arrival.time);
    followed = followed || holds(right, arrival.time);
  }
  if (before && holds(sliding_from(*before + 1), time)) begin(sliding_from(*before + 1));
  if (!windows.empty()) keep_value(record);
  if (followed && !state_.get(window_key(record.key, right.start))) begin(right);

  for (const auto& bounds : closed) late(record, bounds);
  for (auto& [start, window] : windows) changed(record.key, start, window);
}

// Kept until no window can begin that holds the record, or that follows it.
void WindowRun::keep_value(const WindowRecord& record) {
  std::string bytes;
  append_number(bytes, progress_.stream_time);
  state_.put(value_key(record.key, record.time, progress_.arrivals++), bytes.append(*record.value));
  const auto needed = record.time + 1 + spec_.size() + spec_.grace();
  set_timer(needed + 1, record.key, record.time, Timer::kForgetValues);
}

WindowBounds WindowRun::sliding_from(std::int64_t start) const { return {start, start + spec_.size()}; }

bool WindowRun::is_open(const WindowBounds& sliding) const {
  return sliding.end + spec_.grace() >= progress_.stream_time;
}

// A record that is not late for all its windows could still be late for this one until then.
std::int64_t WindowRun::sliding_forgotten(const WindowBounds& window) const {
  return window.end + spec_.grace() + spec_.size() + 1;
}

void WindowRun::set_sliding_timer(std::string_view key, const WindowBounds& window) {
  const auto last_open = window.end + spec_.grace();
  switch (spec_.emit()) {
    case Emit::kOnClose: return set_timer(last_open, key, window.start, Timer::kClose);
    case Emit::kEvery: return set_timer(last_open + 1, key, window.start, Timer::kClose);
    case Emit::kOnUpdate: return set_timer(sliding_forgotten(window), key, window.start, Timer::kForget);
  }
}

std::vector<StoredWindow> WindowRun::sliding_windows(std::string_view key, std::int64_t from, std::int64_t to) {
  std::vector<StoredWindow> found;
  state_.scan(window_key(key, from), window_key(key, to + 1), [&](std::string_view, std::string_view bytes) {
    found.push_back(StoredWindow::decode(bytes));
    return true;
  });
  return found;
}

std::vector<WindowRun::Arrival> WindowRun::arrivals(std::string_view key, std::int64_t from, std::int64_t to) {
  std::vector<Arrival> found;
  state_.scan(value_key(key, from, INT64_MIN), value_key(key, to + 1, INT64_MIN),
              [&](std::string_view bytes, std::string_view value) {
                bytes.remove_prefix(bytes.size() - 16);
                found.push_back({.time = read_number(bytes),
                                 .number = read_number(bytes.substr(8)),
                                 .stream_time = read_number(value),
                                 .value = std::string{value.substr(8)}});
                return true;
              });
  std::ranges::sort(found, {}, &Arrival::number);
  return found;
}

// A window that begins at the last moment before its final result does not take what came after that of others.
StoredWindow WindowRun::fold(std::string_view key, WindowBounds bounds, const std::vector<Arrival>& arrivals) {
  StoredWindow window{.bounds = bounds, .time = INT64_MIN, .aggregate = aggregator_.init()};
  const auto closes = bounds.end + spec_.grace();
  for (const auto& arrival : arrivals) {
    const bool after = spec_.emit() == Emit::kOnClose && arrival.stream_time >= closes;
    if (holds(bounds, arrival.time) && (!after || &arrival == &arrivals.back()))
      add(window, {key, arrival.value, arrival.time});
  }
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
