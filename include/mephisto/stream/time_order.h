// How an agent on several topics takes their records.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "mephisto/error.h"
#include "mephisto/log/topic_config.h"
#include "mephisto/loop.h"

namespace mephisto::detail {

struct TimeOrder {
  // Of the records with one partition number in these topics, the one with the smallest time comes first; at equal
  // times, that of an earlier topic. No topic: records come in the order of their arrival.
  std::vector<std::string> topics{};
  // How long a record waits for a topic of which all records have been read.
  Loop::duration idle{};
  // The log's.
  std::function<Task<Result<Watermarks>>(TopicPartition)> readable{};
};

}  // namespace mephisto::detail
