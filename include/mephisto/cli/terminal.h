// Tables for the terminal. They are aligned, with box-drawing characters on a terminal and plain ASCII in a pipe. They
// can also be printed as a JSON array.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mephisto {

class TextTable {
 public:
  // `right` aligns the column to the right, for numbers.
  struct Column {
    std::string name{};
    bool right = false;
  };
  TextTable(std::string title, std::vector<Column> columns);

  void add(std::vector<std::string> cells);
  bool empty() const;

  // With `box` it uses box-drawing characters, otherwise ASCII. `header` prints the column names. If the table is wider
  // than `width` columns (0: no limit), the last column is wrapped between words.
  std::string text(bool box, bool header = true, std::size_t width = 0) const;
  // An array of objects. Their keys are the column names, with `_` for spaces. Numbers in right-aligned columns stay
  // numbers.
  std::string json() const;
  // Prints as text or JSON on standard output.
  void print(bool json) const;

 private:
  std::string title_;
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

bool is_terminal(int fd);
// The columns of the terminal at standard output; 0 if it is none.
std::size_t terminal_width();
// The number of terminal columns that a text takes.
std::size_t display_width(std::string_view text);

}  // namespace mephisto
