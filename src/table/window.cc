#include "mephisto/table/window.h"

#include <fmt/format.h>

#include <algorithm>

#include "table/window_run.h"

namespace mephisto {
namespace {

// A thousand years. So no sum of a time and a few spans overflows.
constexpr std::int64_t kLongest = std::int64_t{1000} * 366 * 86'400'000;
constexpr std::int64_t kLatest = INT64_MAX / 2;

void check_span(std::string_view what, std::int64_t span, std::int64_t least) {
  if (span < least || span > kLongest)
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("window: {} is {} ms, but must be from {} ms to 1000 years", what, span, least));
}

// The windows [start, start + size) that begin at multiples of `advance`. As in Kafka Streams none of those that begin
// before 0 holds a time from 0 on.
WindowsOfTime regular(std::int64_t size, std::int64_t advance) {
  return [size, advance](std::int64_t time, const VisitWindow& visit) {
    const auto rest = ((time % advance) + advance) % advance;
    const auto newest = time - rest;
    const auto before = (size - rest - 1) / advance;  // windows that began earlier and hold `time`
    for (auto start = newest - before * advance; start <= newest; start += advance)
      if (start >= 0 || time < 0) visit({start, start + size});
  };
}

}  // namespace

WindowSpec::WindowSpec(Kind kind, std::int64_t size, const WindowOptions& options)
    : kind_(kind), size_(size), grace_(options.grace.count()), emit_(options.emit), every_(options.every.count()) {
  check_span("grace", grace_, 0);
  if (emit_ == Emit::kEvery) {
    check_span("every", every_, 1);
  } else if (every_ != 0) {
    throw Failure(ErrorKind::kInvalid, "window: `every` is only for Emit::kEvery; set emit, or leave `every` out");
  }
}

WindowSpec WindowSpec::tumbling(milliseconds size, WindowOptions options) { return hopping(size, size, options); }

WindowSpec WindowSpec::hopping(milliseconds size, milliseconds advance, WindowOptions options) {
  check_span("size", size.count(), 1);
  check_span("advance", advance.count(), 1);
  if (advance > size)
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("window: the advance of {} ms is larger than the size of {} ms, so that records between "
                              "two windows would be lost; make it at most the size",
                              advance.count(), size.count()));
  WindowSpec spec{Kind::kTime, size.count(), options};
  spec.windows_of_ = regular(size.count(), advance.count());
  return spec;
}

WindowSpec WindowSpec::sliding(milliseconds difference, WindowOptions options) {
  check_span("difference", difference.count(), 0);
  return {Kind::kSliding, difference.count(), options};
}

WindowSpec WindowSpec::session(milliseconds gap, WindowOptions options) {
  check_span("gap", gap.count(), 0);
  return {Kind::kSession, gap.count(), options};
}

WindowSpec WindowSpec::count(std::int64_t size, WindowOptions options) {
  if (size < 1)
    throw Failure(ErrorKind::kInvalid, fmt::format("window: a count window of {} records; it has at least 1", size));
  if (options.grace.count() != 0)
    throw Failure(ErrorKind::kInvalid, "window: a count window has no grace, because no record is late for it");
  return {Kind::kCount, size, options};
}

WindowSpec WindowSpec::of_times(WindowsOfTime windows, WindowOptions options) {
  WindowSpec spec{Kind::kTime, 0, options};
  spec.windows_of_ = std::move(windows);
  return spec;
}

Windows::Windows(WindowSpec spec, Aggregator aggregator) : spec_(std::move(spec)), aggregator_(std::move(aggregator)) {
  if (!aggregator_.init || !aggregator_.add || (spec_.kind() == WindowSpec::Kind::kSession && !aggregator_.merge))
    throw Failure(ErrorKind::kInvalid, "window: the aggregator has no init or add, or for sessions no merge");
}

void Windows::add(detail::StateView& state, const WindowRecord& record, const WindowSink& sink) const {
  if (record.time > kLatest || record.time < -kLatest)
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("window: the record's time is {} ms since 1970, which is millions of years away; correct "
                              "the timestamp where the record is sent",
                              record.time));
  detail::WindowRun run{spec_, aggregator_, state, sink};
  switch (spec_.kind()) {
    case WindowSpec::Kind::kTime: run.add_to_time_windows(record); break;
    case WindowSpec::Kind::kSliding: run.add_to_sliding_windows(record); break;
    case WindowSpec::Kind::kSession: run.add_to_session(record); break;
    case WindowSpec::Kind::kCount: run.add_to_count_window(record); break;
  }
  if (run.has_time()) run.advance(run.stream_time());
  run.finish();
}

void Windows::close_idle(detail::StateView& state, std::int64_t now, const WindowSink& sink) const {
  detail::WindowRun run{spec_, aggregator_, state, sink};
  run.advance(std::min(now, kLatest));
  run.finish();
}

void Windows::flush(detail::StateView& state, const WindowSink& sink) const {
  detail::WindowRun run{spec_, aggregator_, state, sink};
  run.flush();
  run.finish();
}

void Windows::read(detail::StateView& state, std::string_view key,
                   const std::function<bool(WindowBounds, std::string_view value)>& visit) const {
  const WindowSink nowhere;
  detail::WindowRun{spec_, aggregator_, state, nowhere}.read(key, visit);
}

void Windows::read_all(
    detail::StateView& state,
    const std::function<bool(std::string_view key, WindowBounds, std::string_view value)>& visit) const {
  const WindowSink nowhere;
  detail::WindowRun{spec_, aggregator_, state, nowhere}.read_all(visit);
}

bool Windows::is_window(std::string_view key) { return detail::is_window_key(key); }

std::optional<std::string> Windows::entry_key(std::string_view key) { return detail::read_window_key(key); }

std::optional<Windows::Entry> Windows::entry(std::string_view key, std::string_view value) const {
  const auto id = detail::read_window_key(key);
  if (!id) return std::nullopt;
  auto window = detail::StoredWindow::decode(value);
  const bool is_full = spec_.kind() == WindowSpec::Kind::kCount && window.bounds.start == window.bounds.end;
  if (window.is_final || is_full) return std::nullopt;
  return Entry{*id, window.shown(spec_), std::move(window.aggregate)};
}

Windows::Progress Windows::progress(detail::StateView& state) const {
  const WindowSink nowhere;
  return detail::WindowRun{spec_, aggregator_, state, nowhere}.progress();
}

}  // namespace mephisto
