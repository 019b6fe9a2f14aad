#include "app/compacted_topic.h"

namespace mephisto::detail {

Task<bool> make_compacted_topic(Log& log, std::string name, std::optional<TopicConfig> config) {
  if (config) {
    config->partitions = 1;
    config->compact = true;
    value_or_throw(co_await log.create_topic(std::move(name), *config, IfExists::kKeep));
    co_return true;
  }
  co_return (co_await topic_if_there(log, std::move(name))).has_value();
}

}  // namespace mephisto::detail
