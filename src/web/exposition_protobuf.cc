// Metrics as Prometheus' protobuf messages (github.com/prometheus/client_model, io/prometheus/client/metrics.proto),
// the only format that has native histograms. Each message is after its length.
#include <cmath>

#include "web/exposition.h"
#include "web/protobuf.h"

namespace mephisto {
namespace {

using detail::Histogram;
using protobuf::Message;

constexpr int kSchema = 2;  // 2^(1/4) from bound to bound: Histogram's own
static_assert(Histogram::kOctave == 1 << kSchema);

// With the classic buckets, for a Prometheus that does not want native ones.
Message histogram(const HistogramSample& sample) {
  const auto& counts = sample.histogram.counts;
  Message out;
  out.number(1, sample.histogram.count()).real(2, sample.histogram.sum);
  for (int exponent = sample.first; exponent <= sample.last; ++exponent)
    out.message(3, Message{}.number(1, sample.histogram.up_to(exponent)).real(2, std::ldexp(1.0, exponent)));
  out.change(5, kSchema).real(6, std::ldexp(1.0, Histogram::kFirst)).number(7, counts.front());
  std::size_t first = 1;
  auto end = counts.size();
  while (first < end && counts.at(first) == 0) ++first;
  while (end > first && counts.at(end - 1) == 0) --end;
  if (first == end) return out;
  out.message(12,
              Message{}
                  .change(1, static_cast<std::int64_t>(first) + std::int64_t{Histogram::kFirst} * Histogram::kOctave)
                  .number(2, end - first));
  std::uint64_t before = 0;
  for (auto i = first; i < end; before = counts.at(i), ++i)
    out.change(13, static_cast<std::int64_t>(counts.at(i)) - static_cast<std::int64_t>(before));
  return out;
}

Message metric(MetricFamily::Type type, const MetricFamily::Sample& sample) {
  Message out;
  for (const auto& [name, value] : sample.labels) out.message(1, Message{}.text(1, name).text(2, value));
  if (const auto* value = std::get_if<double>(&sample.value))
    return out.message(type == MetricFamily::Type::kGauge ? 2 : 3, Message{}.real(1, *value));
  return out.message(7, histogram(*std::get<1>(sample.value)));
}

constexpr std::uint64_t number_of(MetricFamily::Type type) {
  switch (type) {
    case MetricFamily::Type::kCounter: return 0;
    case MetricFamily::Type::kGauge: return 1;
    case MetricFamily::Type::kHistogram: break;
  }
  return 4;
}

}  // namespace

std::string write_protobuf(const MetricFamilies& families) {
  Message out;
  for (const auto& family : families.all()) {
    if (family.samples.empty()) continue;
    Message one;
    one.text(1, family.name).text(2, family.help).number(3, number_of(family.type));
    for (const auto& sample : family.samples) one.message(4, metric(family.type, sample));
    out.delimited(one.bytes());
  }
  return out.bytes();
}

}  // namespace mephisto
