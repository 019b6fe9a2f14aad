// The text of metrics, in both formats. tests/end_to_end/metrics_test.py has the official parser and a real Prometheus
// read it.
#include "web/exposition.h"

#include <gtest/gtest.h>

namespace mephisto::tests {
namespace {

using namespace std::chrono_literals;

std::string text(Exposition format) {
  MetricFamilies out;
  out.counter("x_total", "How \"many\" \\ lines\nof it.");
  out.sample({{"topic", "a\"b\n"}, {"partition", "0"}}, 3);
  out.gauge("lag", "Behind.");
  out.sample({}, 1.5);
  out.histogram("l", "Seconds.");
  detail::Histogram seconds;
  seconds.add(250ms);
  seconds.add(750ms, 2);
  seconds.add(3s, 4);
  out.sample({{"agent", "a"}}, HistogramSample{seconds, -1, 1});
  return write_metrics(out, format);
}

TEST(Exposition, WritesPrometheusText) {
  EXPECT_EQ(text(Exposition::kPrometheus),
            "# HELP x_total How \"many\" \\\\ lines\\nof it.\n"
            "# TYPE x_total counter\n"
            "x_total{topic=\"a\\\"b\\n\",partition=\"0\"} 3\n"
            "# HELP lag Behind.\n"
            "# TYPE lag gauge\n"
            "lag 1.5\n"
            "# HELP l Seconds.\n"
            "# TYPE l histogram\n"
            "l_bucket{agent=\"a\",le=\"0.5\"} 1\n"
            "l_bucket{agent=\"a\",le=\"1.0\"} 3\n"
            "l_bucket{agent=\"a\",le=\"2.0\"} 3\n"
            "l_bucket{agent=\"a\",le=\"+Inf\"} 7\n"
            "l_sum{agent=\"a\"} 13.75\n"
            "l_count{agent=\"a\"} 7\n");
}

TEST(Exposition, WritesOpenMetrics) {
  const auto all = text(Exposition::kOpenMetrics);
  EXPECT_TRUE(all.starts_with("# HELP x How \\\"many\\\" \\\\ lines\\nof it.\n# TYPE x counter\nx_total{")) << all;
  EXPECT_TRUE(all.ends_with("l_count{agent=\"a\"} 7\n# EOF\n")) << all;
}

TEST(Exposition, GivesScrapersWhatTheyPrefer) {
  EXPECT_EQ(preferred_exposition(""), Exposition::kPrometheus);
  EXPECT_EQ(preferred_exposition("*/*"), Exposition::kPrometheus);
  EXPECT_EQ(preferred_exposition("text/html,application/xhtml+xml"), Exposition::kPrometheus);
  EXPECT_EQ(preferred_exposition("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
                                 "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=0.0.4;q=0.3"),
            Exposition::kOpenMetrics);
  EXPECT_EQ(preferred_exposition("application/openmetrics-text;version=2.0.0,text/plain;version=0.0.4;q=0.1"),
            Exposition::kPrometheus);
  EXPECT_EQ(preferred_exposition("text/plain;q=0.9,application/openmetrics-text;q=0.1"), Exposition::kPrometheus);
}

}  // namespace
}  // namespace mephisto::tests
