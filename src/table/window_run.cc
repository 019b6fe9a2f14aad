#include "table/window_run.h"

#include <algorithm>
#include <utility>

#include "mephisto/base/assert.h"

namespace mephisto::detail {
namespace {

// The first byte of a stored window.
constexpr char kFinal = 1;
constexpr char kDue = 2;
constexpr char kSent = 4;

// For what is only needed until the state has it: the path of a record makes no allocation for it.
thread_local std::string key_scratch;
thread_local StoredWindow window_scratch;

}  // namespace

WindowBounds StoredWindow::shown(const WindowSpec& spec) const {
  if (spec.kind() != WindowSpec::Kind::kCount) return bounds;
  return {bounds.start, bounds.start + spec.size()};
}

void StoredWindow::encode(std::string& out) const {
  out = static_cast<char>((is_final ? kFinal : 0) | (due ? kDue : 0) | (sent.empty() ? 0 : kSent));
  put_numbers(out, {bounds.start, bounds.end, time});  // time_of reads the last one
  if (due) put_number(out, *due);
  if (!sent.empty()) put_number(out, static_cast<std::int64_t>(sent.size()));
  for (const auto& window : sent) {
    put_number(out, window.start);
    put_number(out, window.end);
  }
  out += aggregate;
}

StoredWindow StoredWindow::decode(std::string_view bytes) {
  StoredWindow window;
  window.read(bytes);
  return window;
}

void StoredWindow::read(std::string_view bytes) {
  MEPHISTO_ASSERT(!bytes.empty(), "a stored window is not empty");
  const char flags = bytes[0];
  bytes.remove_prefix(1);
  is_final = (flags & kFinal) != 0;
  bounds.start = take_number(bytes);
  bounds.end = take_number(bytes);
  time = take_number(bytes);
  due = (flags & kDue) != 0 ? std::optional{take_number(bytes)} : std::nullopt;
  sent.resize((flags & kSent) != 0 ? static_cast<std::size_t>(take_number(bytes)) : 0);
  for (auto& window : sent) {
    window.start = take_number(bytes);
    window.end = take_number(bytes);
  }
  aggregate = bytes;
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
  auto& bytes = state_.edit(kProgressKey);
  bytes.clear();
  put_numbers(bytes, {progress_.stream_time, progress_.next_timer, progress_.next_due, progress_.late,
                      progress_.skipped, progress_.arrivals});
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

std::string& WindowRun::edit(std::string_view key, std::int64_t id) {
  write_window_key(key_scratch, key, id);
  return state_.edit(key_scratch);
}

void WindowRun::store(std::string_view key, std::int64_t id, const StoredWindow& window) {
  window.encode(edit(key, id));
}

void WindowRun::set_timer(std::int64_t when, std::string_view key, std::int64_t id, Timer timer) {
  state_.put(timed_key('t', when, key, id, static_cast<char>(timer)), {});
  progress_.next_timer = std::min(progress_.next_timer, when);
}

void WindowRun::set_first_timer(std::int64_t when, std::string_view key, std::int64_t id, Timer timer) {
  state_.put_absent(timed_key('t', when, key, id, static_cast<char>(timer)), {});
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

void WindowRun::changed(std::string_view key, std::int64_t id, StoredWindow& window, std::string& entry) {
  if (spec_.emit() == Emit::kOnUpdate) {
    send(key, window);
  } else if (spec_.emit() == Emit::kEvery && !window.due) {
    set_due(key, id, window, progress_.stream_time + spec_.every());
  }
  window.encode(entry);
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
  // Two pointers at most: a std::function has room for them.
  struct Adding {
    const WindowRecord& record;
    bool any = false;
  } adding{record};
  spec_.visit_windows(record.time, [this, &adding](const WindowBounds& bounds) {
    adding.any = true;
    add_to_time_window(adding.record, bounds);
  });
  if (adding.any) return;
  ++progress_.skipped;
  if (sink_.late) sink_.late(record, {record.time, record.time});
}

void WindowRun::add_to_time_window(const WindowRecord& record, const WindowBounds& bounds) {
  const auto closes = bounds.end + spec_.grace();
  if (closes <= progress_.stream_time) return late(record, bounds);
  auto& entry = edit(record.key, bounds.start);
  auto window = std::exchange(window_scratch, {});
  const bool is_new = entry.empty();
  guarded(record.key, bounds.start, is_new, [&] {
    if (is_new) {
      window = {.bounds = bounds, .time = record.time, .aggregate = aggregator_.init()};
    } else {
      window.read(entry);
    }
    add(window, record);
  });
  if (is_new) set_first_timer(closes, record.key, bounds.start, Timer::kClose);
  changed(record.key, bounds.start, window, entry);
  window_scratch = std::move(window);
}

// The stored bounds are the numbers of the window's records so far.
void WindowRun::add_to_count_window(const WindowRecord& record) {
  move_time(record.time);
  auto& entry = edit(record.key, 0);
  StoredWindow window;
  guarded(record.key, 0, entry.empty(), [&] {
    if (!entry.empty()) window.read(entry);
    if (window.bounds.start == window.bounds.end) {
      window.time = record.time;
      window.aggregate = aggregator_.init();
    }
    add(window, record);
  });
  ++window.bounds.end;
  changed(record.key, 0, window, entry);
  if (window.bounds.end < window.bounds.start + spec_.size()) return;
  if (spec_.emit() != Emit::kOnUpdate) send(record.key, window);
  remove_due(record.key, 0, window);
  StoredWindow{.bounds = {window.bounds.end, window.bounds.end}}.encode(entry);
}

}  // namespace mephisto::detail
