// How a record is sent, and where the log stored it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mephisto/log/record_batch.h"
#include "mephisto/base/time.h"

namespace mephisto {

struct SendOptions {
  std::optional<std::string> key{};
  std::optional<int> partition{};
  std::optional<Timestamp> timestamp{};  // without a value: now
  std::vector<Header> headers{};
};

struct RecordMetadata {
  std::string topic;
  int partition = 0;
  std::int64_t offset = -1;  // -1: sent inside an exactly-once event; the offset is known only after the event
  Timestamp timestamp{};
};

}  // namespace mephisto
