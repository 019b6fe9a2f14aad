#include "app/compacted_topic.h"

namespace mephisto::detail {

Task<bool> make_compacted_topic(Log& log, std::string name, std::optional<TopicConfig> config) {
  if (config) {
    config->partitions = 1;
    config->compact = true;
    value_or_throw(co_await log.create_topic(std::move(name), *config, IfExists::kKeep));
    co_return true;
  }
  const auto found = co_await log.topic(std::move(name));
  if (!found && found.error().kind == ErrorKind::kNotFound) co_return false;
  value_or_throw(found);
  co_return true;
}

}  // namespace mephisto::detail
