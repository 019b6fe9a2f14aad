// What happens when stream time reaches a time. It is found by the entries `t` and `u` of the state, which are in the
// order of time, key and window.
#include <algorithm>
#include <utility>

#include "mephisto/base/assert.h"
#include "table/window_run.h"

namespace mephisto::detail {
namespace {

// So many entries are taken at once: a jump of time may close any number of windows.
constexpr std::size_t kTaken = 256;

}  // namespace

std::vector<TimedEntry> WindowRun::take(char kind, std::int64_t until, std::int64_t& next) {
  std::vector<TimedEntry> taken;
  std::vector<std::string> keys;
  const auto from = from_time({kind}, std::exchange(next, INT64_MAX));
  const std::string to(1, static_cast<char>(kind + 1));
  state_.scan(from, to, [&](std::string_view bytes, std::string_view) {
    auto entry = read_timed_key(bytes);
    if (entry.time > until || taken.size() == kTaken) {
      next = entry.time;
      return false;
    }
    keys.emplace_back(bytes);
    taken.push_back(std::move(entry));
    return true;
  });
  for (const auto& key : keys) state_.erase_shown(key, {});
  return taken;
}

// Guarantee kept here: a window's final result comes once, because its entry of time is taken with it.
void WindowRun::advance(std::int64_t until) {
  send_due(until);
  while (progress_.next_timer <= until) {
    for (const auto& entry : take('t', until, progress_.next_timer)) {
      move_time(entry.time);
      run(entry);
    }
  }
}

void WindowRun::flush() { send_due(INT64_MAX); }

void WindowRun::send_due(std::int64_t until) {
  while (progress_.next_due <= until && progress_.next_due != INT64_MAX) {
    for (const auto& entry : take('u', until, progress_.next_due)) {
      auto window = load(entry.key, entry.id);
      MEPHISTO_ASSERT(window && window->due == entry.time, "a result that waits belongs to a window");
      window->due.reset();
      send(entry.key, *window);
      store(entry.key, entry.id, *window);
    }
  }
}

void WindowRun::run(const TimedEntry& entry) {
  switch (Timer{entry.action}) {
    case Timer::kClose: return close(entry);
    case Timer::kForget: return forget(entry);
    case Timer::kForgetValues: return forget_values(entry.key, entry.id);
    case Timer::kSend: break;
  }
}

// After it closed, a window of regular or calendar time is late for every record, and is not needed. Of a sliding
// window or session it is remembered that it is final, for as long as a record could fall into it.
void WindowRun::close(const TimedEntry& entry) {
  const bool only_erased = spec_.kind() == WindowSpec::Kind::kTime && spec_.emit() == Emit::kOnUpdate;
  if (only_erased) return state_.erase(window_key(entry.key, entry.id));
  auto window = load(entry.key, entry.id);
  MEPHISTO_ASSERT(window, "a window is kept until it closes");
  if (spec_.emit() == Emit::kOnClose || window->due) send(entry.key, *window);
  remove_due(entry.key, entry.id, *window);
  const auto needed = spec_.kind() == WindowSpec::Kind::kSliding ? sliding_forgotten(window->bounds) : entry.time + 1;
  if (spec_.kind() == WindowSpec::Kind::kTime || needed <= progress_.stream_time)
    return state_.erase(window_key(entry.key, entry.id));
  window->is_final = true;
  window->aggregate.clear();
  store(entry.key, entry.id, *window);
  set_timer(needed, entry.key, entry.id, Timer::kForget);
}

void WindowRun::forget(const TimedEntry& entry) {
  auto window = load(entry.key, entry.id);
  if (!window) return;  // a session that was kept for longer, and became part of another one
  if (spec_.kind() == WindowSpec::Kind::kSession && !window->is_final) {
    if (const auto later = session_needed_until(entry.key, window->bounds); later > progress_.stream_time)
      return set_timer(later, entry.key, entry.id, Timer::kForget);
  }
  if (window->due) send(entry.key, *window);
  remove_due(entry.key, entry.id, *window);
  state_.erase(window_key(entry.key, entry.id));
}

}  // namespace mephisto::detail
