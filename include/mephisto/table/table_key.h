// The form of a table's keys in a store. The order of the bytes is the order of the keys (ordered_key.h).
#pragma once

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>

#include "mephisto/table/ordered_key.h"

namespace mephisto::detail {

template <class K>
struct TableKey {
  // The stored form. It is `key` itself, or in `buffer`.
  static std::string_view stored(const K& key, std::string& buffer) {
    if constexpr (std::is_same_v<K, std::string>) {
      return key;
    } else {
      buffer.clear();
      put_ordered(buffer, key);
      return buffer;
    }
  }
  // Throws Failure (kCorrupt) if the bytes are not the stored form of a key.
  static K key(std::string_view stored) {
    if constexpr (std::is_same_v<K, std::string>) {
      return K{stored};
    } else {
      K key{};
      take_ordered(stored, key);
      if (!stored.empty()) throw Failure(ErrorKind::kCorrupt, "a stored key has more bytes than its type");
      return key;
    }
  }

  // The key of a record of a topic that is sent by this key: a text as it is, others as JSON.
  static std::string topic_key(std::string_view stored) {
    if constexpr (std::is_same_v<K, std::string>) {
      return std::string{stored};
    } else {
      Buffer json;
      write_json(stored, json);
      return std::string{json.view()};
    }
  }

  // The form in the changelog, which is Faust's: JSON.
  static void write_json(std::string_view stored, Buffer& out) { json::write(out, key(stored), Dialect::kOrjson); }
  static Result<std::string> stored_of_json(std::string_view json) {
    auto key = from_json<K>(json);
    if (!key) return fail(ErrorKind::kCorrupt, "a key cannot be read: " + key.error().message);
    std::string buffer;
    return std::string{stored(*key, buffer)};
  }
};

}  // namespace mephisto::detail
