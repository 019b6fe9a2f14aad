// Hashes that are part of a format: murmur2 chooses partitions (as in Kafka's Java client and Faust), CRC-32C protects
// stored bytes.
#pragma once

#include <cstdint>
#include <string_view>

namespace mephisto {

// Kafka's murmur2 (seed 0x9747b28c), as org.apache.kafka.common.utils.Utils.murmur2 computes it.
std::uint32_t murmur2(std::string_view bytes);

// The partition of a key among `partitions`: (murmur2 & 0x7fffffff) % partitions.
inline int partition_of_key(std::string_view key, int partitions) {
  return static_cast<int>((murmur2(key) & 0x7fffffffU) % static_cast<std::uint32_t>(partitions));
}

// CRC-32C (Castagnoli) of `bytes`, continuing from `seed`.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0);

}  // namespace mephisto
