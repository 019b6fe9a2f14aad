// The CSV of AlphaVantage's LISTING_STATUS.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/error.h"

namespace horton {

struct Listing {
  std::vector<boost::json::object> securities;  // one for each row, names in snake case, with `_type: "physical"` added
  std::size_t skipped = 0;                      // rows that cannot be read
  std::vector<std::string> unreadable;          // the first of them, for people: `line 7 has 5 fields, not 7: …`
};

// Understands quoted commas and CRLF as in RFC 4180. An unreadable row is left out. Returns kDecode if the header is
// not that of a listing, or if most rows are unreadable.
mephisto::Result<Listing> parse_listing(std::string_view csv);

}  // namespace horton
