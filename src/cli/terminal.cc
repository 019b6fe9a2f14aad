#include "mephisto/cli/terminal.h"

#include "cli/output.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/text.h"
#include "mephisto/codec/json_write.h"
#include "mephisto/codec/values.h"

namespace mephisto {
namespace {

// Whether the text is a JSON number: a code such as 007 is not.
bool is_number(std::string_view text) {
  const auto digits = [&] {
    const auto count = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(count);
    return count;
  };
  if (text.starts_with('-')) text.remove_prefix(1);
  const bool zero = text.starts_with('0');
  const auto whole = digits();
  if (whole == 0 || (zero && whole > 1)) return false;
  if (!text.starts_with('.')) return text.empty();
  text.remove_prefix(1);
  return digits() > 0 && text.empty();
}

// The least width of a wrapped column, even on a narrower terminal.
constexpr std::size_t kLeastWrapped = 16;

std::size_t longest_word(const std::string& text) {
  std::size_t longest = 0;
  for (const auto& word : split(text, ' ')) longest = std::max(longest, display_width(word));
  return longest;
}

// Lines of at most `width` columns, broken between words.
std::vector<std::string> wrap(const std::string& text, std::size_t width) {
  if (display_width(text) <= width) return {text};
  std::vector<std::string> lines{""};
  for (const auto& word : split(text, ' ')) {
    if (!lines.back().empty() && display_width(lines.back()) + 1 + display_width(word) > width) lines.emplace_back();
    lines.back() += (lines.back().empty() ? "" : " ") + word;
  }
  return lines;
}

}  // namespace

bool is_terminal(int fd) { return isatty(fd) != 0; }

std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size();) {
    auto byte = static_cast<unsigned char>(text[i]);
    std::size_t length = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    std::uint32_t code = length == 1 ? byte : byte & (0xff >> (length + 1));
    for (std::size_t k = 1; k < length && i + k < text.size(); ++k)
      code = code << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3f);
    bool wide = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) ||
                (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) ||
                (code >= 0xff00 && code <= 0xff60) || code >= 0x1f300;
    width += wide ? 2 : 1;
    i += length;
  }
  return width;
}

TextTable::TextTable(std::string title, std::vector<Column> columns)
    : title_(std::move(title)), columns_(std::move(columns)) {}

void TextTable::add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
bool TextTable::empty() const { return rows_.empty(); }

std::string TextTable::text(bool box, bool header, std::size_t width) const {
  const auto vertical = box ? "│" : "|";
  const auto horizontal = box ? "─" : "-";
  // Cells may come from records; their control characters must not reach the terminal.
  auto rows = rows_;
  for (auto& row : rows) {
    for (auto& cell : row) cell = printable(cell, kWhole);
  }
  std::vector<std::size_t> widths;
  for (const auto& column : columns_) widths.push_back(header ? display_width(column.name) : 0);
  auto least = std::max(kLeastWrapped, widths.back());
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
    least = std::max(least, longest_word(row.back()));
  }
  auto others = columns_.size() + 1;  // borders, and the columns before the last
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) others += widths[i] + 2;
  const auto for_title = display_width(title_) > others ? display_width(title_) - others : 0;
  if (width > 0) widths.back() = std::min(widths.back(), std::max(least, width > others + 2 ? width - others - 2 : 0));
  widths.back() = std::max(widths.back(), for_title);

  auto repeat = [](std::string_view piece, std::size_t count) {
    std::string text;
    for (; count > 0; --count) text += piece;
    return text;
  };
  // A horizontal line. The first one contains the title, which replaces the joints below it.
  auto rule = [&](const char* left, const char* joint, const char* right, std::string_view title) {
    std::string line = left;
    line += title;
    std::size_t at = 0;
    const auto covered = display_width(title);
    for (std::size_t i = 0; i < widths.size(); ++i) {
      for (std::size_t k = 0; k < widths[i] + 2; ++k, ++at) {
        if (at >= covered) line += horizontal;
      }
      if (i + 1 == widths.size()) break;
      if (at >= covered) line += joint;
      ++at;
    }
    return line + right + "\n";
  };
  auto line = [&](auto cell) {
    std::string text = vertical;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string& content = cell(i);
      auto space = repeat(" ", widths[i] - display_width(content));
      text += columns_[i].right ? fmt::format(" {}{} ", space, content) : fmt::format(" {}{} ", content, space);
      text += vertical;
    }
    return text + "\n";
  };
  std::string result = box ? rule("┌", "┬", "┐", title_) : rule("+", "+", "+", title_);
  if (header) {
    result += line([&](std::size_t i) -> const std::string& { return columns_[i].name; });
    result += box ? rule("├", "┼", "┤", "") : rule("+", "+", "+", "");
  }
  static const std::string kNothing;
  for (const auto& row : rows) {
    const auto last = wrap(row.back(), widths.back());
    for (std::size_t n = 0; n < last.size(); ++n) {
      result += line([&](std::size_t i) -> const std::string& {
        return i + 1 == row.size() ? last[n] : n == 0 ? row[i] : kNothing;
      });
    }
  }
  return result + (box ? rule("└", "┴", "┘", "") : rule("+", "+", "+", ""));
}

std::string TextTable::json() const {
  std::string text = "[";
  for (const auto& row : rows_) {
    if (text.size() > 1) text += ',';
    text += '{';
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) text += ',';
      auto name = columns_[i].name;
      std::ranges::replace(name, ' ', '_');
      text += to_json(name, Dialect::kShown) + ":";
      if (columns_[i].right && is_number(row[i]))
        text += row[i];
      else if (columns_[i].right && row[i].empty())
        text += "null";
      else
        text += to_json(Bytes{row[i]});
    }
    text += '}';
  }
  return printable_json(text + "]");
}

void TextTable::print(bool as_json) const {
  auto out = as_json ? json() + "\n"
                     : text(is_terminal(STDOUT_FILENO), true, is_terminal(STDOUT_FILENO) ? terminal_width() : 0);
  cli::write_out(out);
}

}  // namespace mephisto
