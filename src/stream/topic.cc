#include "mephisto/topic.h"

#include <fmt/format.h>

namespace mephisto {

detail::TopicSpec detail::make_spec(std::string name, const TopicOptions& options) {
  if (auto valid = check_topic_name(name); !valid) throw Failure(valid.error());
  TopicSpec spec;
  spec.name = std::move(name);
  spec.partitions_set = options.partitions > 0;
  if (spec.partitions_set) spec.config.partitions = options.partitions;
  spec.config.retention = options.retention;
  spec.config.retention_bytes = options.retention_bytes;
  spec.config.compact = options.compacting;
  spec.internal = options.internal;
  spec.help = options.help;
  auto codec = Codec::parse(options.serializer);
  if (!codec) throw Failure(codec.error().kind, fmt::format("topic {}: {}", spec.name, codec.error().message));
  spec.value_codec = std::move(*codec);
  return spec;
}

Task<RecordMetadata> TopicBase::send_raw(std::optional<std::string> value, SendOptions options) const {
  auto& outbox = detail::Outbox::current(spec_.name);
  co_await outbox.collector().room();
  const auto* handle = co_await outbox.topics().resolve(spec_);
  const int partition = outbox.collector().partition_of(*handle, options);
  auto ticket = value_or_throw(outbox.collector().add(*handle, partition, options,
                                                      value ? std::optional<std::string_view>{*value} : std::nullopt,
                                                      detail::current_unit(), true));
  co_return co_await outbox.tickets().sent(ticket, spec_.name, partition);
}

}  // namespace mephisto
