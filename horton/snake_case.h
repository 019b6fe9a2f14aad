// AlphaVantage's field names and values as people would write them.
#pragma once

#include <boost/json.hpp>
#include <map>
#include <string>
#include <string_view>

namespace horton {

// `EBITDA` → `ebitda`, `PERatio` → `pe_ratio`, `52WeekHigh` → `52_week_high`, `ipoDate` → `ipo_date`, `1. open` →
// `open`. Letters beyond ASCII stay as they are. Empty where the name has neither letter nor digit.
std::string snake_case(std::string_view name);

// The names of one object's fields: none is empty, and none is there twice.
class FieldNames {
 public:
  // `name`, or `field` where it is empty; with `_2`, `_3`, … where it is taken.
  std::string take(std::string name);

 private:
  std::map<std::string, int> taken_;  // and the last number that was tried
};

// Names in snake case at every depth, none twice; numbers as numbers; `None`, `-` and empty texts as null.
boost::json::value tidy(const boost::json::value& value);
// One text of a field called `name` (snake case): a number where it is written as one, and the field is none of names
// and codes. `007` and `12E4` are codes.
boost::json::value tidy_text(std::string_view name, std::string_view text);

}  // namespace horton
