// What leaves by the command line. Nothing in it acts on a terminal, whatever a record or a name in the log has.
#pragma once

#include <string>
#include <string_view>

#include "mephisto/log/record_batch.h"
#include "mephisto/base/text.h"

namespace mephisto::cli {

// A line of JSON on standard output.
void print_json(std::string_view json);

// A line on standard error. That nobody reads it any more is no failure.
void print_notice(std::string_view line);

// `Error: TEXT` on standard error, and `Try: HELP` where that is given; with `as_json` one object with `error`,
// `exit_code` and `try`.
void print_error(std::string_view text, int exit_code, bool as_json, std::string_view help = {});

// JSON values that are printed as they are found: one line each, or all as one array.
class JsonRows {
 public:
  explicit JsonRows(bool as_array);
  ~JsonRows();  // ends the array, also where the command fails
  JsonRows(const JsonRows&) = delete;
  JsonRows& operator=(const JsonRows&) = delete;
  void add(std::string_view json);

 private:
  bool as_array_;
  bool first_ = true;
};

// An object of a record's headers; what is there several times has a list of its values.
std::string headers_json(const std::vector<HeaderView>& headers);

}  // namespace mephisto::cli
