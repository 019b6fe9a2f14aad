// Metrics and traces as messages of OTLP 1 (github.com/open-telemetry/opentelemetry-proto), and what a collector
// answers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "mephisto/base/time.h"
#include "mephisto/stream/tracer.h"
#include "web/metric_families.h"

namespace mephisto {

// What sends: the app, and its worker.
struct OtlpSource {
  std::string service;
  std::string instance;
};

// With the names, labels and buckets of /metrics. Counters have counted since `since`.
std::string write_otlp_metrics(const OtlpSource& source, const MetricFamilies& families, Microtime since,
                               Microtime now);
std::uint64_t count_samples(const MetricFamilies& families);

// `system` is the log, as OpenTelemetry names it.
std::string write_otlp_traces(const OtlpSource& source, std::string_view system, std::span<const detail::Span> spans);

// What a collector has not taken of a request that it has accepted; nothing if `body` is no such answer.
struct OtlpRejected {
  std::uint64_t count = 0;
  std::string why{};
};
OtlpRejected rejected_by_collector(std::string_view body);
// Why it has not accepted a request, if the answer says so.
std::string refusal_of_collector(std::string_view body);

}  // namespace mephisto
