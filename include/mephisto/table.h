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
// key is. Everything here is synchronous. Agents and timers read and change a table, tasks read it.
//
// A timer may change all partitions that its shard has: that of a key is the partition of a record with that key. What
// a timer or task iterates over is all partitions of its shard, one after the other.
//
// An event reads its own changes. Others see them when the event is acknowledged. If the handler fails, nothing of them
// remains. If two events in flight change the same key, the later one runs again after the earlier one: no update is
// lost.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/stream/outbox.h"
#include "mephisto/table/global_copy.h"
#include "mephisto/table/rows.h"
#include "mephisto/table/table_key.h"
#include "mephisto/topic.h"

namespace mephisto {

template <class V>
struct TableOptions {
  V initial{};                        // of an absent key
  std::function<V()> make_initial{};  // instead, for a value that is made anew each time
  int partitions = 0;                 // 0: the setting topic_partitions
  std::string serializer = "json";    // codec chain of the values in the changelog and the store
  bool log_every_update = false;      // otherwise the updates of a key within a commit are one record
  std::chrono::milliseconds ttl{0};   // rows expire so long after their last change; zero: they do not
  std::string store{};                // memory:// or rocksdb://; empty: the setting `store`
  // A row belongs to the partition of the records with its key: an event of another partition that uses it fails.
  bool use_partitioner = false;
  std::string help{};
};

namespace detail {

class TableState;
class GlobalState;

// A value of the codec `before` in the codec `now`; one that is in that already stays. Throws Failure.
template <class V>
std::string recoded(const Codec& before, const Codec& now, std::string_view bytes) {
  V value{};
  const auto padded = json::padded_copy(bytes);
  if (auto read = before.load(padded, value); !read) {
    if (now.load(padded, value)) return std::string{bytes};
    throw Failure(read.error());
  }
  Buffer written;
  now.dump(value, written);
  return std::string{written.view()};
}

}  // namespace detail

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
  // A value of another codec in the table's own; one that is in the table's own already stays. Throws Failure.
  virtual std::string recoded(const Codec&, std::string_view bytes) const { return std::string{bytes}; }

 protected:
  // The unit of work of the running task. Throws Failure outside of events and timers.
  detail::UnitOfWork& unit() const;
  // The same; null outside of events and timers, where writes go to the log on their own.
  detail::UnitOfWork* unit_or_null() const;
  // The running task's copy of this global table. Throws Failure outside of an app that runs.
  detail::GlobalCopy& global_copy() const;
  // Waits until that has all that the topic has now.
  Task<void> catch_up() const;
  // The part that belongs to the unit's event; of a unit without event, to the key of a record.
  const std::shared_ptr<detail::TablePart>& part_of(detail::UnitOfWork& unit, std::string_view topic_key) const;
  // Calls `visit` for the parts that the running task's shard has, until it returns false; first for that of the
  // records with the key. A timer's run counts only if the shard still has them then.
  void each_part(const std::function<bool(const std::shared_ptr<detail::TablePart>&)>& visit,
                 const std::optional<std::string>& first = {}) const;
  // The largest time of those parts.
  std::int64_t latest_time() const;
  // Binds the unit's change to a part.
  static void bind(detail::TableChange& change, const std::shared_ptr<detail::TablePart>& part,
                   detail::UnitOfWork& unit);
  // Throws Failure if records with this key are in another partition.
  void check_key(const std::string& topic_key, const detail::TableChange& change) const;

  detail::TableSpec spec_;

 private:
  // What the running task's shard has of it. Throws Failure outside of a worker.
  detail::TableState& state() const;
  detail::GlobalState& global_state() const;
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
    const auto* value = peek(key);
    return value == nullptr ? initial_() : *value;
  }
  std::optional<V> find(const K& key) const {
    const auto* value = peek(key);
    return value == nullptr ? std::nullopt : std::optional<V>{*value};
  }
  bool contains(const K& key) const { return peek(key) != nullptr; }
  // The value; null if the key is absent. Valid until the caller uses the table again or awaits something.
  const V* peek(const K& key) const {
    std::string buffer;
    const auto stored = Key::stored(key, buffer);
    auto* unit = unit_or_null();
    return unit == nullptr ? peek_outside(stored) : change(stored, *unit).get(stored);
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

  // Calls `visit(key, value)` for the keys of the event's partition in their order, until it returns false; in timers
  // and tasks those of all partitions of their shard. `visit` must not change the table.
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
    return std::make_shared<Rows>(spec_, partition, loop, key_form(), initial_);
  }

 protected:
  virtual detail::KeyForm key_form() const { return {Key::stored_of_json, Key::write_json}; }
  // The key of the records that belong to the row's partition.
  virtual std::string topic_key(std::string_view stored) const { return Key::topic_key(stored); }

  // Of a table whose rows have times: the time of the event's partition, otherwise the largest of its shard.
  std::int64_t time() const {
    auto* unit = unit_or_null();
    if (unit != nullptr && unit->kind == detail::UnitOfWork::Kind::kEvent)
      return change({}, *unit).part->times().time();
    return latest_time();
  }

  void scan(std::string_view from, std::string_view to, const std::function<bool(const K&, const V&)>& visit) const {
    bool more = true;
    const auto visit_row = [&](std::string_view key, const V& value) { return more = visit(Key::key(key), value); };
    auto* unit = unit_or_null();
    if (unit != nullptr && unit->kind == detail::UnitOfWork::Kind::kEvent) {
      auto& of_unit = change({}, *unit);
      return of_unit.rows().scan(&of_unit, from, to, visit_row);
    }
    each_part([&](const std::shared_ptr<detail::TablePart>& part) {
      auto* of_unit = unit == nullptr ? nullptr : &change_in(part, *unit);
      static_cast<Rows&>(*part).scan(of_unit, from, to, visit_row);
      return more;
    });
  }
  std::string recoded(const Codec& before, std::string_view bytes) const override {
    return detail::recoded<V>(before, spec_.changelog.value_codec, bytes);
  }

 private:
  using Change = typename Rows::Change;

  // The unit's change of the partition that the row belongs to.
  Change& change(std::string_view key, detail::UnitOfWork& unit) const {
    auto& change = unit.change<Change>(*detail::participants_of(unit)[spec_.number]);
    if (unit.kind != detail::UnitOfWork::Kind::kEvent) return change_in(part_of(unit, topic_key(key)), unit);
    if (!change.bound) bind(change, part_of(unit, {}), unit);
    if (spec_.use_partitioner && !key.empty()) check_key(topic_key(key), change);
    return change;
  }
  // The same for a unit without an event, whose changes may be in several partitions.
  Change& change_in(const std::shared_ptr<detail::TablePart>& part, detail::UnitOfWork& unit) const {
    auto& first = unit.change<Change>(*detail::participants_of(unit)[spec_.number]);
    if (!first.bound) bind(first, part, unit);
    if (first.part == part) return first;
    for (const auto& other : first.others) {
      if (other->part == part) return static_cast<Change&>(*other);
    }
    first.others.push_back(std::make_unique<Change>());
    bind(*first.others.back(), part, unit);
    return static_cast<Change&>(*first.others.back());
  }

  // A task's view: rows as units that are done have left them. A key that is not in its topic's partition may be in
  // another one.
  const V* peek_outside(std::string_view key) const {
    const V* value = nullptr;
    const auto look = [&](const std::shared_ptr<detail::TablePart>& part) {
      auto& rows = static_cast<Rows&>(*part);
      const auto& row = rows.row(key);
      if (rows.is_there(key, row)) value = &row.value;
      return value == nullptr;
    };
    each_part(look, topic_key(key));
    return value;
  }

  std::function<V()> initial_;
};

}  // namespace mephisto
