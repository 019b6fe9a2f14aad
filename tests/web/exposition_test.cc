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

// Made of the definitions in metrics.proto by hand, as a message of each kind.
TEST(Exposition, WritesPrometheusMessages) {
  MetricFamilies out;
  out.counter("x_total", "X.");
  out.sample({{"a", "b"}}, 3);
  out.histogram("l", "L.");
  detail::Histogram seconds;
  seconds.add(1s, 2);
  seconds.add(1500ms);
  out.sample({}, HistogramSample{seconds, 0, 0});
  out.gauge("none", "A family without samples is left out.");
  using namespace std::string_literals;
  const auto real_3 = "\x09\0\0\0\0\0\0\x08\x40"s;
  const auto counter =
      "\x0a\x07x_total\x12\x02X.\x18\0"s + "\x22\x13"s + "\x0a\x06\x0a\x01" + "a\x12\x01" + "b" + "\x1a\x09"s + real_3;
  const auto bucket = "\x1a\x0b\x08\x02\x11\0\0\0\0\0\0\xf0\x3f"s;
  const auto native =
      "\x28\x04\x31\0\0\0\0\0\0\xe0\x3e\x38\0"s + "\x62\x04\x08\0\x10\x04"s + "\x68\x04\x68\x03\x68\0\x68\x02"s;
  const auto histogram = "\x08\x03\x11\0\0\0\0\0\0\x0c\x40"s + bucket + native;
  const auto metric = "\x3a"s + static_cast<char>(histogram.size()) + histogram;
  const auto family = "\x0a\x01l\x12\x02L.\x18\x04\x22"s + static_cast<char>(metric.size()) + metric;
  const auto wanted = static_cast<char>(counter.size()) + counter + static_cast<char>(family.size()) + family;
  const auto got = write_metrics(out, Exposition::kProtobuf);
  EXPECT_EQ(testing::PrintToString(got), testing::PrintToString(wanted));
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
  EXPECT_EQ(preferred_exposition("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
                                 "encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,*/*;q=0.1"),
            Exposition::kProtobuf);
  EXPECT_EQ(preferred_exposition("application/vnd.google.protobuf;encoding=text,text/plain;q=0.1"),
            Exposition::kPrometheus);
}

}  // namespace
}  // namespace mephisto::tests
