#include "web/exposition.h"

#include <fmt/format.h>

#include <cmath>

#include "base/text.h"
#include "mephisto/base/assert.h"

namespace mephisto {
namespace {

constexpr std::string_view kTotal = "_total";

std::string escaped(std::string_view text, bool quotes) {
  if (text.find_first_of("\\\n\"") == std::string_view::npos) return std::string{text};
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else if (c == '"' && quotes)
      out += "\\\"";
    else
      out += c;
  }
  return out;
}

std::string number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  return fmt::format("{}", value);
}

// As a float, as Prometheus keeps it.
std::string bound(int exponent) {
  auto text = number(std::ldexp(1.0, exponent));
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string labels(const MetricFamily::Labels& all) {
  std::string text;
  for (const auto& [name, value] : all)
    text += fmt::format("{}{}=\"{}\"", text.empty() ? "" : ",", name, escaped(value, true));
  return text;
}

void write(std::string& text, std::string_view name, std::string_view suffix, std::string_view labels, double value) {
  if (labels.empty())
    fmt::format_to(std::back_inserter(text), "{}{} {}\n", name, suffix, number(value));
  else
    fmt::format_to(std::back_inserter(text), "{}{}{{{}}} {}\n", name, suffix, labels, number(value));
}

void write(std::string& text, std::string_view name, const std::string& labels, const HistogramSample& sample) {
  const auto bucket = [&](std::string_view le, std::uint64_t count) {
    write(text, name, "_bucket", fmt::format("{}{}le=\"{}\"", labels, labels.empty() ? "" : ",", le),
          static_cast<double>(count));
  };
  for (int exponent = sample.first; exponent <= sample.last; ++exponent)
    bucket(bound(exponent), sample.histogram.up_to(exponent));
  const auto count = sample.histogram.count();
  bucket("+Inf", count);
  write(text, name, "_sum", labels, sample.histogram.sum);
  write(text, name, "_count", labels, static_cast<double>(count));
}

constexpr std::string_view name_of(MetricFamily::Type type) {
  switch (type) {
    case MetricFamily::Type::kGauge: return "gauge";
    case MetricFamily::Type::kCounter: return "counter";
    case MetricFamily::Type::kHistogram: break;
  }
  return "histogram";
}

}  // namespace

void MetricFamilies::begin(MetricFamily::Type type, std::string_view name, std::string_view help) {
  MEPHISTO_ASSERT((type == MetricFamily::Type::kCounter) == name.ends_with(kTotal),
                  "exactly the names of counters end in _total");
  all_.push_back({type, name, help});
}

Exposition preferred_exposition(std::string_view accept) {
  // A scraper that knows OpenMetrics names it first, with the highest weight.
  double best = 0;
  auto format = Exposition::kPrometheus;
  for (const auto& one : split(accept, ',')) {
    const auto parts = split(one, ';');
    const auto media = to_lower(trim(parts.front()));
    double weight = 1;
    bool known_version = true;
    bool delimited = false;
    for (std::size_t i = 1; i < parts.size(); ++i) {
      const auto parameter = trim(parts[i]);
      if (parameter.starts_with("q=")) (void)take_number(parameter.substr(2), weight);
      if (parameter == "encoding=delimited") delimited = true;
      if (parameter.starts_with("version=")) {
        const auto version = parameter.substr(8);
        known_version = media == "text/plain" ? version == "0.0.4" : version == "1.0.0";
      }
    }
    if (!known_version || weight <= best) continue;
    if (media == "application/vnd.google.protobuf" && delimited) {
      format = Exposition::kProtobuf;
      best = weight;
    } else if (media == "application/openmetrics-text") {
      format = Exposition::kOpenMetrics;
      best = weight;
    } else if (media == "text/plain" || media == "text/*" || media == "*/*") {
      format = Exposition::kPrometheus;
      best = weight;
    }
  }
  return format;
}

std::string_view content_type(Exposition format) {
  if (format == Exposition::kProtobuf)
    return "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
  return format == Exposition::kOpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                            : "text/plain; version=0.0.4; charset=utf-8";
}

std::string write_metrics(const MetricFamilies& families, Exposition format) {
  if (format == Exposition::kProtobuf) return write_protobuf(families);
  const bool open = format == Exposition::kOpenMetrics;
  std::string text;
  for (const auto& family : families.all()) {
    auto name = family.name;
    if (open && family.type == MetricFamily::Type::kCounter) name.remove_suffix(kTotal.size());
    fmt::format_to(std::back_inserter(text), "# HELP {} {}\n# TYPE {} {}\n", name, escaped(family.help, open), name,
                   name_of(family.type));
    for (const auto& sample : family.samples) {
      if (const auto* value = std::get_if<double>(&sample.value))
        write(text, family.name, "", labels(sample.labels), *value);
      else
        write(text, family.name, labels(sample.labels), *std::get<1>(sample.value));
    }
  }
  return open ? text + "# EOF\n" : text;
}

}  // namespace mephisto
