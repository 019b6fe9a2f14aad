// AlphaVantage's field names and values as people would write them.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>

namespace horton {

// `EBITDA` → `ebitda`, `PERatio` → `pe_ratio`, `52WeekHigh` → `52_week_high`, `ipoDate` → `ipo_date`, `1. open` → `open`.
std::string snake_case(std::string_view name);

// Names in snake case at every depth; numbers as numbers; `None`, `-` and empty texts as null.
boost::json::value tidy(const boost::json::value& value);
// One text of a field called `name` (snake case): a number unless the field is one of names and codes.
boost::json::value tidy_text(std::string_view name, std::string_view text);

}  // namespace horton
