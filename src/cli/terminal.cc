#include "mephisto/terminal.h"

#include <fmt/format.h>
#include <unistd.h>
#include <wchar.h>

#include <cstdio>

#include "mephisto/json_write.h"

namespace mephisto {
namespace {

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("-0123456789.") == std::string::npos && text != "-" && text.back() != '.' && text.find('-', 1) == std::string::npos;
}

}  // namespace

bool is_terminal(int fd) { return isatty(fd) != 0; }

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < text.size();) {
    auto byte = static_cast<unsigned char>(text[i]);
    std::size_t length = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    std::uint32_t code = length == 1 ? byte : byte & (0xff >> (length + 1));
    for (std::size_t k = 1; k < length && i + k < text.size(); ++k) code = code << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3f);
    bool wide = (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) || (code >= 0xf900 && code <= 0xfaff) ||
                (code >= 0xff00 && code <= 0xff60) || code >= 0x1f300;
    width += wide ? 2 : 1;
    i += length;
  }
  return width;
}

std::string Table::text(bool box, bool header) const {
  const auto vertical = box ? "│" : "|";
  const auto horizontal = box ? "─" : "-";
  std::vector<std::size_t> widths;
  for (const auto& column : columns_) widths.push_back(header ? display_width(column.name) : 0);
  for (const auto& row : rows_) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], display_width(row[i]));
  }
  std::size_t inner = columns_.size() - 1;
  for (auto width : widths) inner += width + 2;
  if (display_width(title_) > inner) widths.back() += display_width(title_) - inner;

  auto repeat = [](std::string_view piece, std::size_t count) {
    std::string text;
    for (; count > 0; --count) text += piece;
    return text;
  };
  // A rule; the title is set into the first one, over the joints it covers.
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
      text += columns_[i].right ? " " + space + content + " " : " " + content + space + " ";
      text += vertical;
    }
    return text + "\n";
  };
  std::string result = box ? rule("┌", "┬", "┐", title_) : rule("+", "+", "+", title_);
  if (header) {
    result += line([&](std::size_t i) -> const std::string& { return columns_[i].name; });
    result += box ? rule("├", "┼", "┤", "") : rule("+", "+", "+", "");
  }
  for (const auto& row : rows_) result += line([&](std::size_t i) -> const std::string& { return row[i]; });
  return result + (box ? rule("└", "┴", "┘", "") : rule("+", "+", "+", ""));
}

std::string Table::json() const {
  std::string text = "[";
  for (const auto& row : rows_) {
    if (text.size() > 1) text += ',';
    text += '{';
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) text += ',';
      text += to_json(columns_[i].name) + ":";
      if (columns_[i].right && is_number(row[i]))
        text += row[i];
      else if (columns_[i].right && row[i].empty())
        text += "null";
      else
        text += to_json(row[i]);
    }
    text += '}';
  }
  return text + "]";
}

void Table::print(bool as_json) const {
  auto out = as_json ? json() + "\n" : text(is_terminal(STDOUT_FILENO));
  std::fwrite(out.data(), 1, out.size(), stdout);
}

}  // namespace mephisto
