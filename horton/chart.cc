#include "horton/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace horton {
namespace {

constexpr std::size_t kNarrow = 40;
constexpr std::size_t kRows = 12;
constexpr std::size_t kDots = 4 * kRows;  // a character has two columns of four dots

// The dots of a character, from the top, in the left and in the right column.
constexpr unsigned kBraille = 0x2800;
constexpr unsigned kBits[2][4] = {{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}};

std::string utf8(unsigned code) {
  return {static_cast<char>(0xe0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3f)),
          static_cast<char>(0x80 | (code & 0x3f))};
}

struct Range {
  double low;
  double high;
  // From 0 to steps - 1.
  std::size_t step(double value, std::size_t steps) const {
    if (high <= low) return steps / 2;
    return static_cast<std::size_t>(std::lround((value - low) / (high - low) * static_cast<double>(steps - 1)));
  }
};

Range range_of(const std::vector<Close>& closes) {
  const auto [low, high] = std::ranges::minmax_element(closes, {}, &Close::close);
  return {low->close, high->close};
}

// The lowest and the highest step of the closes in each of `count` columns.
struct Span {
  std::size_t low;
  std::size_t high;
};
std::vector<Span> spans(const std::vector<Close>& closes, std::size_t count, std::size_t steps) {
  const auto range = range_of(closes);
  std::vector<Span> all;
  for (std::size_t i = 0; i < count; ++i) {
    const auto first = i * closes.size() / count;
    const auto end = std::max(first + 1, (i + 1) * closes.size() / count);
    Span span{steps, 0};
    for (auto at = first; at < end; ++at) {
      const auto step = range.step(closes[at].close, steps);
      span = {std::min(span.low, step), std::max(span.high, step)};
    }
    // A line without holes.
    if (!all.empty()) {
      span.low = std::min(span.low, all.back().high);
      span.high = std::max(span.high, all.back().low);
    }
    all.push_back(span);
  }
  return all;
}

std::string blocks(const std::vector<Close>& closes, std::size_t width) {
  std::string line;
  for (const auto& span : spans(closes, std::max<std::size_t>(width, 1), 8))
    line += utf8(0x2581 + static_cast<unsigned>((span.low + span.high) / 2));
  return line + "\n";
}

std::string braille(const std::vector<Close>& closes, std::size_t width) {
  const auto range = range_of(closes);
  const auto high = fmt::format("{:.2f}", range.high);
  const auto low = fmt::format("{:.2f}", range.low);
  const auto margin = std::max(high.size(), low.size());
  if (margin + 2 + closes.front().date.size() >= width) return blocks(closes, width);  // prices of many digits
  const auto columns = width - margin - 2;
  std::vector<std::vector<unsigned>> cells(kRows, std::vector<unsigned>(columns));
  const auto all = spans(closes, 2 * columns, kDots);
  for (std::size_t x = 0; x < all.size(); ++x) {
    for (auto y = all[x].low; y <= all[x].high; ++y) {
      const auto from_top = kDots - 1 - y;
      cells[from_top / 4][x / 2] |= kBits[x % 2][from_top % 4];
    }
  }
  std::string text;
  for (std::size_t row = 0; row < kRows; ++row) {
    text += fmt::format("{:>{}} ", row == 0 ? high : row + 1 == kRows ? low : "", margin);
    text += "│";
    for (const auto cell : cells[row]) text += utf8(kBraille + cell);
    text += "\n";
  }
  const auto& first = closes.front().date;
  const auto& last = closes.back().date;
  text += fmt::format("{:{}}  {}{:>{}}\n", "", margin, first, last, columns - first.size());
  return text;
}

}  // namespace

std::string chart(const std::vector<Close>& closes, std::size_t width) {
  if (closes.empty()) return "";
  return width < kNarrow ? blocks(closes, width) : braille(closes, width);
}

}  // namespace horton
