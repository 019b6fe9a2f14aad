// SetTable<K, E>: a set of elements for each key.
//
//   auto& friends = app.set_table<std::string, std::string>("friends");
//   friends.add("ann", "bob");
//   friends.contains("ann", "bob"), friends.members("ann")
//
// Each element is a row of its own, ["ann","bob"], so adding to a large set costs no more than to a small one, and the
// changelog survives compaction.
//
// Faust writes operations into its changelog instead: [1,"ann"] with the element that is added. SetForm::kFaust reads
// and writes that, to share the state with a Faust app. Such a changelog is never compacted, so it grows for ever.
#pragma once

#include <functional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "mephisto/table.h"

namespace mephisto {

enum class SetForm : std::uint8_t { kElements, kFaust };

struct SetTableOptions {
  int partitions = 0;  // 0: the setting topic_partitions
  SetForm form = SetForm::kElements;
  bool log_every_update = false;  // otherwise the changes of an element within a commit are one record
  std::string store{};            // memory:// or rocksdb://; empty: the setting `store`
  std::string help{};
};

namespace detail {

// Faust's operations.
enum SetOperation : std::uint8_t { kAdd = 1, kDiscard = 2, kUpdate = 15 };
inline constexpr std::string_view kMember = "1";  // the value of an element's row

template <class K, class E>
struct FaustSetForm {
  using Key = TableKey<std::pair<K, E>>;

  static void write(std::string_view stored, bool exists, Buffer& key, Buffer& value) {
    const auto [of, element] = Key::key(stored);
    json::write(key, std::tuple<int, K>{exists ? kAdd : kDiscard, of}, Dialect::kOrjson);
    json::write(value, element, Dialect::kOrjson);
  }

  static void read(const RecordView& record,
                   std::vector<std::pair<std::string, std::optional<std::string_view>>>& all) {
    const auto [operation, key] = of_json<std::tuple<int, K>>(record.key, "key");
    const auto add = [&](const E& element, bool exists) {
      std::string buffer;
      Key::stored({key, element}, buffer);
      all.emplace_back(std::move(buffer), exists ? std::optional{kMember} : std::nullopt);
    };
    switch (operation) {
      case kAdd:
      case kDiscard: return add(of_json<E>(record.value, "element"), operation == kAdd);
      case kUpdate: {
        const auto [added, removed] = of_json<std::tuple<std::vector<E>, std::vector<E>>>(record.value, "update");
        for (const auto& element : added) add(element, true);
        for (const auto& element : removed) add(element, false);
        return;
      }
      default:
        throw Failure(ErrorKind::kCorrupt, "a set has the operations 1, 2 and 15, not " + std::to_string(operation));
    }
  }

 private:
  template <class T>
  static T of_json(std::string_view json, const char* what) {
    auto read = from_json<T>(json);
    if (!read) throw Failure(ErrorKind::kCorrupt, std::string{what} + " of a set: " + read.error().message);
    return std::move(*read);
  }
};

}  // namespace detail

template <class K, class E>
class SetTable : public Table<std::pair<K, E>, int> {
  using Base = Table<std::pair<K, E>, int>;

 public:
  SetTable(detail::TableSpec spec, SetForm form) : Base(std::move(spec), [] { return 1; }), form_(form) {}

  // Whether the element was not there.
  bool add(const K& key, const E& element) const {
    if (contains(key, element)) return false;
    Base::set({key, element}, 1);
    return true;
  }
  // Whether the element was there.
  bool discard(const K& key, const E& element) const { return Base::erase({key, element}); }
  bool contains(const K& key, const E& element) const { return Base::contains({key, element}); }

  // Calls `visit(element)` for the elements of the key in their order, until it returns false. `visit` must not change
  // the table.
  void each(const K& key, const std::function<bool(const E&)>& visit) const {
    std::string first;
    detail::put_ordered(first, key);
    Base::scan(first, detail::after_prefix(first), [&](const std::pair<K, E>& row, int) { return visit(row.second); });
  }
  std::vector<E> members(const K& key) const {
    std::vector<E> all;
    each(key, [&](const E& element) {
      all.push_back(element);
      return true;
    });
    return all;
  }
  // Discards all elements of the key.
  void clear(const K& key) const {
    for (const auto& element : members(key)) discard(key, element);
  }

 protected:
  std::string topic_key(std::string_view stored) const override {
    std::string buffer;
    using Key = detail::TableKey<K>;
    return Key::topic_key(Key::stored(detail::TableKey<std::pair<K, E>>::key(stored).first, buffer));
  }
  detail::KeyForm key_form() const override {
    auto form = Base::key_form();
    if (form_ == SetForm::kFaust) {
      form.read = detail::FaustSetForm<K, E>::read;
      form.write = detail::FaustSetForm<K, E>::write;
    }
    return form;
  }

 private:
  SetForm form_;
};

}  // namespace mephisto
