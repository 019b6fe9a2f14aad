// Sliding windows. The values of the records are kept for as long as a window could begin that holds them: a new window
// is made from exactly the records in it, in the order of their arrival.
#include <algorithm>
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

  // The order of the results is that of Kafka Streams: windows that are there by falling start, then what begins. For
  // times before `size`, rising start instead, and [0, size] comes last.
  const bool early = time >= 0 && time < size;
  auto near = windows_near(record.key, time);
  if (!early) std::ranges::reverse(near.holding);
  std::vector<StoredWindow> windows;
  std::set<WindowBounds> known;
  std::set<WindowBounds> closed;
  for (auto& window : near.holding) {
    known.insert(window.bounds);
    if (window.is_final || !is_open(window.bounds)) {
      closed.insert(window.bounds);
    } else {
      add(window, record);
      windows.push_back(std::move(window));
    }
  }
  auto values = arrivals(record.key, own.start, right.end);
  values.push_back({time, progress_.arrivals, progress_.stream_time, std::string{*record.value}});
  const auto begin = [&](WindowBounds bounds) {
    if (!known.insert(bounds).second) return false;
    if (!is_open(bounds)) {
      closed.insert(bounds);
    } else {
      windows.push_back(fold(record.key, bounds, values));
      set_sliding_timer(record.key, bounds);
    }
    return true;
  };
  const bool right_begins = near.followed && !near.has_right;
  if (right_begins && early) begin(right);
  if (near.before && holds(sliding_from(*near.before + 1), time)) {
    const auto after_before = sliding_from(*near.before + 1);
    // Kafka Streams counts this window once as each of the two. It is told once.
    if (begin(after_before) && after_before == own && closed.contains(own)) ++progress_.late;
  }
  begin(own);
  if (right_begins) begin(right);
  if (early)
    std::ranges::stable_partition(windows, [](const StoredWindow& window) { return window.bounds.start != 0; });
  if (std::ranges::any_of(windows, [&](const StoredWindow& window) { return holds(window.bounds, time); }))
    keep_value(record);

  for (const auto& bounds : closed) late(record, bounds);
  for (auto& window : windows) changed(record.key, window.bounds.start, window, edit(record.key, window.bounds.start));
}

// As in Kafka Streams, the records before and after are known from windows: from the newest one that ends before `time`
// or with it, and from the newest one that goes on after it. In [0, size] all records before `size` begin.
WindowRun::SlidingNear WindowRun::windows_near(std::string_view key, std::int64_t time) {
  SlidingNear near;
  auto from = time - 2 * spec_.size();
  if (time >= 0) from = std::max<std::int64_t>(from, 0);
  state_.scan(window_key(key, from), window_key(key, time + 2), [&](std::string_view id, std::string_view bytes) {
    const auto bounds = sliding_from(read_number(id.substr(id.size() - 8)));
    if (bounds.start == time + 1) {
      near.has_right = true;
      return true;
    }
    const auto latest = StoredWindow::time_of(bytes);
    const bool holding = holds(bounds, time);
    const bool ends = !holding || bounds.end == time || (bounds.start == 0 && time < spec_.size());
    if (ends && latest < time) near.before = latest;
    if (!holding) return true;
    if (bounds.end > time) near.followed = latest > time;
    near.holding.push_back(StoredWindow::decode(bytes));
    return true;
  });
  return near;
}

// Kept until no window can begin that holds the record.
void WindowRun::keep_value(const WindowRecord& record) {
  std::string bytes;
  put_number(bytes, progress_.stream_time);
  state_.put(value_key(record.key, record.time, progress_.arrivals++), bytes.append(*record.value));
  const auto needed = record.time + spec_.size() + spec_.grace();
  set_timer(needed + 1, record.key, record.time, Timer::kForgetValues);
}

WindowBounds WindowRun::sliding_from(std::int64_t start) const { return {start, start + spec_.size()}; }

bool WindowRun::is_open(const WindowBounds& sliding) const {
  return sliding.end + spec_.grace() >= progress_.stream_time;
}

// Until then the window could tell of the record before another one, for whose right window that one is late. It comes
// up to size + 1 later than the window's end, and up to size + grace after its time.
std::int64_t WindowRun::sliding_forgotten(const WindowBounds& window) const {
  return window.end + spec_.grace() + 2 * spec_.size() + 2;
}

void WindowRun::set_sliding_timer(std::string_view key, const WindowBounds& window) {
  const auto last_open = window.end + spec_.grace();
  switch (spec_.emit()) {
    case Emit::kOnClose: return set_timer(last_open, key, window.start, Timer::kClose);
    case Emit::kEvery: return set_timer(last_open + 1, key, window.start, Timer::kClose);
    case Emit::kOnUpdate: return set_timer(sliding_forgotten(window), key, window.start, Timer::kForget);
  }
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
