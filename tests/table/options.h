// Options that many tests of tables give: where a topic's records are, and which key, partition and time they have.
#pragma once

#include <chrono>
#include <string>

#include "mephisto/mephisto.h"

namespace mephisto::tests {

inline TopicOptions partitions(int count) {
  TopicOptions options;
  options.partitions = count;
  return options;
}

inline SendOptions keyed(const std::string& key) {
  SendOptions options;
  options.key = key;
  return options;
}

inline SendOptions to(int partition) {
  SendOptions options;
  options.partition = partition;
  return options;
}

inline SendOptions at(std::chrono::milliseconds time) {
  SendOptions options;
  options.timestamp = Timestamp{time};
  return options;
}

}  // namespace mephisto::tests
