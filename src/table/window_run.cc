#include "table/window_run.h"

#include <algorithm>

#include "mephisto/base/assert.h"

namespace mephisto::detail {
namespace {

// The first byte of a stored window.
constexpr char kFinal = 1;
constexpr char kDue = 2;
constexpr char kSent = 4;

// For a key or a value that is only needed until the state has it: the path of a record makes no allocation for them.
thread_local std::string key_scratch;
thread_local std::string value_scratch;

}  // namespace

WindowBounds StoredWindow::shown(const WindowSpec& spec) const {
  if (spec.kind() != WindowSpec::Kind::kCount) return bounds;
  return {bounds.start, bounds.start + spec.size()};
}

void StoredWindow::encode(std::string& out) const {
  out = static_cast<char>((is_final ? kFinal : 0) | (due ? kDue : 0) | (sent.empty() ? 0 : kSent));
  put_number(out, bounds.start);
  put_number(out, bounds.end);
  put_number(out, time);  // time_of reads it
  if (due) put_number(out, *due);
  if (!sent.empty()) put_number(out, static_cast<std::int64_t>(sent.size()));
  for (const auto& window : sent) {
    put_number(out, window.start);
    put_number(out, window.end);
  }
  out += aggregate;
}

StoredWindow StoredWindow::decode(std::string_view bytes) {
  MEPHISTO_ASSERT(!bytes.empty(), "a stored window is not empty");
  const char flags = bytes[0];
  bytes.remove_prefix(1);
  const auto number = [&] {
    const auto value = read_number(bytes);
    bytes.remove_prefix(8);
    return value;
  };
  StoredWindow window;
  window.is_final = (flags & kFinal) != 0;
  window.bounds.start = number();
  window.bounds.end = number();
  window.time = number();
  if (flags & kDue) window.due = number();
  if (flags & kSent) window.sent.resize(static_cast<std::size_t>(number()));
  for (auto& sent : window.sent) {
    sent.start = number();
    sent.end = number();
  }
  window.aggregate = bytes;
  return window;
}

WindowRun::WindowRun(const WindowSpec& spec, const Aggregator& aggregator, StateView& state, const WindowSink& sink)
    : spec_(spec), aggregator_(aggregator), state_(state), sink_(sink) {
  if (const auto bytes = state_.get(kProgressKey)) {
    MEPHISTO_ASSERT(bytes->size() == 48, "the progress of an operator is six numbers");
    stored_ = {.stream_time = read_number(bytes->substr(0)),
               .next_timer = read_number(bytes->substr(8)),
               .next_due = read_number(bytes->substr(16)),
               .late = read_number(bytes->substr(24)),
               .skipped = read_number(bytes->substr(32)),
               .arrivals = read_number(bytes->substr(40))};
  }
  progress_ = stored_;
}

void WindowRun::finish() {
  if (progress_ == stored_) return;
  auto& bytes = value_scratch;
  bytes.clear();
  for (const auto number : {progress_.stream_time, progress_.next_timer, progress_.next_due, progress_.late,
                            progress_.skipped, progress_.arrivals})
    put_number(bytes, number);
  state_.put(kProgressKey, bytes);
}

Windows::Progress WindowRun::progress() const {
  Windows::Progress all{
      .late = progress_.late, .skipped = progress_.skipped, .next = std::min(progress_.next_timer, progress_.next_due)};
  if (has_time()) all.stream_time = progress_.stream_time;
  return all;
}

void WindowRun::move_time(std::int64_t time) { progress_.stream_time = std::max(progress_.stream_time, time); }

void WindowRun::late(const WindowRecord& record, WindowBounds window) {
  ++progress_.late;
  if (sink_.late) sink_.late(record, window);
}

std::optional<StoredWindow> WindowRun::load(std::string_view key, std::int64_t id) {
  write_window_key(key_scratch, key, id);
  const auto bytes = state_.get(key_scratch);
  if (!bytes) return std::nullopt;
  return StoredWindow::decode(*bytes);
}

void WindowRun::store(std::string_view key, std::int64_t id, const StoredWindow& window) {
  write_window_key(key_scratch, key, id);
  window.encode(value_scratch);
  state_.put(key_scratch, value_scratch);
}

void WindowRun::set_timer(std::int64_t when, std::string_view key, std::int64_t id, Timer timer) {
  state_.put(timed_key('t', when, key, id, static_cast<char>(timer)), {});
  progress_.next_timer = std::min(progress_.next_timer, when);
}

void WindowRun::remove_timer(std::int64_t when, std::string_view key, std::int64_t id, Timer timer) {
  state_.erase(timed_key('t', when, key, id, static_cast<char>(timer)));
}

void WindowRun::set_due(std::string_view key, std::int64_t id, StoredWindow& window, std::int64_t due) {
  window.due = due;
  state_.put(timed_key('u', due, key, id, static_cast<char>(Timer::kSend)), {});
  progress_.next_due = std::min(progress_.next_due, due);
}

void WindowRun::remove_due(std::string_view key, std::int64_t id, StoredWindow& window) {
  if (!window.due) return;
  state_.erase(timed_key('u', *window.due, key, id, static_cast<char>(Timer::kSend)));
  window.due.reset();
}

void WindowRun::add(StoredWindow& window, const WindowRecord& record) {
  aggregator_.add(window.aggregate, record);
  window.time = std::max(window.time, record.time);
}

void WindowRun::changed(std::string_view key, std::int64_t id, StoredWindow& window) {
  if (spec_.emit() == Emit::kOnUpdate) {
    send(key, window);
  } else if (spec_.emit() == Emit::kEvery && !window.due) {
    set_due(key, id, window, progress_.stream_time + spec_.every());
  }
  store(key, id, window);
}

// A session retracts the results that it replaces, also its own. Kafka Streams does not do that while all its records
// have the same time, and neither do we.
void WindowRun::send(std::string_view key, StoredWindow& window) {
  const auto bounds = window.shown(spec_);
  if (spec_.kind() == WindowSpec::Kind::kSession && spec_.emit() != Emit::kOnClose) {
    for (const auto& old : window.sent)
      if (bounds.start != bounds.end) sink_.result({key, old, std::nullopt, old.end});
    window.sent = {bounds};
  }
  sink_.result({key, bounds, window.aggregate, window.time});
}

void WindowRun::read(std::string_view key, const std::function<bool(WindowBounds, std::string_view value)>& visit) {
  const auto from = key_prefix('w', key);
  auto to = from;
  ++to.back();
  state_.scan(from, to, [&](std::string_view, std::string_view bytes) {
    const auto window = StoredWindow::decode(bytes);
    return !takes_records(window) || visit(window.shown(spec_), window.aggregate);
  });
}

void WindowRun::read_all(const std::function<bool(std::string_view key, WindowBounds, std::string_view value)>& visit) {
  state_.scan("w", "x", [&](std::string_view entry, std::string_view bytes) {
    const auto window = StoredWindow::decode(bytes);
    return !takes_records(window) || visit(*read_window_key(entry), window.shown(spec_), window.aggregate);
  });
}

// Windows that do not are kept for some time, because a record could still be late for them or change a session.
bool WindowRun::takes_records(const StoredWindow& window) const {
  switch (spec_.kind()) {
    case WindowSpec::Kind::kTime: return true;
    case WindowSpec::Kind::kSliding: return !window.is_final && is_open(window.bounds);
    case WindowSpec::Kind::kSession: return !window.is_final && session_end(window.bounds.end) >= progress_.stream_time;
    case WindowSpec::Kind::kCount: return window.bounds.start < window.bounds.end;
  }
  return false;
}

void WindowRun::add_to_time_windows(const WindowRecord& record) {
  move_time(record.time);
  bool any = false;
  spec_.visit_windows(record.time, [&](const WindowBounds& bounds) {
    any = true;
    add_to_time_window(record, bounds);
  });
  if (any) return;
  ++progress_.skipped;
  if (sink_.late) sink_.late(record, {record.time, record.time});
}

void WindowRun::add_to_time_window(const WindowRecord& record, const WindowBounds& bounds) {
  const auto closes = bounds.end + spec_.grace();
  if (closes <= progress_.stream_time) return late(record, bounds);
  auto window = load(record.key, bounds.start);
  if (!window) {
    window = StoredWindow{.bounds = bounds, .time = record.time, .aggregate = aggregator_.init()};
    set_timer(closes, record.key, bounds.start, Timer::kClose);
  }
  add(*window, record);
  changed(record.key, bounds.start, *window);
}

// The stored bounds are the numbers of the window's records so far.
void WindowRun::add_to_count_window(const WindowRecord& record) {
  move_time(record.time);
  auto window = load(record.key, 0);
  if (!window) window = StoredWindow{};
  if (window->bounds.start == window->bounds.end) {
    window->time = record.time;
    window->aggregate = aggregator_.init();
  }
  add(*window, record);
  ++window->bounds.end;
  changed(record.key, 0, *window);
  if (window->bounds.end < window->bounds.start + spec_.size()) return;
  if (spec_.emit() != Emit::kOnUpdate) send(record.key, *window);
  remove_due(record.key, 0, *window);
  store(record.key, 0, {.bounds = {window->bounds.end, window->bounds.end}});
}

}  // namespace mephisto::detail
