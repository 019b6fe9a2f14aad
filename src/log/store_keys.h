// The keys of the log's schema, and values with a checksum of key and value, so that a flipped bit is detected. For
// store.cc and store_batches.cc only.
#pragma once

#include <fmt/format.h>

#include <cstring>
#include <string>

#include "base/hash.h"
#include "base/big_endian.h"
#include "log/kv.h"

namespace mephisto::store {

// The first byte of a key is the kind of its entry.
inline constexpr char kFormatKey[] = "f";
inline constexpr char kTopicNumbersKey[] = "n";
inline constexpr char kTopicPrefix = 't';
inline constexpr char kPartitionPrefix = 'p';
inline constexpr char kBatchPrefix = 'b';
inline constexpr char kGroupPrefix = 'g';
inline constexpr char kCommitPrefix = 'c';

inline std::string key_of(char prefix, std::string_view rest) {
  std::string key{prefix};
  key += rest;
  return key;
}

inline std::string partition_key(char prefix, std::uint32_t topic, int partition) {
  std::string key{prefix};
  put_big_endian(key, topic);
  put_big_endian(key, static_cast<std::uint32_t>(partition));
  return key;
}

inline void put_checked(KvWriter& tx, std::string_view key, std::string value) {
  const auto check = crc32c(value, crc32c(key));
  value.append(reinterpret_cast<const char*>(&check), sizeof check);
  tx.put(key, std::string_view{value});
}

// The value without its checksum. Throws Failure kCorrupt if the checksum is wrong; `what` gives the entry's name for
// the message.
template <class What>
std::string_view checked(const KvEntry& entry, What what) {
  std::uint32_t check = 0;
  if (entry.value.size() >= sizeof check) {
    auto value = entry.value.substr(0, entry.value.size() - sizeof check);
    std::memcpy(&check, entry.value.data() + value.size(), sizeof check);
    if (check == crc32c(value, crc32c(entry.key))) return value;
  }
  throw Failure(
      ErrorKind::kCorrupt,
      fmt::format("the log's record of {} is damaged: its checksum is wrong; restore the folder from a copy", what()));
}

// Entries whose keys start with `prefix`, in order, until `visit` returns false. `visit` may change the store.
template <class Visit>
void scan(KvReader& tx, const std::string& prefix, Visit visit) {
  std::string from = prefix;
  while (auto entry = tx.at_or_after(from)) {
    if (!entry->key.starts_with(prefix)) return;
    from.assign(entry->key);
    from += '\0';
    if (!visit(*entry)) return;
  }
}

}  // namespace mephisto::store
