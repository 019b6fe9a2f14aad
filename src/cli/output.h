// The output of commands. Control characters from records and names never reach the terminal.
#pragma once

#include <string>
#include <string_view>

#include "mephisto/codec.h"
#include "mephisto/log/record_batch.h"
#include "mephisto/base/text.h"

namespace mephisto::cli {

// Writes to standard output, or to the innermost CapturedOutput.
void write_out(std::string_view text);

// Keeps what commands write to standard output. One at a time: a command that waits may otherwise write into the output
// of another one.
class CapturedOutput {
 public:
  CapturedOutput();
  ~CapturedOutput();
  CapturedOutput(const CapturedOutput&) = delete;
  CapturedOutput& operator=(const CapturedOutput&) = delete;
  std::string& text() { return text_; }

 private:
  std::string text_;
};

// Prints a line of JSON on standard output.
void print_json(std::string_view json);

// Prints a line on standard error. A closed pipe is not a failure.
void print_notice(std::string_view line);

// Prints `Error: TEXT` on standard error, and `Try: HELP` if `help` is given. With `as_json` it prints one object with
// `error`, `exit_code` and `try`.
void print_error(std::string_view text, int exit_code, bool as_json, std::string_view help = {});

// Prints JSON values one by one: one line each, or all as one array.
class JsonRows {
 public:
  explicit JsonRows(bool as_array);
  ~JsonRows();  // ends the array even if the command fails
  JsonRows(const JsonRows&) = delete;
  JsonRows& operator=(const JsonRows&) = delete;
  void add(std::string_view json);

 private:
  bool as_array_;
  bool first_ = true;
};

// A record's headers as an object; a repeated header has a list of its values.
std::string headers_json(const std::vector<HeaderView>& headers);

}  // namespace mephisto::cli
