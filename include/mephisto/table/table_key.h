// The form of a table's keys in a store. The order of the bytes is the order of the keys: texts by their bytes,
// integers by value. Keys of other types are ordered by their JSON.
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>

#include "mephisto/codec/json_read.h"
#include "mephisto/codec/json_write.h"
#include "mephisto/table/ordered_bytes.h"

namespace mephisto::detail {

template <class K>
concept IntegerKey = std::integral<K> && !std::is_same_v<K, bool>;

template <class K>
struct TableKey {
  static_assert(!std::is_same_v<K, std::uint64_t>, "a table's key of 64 bits has a sign: use std::int64_t");

  // The stored form. It is `key` itself, or in `buffer`.
  static std::string_view stored(const K& key, std::string& buffer) {
    if constexpr (std::is_same_v<K, std::string>) {
      return key;
    } else if constexpr (IntegerKey<K>) {
      buffer.clear();
      put_number(buffer, static_cast<std::int64_t>(key));
      return buffer;
    } else {
      Buffer json;
      json::write(json, key, Dialect::kOrjson);
      return buffer = json.view();
    }
  }
  // Throws Failure (kCorrupt) if the bytes are not the stored form of a key.
  static K key(std::string_view stored) {
    if constexpr (std::is_same_v<K, std::string>)
      return K{stored};
    else if constexpr (IntegerKey<K>)
      return static_cast<K>(of_number(stored));
    else
      return of_json(stored);
  }

  // The form in the changelog, which is Faust's: JSON.
  static void write_json(std::string_view stored, Buffer& out) {
    if constexpr (std::is_same_v<K, std::string> || IntegerKey<K>)
      json::write(out, key(stored), Dialect::kOrjson);
    else
      out.append(stored);
  }
  static std::string stored_of_json(std::string_view json) {
    std::string buffer;
    return std::string{stored(of_json(json), buffer)};
  }

 private:
  static std::int64_t of_number(std::string_view stored) {
    if (stored.size() != sizeof(std::int64_t))
      throw Failure(ErrorKind::kCorrupt, "a stored integer key has " + std::to_string(stored.size()) + " bytes, not 8");
    return read_number(stored);
  }
  static K of_json(std::string_view json) {
    auto key = from_json<K>(json);
    if (!key) throw Failure(ErrorKind::kCorrupt, "a key cannot be read: " + key.error().message);
    return std::move(*key);
  }
};

}  // namespace mephisto::detail
