// The compression codecs of Kafka's record batches.
#pragma once

#include <memory>
#include <string_view>

#include "mephisto/error.h"

namespace mephisto::kafka {

struct Plain {
  std::shared_ptr<char[]> bytes;
  std::size_t size = 0;  // without the padding
};

// The plain bytes, followed by `padding` zeros. `codec` is Kafka's number: 1 gzip, 2 snappy (also in Java's framing), 3
// lz4, 4 zstd. kCorrupt for invalid data, and for more than kMostPlainBytes.
Result<Plain> decompress(int codec, std::string_view compressed, std::size_t padding);
inline constexpr std::size_t kMostPlainBytes = 512U << 20;

}  // namespace mephisto::kafka
