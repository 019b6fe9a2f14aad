// The CSV of AlphaVantage's LISTING_STATUS.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/error.h"

namespace horton {

struct Listing {
  std::vector<boost::json::object> securities;  // one a row, names in snake case, `_type: "physical"` added
  std::size_t skipped = 0;                      // rows that cannot be read
  std::vector<std::string> unreadable;          // the first of them, for people: `line 7 has 5 fields, not 7: …`
};

// Quoted commas and CRLF as RFC 4180 has them. A row that cannot be read costs that row. kDecode when the header is
// that of something else, or most rows cannot be read.
mephisto::Result<Listing> parse_listing(std::string_view csv);

}  // namespace horton
