// The CSV of AlphaVantage's LISTING_STATUS.
#pragma once

#include <boost/json.hpp>
#include <string_view>
#include <vector>

#include "mephisto/error.h"

namespace horton {

// One object a row, names in snake case, `_type: "physical"` added. Quoted commas and CRLF as RFC 4180 has them. kDecode when it is
// no such listing, or a row has another number of fields than the header.
mephisto::Result<std::vector<boost::json::object>> parse_listing(std::string_view csv);

}  // namespace horton
