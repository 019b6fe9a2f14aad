// Metrics as values: families of samples with labels. exposition.h and statsd.h write them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "mephisto/base/histogram.h"

namespace mephisto {

// A histogram's sample, with the bounds 2^first to 2^last seconds.
struct HistogramSample {
  detail::Histogram histogram;
  int first = detail::Histogram::kFirst;
  int last = detail::Histogram::kLast;
};

struct MetricFamily {
  enum class Type { kGauge, kCounter, kHistogram };
  using Labels = std::vector<std::pair<std::string_view, std::string>>;
  struct Sample {
    Labels labels;
    std::variant<double, std::unique_ptr<HistogramSample>> value;
  };

  Type type;
  std::string_view name;  // a counter's ends in `_total`, no other does
  std::string_view help;
  std::vector<Sample> samples{};
};

class MetricFamilies {
 public:
  // Begins a family; its samples follow.
  void gauge(std::string_view name, std::string_view help) { begin(MetricFamily::Type::kGauge, name, help); }
  void counter(std::string_view name, std::string_view help) { begin(MetricFamily::Type::kCounter, name, help); }
  void histogram(std::string_view name, std::string_view help) { begin(MetricFamily::Type::kHistogram, name, help); }

  void sample(MetricFamily::Labels labels, double value) { all_.back().samples.push_back({std::move(labels), value}); }
  void sample(MetricFamily::Labels labels, const HistogramSample& value) {
    all_.back().samples.push_back({std::move(labels), std::make_unique<HistogramSample>(value)});
  }

  const std::vector<MetricFamily>& all() const { return all_; }

 private:
  void begin(MetricFamily::Type type, std::string_view name, std::string_view help);
  std::vector<MetricFamily> all_;
};

}  // namespace mephisto
