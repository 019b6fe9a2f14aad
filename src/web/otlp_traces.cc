// The numbers of the fields are those of the file trace.proto. Source of the names:
// opentelemetry.io/docs/specs/semconv/messaging.
#include <fmt/format.h>

#include "base/big_endian.h"
#include "web/otlp_message.h"

namespace mephisto {
namespace {

using detail::TraceContext;
using protobuf::Message;

constexpr std::uint64_t kConsumer = 5;
constexpr std::uint64_t kError = 2;

std::string id(std::uint64_t number) {
  std::string bytes;
  put_big_endian(bytes, number);
  return bytes;
}

std::string trace_id(const TraceContext& context) { return id(context.high) + id(context.low); }

// Nothing of the record itself: its key and value may be secret.
Message attributes(const OtlpSource& source, std::string_view system, const detail::Span& span) {
  Message out;
  const auto add = [&](std::string_view name, auto value) { otlp::attribute(out, 9, name, value); };
  const auto number = [](auto value) { return static_cast<std::int64_t>(value); };
  add("messaging.system", system);
  add("messaging.operation.name", std::string_view{"process"});
  add("messaging.operation.type", std::string_view{"process"});
  add("messaging.destination.name", std::string_view{span.partition.topic});
  add("messaging.destination.partition.id", std::string_view{std::to_string(span.partition.partition)});
  add("messaging.consumer.group.name", std::string_view{source.service});
  add("messaging.kafka.offset", span.offset);
  add("messaging.message.body.size", number(span.value_bytes));
  add("mephisto.message.key.size", number(span.key_bytes));
  add("mephisto.agent", std::string_view{span.agent});
  if (span.events > 1) add("messaging.batch.message_count", number(span.events));
  if (span.attempt > 0) add("mephisto.attempt", number(span.attempt));
  if (span.given_back) add("mephisto.outcome", std::string_view{"given_back"});
  if (!span.error.empty()) add("error.type", span.error);
  return out;
}

Message message_of(const OtlpSource& source, std::string_view system, const detail::Span& span) {
  Message out;
  out.text(1, trace_id(span.context)).text(2, id(span.context.span));
  if (!span.state.empty()) out.text(3, span.state);
  if (span.parent != 0) out.text(4, id(span.parent));
  out.text(5, fmt::format("process {}", span.partition.topic)).number(6, kConsumer);
  out.fixed(7, otlp::nanoseconds(span.begun)).fixed(8, otlp::nanoseconds(span.ended));
  out.append(attributes(source, system, span));
  for (const auto& link : span.links) out.message(13, Message{}.text(1, trace_id(link)).text(2, id(link.span)));
  if (!span.error.empty()) out.message(15, Message{}.text(2, span.error).number(3, kError));
  return out;
}

}  // namespace

std::string write_otlp_traces(const OtlpSource& source, std::string_view system, std::span<const detail::Span> spans) {
  Message all;
  for (const auto& span : spans) all.message(2, message_of(source, system, span));
  return otlp::request(source, all);
}

}  // namespace mephisto
