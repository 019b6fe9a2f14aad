// Topics: their names, properties and offsets.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace mephisto {

struct TopicPartition {
  std::string topic{};
  int partition = 0;
  auto operator<=>(const TopicPartition&) const = default;
  std::string str() const { return topic + "/" + std::to_string(partition); }
};

struct TopicConfig {
  int partitions = 8;
  std::optional<std::chrono::milliseconds> retention{};  // delete records older than this; no value: keep them
  std::optional<std::int64_t> retention_bytes{};         // of a partition
  bool compact = false;                                  // keep the last record of each key
  int replicas = 1;                                      // used by drivers with several brokers
};

// The offsets [start, end) that a partition holds; `end` is the offset of the next record.
struct Watermarks {
  std::int64_t start = 0;
  std::int64_t end = 0;
};

}  // namespace mephisto
