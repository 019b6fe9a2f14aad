// Record batches as Kafka's brokers send them, made by hand for the tests and the fuzzer of the reader.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/hash.h"

namespace mephisto::test {

struct KafkaRecord {
  std::int64_t offset_delta = 0;
  std::int64_t time_delta = 0;
  std::optional<std::string> key;
  std::optional<std::string> value;
  std::vector<std::pair<std::string, std::optional<std::string>>> headers;
};

struct KafkaBatch {
  std::int64_t base = 0;
  std::int32_t last_delta = -1;  // -1: that of the last record
  std::int16_t attributes = 0;
  std::int64_t base_time = 0;
  std::int64_t max_time = 0;
  std::int64_t producer = -1;
  std::vector<KafkaRecord> records;
};

inline std::string big_endian(std::uint64_t value, std::size_t bytes) {
  std::string text;
  for (std::size_t i = bytes; i-- > 0;) text += static_cast<char>(value >> (8 * i));
  return text;
}

inline std::string zigzag(std::int64_t value) {
  auto left = (static_cast<std::uint64_t>(value) << 1U) ^ static_cast<std::uint64_t>(value >> 63U);
  std::string text;
  for (; left >= 0x80; left >>= 7U) text += static_cast<char>(left | 0x80U);
  return text + static_cast<char>(left);
}

inline std::string counted(const std::optional<std::string>& text) {
  return text ? zigzag(static_cast<std::int64_t>(text->size())) + *text : zigzag(-1);
}

inline std::string records_of(const KafkaBatch& batch) {
  std::string all;
  for (const auto& one : batch.records) {
    std::string record = '\0' + zigzag(one.time_delta) + zigzag(one.offset_delta) + counted(one.key) +
                         counted(one.value) + zigzag(static_cast<std::int64_t>(one.headers.size()));
    for (const auto& [name, value] : one.headers) record += counted(name) + counted(value);
    all += zigzag(static_cast<std::int64_t>(record.size())) + record;
  }
  return all;
}

// Updates the checksum.
inline void seal(std::string& stored) {
  stored.replace(17, 4, big_endian(crc32c(std::string_view{stored}.substr(21)), 4));
}

// The batch with `records` in the form in which a broker stores it. `records` replaces its own records, plain or
// compressed.
inline std::string stored(const KafkaBatch& batch, const std::string& records) {
  const auto last = batch.last_delta >= 0
                        ? batch.last_delta
                        : static_cast<std::int32_t>(batch.records.empty() ? 0 : batch.records.back().offset_delta);
  const auto put = [](std::int64_t value, std::size_t bytes) {
    return big_endian(static_cast<std::uint64_t>(value), bytes);
  };
  auto text = put(batch.base, 8) + put(static_cast<std::int64_t>(49 + records.size()), 4) + put(0, 4) + '\2' +
              put(0, 4) + put(batch.attributes, 2) + put(last, 4) + put(batch.base_time, 8) + put(batch.max_time, 8) +
              put(batch.producer, 8) + put(0, 2) + put(0, 4) + put(static_cast<std::int64_t>(batch.records.size()), 4) +
              records;
  seal(text);
  return text;
}
inline std::string stored(const KafkaBatch& batch) { return stored(batch, records_of(batch)); }

// The marker that ends a transaction of `producer`.
inline std::string mark(std::int64_t offset, std::int64_t producer, bool committed) {
  const auto kind = committed ? std::string{"\0\0\0\1", 4} : std::string(4, '\0');
  return stored({.base = offset,
                 .attributes = 0x30,
                 .producer = producer,
                 .records = {{.key = kind, .value = std::string(6, '\0')}}});
}

}  // namespace mephisto::test
