// Tables for the terminal: aligned, with box-drawing characters on a terminal and plain ASCII when piped; or as a JSON
// array.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mephisto {

class Table {
 public:
  // Columns named here; `right` aligns numbers.
  struct Column {
    std::string name{};
    bool right = false;
  };
  Table(std::string title, std::vector<Column> columns);

  void add(std::vector<std::string> cells);
  bool empty() const;

  // With `box` as on a terminal; without, ASCII. `header` prints the column names. Where that is wider than `width`
  // columns (0: no limit), the last column is wrapped between words.
  std::string text(bool box, bool header = true, std::size_t width = 0) const;
  // One array of objects, keyed by the column names with `_` for spaces; numbers of right-aligned columns stay numbers.
  std::string json() const;
  // Prints as text or JSON on standard output.
  void print(bool json) const;

 private:
  std::string title_;
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

bool is_terminal(int fd);
// How many columns a text takes on a terminal.
std::size_t display_width(std::string_view text);

}  // namespace mephisto
