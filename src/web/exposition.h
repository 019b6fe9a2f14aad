// Writes metrics in the text format of Prometheus 0.0.4, or as OpenMetrics 1.0.0.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace mephisto {

class Exposition {
 public:
  enum class Format { kPrometheus, kOpenMetrics };
  // The one that a scraper prefers, by its header Accept.
  static Format preferred(std::string_view accept);
  static std::string_view content_type(Format format);

  using Label = std::pair<std::string_view, std::string_view>;

  explicit Exposition(Format format) : format_(format) {}

  // Begins a family; its samples follow. A counter's name ends in `_total`.
  void gauge(std::string_view name, std::string_view help) { begin(name, "gauge", help); }
  void counter(std::string_view name, std::string_view help) { begin(name, "counter", help); }
  void histogram(std::string_view name, std::string_view help) { begin(name, "histogram", help); }

  void sample(std::initializer_list<Label> labels, double value) { line("", labels, value); }
  // A histogram's samples: the upper bounds of the buckets, how many values are in each and not in a lower one, with
  // one more for those above all bounds; and the sum of the values.
  void buckets(std::initializer_list<Label> labels, const std::vector<double>& bounds,
               const std::vector<std::uint64_t>& counts, double sum);

  std::string end() &&;

 private:
  void begin(std::string_view name, std::string_view type, std::string_view help);
  void line(std::string_view suffix, std::initializer_list<Label> labels, double value, std::string_view bound = {});

  Format format_;
  std::string name_;
  std::string text_;
};

}  // namespace mephisto
