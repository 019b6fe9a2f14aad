// FaustTable<K, V>: a windowed table of Faust's, which takes over a Faust app's state and gives it back. A change goes
// to all windows of a time, and any of them can be read:
//
//   auto& views = app.faust_table<std::string, int>("views", FaustWindows::hopping(10s, 5s, 1h));
//   views[page] += 1;                                     // in the windows of the event's time
//   views.relative_to(view->time)[page] += 1;             // in those of another time
//   views[page].current()                                 // the newest window of the event's time
//
// Its topic is ID-NAME-changelog with Faust's keys, ["page",[1600000000.0,1600000009.9]]. Unlike in Faust, what has
// expired is erased there too, by the times of the partition's events instead of the clock, also after a restart. New
// apps use app.windows() (windows.h), which knows late records, grace and final results.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/table.h"
#include "mephisto/table/window_faust.h"

namespace mephisto {

template <class K>
struct WindowedKey {
  K key{};
  WindowBounds window{};
  bool operator==(const WindowedKey&) const = default;
};

template <class V>
struct FaustTableOptions {
  V initial{};                        // of an absent window
  std::function<V()> make_initial{};  // instead, for a value that is made anew each time
  int partitions = 0;                 // 0: the setting topic_partitions
  std::string serializer = "json";    // codec chain of the values in the changelog and the store
  bool log_every_update = false;      // otherwise the updates of a window within a commit are one record
  std::string store{};                // memory:// or rocksdb://; empty: the setting `store`
  bool key_index = false;             // keeps Faust's table NAME-key_index, which keys() needs there
  std::string help{};
};

namespace detail {

// The window of the stored form of a WindowedKey.
WindowBounds window_of(std::string_view stored);

template <class K>
struct TableKey<WindowedKey<K>> {
  static std::string_view stored(const WindowedKey<K>& key, std::string& buffer) {
    buffer.clear();
    put_ordered(buffer, key.key);
    put_number(buffer, key.window.start);
    put_number(buffer, key.window.end);
    return buffer;
  }
  static WindowedKey<K> key(std::string_view stored) {
    WindowedKey<K> key;
    key.window = window_of(stored);
    take_ordered(stored, key.key);
    return key;
  }
  static void write_json(std::string_view stored, Buffer& out) {
    const auto written = key(stored);
    out.append(write_faust_window_key({to_json(written.key), written.window}));
  }
  static Result<std::string> stored_of_json(std::string_view json) {
    const auto read = read_faust_window_key(json);
    if (!read) return std::unexpected(read.error());
    auto key = from_json<K>(read->key);
    if (!key) return fail(ErrorKind::kCorrupt, "a key cannot be read: " + key.error().message);
    std::string buffer;
    stored({std::move(*key), read->window}, buffer);
    return buffer;
  }
  static std::string topic_key(std::string_view stored) {
    std::string buffer;
    return TableKey<K>::topic_key(TableKey<K>::stored(key(stored).key, buffer));
  }
};

}  // namespace detail

template <class K, class V>
class FaustTable : public Table<WindowedKey<K>, V> {
  using Base = Table<WindowedKey<K>, V>;

 public:
  // `index` is the table NAME-key_index, if there is one.
  FaustTable(detail::TableSpec spec, std::function<V()> initial, FaustWindows windows, const Table<K, int>* index)
      : Base(std::move(spec), std::move(initial)), windows_(windows), index_(index) {}

  // The windows of a key. Valid during the event.
  class Windows {
   public:
    // Changes the value in all windows of the time that have not expired.
    template <class F>
    void apply(F change) const {
      bool any = false;
      for (const auto& window : table_.windows_.ranges(time_)) {
        if (table_.expired(window)) continue;
        change(table_.at(key_, window));
        any = true;
      }
      if (any && table_.index_ != nullptr && !table_.index_->contains(key_)) table_.index_->set(key_, 1);
    }
    void set(const V& value) const {
      apply([&](V& old) { old = value; });
    }
    template <class T>
    void operator+=(const T& value) const {
      apply([&](V& old) { old += value; });
    }
    template <class T>
    void operator-=(const T& value) const {
      apply([&](V& old) { old -= value; });
    }
    template <class T>
    void operator*=(const T& value) const {
      apply([&](V& old) { old *= value; });
    }
    void erase() const {
      for (const auto& window : table_.windows_.ranges(time_)) table_.erase_in(key_, window);
    }

    // The oldest window of the partition's latest time.
    V now() const { return table_.value_in(key_, table_.windows_.earliest(table_.time())); }
    // The newest window of the time.
    V current() const { return table_.value_in(key_, table_.windows_.current(time_)); }
    // The newest window of so long before the time.
    V delta(std::chrono::milliseconds before) const {
      return table_.value_in(key_, table_.windows_.delta(time_, before));
    }
    V in(const WindowBounds& window) const { return table_.value_in(key_, window); }

   private:
    friend class FaustTable;
    Windows(const FaustTable& table, K key, std::int64_t time) : table_(table), key_(std::move(key)), time_(time) {}
    const FaustTable& table_;
    K key_;
    std::int64_t time_;
  };

  // The windows of the event's time.
  Windows operator[](K key) const { return {*this, std::move(key), event_time()}; }

  // The same table for another time, for example that of a field of the value.
  class At {
   public:
    Windows operator[](K key) const { return {table_, std::move(key), time_}; }

   private:
    friend class FaustTable;
    At(const FaustTable& table, std::int64_t time) : table_(table), time_(time) {}
    const FaustTable& table_;
    std::int64_t time_;
  };
  At relative_to(Timestamp time) const { return {*this, time.time_since_epoch().count()}; }
  // The latest time of the partition.
  At relative_to_now() const { return {*this, this->time()}; }

  // The keys with a value in the window, with it, in their order.
  std::vector<std::pair<K, V>> items(const WindowBounds& window) const {
    std::vector<std::pair<K, V>> all;
    Base::each([&](const WindowedKey<K>& key, const V& value) {
      if (key.window == window) all.emplace_back(key.key, value);
      return true;
    });
    return all;
  }
  std::vector<std::pair<K, V>> items_now() const { return items(windows_.earliest(this->time())); }
  std::vector<std::pair<K, V>> items_current() const { return items(windows_.current(event_time())); }

  const FaustWindows& windows() const { return windows_; }

 private:
  V& at(const K& key, const WindowBounds& window) const { return Base::operator[]({key, window}); }
  void erase_in(const K& key, const WindowBounds& window) const { Base::erase({key, window}); }
  V value_in(const K& key, const WindowBounds& window) const { return Base::get({key, window}); }
  bool expired(const WindowBounds& window) const {
    return windows_.expires() > 0 && window.end + windows_.expires() <= this->time();
  }
  static std::int64_t event_time() {
    const auto* event = detail::current_slot();
    return event != nullptr ? event->record().timestamp_ms : Loop::current()->timestamp().time_since_epoch().count();
  }

  FaustWindows windows_;
  const Table<K, int>* index_;
};

}  // namespace mephisto
