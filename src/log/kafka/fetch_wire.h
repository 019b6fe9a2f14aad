// The bytes of the two requests that Reader makes: which versions a broker knows, and records (Kafka's protocol guide,
// ApiVersions version 0 and Fetch version 10; numbers are big-endian).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "log/big_endian.h"
#include "mephisto/base/buffer.h"
#include "mephisto/log.h"

namespace mephisto::kafka::wire {

inline constexpr std::int16_t kFetch = 1;
// Kafka 2.1 and later. From version 11 on a broker that only follows the partition's leader answers too, however far
// behind it is.
inline constexpr std::int16_t kFetchVersion = 10;
inline constexpr std::int16_t kApiVersions = 18;

template <class T>
T get(const char* at) {
  return static_cast<T>(get_big_endian({at, sizeof(T)}));
}

// A partition that is asked for.
struct Wanted {
  const TopicPartition* partition;
  std::int64_t offset = 0;
  std::size_t max_bytes = 0;
};

struct FetchLimits {
  std::chrono::milliseconds wait;  // at most so long until there is something
  std::size_t bytes = 0;           // of the whole reply, unless the first batch is larger
  bool uncommitted = false;        // also what is of an open transaction or lies behind its begin
};

// The requests with their lengths, ready to be sent.
Buffer api_versions_request(std::string_view client, std::int32_t correlation);
Buffer fetch_request(std::string_view client, std::int32_t correlation, const FetchLimits& limits,
                     const std::vector<Wanted>& wanted);

// Whether `body`, a broker's answer to ApiVersions behind its correlation, has Fetch in our version. kCorrupt where it
// is no such answer.
Result<bool> knows_fetch(std::string_view body);

}  // namespace mephisto::kafka::wire
