// A topic of the framework's own: one partition, compacted.
#pragma once

#include <optional>
#include <string>

#include "mephisto/log.h"

namespace mephisto::detail {

// Creates the topic if it is not there and `config` is given. Returns whether it is there now.
Task<bool> make_compacted_topic(Log& log, std::string name, std::optional<TopicConfig> config);

}  // namespace mephisto::detail
