// Windows over the records of one partition: tumbling, hopping, sliding, session and count windows. Records go in by
// add(), results and late records come out by callbacks. All that an operator remembers is in the StateView, so another
// object goes on with the same state.
//
// Times are milliseconds since 1970. Stream time is the largest time of a record that this partition has seen, of any
// key. Decision 0029 has the rules and says where they differ from Kafka Streams.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "mephisto/error.h"
#include "mephisto/table/state_view.h"

namespace mephisto {

enum class Emit {
  kOnUpdate,  // every change of a window
  kOnClose,   // the final result of each window, once
  kEvery,     // the newest result of a window that changed, at most once in `every` of stream time, and when it closes
};

struct WindowOptions {
  std::chrono::milliseconds grace{0};  // how long a window takes records after its end
  Emit emit = Emit::kOnUpdate;
  std::chrono::milliseconds every{0};  // only with Emit::kEvery
};

// Tumbling, hopping, calendar: [start, end). Sliding, session: both ends inclusive. Count: numbers of records of the
// key from 0, [start, end).
struct WindowBounds {
  std::int64_t start = 0;
  std::int64_t end = 0;
  auto operator<=>(const WindowBounds&) const = default;
};

// Visits the windows that hold a time, by rising start; the same ones for the same time for ever.
using VisitWindow = std::function<void(const WindowBounds& window)>;
using WindowsOfTime = std::function<void(std::int64_t time, const VisitWindow& visit)>;

// Which windows there are. The functions that make one throw Failure (kInvalid) if its parameters make no sense.
class WindowSpec {
 public:
  enum class Kind { kTime, kSliding, kSession, kCount };
  using milliseconds = std::chrono::milliseconds;

  // Windows one after the other; they begin at multiples of their size.
  static WindowSpec tumbling(milliseconds size, WindowOptions options = {});
  // Windows that begin at each multiple of `advance`, which is at most `size`.
  static WindowSpec hopping(milliseconds size, milliseconds advance, WindowOptions options = {});
  // For each record at t the window [t - difference, t], and [t + 1, t + 1 + difference] if a later record is in it.
  static WindowSpec sliding(milliseconds difference, WindowOptions options = {});
  // Records of a key that are at most `gap` apart are in one window.
  static WindowSpec session(milliseconds gap, WindowOptions options = {});
  // Each `size` records of a key are a window. It closes when it is full; there is no grace.
  static WindowSpec count(std::int64_t size, WindowOptions options = {});
  // Windows that a function knows, e.g. the days of a market calendar.
  static WindowSpec of_times(WindowsOfTime windows, WindowOptions options = {});

  Kind kind() const { return kind_; }
  std::int64_t size() const { return size_; }  // the difference, the gap, the number of records; 0 if a function says
  std::int64_t grace() const { return grace_; }
  // Whether a window's end is in it.
  bool holds_end() const { return kind_ == Kind::kSliding || kind_ == Kind::kSession; }
  Emit emit() const { return emit_; }
  std::int64_t every() const { return every_; }
  void visit_windows(std::int64_t time, const VisitWindow& visit) const { windows_of_(time, visit); }

 private:
  WindowSpec(Kind kind, std::int64_t size, const WindowOptions& options);

  Kind kind_;
  std::int64_t size_;
  std::int64_t grace_;
  Emit emit_;
  std::int64_t every_;
  WindowsOfTime windows_of_;
};

struct WindowRecord {
  std::string_view key;
  std::optional<std::string_view> value;  // none: null
  std::int64_t time = 0;
  const void* input =
      nullptr;  // the value as the aggregator takes it; `value` may then be missing, if nothing keeps it
};

struct WindowResult {
  std::string_view key;
  WindowBounds window;
  std::optional<std::string_view> value;  // none: the window is not there any more, it became part of another one
  std::int64_t time = 0;                  // the largest time of a record in the window
};

// How a window's value, which is bytes here, is made from its records.
struct Aggregator {
  std::function<std::string()> init;
  std::function<void(std::string& aggregate, const WindowRecord& record)> add;
  std::function<void(std::string& aggregate, std::string_view later)> merge;  // for sessions: adds one that came later
};

// Where results go. The views are valid during the call only.
struct WindowSink {
  std::function<void(const WindowResult&)> result;
  // A record that came too late for this window; for several windows, it comes several times. A record that is late for
  // all sliding windows comes once, with [t - difference, t]. A record in no window at all comes with an empty window.
  std::function<void(const WindowRecord&, WindowBounds)> late;
};

// The operator. Keep its specification for as long as its state.
class Windows {
 public:
  Windows(WindowSpec spec, Aggregator aggregator);
  // Whether values of records are kept: only windows that begin later may need them.
  bool keeps_values() const { return spec_.kind() == WindowSpec::Kind::kSliding; }
  const WindowSpec& spec() const { return spec_; }

  // Adds a record to its windows, then closes those whose time is over. Throws what the callbacks throw, and Failure
  // (kInvalid) if the record's time is beyond all calendars. Throw the changes of the state away then.
  void add(detail::StateView& state, const WindowRecord& record, const WindowSink& sink) const;
  // For a partition that gets no records: closes and forgets what a record at `now` would. Stream time moves to the
  // last time at which something happened, not to `now`, so that fewer records are late afterwards.
  void close_idle(detail::StateView& state, std::int64_t now, const WindowSink& sink) const;
  // Emit::kEvery: sends the results that wait for their time, e.g. at a clean stop.
  void flush(detail::StateView& state, const WindowSink& sink) const;

  // The windows of a key that take records, in the order in which they are stored: by rising start, sessions by rising
  // end; count windows: the one that is not full. Until `visit` returns false.
  void read(detail::StateView& state, std::string_view key,
            const std::function<bool(WindowBounds, std::string_view value)>& visit) const;
  // Those of all keys, key by key.
  void read_all(detail::StateView& state,
                const std::function<bool(std::string_view key, WindowBounds, std::string_view value)>& visit) const;
  // The window that is an entry of the state, and of the changelog; none if the entry is something else, or a window
  // that takes no more records.
  struct Entry {
    std::string key;
    WindowBounds window;
    std::string value;
  };
  std::optional<Entry> entry(std::string_view key, std::string_view value) const;
  static std::optional<std::string> entry_key(std::string_view key);  // also without a value
  static bool is_window(std::string_view key);                        // whether the entry with this key is a window

  struct Progress {
    std::optional<std::int64_t> stream_time;  // none before the first record
    std::int64_t late = 0;                    // how often a record was late for a window
    std::int64_t skipped = 0;                 // records in no window, and those without a value in sliding windows
    std::int64_t next = INT64_MAX;            // nothing closes or is sent before stream time is this
  };
  Progress progress(detail::StateView& state) const;

 private:
  WindowSpec spec_;
  Aggregator aggregator_;
};

}  // namespace mephisto
