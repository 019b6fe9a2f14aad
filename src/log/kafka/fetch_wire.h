// The bytes of FetchSource's requests: ApiVersions version 0 and Fetch version 10 of Kafka's protocol guide. Numbers
// are big-endian.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/big_endian.h"
#include "mephisto/base/buffer.h"
#include "mephisto/log.h"

namespace mephisto::kafka::wire {

inline constexpr std::int16_t kFetch = 1;
// For Kafka 2.1 and later. From version 11 on, followers answer too, however far they lag behind the leader.
inline constexpr std::int16_t kFetchVersion = 10;
inline constexpr std::int16_t kApiVersions = 18;

template <class T>
T get(const char* at) {
  return static_cast<T>(get_big_endian({at, sizeof(T)}));
}

// A requested partition.
struct Wanted {
  const TopicPartition* partition;
  std::int64_t offset = 0;
  std::size_t max_bytes = 0;
};

struct FetchLimits {
  std::chrono::milliseconds wait;  // the broker waits at most this long for a record
  std::size_t bytes = 0;           // the limit of the whole reply, unless its first batch is larger
  bool uncommitted = false;        // also the records of open transactions and after their start (read_uncommitted)
};

// The requests with their length prefix, ready to be sent.
Buffer api_versions_request(std::string_view client, std::int32_t correlation);
Buffer fetch_request(std::string_view client, std::int32_t correlation, const FetchLimits& limits,
                     const std::vector<Wanted>& wanted);

// Whether the broker supports our version of Fetch. `body` is its answer to ApiVersions after the correlation id.
// kCorrupt if `body` is not such an answer.
Result<bool> knows_fetch(std::string_view body);

}  // namespace mephisto::kafka::wire
