// Table<K, V>: state of an app by key. It survives the worker: every change is in a changelog, a compacted topic of the
// log, and counts together with the event that made it.
//
//   auto& counts = app.table<std::string, std::int64_t>("counts");
//   auto& count = app.agent("count", orders, [](Stream<Order> stream) -> Task<void> {
//     while (auto order = co_await stream.next()) counts[order->customer] += 1;
//   });
//
// A partition of a table belongs to the partition of the event: events of partition 3 read and change partition 3 of
// the table. So the topic and the table have the same number of partitions, and the topic's key decides where a table's
// key is. Everything here is synchronous and may be called in agents and timers.
//
// An event reads its own changes. Others see them when the event is acknowledged. If the handler fails, nothing of them
// remains. If two events in flight change the same key, the later one runs again after the earlier one: no update is
// lost.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/table/global_state.h"
#include "mephisto/table/table_key.h"
#include "mephisto/table/table_state.h"
#include "mephisto/topic.h"

namespace mephisto {

template <class V>
struct TableOptions {
  V initial{};                        // of an absent key
  std::function<V()> make_initial{};  // instead, for a value that is made anew each time
  int partitions = 0;                 // 0: the setting topic_partitions
  std::string serializer = "json";    // codec chain of the values in the changelog and the store
  bool log_every_update = false;      // otherwise the updates of a key within a commit are one record
  std::string store{};                // memory:// or rocksdb://; empty: the setting `store`
  std::string help{};
};

class TableBase {
 public:
  explicit TableBase(detail::TableSpec spec) : spec_(std::move(spec)) {}
  virtual ~TableBase() = default;
  TableBase(const TableBase&) = delete;  // app.table() gives a reference: write `auto& counts = app.table<…>(…)`
  TableBase& operator=(const TableBase&) = delete;

  const std::string& name() const { return spec_.name; }
  const detail::TableSpec& spec() const { return spec_; }
  // What a shard has of a partition; null if the table is global.
  virtual std::shared_ptr<detail::TablePart> make_part(int, Loop&) const { return nullptr; }
  // What a shard has of a global table; null if the table is not global.
  virtual std::unique_ptr<detail::GlobalCopy> make_copy() const { return nullptr; }

 protected:
  // The unit of work of the running task. Throws Failure outside of events and timers.
  detail::UnitOfWork& unit() const;
  // The same; null outside of events and timers, where writes go to the log on their own.
  detail::UnitOfWork* unit_or_null() const;
  // The running task's copy of this global table. Throws Failure outside of an app that runs.
  detail::GlobalState& global_state() const;
  // Binds the unit's change to the part that `key` belongs to.
  void bind(detail::TableChange& change, detail::UnitOfWork& unit, std::string_view key) const;

  detail::TableSpec spec_;
};

template <class K, class V>
class Table : public TableBase {
  using Rows = detail::Rows<V>;
  using Key = detail::TableKey<K>;

 public:
  using key_type = K;
  using value_type = V;

  Table(detail::TableSpec spec, std::function<V()> initial)
      : TableBase(std::move(spec)), initial_(std::move(initial)) {}

  // The value of an absent key.
  V initial() const { return initial_(); }

  // The value, or the initial value if the key is absent.
  V get(const K& key) const {
    std::string buffer;
    const auto stored = Key::stored(key, buffer);
    const auto* value = change(stored).get(stored);
    return value == nullptr ? initial_() : *value;
  }
  std::optional<V> find(const K& key) const {
    std::string buffer;
    const auto stored = Key::stored(key, buffer);
    const auto* value = change(stored).get(stored);
    return value == nullptr ? std::nullopt : std::optional<V>{*value};
  }
  bool contains(const K& key) const {
    std::string buffer;
    const auto stored = Key::stored(key, buffer);
    return change(stored).get(stored) != nullptr;
  }

  // The value, to be changed in place: `counts[key] += 1`, `orders[key].lines.push_back(line)`. An absent key gets the
  // initial value. A value that is left as it was is no change. The reference is valid until the event is done.
  V& operator[](const K& key) const {
    std::string buffer;
    const auto stored = Key::stored(key, buffer);
    auto& unit = this->unit();
    return change(stored, unit).edit(stored, unit);
  }
  void set(const K& key, V value) const {
    std::string buffer;
    const auto stored = Key::stored(key, buffer);
    auto& unit = this->unit();
    change(stored, unit).set(stored, std::move(value), unit);
  }
  // Whether the key was there.
  bool erase(const K& key) const { return pop(key).has_value(); }
  // Erases the key and gives its value.
  std::optional<V> pop(const K& key) const {
    std::string buffer;
    const auto stored = Key::stored(key, buffer);
    auto& unit = this->unit();
    return change(stored, unit).erase(stored, unit);
  }

  // Calls `visit(key, value)` for the keys of the event's partition in their order, until it returns false. `visit`
  // must not change the table.
  void each(const std::function<bool(const K&, const V&)>& visit) const { scan("", "", visit); }
  // The same for keys from `from` to before `to`.
  void each(const K& from, const K& to, const std::function<bool(const K&, const V&)>& visit) const {
    std::string first;
    std::string end;
    scan(Key::stored(from, first), Key::stored(to, end), visit);
  }
  // The same for texts that start with `prefix`.
  void each_prefix(std::string_view prefix, const std::function<bool(const K&, const V&)>& visit) const
    requires std::same_as<K, std::string>
  {
    scan(prefix, detail::after_prefix(prefix), visit);
  }
  std::vector<std::pair<K, V>> items() const {
    std::vector<std::pair<K, V>> all;
    each([&](const K& key, const V& value) {
      all.emplace_back(key, value);
      return true;
    });
    return all;
  }

  std::shared_ptr<detail::TablePart> make_part(int partition, Loop& loop) const override {
    return std::make_shared<Rows>(spec_, partition, loop, detail::KeyForm{Key::stored_of_json, Key::write_json},
                                  initial_);
  }

 private:
  typename Rows::Change& change(std::string_view key) const { return change(key, unit()); }
  typename Rows::Change& change(std::string_view key, detail::UnitOfWork& unit) const {
    auto& change = unit.change<typename Rows::Change>(*detail::participants_of(unit)[spec_.number]);
    if (!change.bound) bind(change, unit, key);
    return change;
  }
  void scan(std::string_view from, std::string_view to, const std::function<bool(const K&, const V&)>& visit) const {
    auto& unit_change = change(from);
    unit_change.rows().scan(&unit_change, from, to,
                            [&](std::string_view key, const V& value) { return visit(Key::key(key), value); });
  }

  std::function<V()> initial_;
};

}  // namespace mephisto
