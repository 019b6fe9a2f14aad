// Writes metrics in the text format of Prometheus 0.0.4, as OpenMetrics 1.0.0, or as Prometheus' protobuf messages.
#pragma once

#include <string>
#include <string_view>

#include "web/metric_families.h"

namespace mephisto {

enum class Exposition { kPrometheus, kOpenMetrics, kProtobuf };

// The one that a scraper prefers, by its header Accept.
Exposition preferred_exposition(std::string_view accept);
std::string_view content_type(Exposition format);
// The same as messages.
std::string write_protobuf(const MetricFamilies& families);
std::string write_metrics(const MetricFamilies& families, Exposition format);

}  // namespace mephisto
