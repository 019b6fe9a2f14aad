// Tables: aligned whatever they contain, in boxes or plain, wrapped, and as JSON.
#include "mephisto/cli/terminal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"

namespace mephisto::tests {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::Not;

TextTable fruits() {
  TextTable table{"Fruits", {{"name"}, {"count", true}}};
  table.add({"apple", "3"});
  table.add({"fig", "1200"});
  return table;
}

// The widths of the lines on a terminal.
std::vector<std::size_t> widths(const std::string& text) {
  std::vector<std::size_t> all;
  for (const auto& line : split(text, '\n')) {
    if (!line.empty()) all.push_back(display_width(line));
  }
  return all;
}

TEST(TextTable, IsPlainAsciiWithoutATerminal) {
  EXPECT_EQ(fruits().text(false),
            "+Fruits-+-------+\n"
            "| name  | count |\n"
            "+-------+-------+\n"
            "| apple |     3 |\n"
            "| fig   |  1200 |\n"
            "+-------+-------+\n");
}

TEST(TextTable, IsABoxOnATerminal) {
  EXPECT_EQ(fruits().text(true),
            "┌Fruits─┬───────┐\n"
            "│ name  │ count │\n"
            "├───────┼───────┤\n"
            "│ apple │     3 │\n"
            "│ fig   │  1200 │\n"
            "└───────┴───────┘\n");
}

TEST(TextTable, MayHaveNoHeader) { EXPECT_THAT(fruits().text(false, false), Not(HasSubstr("count"))); }

TEST(TextTable, WithoutRowsHasItsHeader) {
  EXPECT_EQ((TextTable{"None", {{"a"}, {"b"}}}.text(false)), "+None---+\n| a | b |\n+---+---+\n+---+---+\n");
}

TEST(TextTable, IsAsWideAsItsTitle) {
  TextTable table{"A title that is longer than all else", {{"a"}, {"b"}}};
  table.add({"1", "2"});
  auto text = table.text(false);
  EXPECT_THAT(widths(text), Each(widths(text).front())) << text;
  EXPECT_THAT(text, HasSubstr("+A title that is longer than all else+\n"));
}

TEST(TextTable, IsStraightWithWideAndAccentedCharacters) {
  TextTable table{"Names", {{"name"}, {"x"}}};
  table.add({"日本語", "1"});
  table.add({"café 😀", "2"});
  table.add({"plain", "3"});
  auto text = table.text(true);
  EXPECT_THAT(widths(text), Each(widths(text).front())) << text;
}

TEST(TextTable, ShowsControlCharactersInsteadOfSendingThem) {
  TextTable table{"Bad", {{"name"}, {"reason"}}};
  table.add({"\x1b[31mred", "two\nlines"});
  auto text = table.text(false);
  EXPECT_THAT(text, HasSubstr(R"(| \x1b[31mred | two\x0alines |)"));
  EXPECT_THAT(widths(text), Each(widths(text).front())) << text;
}

TEST(TextTable, WrapsItsLastColumnBetweenWords) {
  TextTable table{"Settings", {{"name"}, {"meaning"}}};
  table.add({"shards", "threads of a worker, each with its own part of the partitions"});
  table.add({"x", "short"});
  EXPECT_EQ(table.text(false, true, 40),
            "+Settings+-----------------------------+\n"
            "| name   | meaning                     |\n"
            "+--------+-----------------------------+\n"
            "| shards | threads of a worker, each   |\n"
            "|        | with its own part of the    |\n"
            "|        | partitions                  |\n"
            "| x      | short                       |\n"
            "+--------+-----------------------------+\n");
}

TEST(TextTable, IsNotMadeWiderForTheTerminal) { EXPECT_EQ(fruits().text(true, true, 200), fruits().text(true)); }

TEST(TextTable, CutsNoWordHoweverNarrowTheTerminal) {
  TextTable table{"Settings", {{"name"}, {"meaning"}}};
  table.add({"a-long-name-of-something", "a word-that-is-longer-than-the-terminal end"});
  for (std::size_t width : {1, 10, 30, 50}) {
    auto text = table.text(true, true, width);
    EXPECT_THAT(widths(text), Each(widths(text).front())) << text;
    EXPECT_THAT(text, HasSubstr("word-that-is-longer-than-the-terminal")) << width;
  }
}

TEST(TextTable, FitsWhereItCan) {
  TextTable table{"Words", {{"name"}, {"text"}}};
  std::string words;
  for (int i = 0; i < 100; ++i) words += "word" + std::to_string(i) + " ";
  table.add({"n", words});
  for (std::size_t width = 30; width < 120; ++width)
    EXPECT_THAT(widths(table.text(true, true, width)), Each(Le(width)));
}

TEST(TextTable, AsJsonHasNumbersWhereTheColumnHas) {
  TextTable table{"Lag", {{"group"}, {"lag", true}, {"free again"}}};
  table.add({"7", "12", "now"});
  table.add({"a\"b", "", ""});
  EXPECT_EQ(table.json(), R"([{"group":"7","lag":12,"free_again":"now"},{"group":"a\"b","lag":null,"free_again":""}])");
}

TEST(TextTable, AsJsonOfATextInANumbersColumnIsAText) {
  TextTable table{"x", {{"n", true}}};
  for (const char* text : {"-5", "1.5", "1.", "-", "1-2", "x", "1e5", "007", "-07", "0", "-0.5", ".5", "1.2.3", "--1"})
    table.add({text});
  EXPECT_EQ(
      table.json(),
      R"([{"n":-5},{"n":1.5},{"n":"1."},{"n":"-"},{"n":"1-2"},{"n":"x"},{"n":"1e5"},{"n":"007"},{"n":"-07"},{"n":0},{"n":-0.5},{"n":".5"},{"n":"1.2.3"},{"n":"--1"}])");
}

TEST(TextTable, WithoutRowsIsAnEmptyArray) { EXPECT_EQ((TextTable{"None", {{"a"}}}.json()), "[]"); }

TEST(DisplayWidth, CountsColumns) {
  EXPECT_EQ(display_width(""), 0u);
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("café"), 4u);
  EXPECT_EQ(display_width("日本"), 4u);
  EXPECT_EQ(display_width("😀"), 2u);
  EXPECT_EQ(display_width("┌─┐"), 3u);
}

}  // namespace
}  // namespace mephisto::tests
