#include "mephisto/topic.h"

#include <fmt/format.h>

#include "mephisto/stream/outbox.h"

namespace mephisto {

detail::TopicSpec::TopicSpec() = default;
detail::TopicSpec::~TopicSpec() = default;
detail::TopicSpec::TopicSpec(const TopicSpec&) = default;
detail::TopicSpec& detail::TopicSpec::operator=(const TopicSpec&) = default;
detail::TopicSpec::TopicSpec(TopicSpec&&) noexcept = default;
detail::TopicSpec& detail::TopicSpec::operator=(TopicSpec&&) noexcept = default;

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

TopicBase::TopicBase(detail::TopicSpec spec) : spec_(std::move(spec)) {}
TopicBase::~TopicBase() = default;

Task<RecordMetadata> TopicBase::send_raw(std::optional<std::string> value, SendOptions options) const {
  detail::Encoded encoded;
  if (value) encoded.bytes.emplace().append(*value);
  return detail::send_and_wait(spec_, std::move(options), std::move(encoded));
}

namespace {

bool cast_at(detail::Outbox& outbox, const detail::TopicSpec& topic, const SendOptions& options,
             detail::WriteValue write, const void* value) {
  auto& collector = outbox.collector();
  const auto* handle = collector.has_room() ? outbox.topics().known(topic) : nullptr;
  if (handle == nullptr) return false;
  collector.cast(*handle, options, topic.value_codec, write, value, detail::current_unit());
  return true;
}

// Of a task that gives headers to what it sends, or outside of a worker and client.
[[gnu::cold]] bool cast_with_headers(const detail::TopicSpec& topic, SendOptions options, detail::WriteValue write,
                                     const void* value) {
  auto& outbox = detail::Outbox::current(topic.name, options);
  return cast_at(outbox, topic, options, write, value);
}

}  // namespace

bool detail::cast_now(const TopicSpec& topic, const SendOptions& options, WriteValue write, const void* value) {
  if (auto* outbox = Outbox::direct()) return cast_at(*outbox, topic, options, write, value);
  return cast_with_headers(topic, options, write, value);
}

detail::Encoded detail::encode(const TopicSpec& topic, WriteValue write, const void* value) {
  Encoded encoded;
  try {
    write(topic.value_codec, value, encoded.bytes.emplace());
  } catch (...) {
    encoded.error = std::current_exception();
  }
  return encoded;
}

namespace {

std::optional<std::string_view> bytes_of(const detail::Encoded& value) {
  if (value.error) std::rethrow_exception(value.error);
  return value.bytes ? std::optional{value.bytes->view()} : std::nullopt;
}

}  // namespace

Task<void> detail::cast_later(const TopicSpec& topic, SendOptions options, Encoded value) {
  auto& outbox = Outbox::current(topic.name, options);
  co_await outbox.collector().room();
  const auto* handle = co_await outbox.topics().resolve(topic);
  value_or_throw(outbox.collector().add(*handle, outbox.collector().partition_of(*handle, options), options,
                                        bytes_of(value), current_unit()));
}

Task<RecordMetadata> detail::send_and_wait(const TopicSpec& topic, SendOptions options, Encoded value) {
  auto& outbox = Outbox::current(topic.name, options);
  co_await outbox.collector().room();
  const auto* handle = co_await outbox.topics().resolve(topic);
  const int partition = outbox.collector().partition_of(*handle, options);
  const auto ticket =
      value_or_throw(outbox.collector().add(*handle, partition, options, bytes_of(value), current_unit(), true));
  co_return co_await outbox.tickets().sent(ticket, topic.name, partition);
}

}  // namespace mephisto
