// One call of an operator: the parts that all kinds of windows share.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/table/window.h"
#include "table/window_keys.h"

namespace mephisto::detail {

// A window as it is stored.
struct StoredWindow {
  WindowBounds bounds;
  std::int64_t time = 0;            // the largest of its records
  bool is_final = false;            // its final result was sent; it takes no more records
  std::optional<std::int64_t> due;  // Emit::kEvery: when its result is sent
  std::vector<WindowBounds> sent;   // sessions: results that the next one retracts, by rising end
  std::string aggregate;

  // The bounds that are told: a count window is stored with the numbers of its records so far.
  WindowBounds shown(const WindowSpec& spec) const;
  void encode(std::string& out) const;
  static StoredWindow decode(std::string_view bytes);
  void read(std::string_view bytes);  // the same into this one, which keeps its memory
  static std::int64_t time_of(std::string_view bytes) { return read_number(bytes.substr(17)); }  // of stored ones
};

// What an entry of time asks for.
enum class Timer : char {
  kClose = 'c',         // the window's last result
  kForget = 'f',        // the window is not needed any more
  kForgetValues = 'v',  // sliding: nor are the values of the records at this time
  kSend = 's',          // Emit::kEvery: the result that waits
};

class WindowRun {
 public:
  WindowRun(const WindowSpec& spec, const Aggregator& aggregator, StateView& state, const WindowSink& sink);

  void add_to_time_windows(const WindowRecord& record);
  void add_to_sliding_windows(const WindowRecord& record);
  void add_to_session(const WindowRecord& record);
  void add_to_count_window(const WindowRecord& record);

  // Sends what is due and closes what closes until `until`. Stream time moves along.
  void advance(std::int64_t until);
  // Sends all results that wait.
  void flush();
  // Stores the progress if it changed. The last call.
  void finish();

  void read(std::string_view key, const std::function<bool(WindowBounds, std::string_view value)>& visit);
  void read_all(const std::function<bool(std::string_view key, WindowBounds, std::string_view value)>& visit);
  bool has_time() const { return progress_.stream_time > kNever; }
  std::int64_t stream_time() const { return progress_.stream_time; }
  Windows::Progress progress() const;

 private:
  static constexpr std::int64_t kNever = INT64_MIN;

  struct Progress {
    std::int64_t stream_time = kNever;
    std::int64_t next_timer = INT64_MAX;  // no `t` entry is before it
    std::int64_t next_due = INT64_MAX;    // no `u` entry is before it
    std::int64_t late = 0;
    std::int64_t skipped = 0;
    std::int64_t arrivals = 0;
    bool operator==(const Progress&) const = default;
  };

  void move_time(std::int64_t time);
  void late(const WindowRecord& record, WindowBounds window);
  void add_to_time_window(const WindowRecord& record, const WindowBounds& bounds);

  std::optional<StoredWindow> load(std::string_view key, std::int64_t id);
  // The window's entry, to be changed in place; empty if there is none.
  std::string& edit(std::string_view key, std::int64_t id);
  void store(std::string_view key, std::int64_t id, const StoredWindow& window);
  void set_timer(std::int64_t when, std::string_view key, std::int64_t id, Timer timer);
  // The same where there is no such timer yet.
  void set_first_timer(std::int64_t when, std::string_view key, std::int64_t id, Timer timer);
  void remove_timer(std::int64_t when, std::string_view key, std::int64_t id, Timer timer);
  void set_due(std::string_view key, std::int64_t id, StoredWindow& window, std::int64_t due);
  // Adds a record to a window that exists or begins.
  void add(StoredWindow& window, const WindowRecord& record);
  // Calls `change`, which calls the aggregator. If that throws, and its handler goes on, a window that is new is not
  // there.
  template <class F>
  void guarded(std::string_view key, std::int64_t id, bool is_new, F change) {
    try {
      change();
    } catch (...) {
      if (is_new) state_.erase(window_key(key, id));
      throw;
    }
  }
  // Puts a window that changed into its entry, and sends its result or arranges it.
  void changed(std::string_view key, std::int64_t id, StoredWindow& window, std::string& entry);
  void send(std::string_view key, StoredWindow& window);
  void remove_due(std::string_view key, std::int64_t id, StoredWindow& window);

  // Takes up to a few hundred entries of a kind until `until`, in order; `next` becomes the time of the first other
  // one.
  std::vector<TimedEntry> take(char kind, std::int64_t until, std::int64_t& next);
  void send_due(std::int64_t until);
  void run(const TimedEntry& entry);
  void close(const TimedEntry& entry);
  void forget(const TimedEntry& entry);

  // Sliding windows.
  struct Arrival {
    std::int64_t time = 0;
    std::int64_t number = 0;
    std::int64_t stream_time = 0;  // when it came
    std::string value;
  };
  struct SlidingNear {
    std::vector<StoredWindow> holding;   // that hold the time, by rising start
    std::optional<std::int64_t> before;  // the record before it
    bool followed = false;               // whether there is a record after it
    bool has_right = false;              // whether the window exists that begins after it
  };
  bool takes_records(const StoredWindow& window) const;
  WindowBounds sliding_from(std::int64_t start) const;
  bool is_open(const WindowBounds& sliding) const;
  std::int64_t sliding_forgotten(const WindowBounds& window) const;
  void set_sliding_timer(std::string_view key, const WindowBounds& window);
  SlidingNear windows_near(std::string_view key, std::int64_t time);
  std::vector<Arrival> arrivals(std::string_view key, std::int64_t from, std::int64_t to);
  StoredWindow fold(std::string_view key, WindowBounds bounds, const std::vector<Arrival>& arrivals);
  void keep_value(const WindowRecord& record);
  void forget_values(std::string_view key, std::int64_t time);

  // Sessions.
  std::vector<StoredWindow> sessions_near(std::string_view key, std::int64_t time);
  std::int64_t session_end(std::int64_t end) const;
  std::int64_t session_timer(std::int64_t end) const;
  std::int64_t session_needed_until(std::string_view key, const WindowBounds& session);

  const WindowSpec& spec_;
  const Aggregator& aggregator_;
  StateView& state_;
  const WindowSink& sink_;
  Progress stored_;
  Progress progress_;
};

}  // namespace mephisto::detail
