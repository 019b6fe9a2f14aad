#include "web/exposition.h"

#include <fmt/format.h>

#include <cmath>

#include "base/text.h"
#include "mephisto/base/assert.h"

namespace mephisto {
namespace {

constexpr std::string_view kTotal = "_total";

std::string escaped(std::string_view text, bool quotes) {
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

}  // namespace

Exposition::Format Exposition::preferred(std::string_view accept) {
  // A scraper that knows OpenMetrics names it first, with the highest weight.
  double best = 0;
  auto format = Format::kPrometheus;
  for (const auto& one : split(accept, ',')) {
    const auto parts = split(one, ';');
    const auto media = to_lower(trim(parts.front()));
    double weight = 1;
    bool known_version = true;
    for (std::size_t i = 1; i < parts.size(); ++i) {
      const auto parameter = trim(parts[i]);
      if (parameter.starts_with("q=")) (void)take_number(parameter.substr(2), weight);
      if (parameter.starts_with("version=")) {
        const auto version = parameter.substr(8);
        known_version = media == "text/plain" ? version == "0.0.4" : version == "1.0.0";
      }
    }
    if (!known_version || weight <= best) continue;
    if (media == "application/openmetrics-text") {
      format = Format::kOpenMetrics;
      best = weight;
    } else if (media == "text/plain" || media == "text/*" || media == "*/*") {
      format = Format::kPrometheus;
      best = weight;
    }
  }
  return format;
}

std::string_view Exposition::content_type(Format format) {
  return format == Format::kOpenMetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                        : "text/plain; version=0.0.4; charset=utf-8";
}

void Exposition::begin(std::string_view name, std::string_view type, std::string_view help) {
  const bool counter = type == "counter";
  MEPHISTO_ASSERT(counter == name.ends_with(kTotal), "exactly the names of counters end in _total");
  name_ = name;
  auto family = name;
  if (counter && format_ == Format::kOpenMetrics) family.remove_suffix(kTotal.size());
  text_ +=
      fmt::format("# HELP {} {}\n# TYPE {} {}\n", family, escaped(help, format_ == Format::kOpenMetrics), family, type);
}

void Exposition::line(std::string_view suffix, std::initializer_list<Label> labels, double value,
                      std::string_view bound) {
  text_ += name_;
  text_ += suffix;
  std::string inner;
  for (const auto& [name, text] : labels)
    inner += fmt::format("{}{}=\"{}\"", inner.empty() ? "" : ",", name, escaped(text, true));
  if (!bound.empty()) inner += fmt::format("{}le=\"{}\"", inner.empty() ? "" : ",", bound);
  if (!inner.empty()) text_ += "{" + inner + "}";
  text_ += " " + number(value) + "\n";
}

void Exposition::buckets(std::initializer_list<Label> labels, const std::vector<double>& bounds,
                         const std::vector<std::uint64_t>& counts, double sum) {
  MEPHISTO_ASSERT(counts.size() == bounds.size() + 1, "one bucket is above all bounds");
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    below += counts[i];
    const auto whole = std::floor(bounds[i]) == bounds[i] && std::isfinite(bounds[i]);
    line("_bucket", labels, static_cast<double>(below), whole ? fmt::format("{:.1f}", bounds[i]) : number(bounds[i]));
  }
  below += counts.back();
  line("_bucket", labels, static_cast<double>(below), "+Inf");
  line("_sum", labels, sum);
  line("_count", labels, static_cast<double>(below));
}

std::string Exposition::end() && {
  if (format_ == Format::kOpenMetrics) text_ += "# EOF\n";
  return std::move(text_);
}

}  // namespace mephisto
