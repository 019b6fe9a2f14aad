// What every log takes at most.
#pragma once

#include <cstddef>

namespace mephisto {

inline constexpr std::size_t kMaxRecordBytes = 16 << 20;  // key and value together
inline constexpr std::size_t kMaxHeaderBytes = 64 << 10;  // all headers of a record together, as they are stored
inline constexpr int kMaxPartitions = 4096;               // of a topic
inline constexpr int kMaxTopics = 10'000;
inline constexpr std::size_t kMaxTopicName = 249;  // letters, digits, '.', '_', '-'

}  // namespace mephisto
