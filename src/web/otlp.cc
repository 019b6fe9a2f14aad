// The numbers of the fields are those of the files metrics.proto, common.proto and resource.proto there.
#include "web/otlp.h"

#include <cmath>

#include "base/text.h"
#include "mephisto/base/version.h"
#include "web/otlp_message.h"

namespace mephisto {
namespace otlp {
namespace {

using protobuf::Message;

constexpr std::string_view kScope = "mephisto";

// Protobuf refuses a message with a text that is not UTF-8.
std::string utf8(std::string_view text) { return valid_utf8(text) ? std::string{text} : printable(text, kWhole); }

}  // namespace

void attribute(Message& message, int field, std::string_view name, std::string_view value) {
  message.message(field, Message{}.text(1, name).message(2, Message{}.text(1, utf8(value))));
}

void attribute(Message& message, int field, std::string_view name, std::int64_t value) {
  message.message(field, Message{}.text(1, name).message(2, Message{}.number(3, static_cast<std::uint64_t>(value))));
}

std::uint64_t nanoseconds(Microtime time) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds{time.time_since_epoch()}.count());
}

// Source of the names: opentelemetry.io/docs/specs/semconv/resource.
std::string request(const OtlpSource& source, const Message& items) {
  Message resource;
  attribute(resource, 1, "service.name", source.service);
  attribute(resource, 1, "service.instance.id", source.instance);
  attribute(resource, 1, "telemetry.sdk.name", kScope);
  attribute(resource, 1, "telemetry.sdk.language", "cpp");
  attribute(resource, 1, "telemetry.sdk.version", MEPHISTO_VERSION);
  Message scope;
  scope.message(1, Message{}.text(1, kScope).text(2, MEPHISTO_VERSION)).append(items);
  return Message{}.message(1, Message{}.message(1, resource).message(2, scope)).bytes();
}

}  // namespace otlp

namespace {

using protobuf::Message;

constexpr std::uint64_t kCumulative = 2;

std::string_view unit_of(std::string_view name) {
  if (name.ends_with("_total")) name.remove_suffix(std::string_view{"_total"}.size());
  return name.ends_with("_seconds") ? "s" : name.ends_with("_bytes") ? "By" : "1";
}

struct Times {
  std::uint64_t since;
  std::uint64_t now;
};

// The explicit buckets: each without those before, and one above the last bound.
void buckets(Message& point, const HistogramSample& sample) {
  Message counts;
  Message bounds;
  std::uint64_t before = 0;
  for (int exponent = sample.first; exponent <= sample.last; ++exponent) {
    const auto up_to = sample.histogram.up_to(exponent);
    counts.raw(up_to - before);
    bounds.raw(std::ldexp(1.0, exponent));
    before = up_to;
  }
  const auto count = sample.histogram.count();
  counts.raw(count - before);
  point.fixed(4, count).real(5, sample.histogram.sum).message(6, counts).message(7, bounds);
}

Message data_point(MetricFamily::Type type, const MetricFamily::Sample& sample, Times times) {
  const bool histogram = type == MetricFamily::Type::kHistogram;
  Message point;
  for (const auto& [name, value] : sample.labels) otlp::attribute(point, histogram ? 9 : 7, name, value);
  if (type != MetricFamily::Type::kGauge) point.fixed(2, times.since);
  point.fixed(3, times.now);
  if (histogram)
    buckets(point, *std::get<1>(sample.value));
  else
    point.real(4, std::get<double>(sample.value));
  return point;
}

Message metric(const MetricFamily& family, Times times) {
  Message data;
  for (const auto& sample : family.samples) data.message(1, data_point(family.type, sample, times));
  Message out;
  out.text(1, family.name).text(2, family.help).text(3, unit_of(family.name));
  switch (family.type) {
    case MetricFamily::Type::kGauge: return out.message(5, data);
    case MetricFamily::Type::kCounter: return out.message(7, data.number(2, kCumulative).number(3, 1));
    case MetricFamily::Type::kHistogram: break;
  }
  return out.message(9, data.number(2, kCumulative));
}

// The bytes of a field of a message; empty if it has none.
std::string_view field_of(std::string_view message, std::uint64_t number) {
  for (protobuf::Field field; protobuf::take_field(message, field);) {
    if (field.number == number) return field.bytes;
  }
  return {};
}

}  // namespace

std::string write_otlp_metrics(const OtlpSource& source, const MetricFamilies& families, Microtime since,
                               Microtime now) {
  const Times times{otlp::nanoseconds(since), otlp::nanoseconds(now)};
  Message metrics;
  for (const auto& family : families.all()) {
    if (!family.samples.empty()) metrics.message(2, metric(family, times));
  }
  return otlp::request(source, metrics);
}

std::uint64_t count_samples(const MetricFamilies& families) {
  std::uint64_t count = 0;
  for (const auto& family : families.all()) count += family.samples.size();
  return count;
}

OtlpRejected rejected_by_collector(std::string_view body) {
  OtlpRejected out;
  auto partial = field_of(body, 1);
  for (protobuf::Field field; protobuf::take_field(partial, field);) {
    if (field.number == 1) out.count = static_cast<std::int64_t>(field.value) < 0 ? 0 : field.value;
    if (field.number == 2) out.why = printable(field.bytes, 200);
  }
  return out;
}

std::string refusal_of_collector(std::string_view body) { return printable(field_of(body, 2), 200); }

}  // namespace mephisto
