// GlobalTable<K, V>: a table of which every worker has all keys, for what all events need: prices, settings, names.
//
//   auto& rates = app.global_table<std::string, double>("rates");
//   … rates.get(order->currency) …                     // in agents, timers, tasks and commands
//   co_await rates.set("EUR", 1.08);                   // in any of them too
//
// The table is what its topic ID-NAME-changelog says, and every shard follows that topic. So a write is not visible at
// once: it goes to the topic with the event or the timer's run that made it, or not at all, and each copy has it when
// it has read it back. Partitions begin when the copy has what the topic had at the start; so do timers and tasks.
//
// Each shard keeps a copy in memory.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/table.h"

namespace mephisto {

template <class V>
struct GlobalTableOptions {
  V initial{};                      // of an absent key
  int partitions = 0;               // of the topic; 0: the setting topic_partitions
  std::string serializer = "json";  // codec chain of the values in the topic
  std::string help{};
};

namespace detail {

template <class V>
class GlobalRows : public GlobalCopy {
 public:
  struct Row {
    V value{};
    int partition = 0;
    std::size_t bytes = 0;
  };
  using Map = std::map<std::string, Row, std::less<>>;

  GlobalRows(Result<std::string> (*stored_of_json)(std::string_view), void (*write_json)(std::string_view, Buffer&),
             const Codec& codec)
      : stored_of_json_(stored_of_json), write_json_(write_json), codec_(codec) {}

  const Map& rows() const { return rows_; }

  void apply(int partition, std::string_view key, std::optional<std::string_view> value) override {
    Row row{{}, partition, 0};
    if (value) {
      if (auto read = codec_.load(*value, row.value); !read) throw Failure(std::move(read.error()));
    }
    auto stored = value_or_throw(stored_of_json_(key));
    if (const auto before = rows_.find(stored); before != rows_.end()) {
      auto& size = sizes_[before->second.partition];
      --size.keys;
      size.bytes -= before->second.bytes;
      rows_.erase(before);
    }
    if (!value) return;
    row.bytes = key.size() + value->size();
    auto& size = sizes_[partition];
    ++size.keys;
    size.bytes += row.bytes;
    rows_.emplace(std::move(stored), std::move(row));
  }
  std::optional<std::string> visit(std::string_view from, std::string_view to, std::size_t most,
                                   const RowVisit& visit) const override {
    Buffer key;
    Buffer value;
    for (auto row = rows_.lower_bound(from); row != rows_.end() && (to.empty() || row->first < to); ++row) {
      if (most-- == 0) return row->first;
      key.clear();
      write_json_(row->first, key);
      value.clear();
      codec_.dump(row->second.value, value);
      visit(row->second.partition, key.view(), value.view());
    }
    return std::nullopt;
  }
  std::optional<Result<std::string>> stored_key(std::string_view key) const override { return stored_of_json_(key); }

 private:
  Result<std::string> (*stored_of_json_)(std::string_view);
  void (*write_json_)(std::string_view, Buffer&);
  const Codec& codec_;
  Map rows_;
};

}  // namespace detail

template <class K, class V>
class GlobalTable : public TableBase {
  using Rows = detail::GlobalRows<V>;
  using Key = detail::TableKey<K>;

 public:
  using key_type = K;
  using value_type = V;

  GlobalTable(detail::TableSpec spec, V initial)
      : TableBase(std::move(spec)), initial_(std::move(initial)), topic_(spec_.changelog) {}

  // The value of an absent key.
  const V& initial() const { return initial_; }

  // The value, or the initial value if the key is absent.
  V get(const K& key) const {
    const auto* value = peek(key);
    return value == nullptr ? initial_ : *value;
  }
  std::optional<V> find(const K& key) const {
    const auto* value = peek(key);
    return value == nullptr ? std::nullopt : std::optional<V>{*value};
  }
  bool contains(const K& key) const { return peek(key) != nullptr; }
  // The value; null if the key is absent. Valid until the caller awaits something.
  const V* peek(const K& key) const {
    std::string buffer;
    const auto& rows = this->rows();
    const auto found = rows.find(Key::stored(key, buffer));
    return found == rows.end() ? nullptr : &found->second.value;
  }

  // Calls `visit(key, value)` for all keys in their order, until it returns false. `visit` awaits nothing.
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
  std::size_t size() const { return rows().size(); }

  // In an agent or timer the write goes to the topic when the event or the run counts; otherwise it is on its way when
  // this returns.
  Cast set(const K& key, const V& value) const {
    auto* unit = unit_or_null();
    if (unit == nullptr) return topic_.cast(value, options(key));
    Buffer bytes;
    spec_.changelog.value_codec.dump(value, bytes);
    write(*unit, key, std::string{bytes.view()});
    return {};
  }
  Cast erase(const K& key) const {
    auto* unit = unit_or_null();
    if (unit == nullptr) return Cast{send_tombstone(options(key))};
    write(*unit, key, std::nullopt);
    return {};
  }

  // Waits until this copy has everything that is in the topic now. A command calls it before it reads.
  Task<void> caught_up() const { return catch_up(); }

  std::unique_ptr<detail::GlobalCopy> make_copy() const override {
    return std::make_unique<Rows>(Key::stored_of_json, Key::write_json, spec_.changelog.value_codec);
  }
  std::string recoded(const Codec& before, std::string_view bytes) const override {
    return detail::recoded<V>(before, spec_.changelog.value_codec, bytes);
  }

 private:
  const typename Rows::Map& rows() const { return static_cast<const Rows&>(global_copy()).rows(); }

  void scan(std::string_view from, std::string_view to, const std::function<bool(const K&, const V&)>& visit) const {
    const auto& rows = this->rows();
    for (auto row = rows.lower_bound(from); row != rows.end() && (to.empty() || row->first < to); ++row) {
      if (!visit(Key::key(row->first), row->second.value)) return;
    }
  }

  std::string wire_key(const K& key) const {
    std::string buffer;
    Buffer json;
    Key::write_json(Key::stored(key, buffer), json);
    return std::string{json.view()};
  }
  SendOptions options(const K& key) const {
    SendOptions options;
    options.key = wire_key(key);
    return options;
  }
  Task<void> send_tombstone(SendOptions options) const {
    (void)co_await topic_.send_raw(std::nullopt, std::move(options));
  }
  void write(detail::UnitOfWork& unit, const K& key, std::optional<std::string> value) const {
    auto& change = unit.change<detail::GlobalChange>(*detail::participants_of(unit)[spec_.number]);
    change.writes.emplace_back(wire_key(key), std::move(value));
  }

  V initial_;
  Topic<V> topic_;
};

}  // namespace mephisto
