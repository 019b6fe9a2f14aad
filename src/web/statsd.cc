#include "web/statsd.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mephisto {
namespace {

constexpr std::size_t kMostBytes = 1432;

// A word of a line: what divides lines, names, values and tags is replaced.
std::string word(std::string_view text, bool in_name) {
  std::string out;
  for (const char c : text) {
    const bool divides =
        c == ':' || c == '|' || c == '@' || c == '#' || c == ',' || static_cast<unsigned char>(c) <= ' ';
    out += divides || (in_name && (c == '.' || c == '/')) ? '_' : c;
  }
  return out.empty() ? "none" : out;
}

class Datagrams {
 public:
  void add(const std::string& line) {
    if (all_.empty() || all_.back().size() + 1 + line.size() > kMostBytes)
      all_.push_back(line);
    else
      all_.back() += '\n' + line;
  }
  std::vector<std::string> take() { return std::move(all_); }

 private:
  std::vector<std::string> all_;
};

// As a plain decimal number, which all servers read. Nothing for a single value.
std::string rate_of(std::uint64_t count) {
  if (count == 1) return "";
  auto rate = fmt::format("|@{:.12f}", 1.0 / static_cast<double>(count));
  rate.erase(rate.find_last_not_of('0') + 1);
  return rate;
}

// The middle of a bucket, in milliseconds; of the last one its lower bound.
double middle_of(std::size_t bucket) {
  using detail::Histogram;
  const auto octaves = static_cast<double>(bucket) / Histogram::kOctave;
  return 1000 * std::exp2(std::min(Histogram::kFirst + octaves - 0.5 / Histogram::kOctave, 1.0 * Histogram::kLast));
}

}  // namespace

std::string StatsdWriter::line_name(const MetricFamily& family, const MetricFamily::Sample& sample) const {
  auto name = family.name;
  for (const std::string_view end : {"_total", "_seconds"}) {
    // A timing is in milliseconds.
    if (name.ends_with(end) && (end == "_total" || family.type == MetricFamily::Type::kHistogram))
      name.remove_suffix(end.size());
  }
  std::string text = prefix_;
  if (name.starts_with("mephisto_")) name.remove_prefix(std::string_view{"mephisto_"}.size());
  text += name;
  if (tags_) return text;
  for (const auto& [label, value] : sample.labels) text += '.' + word(value, true);
  return text;
}

std::string StatsdWriter::line_tags(const MetricFamily::Sample& sample) const {
  std::string text;
  if (!tags_) return text;
  for (const auto& [label, value] : sample.labels)
    text += fmt::format("{}{}:{}", text.empty() ? "|#" : ",", label, word(value, false));
  return text;
}

std::vector<std::string> StatsdWriter::datagrams(const MetricFamilies& families) {
  Datagrams out;
  for (const auto& family : families.all()) {
    for (const auto& sample : family.samples) {
      const auto name = line_name(family, sample);
      const auto tags = line_tags(sample);
      if (const auto* value = std::get_if<double>(&sample.value)) {
        if (!std::isfinite(*value)) continue;
        if (family.type == MetricFamily::Type::kGauge) {
          // A sign would make a difference of it.
          out.add(fmt::format("{}:{}|g{}", name, std::max(*value, 0.0), tags));
          continue;
        }
        auto& before = counters_[name + tags];
        // One that has begun again counts from 0.
        const auto change = *value < before ? *value : *value - before;
        before = *value;
        if (change > 0) out.add(fmt::format("{}:{}|c{}", name, change, tags));
        continue;
      }
      const auto& now = std::get<1>(sample.value)->histogram;
      auto& before = histograms_[name + tags];
      for (std::size_t i = 0; i < now.counts.size(); ++i) {
        const auto count = now.counts.at(i) - std::min(now.counts.at(i), before.counts.at(i));
        if (count == 0) continue;
        out.add(fmt::format("{}:{}|ms{}{}", name, middle_of(i), rate_of(count), tags));
      }
      before = now;
    }
  }
  return out.take();
}

}  // namespace mephisto
