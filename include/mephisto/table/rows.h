// The rows of a table's partition that are in use, as values: those that units of work have read or changed. Three
// layers lie over each other:
//
//   Change    what one unit has changed; the unit reads it first
//   Row       what units that are done have left; all later units read it
//   Store     what is in the changelog
//
// A row that a unit has changed belongs to that unit until it is done. Another unit that wants to change it, or that
// has read an older value of it, runs again (UnitConflict): no update is lost.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mephisto/base/assert.h"
#include "mephisto/base/key_order.h"
#include "mephisto/table/row_map.h"
#include "mephisto/table/table_part.h"

namespace mephisto::detail {

// What a unit of work has changed in a partition of a table.
struct TableChange : StateChange {
  std::shared_ptr<TablePart> part;
  std::int64_t time = 0;  // of the unit's event
  bool bound = false;     // `part` is that of the unit's partition
  // Those of other partitions, in a unit without an event.
  std::vector<std::unique_ptr<TableChange>> others;
};

// How rows are written in the changelog. Usually a row is a record with the JSON of its key: TableKey<K>'s functions.
struct KeyForm {
  Result<std::string> (*stored_of_json)(std::string_view) = nullptr;
  void (*write_json)(std::string_view, Buffer&) = nullptr;
  // Instead, if keys and values are mixed.
  void (*read)(const RecordView&, std::vector<std::pair<std::string, std::optional<std::string_view>>>&) = nullptr;
  void (*write)(std::string_view key, bool exists, Buffer& wire_key, Buffer& wire_value) = nullptr;
};

template <class V>
class Rows : public TablePart {
  struct Entry;

 public:
  // A value, or none if the key is absent.
  struct Row {
    V value{};
    bool exists = false;
    bool changed = false;       // since the last prepare()
    std::int64_t time = 0;      // of its last change, if rows have times
    std::uint32_t users = 0;    // while there are any, the row stays in memory
    std::uint32_t version = 0;  // the number of its last change, among those of all rows
    Entry* entry = nullptr;     // of the unit that it belongs to
  };
  class Change;

  Rows(const TableSpec& spec, int partition, Loop& loop, KeyForm keys, std::function<V()> initial)
      : TablePart(spec, partition, loop), keys_(keys), initial_(std::move(initial)) {}

  V initial() const { return initial_(); }

  // The row as units that are done have left it.
  Row& row(std::string_view key) { return find(key).row; }
  // Whether it is there and has not expired.
  bool is_there(std::string_view key, const Row& row) const { return row.exists && !expired(key, row.time); }

  // Visits the keys with from <= key < to in order, as the unit with `change` (null: no unit) sees them, until `visit`
  // returns false.
  void scan(Change* change, std::string_view from, std::string_view to,
            const std::function<bool(std::string_view key, const V& value)>& visit) {
    if (!to.empty() && from >= to) return;
    std::array<typename Order::Range, 3> changed{merged_.range(from, to), prepared_.range(from, to)};
    if (change != nullptr) changed[2] = change->range(from, to);
    // The next changed row; null after the last one.
    const auto next = [&] {
      At least = nullptr;
      for (const auto& [at, end] : changed)
        if (at != end && (least == nullptr || (*at)->key() < least->key())) least = *at;
      for (auto& [at, end] : changed)
        if (at != end && *at == least) ++at;
      return least;
    };
    bool more = true;
    const auto show = [&](At at) {
      const auto* value = seen(*at, change);
      if (value != nullptr) more = visit(at->key(), *value);
    };
    auto* above = next();
    V value{};
    scan_stored(from, to, [&](std::string_view key, std::string_view bytes) {
      for (; more && above != nullptr && above->key() < key; above = next()) show(above);
      if (!more) return false;
      if (above != nullptr && above->key() == key) {
        show(std::exchange(above, next()));
        return more;
      }
      load(key, bytes, value);
      return more = visit(key, value);
    });
    for (; more && above != nullptr; above = next()) show(above);
  }

  void merge(StateChange& change) override {
    auto& unit = static_cast<Change&>(change);
    for (std::size_t i = 0; i < unit.used_; ++i) {
      auto& entry = *unit.entries_[i];
      auto& row = entry.at->row;
      if (entry.exists == row.exists && (!entry.exists || (!spec().expiry.renews() && same(entry.value, row.value))))
        continue;
      begin_change(*entry.at);
      row.exists = entry.exists;
      row.time = std::max(row.time, unit.time);
      row.value = std::move(entry.value);
      row.version = ++changes_;
      if (!logs_every_update(entry.at->key())) continue;
      if (row.exists) dump(row.value);
      log(entry.at->key(), row.exists ? std::optional{bytes_.view()} : std::nullopt, row.time);
    }
  }

  std::optional<Result<std::string>> stored_key(std::string_view key) const override {
    return keys_.read == nullptr ? std::optional{keys_.stored_of_json(key)} : std::nullopt;
  }

 protected:
  bool any_merged() const override { return !merged_.undos.empty(); }

  void read(const RecordView& record, std::vector<TablePart::Read>& changes) const override {
    if (keys_.read != nullptr) return keys_.read(record, changes);
    changes.emplace_back(value_or_throw(keys_.stored_of_json(record.key)),
                         record.has_value() ? std::optional{record.value} : std::nullopt);
  }
  std::optional<std::string_view> write(std::string_view key, std::optional<std::string_view> value, Buffer& wire_key,
                                        Buffer& buffer) const override {
    if (keys_.write == nullptr) {
      keys_.write_json(key, wire_key);
      return value;
    }
    buffer.clear();
    keys_.write(key, value.has_value(), wire_key, buffer);
    return buffer.view();
  }

  bool erase_expired(std::string_view key) override {
    auto& at = find(key);
    auto& row = at.row;
    if (row.entry != nullptr || row.changed || !row.exists || !expired(key, row.time)) return false;
    begin_change(at);
    row.exists = false;
    row.version = ++changes_;
    if (logs_every_update(key)) log(key, std::nullopt, row.time);
    return true;
  }

  void collect(std::vector<Pending>& pending) override {
    MEPHISTO_ASSERT(prepared_.undos.empty(), "one commit is under way at a time");
    std::swap(prepared_, merged_);
    for (auto& undo : prepared_.undos) {
      auto& row = undo.at->row;
      row.changed = false;
      if (row.exists) dump(row.value);
      pending.push_back({undo.at->key(), row.exists ? std::optional{std::string{bytes_.view()}} : std::nullopt,
                         row.time, undo.existed});
    }
  }

  void forget_prepared() override {
    const auto before = rows_.size();
    for (const auto& undo : prepared_.undos) {
      auto& row = undo.at->row;
      if (--row.users == 0 && !row.exists) rows_.erase(*undo.at);
    }
    prepared_.clear();
    erased_from(before);
    forget_unused();
  }

  void undo() override {
    for (auto* changes : {&merged_, &prepared_}) {
      for (auto& undo : changes->undos) {
        auto& row = undo.at->row;
        row.value = std::move(undo.before);
        row.exists = undo.existed;
        row.time = undo.time;
        row.changed = false;
        row.version = ++changes_;
        --row.users;
      }
      changes->clear();
    }
  }

 private:
  using Map = RowMap<Row>;
  using Node = Map::Node;
  using At = Node*;
  using Order = KeyOrder<Node>;
  static constexpr std::size_t kRowBytes = sizeof(Node) + 4 * sizeof(void*);

  static constexpr std::size_t kMostHeld = 2 << 20;  // bytes that are kept in memory, but for rows in use

  struct Entry {
    At at = nullptr;
    V value{};
    bool exists = false;
    Change* change = nullptr;
  };
  // What a key has, as a unit of work sees it.
  struct Known {
    std::optional<std::string_view> bytes;  // none: it is absent
  };
  struct Undo {
    At at;
    V before;
    bool existed;
    std::int64_t time;
  };

  struct Changes {
    Order::Range range(std::string_view from, std::string_view to) {
      return order.range(from, to, undos.size(), [this](std::size_t i) { return undos[i].at; });
    }
    void clear() {
      undos.clear();
      order.clear();
    }

    std::vector<Undo> undos;
    Order order;
  };

  // A row's value as the unit with `change` sees it; null if there is none.
  const V* seen(const Node& at, const Change* change) const {
    const auto& row = at.row;
    if (row.entry != nullptr && row.entry->change == change) return row.entry->exists ? &row.entry->value : nullptr;
    return is_there(at.key(), row) ? &row.value : nullptr;
  }

  // Keeps what the row was before the next commit.
  void begin_change(Node& at) {
    auto& row = at.row;
    if (row.changed) return;
    row.changed = true;
    ++row.users;
    merged_.undos.push_back({&at, std::move(row.value), row.exists, row.time});
  }

  // With `known`, the caller knows what the store has; it is not asked.
  Node& find(std::string_view key, const std::optional<Known>& known = {}) {
    const auto [node, is_new] = rows_.find_or_insert(key);
    if (!is_new) return *node;
    try {
      if (known) {
        node->row.exists = known->bytes.has_value();
        if (known->bytes) load(key, *known->bytes, node->row.value);
        held_ += known->bytes ? known->bytes->size() : 0;
      } else if (const auto row = stored(key)) {
        load(key, row->value, node->row.value);
        node->row.time = row->time;
        node->row.exists = true;
        held_ += row->value.size();
      }
    } catch (...) {
      rows_.erase(*node);  // it is not absent
      throw;
    }
    held_ += kRowBytes + key.size();
    return *node;
  }

  // There were `before` rows. Those that were erased had about the size of the others.
  void erased_from(std::size_t before) {
    if (rows_.size() < before) held_ = held_ / before * rows_.size();
  }

  // Keeps the memory of rows that nobody uses within its bound.
  void forget_unused() {
    if (held_ <= most_held_) return;
    const auto before = rows_.size();
    rows_.erase_if([](const Node& one) { return one.row.users == 0; });
    erased_from(before);
    most_held_ = std::max(kMostHeld, 2 * held_);
  }

  void load(std::string_view key, std::string_view bytes, V& value) const {
    auto read = spec().changelog.value_codec.load(json::padded_copy(bytes), value);
    if (read) return;
    throw Failure(ErrorKind::kCorrupt, "table " + spec().name + ", partition " + std::to_string(partition()) +
                                           ": the value of a key of " + std::to_string(key.size()) +
                                           " bytes cannot be read as this type: " + read.error().message);
  }

  void dump(const V& value) {
    bytes_.clear();
    spec().changelog.value_codec.dump(value, bytes_);
  }

  // Not by the type's own ==, which may leave members out, and of std::vector exists where it does not compile.
  bool same(const V& a, const V& b) {
    if constexpr (std::is_same_v<V, std::string>) {
      return a == b;
    } else if constexpr (std::has_unique_object_representations_v<V> || std::is_same_v<V, double>) {
      return std::memcmp(&a, &b, sizeof(V)) == 0;
    } else {
      dump(a);
      const std::string first{bytes_.view()};
      dump(b);
      return first == bytes_.view();
    }
  }

  KeyForm keys_;
  std::function<V()> initial_;
  Map rows_;
  std::size_t held_ = 0;  // about how many bytes the rows take
  std::size_t most_held_ = kMostHeld;
  std::uint32_t changes_ = 0;  // how many there were
  Changes merged_;             // the rows that changed since the last prepare(), and what they were
  Changes prepared_;           // those that are on their way into the changelog
  Buffer bytes_;
  WaitQueue freed_;
};

// What a unit of work has read and changed. Entries keep their address and are used again.
template <class V>
class Rows<V>::Change : public TableChange {
 public:
  ~Change() override { clear(); }

  Rows& rows() const { return static_cast<Rows&>(*part); }

  // The value as the unit sees it; null if the key is absent. Valid until the unit's next call.
  const V* get(std::string_view key) {
    auto& row = rows().row(key);
    if (row.entry != nullptr && row.entry->change == this) return row.entry->exists ? &row.entry->value : nullptr;
    ++row.users;
    if (reads_.empty()) changes_before_ = rows().changes_;
    reads_.emplace_back(&row, row.version);
    return rows().is_there(key, row) ? &row.value : nullptr;
  }

  // The value to be changed, which stays valid until the unit is done. An absent key gets the initial value first.
  V& edit(std::string_view key, UnitOfWork& unit) {
    auto& entry = own(key, unit);
    if (!std::exchange(entry.exists, true)) entry.value = rows().initial();
    return entry.value;
  }
  void set(std::string_view key, V value, UnitOfWork& unit) {
    auto& entry = own(key, unit);
    entry.exists = true;
    entry.value = std::move(value);
  }
  // The same for a key that the unit knows to be absent, and for one that a scan has just shown with these bytes. They
  // save a look into the store. Only in tables whose rows do not expire.
  void set_absent(std::string_view key, V value, UnitOfWork& unit) {
    auto& entry = own(key, unit, Known{});
    MEPHISTO_ASSERT(!entry.exists, "the key is absent");
    entry.exists = true;
    entry.value = std::move(value);
  }
  void erase_shown(std::string_view key, std::string_view bytes, UnitOfWork& unit) {
    own(key, unit, Known{bytes}).exists = false;
  }
  // Gives the value that was erased, if there was one.
  std::optional<V> erase(std::string_view key, UnitOfWork& unit) {
    auto& entry = own(key, unit);
    if (!std::exchange(entry.exists, false)) return std::nullopt;
    return std::move(entry.value);
  }

  // The changed rows with from <= key < to in the order of their keys.
  Order::Range range(std::string_view from, std::string_view to) {
    return order_.range(from, to, used_, [this](std::size_t i) { return entries_[i]->at; });
  }

  void clear() override {
    for (auto& [row, version] : reads_) --row->users;
    reads_.clear();
    for (std::size_t i = 0; i < used_; ++i) {
      auto& row = entries_[i]->at->row;
      row.entry = nullptr;
      --row.users;
    }
    if (used_ > 0 && !rows().freed_.empty()) rows().freed_.notify_all();
    if (bound) rows().forget_unused();
    used_ = 0;
    order_.clear();
    bound = false;
    others.clear();
  }

 private:
  friend class Rows;

  Entry& own(std::string_view key, UnitOfWork& unit, const std::optional<Known>& known = {}) {
    auto& at = rows().find(key, known);
    auto& row = at.row;
    if (row.entry != nullptr) {
      if (row.entry->change == this) return *row.entry;
      conflict(unit);
    }
    // A unit may have read very many rows: they are searched only if the row has changed since the first of them.
    if (!reads_.empty() && static_cast<std::int32_t>(row.version - changes_before_) > 0) {
      for (const auto& [seen, version] : reads_) {
        if (seen == &row && version != row.version) conflict(unit);
      }
    }
    if (used_ == entries_.size()) entries_.push_back(std::make_unique<Entry>());
    auto& entry = *entries_[used_++];
    entry.at = &at;
    entry.value = row.value;
    entry.exists = rows().is_there(key, row);
    entry.change = this;
    row.entry = &entry;
    ++row.users;
    return entry;
  }

  [[noreturn]] void conflict(UnitOfWork& unit) {
    unit.conflict = &rows().freed_;
    throw UnitConflict{};
  }

  std::vector<std::unique_ptr<Entry>> entries_;
  std::size_t used_ = 0;
  Order order_;
  std::vector<std::pair<Row*, std::uint32_t>> reads_;
  std::uint32_t changes_before_ = 0;  // the first of them
};

}  // namespace mephisto::detail
