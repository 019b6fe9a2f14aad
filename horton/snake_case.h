// AlphaVantage's field names and values in the form that people would write.
#pragma once

#include <boost/json.hpp>
#include <map>
#include <string>
#include <string_view>

namespace horton {

// `EBITDA` → `ebitda`, `PERatio` → `pe_ratio`, `52WeekHigh` → `52_week_high`, `ipoDate` → `ipo_date`, `1. open` →
// `open`. Letters beyond ASCII stay as they are. Empty if the name has neither a letter nor a digit.
std::string snake_case(std::string_view name);

// The names of one object's fields: none is empty, and each occurs once.
class FieldNames {
 public:
  // Returns `name`, or `field` if it is empty; adds `_2`, `_3`, … if the name is taken.
  std::string take(std::string name);

 private:
  std::map<std::string, int> taken_;  // and the last number that was tried
};

// Names become snake case at every depth, each once in its object; numbers become numbers; `None`, `-` and empty texts
// become null.
boost::json::value tidy(const boost::json::value& value);
// Converts one text of a field called `name` (snake case). It becomes a number if it is written as one, and if the
// field is neither a name nor a code. `007` and `12E4` are codes.
boost::json::value tidy_text(std::string_view name, std::string_view text);

}  // namespace horton
