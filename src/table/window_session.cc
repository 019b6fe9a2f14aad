// Sessions. Two of a key are more than the gap apart, so that they are ordered by their ends, and a record touches at
// most the one before it and the one after it.
#include <algorithm>

#include "table/window_run.h"

namespace mephisto::detail {

void WindowRun::add_to_session(const WindowRecord& record) {
  move_time(record.time);
  const auto time = record.time;
  const auto touched = sessions_near(record.key, time);
  WindowBounds all{time, time};
  for (const auto& session : touched)
    all = {std::min(all.start, session.bounds.start), std::max(all.end, session.bounds.end)};
  if (session_end(all.end) < progress_.stream_time) return late(record, all);
  // A session that was sent takes no more records. A record after its end begins the next one.
  for (const auto& session : touched)
    if (session.is_final && time <= session.bounds.end) return late(record, session.bounds);

  StoredWindow merged{.bounds = {time, time}, .time = all.end, .aggregate = aggregator_.init()};
  const auto timer = spec_.emit() == Emit::kOnClose ? Timer::kClose : Timer::kForget;
  bool has_timer = false;
  for (auto session : touched) {
    if (session.is_final) continue;
    const auto id = session.bounds.end;
    merged.bounds = {std::min(merged.bounds.start, session.bounds.start), std::max(merged.bounds.end, id)};
    aggregator_.merge(merged.aggregate, session.aggregate);
    merged.sent.insert(merged.sent.end(), session.sent.begin(), session.sent.end());
    if (session.due) {
      merged.due = std::min(merged.due.value_or(*session.due), *session.due);
      remove_due(record.key, id, session);
    }
    has_timer = id == all.end;
    if (!has_timer) {
      state_.erase(window_key(record.key, id));
      remove_timer(session_timer(id), record.key, id, timer);
    }
  }
  aggregator_.add(merged.aggregate, record);
  const auto id = merged.bounds.end;
  if (!has_timer) set_timer(session_timer(id), record.key, id, timer);
  if (merged.due) set_due(record.key, id, merged, *merged.due);
  changed(record.key, id, merged, edit(record.key, id));
}

// Until this time, inclusive, a record is not late for a session that ends at `end`.
std::int64_t WindowRun::session_end(std::int64_t end) const { return end + spec_.size() + spec_.grace(); }

// Results on close are sent when the session ends. Otherwise its result would have to be retracted if a record touched
// it. A record that is not late comes up to gap + grace after its time, and it may be a gap after this session, or it
// joins this session to another one that began up to two gaps after it.
std::int64_t WindowRun::session_timer(std::int64_t end) const {
  if (spec_.emit() == Emit::kOnClose) return session_end(end);
  return session_end(end) + 2 * spec_.size() + 1;
}

// A record between this session and the next one would join both. It is not late while the next one takes records, or
// can still be extended.
std::int64_t WindowRun::session_needed_until(std::string_view key, const WindowBounds& session) {
  auto needed = session_timer(session.end);
  auto to = key_prefix('w', key);
  ++to.back();
  state_.scan(window_key(key, session.end + 1), to, [&](std::string_view, std::string_view bytes) {
    const auto next = StoredWindow::decode(bytes).bounds;
    if (next.start <= session.end + 2 * spec_.size())
      needed = std::max(needed, session_end(next.end) + spec_.size() + 1);
    return false;
  });
  return needed;
}

std::vector<StoredWindow> WindowRun::sessions_near(std::string_view key, std::int64_t time) {
  std::vector<StoredWindow> found;
  auto to = key_prefix('w', key);
  ++to.back();
  state_.scan(window_key(key, time - spec_.size()), to, [&](std::string_view, std::string_view bytes) {
    auto session = StoredWindow::decode(bytes);
    if (session.bounds.start > time + spec_.size()) return false;
    found.push_back(std::move(session));
    return true;
  });
  return found;
}

}  // namespace mephisto::detail
