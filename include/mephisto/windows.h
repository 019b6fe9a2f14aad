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
  bool log_every_update = false;  // otherwise the updates of a key within a commit are one record of the changelog
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

// The key of a table as a record's key: a text as it is, others as JSON.
template <class K>
std::string record_key(std::string_view stored) {
  if constexpr (std::is_same_v<K, std::string>) {
    return std::string{stored};
  } else {
    Buffer json;
    TableKey<K>::write_json(stored, json);
    return std::string{json.view()};
  }
}

}  // namespace detail

template <class K, class V, class In>
class WindowedTable : public detail::OperatorTable {
 public:
  // `add` takes a value into a window. Sessions join windows by `earlier += later`.
  WindowedTable(detail::TableSpec spec, WindowSpec windows, std::function<void(V&, const In&)> add)
      : OperatorTable(std::move(spec)), windows_(std::move(windows), aggregator(std::move(add))) {}

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

  // Adds a value to the windows of the event's time, or of another time, and sends the results that are due.
  Task<void> add(K key, In value) const { return add(std::move(key), std::move(value), event_time()); }
  Task<void> add(K key, In value, Timestamp time) const {
    std::string buffer;
    const auto stored = Key::stored(key, buffer);
    std::string bytes;
    WindowRecord record{stored, std::nullopt, time.time_since_epoch().count()};
    if (has_value(value)) record.value = bytes = to_json(value);
    Sent sent;
    auto state = this->state();
    windows_.add(state, record, sent.sink());
    co_await send(std::move(sent));
  }

  // Stream time and the numbers of late values, of the event's partition.
  Windows::Progress progress() const {
    auto state = this->state();
    return windows_.progress(state);
  }

  // The windows of the key that take values now, by rising end.
  std::vector<Windowed<V>> open(const K& key) const {
    std::string buffer;
    std::vector<Windowed<V>> all;
    auto state = this->state();
    windows_.read(state, Key::stored(key, buffer), [&](WindowBounds bounds, std::string_view value) {
      all.push_back(windowed(bounds, value));
      return true;
    });
    return all;
  }

 private:
  using Key = detail::TableKey<K>;

  // What an addition has sent; it is sent when the state is complete.
  struct Sent {
    struct Result {
      std::string key;
      WindowBounds window;
      std::optional<std::string> value;
      Timestamp time;
    };
    std::vector<Result> results;
    std::vector<Result> late;

    WindowSink sink() {
      return {[this](const WindowResult& one) {
                results.push_back({std::string{one.key}, one.window,
                                   one.value ? std::optional<std::string>{*one.value} : std::nullopt, at(one.time)});
              },
              [this](const WindowRecord& one, WindowBounds window) {
                late.push_back({std::string{one.key}, window,
                                one.value ? std::optional<std::string>{*one.value} : std::nullopt, at(one.time)});
              }};
    }
  };

  static Timestamp at(std::int64_t ms) { return Timestamp{std::chrono::milliseconds{ms}}; }
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
      add(value, input(record.value));
    };
    if constexpr (requires(V& a, const V& b) { a += b; })
      return typed_aggregator<V>(add_record, [](V& earlier, const V& later) { earlier += later; });
    else
      return typed_aggregator<V>(add_record);
  }

  Task<void> send(Sent sent) const {
    for (auto& one : sent.results) {
      if (results_ == nullptr) break;
      SendOptions options;
      options.key = detail::record_key<K>(one.key);
      options.timestamp = one.time;
      co_await results_->cast(windowed(one.window, one.value), options);
    }
    for (auto& one : sent.late) {
      if (late_ == nullptr) break;
      SendOptions options;
      options.key = detail::record_key<K>(one.key);
      options.timestamp = one.time;
      co_await late_->cast(input(one.value), options);
    }
  }

  static Timestamp event_time() {
    const auto* event = detail::current_slot();
    return event == nullptr ? Loop::current()->timestamp() : event->record().timestamp();
  }

  Windows windows_;
  const Topic<Windowed<V>>* results_ = nullptr;
  const Topic<In>* late_ = nullptr;
};

}  // namespace mephisto
