// Windows: a table whose values are for a key and a span of time. The windows of an event are those of its own time.
//
//   auto& spend = app.windows<std::string>("spend", WindowSpec::tumbling(10min, {.grace = 1min, .emit =
//   Emit::kOnClose}),
//                                          [](Totals& totals, const Order& order) { totals.add(order.price); });
//   spend.results_to(finals).late_to(late_orders);
//   auto& count = app.agent("count", orders, [](Stream<Order> stream) -> Task<void> {
//     while (auto order = co_await stream.next()) co_await spend.add(order->customer, *order);
//   });
//
// window.h says which windows there are, and when their results come.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "mephisto/topic.h"
#include "mephisto/table/operator_table.h"
#include "mephisto/table/window_typed.h"

namespace mephisto {

struct WindowsOptions {
  int partitions = 0;             // 0: the setting topic_partitions
  std::string store{};            // memory:// or rocksdb://; empty: the setting `store`
  bool log_every_update = false;  // otherwise the updates of a window within a commit are one record of the changelog
  // A partition whose stream time stands still for this long closes what is over by the clock, at most a quarter later.
  // 0: only records close windows; none: the setting close_idle. Use it where times of records are near the clock's.
  std::optional<std::chrono::milliseconds> close_idle{};
};

// The value of a window. Its key is the record's key. Without a value, the window is not there any more: it became part
// of another one.
template <class V>
struct Windowed {
  Timestamp start;
  Timestamp end;
  std::optional<V> value;
  bool operator==(const Windowed&) const = default;
};

namespace detail {

// What windows of all types share, also for the command line and tests.
class WindowsTable : public OperatorTable {
 public:
  // What is not a window is in the changelog once for each commit.
  WindowsTable(TableSpec spec, Windows windows) : OperatorTable(std::move(spec)), windows_(std::move(windows)) {
    spec_.every_update_of = Windows::is_window;
  }

  const Windows& windows() const { return windows_; }
  // The key of a window as JSON.
  virtual void write_key(std::string_view stored, Buffer& out) const = 0;

 protected:
  Windows windows_;
};

}  // namespace detail

// A value that was late for a window, for the function of late_to(). If it is in no window at all, start and end are
// its time.
template <class K, class In>
struct LateValue {
  K key;
  In value;
  Timestamp time;
  Timestamp start;
  Timestamp end;
};

template <class K, class V, class In>
class WindowedTable : public detail::WindowsTable {
 public:
  using key_type = K;
  using value_type = V;
  using Late = LateValue<K, In>;

  // `add` takes a value into a window. Sessions join windows by `earlier += later`.
  WindowedTable(detail::TableSpec spec, WindowSpec windows, std::function<void(V&, const In&)> add)
      : WindowsTable(std::move(spec), Windows{std::move(windows), aggregator(std::move(add))}) {
    when_idle({.times =
                   [this](detail::StateView& state) {
                     const auto progress = windows_.progress(state);
                     return detail::IdleWork::Times{progress.stream_time, progress.next};
                   },
               .advance = [this](std::int64_t now) -> Task<void> {
                 Sent sent;
                 auto state = this->state();
                 windows_.close_idle(state, now, sent.sink(nullptr));
                 co_await send(std::move(sent));
               }});
  }

  // Sends the results there. Their key is the window's key, their timestamp the largest time in the window.
  WindowedTable& results_to(const Topic<Windowed<V>>& topic) {
    results_ = &topic;
    return *this;
  }
  // Sends values there that came too late for their window, as often as they were too late for one. Otherwise they are
  // only counted.
  WindowedTable& late_to(const Topic<In>& topic) {
    late_ = &topic;
    return *this;
  }

  // Calls a function for them instead, or as well. An event that runs again calls it again.
  WindowedTable& late_to(std::function<void(const Late&)> function) {
    on_late_ = std::move(function);
    return *this;
  }

  // Adds a value to the windows of the event's time, or of another time, and sends the results that are due.
  Cast add(const K& key, const In& value) const { return add(key, value, event_time()); }
  Cast add(const K& key, const In& value, Timestamp time) const {
    std::string buffer;
    WindowRecord record{Key::stored(key, buffer), std::nullopt, time.time_since_epoch().count()};
    std::string bytes;
    if (!windows_.keeps_values()) {
      record.input = &value;
    } else if (has_value(value)) {
      record.value = bytes = to_json(value);
    }
    Sent sent;
    const Added added{key, value};
    auto state = this->state();
    windows_.add(state, record, sent.sink(&added));
    return send(std::move(sent));
  }

  // Stream time and the numbers of late values, of the event's partition.
  Windows::Progress progress() const {
    auto state = this->state();
    return windows_.progress(state);
  }

  // The windows that take values now, of the event's partition: of a key, by rising start (sessions: end).
  std::vector<Windowed<V>> open(const K& key) const {
    auto state = this->state();
    return open_in(state, key);
  }
  // Those of them that overlap [from, to).
  std::vector<Windowed<V>> open(const K& key, Timestamp from, Timestamp to) const {
    auto all = open(key);
    std::erase_if(all, [&](const auto& window) { return window.start >= to || !ends_after(window, from); });
    return all;
  }
  // The value of the one that holds the time; if several do, of the one that begins first.
  std::optional<V> find(const K& key, Timestamp time) const {
    for (auto& window : open(key)) {
      if (window.start <= time && ends_after(window, time)) return std::move(window.value);
    }
    return std::nullopt;
  }
  // The keys that have windows which take values now, in their order.
  std::vector<K> keys() const {
    std::vector<K> all;
    auto state = this->state();
    std::string last;
    windows_.read_all(state, [&](std::string_view key, WindowBounds, std::string_view) {
      if (all.empty() || key != last) all.push_back(Key::key(last = key));
      return true;
    });
    return all;
  }

  // The same of any state, for tests.
  std::vector<Windowed<V>> open_in(detail::StateView& state, const K& key) const {
    std::string buffer;
    std::vector<Windowed<V>> all;
    windows_.read(state, Key::stored(key, buffer), [&](WindowBounds bounds, std::string_view value) {
      all.push_back(windowed(bounds, value));
      return true;
    });
    return all;
  }
  std::vector<std::pair<K, Windowed<V>>> items_in(detail::StateView& state) const {
    std::vector<std::pair<K, Windowed<V>>> all;
    windows_.read_all(state, [&](std::string_view key, WindowBounds bounds, std::string_view value) {
      all.emplace_back(Key::key(key), windowed(bounds, value));
      return true;
    });
    return all;
  }

  void write_key(std::string_view stored, Buffer& out) const override { Key::write_json(stored, out); }

 private:
  using Key = detail::TableKey<K>;

  struct Added {
    const K& key;
    const In& value;
  };
  // What an addition has sent; it is sent when the state is complete.
  struct Sent {
    struct Result {
      std::string key;
      Windowed<V> window;
      Timestamp time;
    };
    std::vector<Result> results;
    std::vector<Late> late;

    // `added`: null if there can be no late value.
    WindowSink sink(const Added* added) {
      return {[this](const WindowResult& one) {
                results.push_back({std::string{one.key}, windowed(one.window, one.value), at(one.time)});
              },
              [this, added](const WindowRecord& one, WindowBounds window) {
                late.push_back({added->key, added->value, at(one.time), at(window.start), at(window.end)});
              }};
    }
  };

  static Timestamp at(std::int64_t ms) { return Timestamp{std::chrono::milliseconds{ms}}; }
  // In sliding windows and sessions the end is in the window.
  bool ends_after(const Windowed<V>& window, Timestamp time) const {
    return windows_.spec().holds_end() ? window.end >= time : window.end > time;
  }
  static Windowed<V> windowed(WindowBounds bounds, std::optional<std::string_view> value) {
    return {at(bounds.start), at(bounds.end), value ? std::optional<V>{window_value<V>(*value)} : std::nullopt};
  }
  static bool has_value(const In& value) {
    if constexpr (json::is_optional<In>)
      return value.has_value();
    else
      return true;
  }
  static In input(const std::optional<std::string_view>& bytes) {
    if constexpr (json::is_optional<In>) {
      if (!bytes) return std::nullopt;
    }
    return window_value<In>(*bytes);
  }

  static Aggregator aggregator(std::function<void(V&, const In&)> add) {
    const auto add_record = [add = std::move(add)](V& value, const WindowRecord& record) {
      if (record.input != nullptr) return add(value, *static_cast<const In*>(record.input));
      add(value, input(record.value));
    };
    if constexpr (requires(V& a, const V& b) { a += b; })
      return typed_aggregator<V>(add_record, [](V& earlier, const V& later) { earlier += later; });
    else
      return typed_aggregator<V>(add_record);
  }

  // Without a coroutine while there is room, as nearly always.
  Cast send(Sent sent) const {
    for (std::size_t i = 0; i < sent.results.size() + sent.late.size(); ++i) {
      auto one = send(sent, i);
      if (!one.await_ready()) return Cast{send_rest(std::move(one), i + 1, std::move(sent))};
    }
    return {};
  }
  Task<void> send_rest(Cast one, std::size_t next, Sent sent) const {
    co_await one;
    for (; next < sent.results.size() + sent.late.size(); ++next) co_await send(sent, next);
  }
  // The results come first.
  Cast send(const Sent& sent, std::size_t number) const {
    SendOptions options;
    if (number < sent.results.size()) {
      if (results_ == nullptr) return {};
      const auto& one = sent.results[number];
      options.key = Key::topic_key(one.key);
      options.timestamp = one.time;
      return results_->cast(one.window, options);
    }
    const auto& one = sent.late[number - sent.results.size()];
    if (on_late_) on_late_(one);
    if (late_ == nullptr) return {};
    std::string buffer;
    options.key = Key::topic_key(Key::stored(one.key, buffer));
    options.timestamp = one.time;
    return late_->cast(one.value, options);
  }

  static Timestamp event_time() {
    const auto* event = detail::current_slot();
    return event == nullptr ? Loop::current()->timestamp() : event->record().timestamp();
  }

  const Topic<Windowed<V>>* results_ = nullptr;
  const Topic<In>* late_ = nullptr;
  std::function<void(const Late&)> on_late_;
};

}  // namespace mephisto
