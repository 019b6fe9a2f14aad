// Metrics as statsd's datagrams (github.com/statsd/statsd, docs/metric_types.md), with or without Datadog's tags.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "web/metric_families.h"

namespace mephisto {

// Writes what has changed since it wrote last: counters as differences, gauges as they are, histograms as timings in
// milliseconds (the middle of a bucket, with a sample rate that says how many).
class StatsdWriter {
 public:
  // Without tags the values of labels are a part of the name: `mephisto.lag.orders.3`.
  StatsdWriter(std::string prefix, bool tags) : prefix_(std::move(prefix)), tags_(tags) {}

  // Datagrams that fit into an Ethernet frame, with a line for each value.
  std::vector<std::string> datagrams(const MetricFamilies& families);

 private:
  std::string line_name(const MetricFamily& family, const MetricFamily::Sample& sample) const;
  std::string line_tags(const MetricFamily::Sample& sample) const;

  std::string prefix_;
  bool tags_;
  std::map<std::string, double> counters_;               // as last written, by name and tags
  std::map<std::string, detail::Histogram> histograms_;  // the same
};

}  // namespace mephisto
