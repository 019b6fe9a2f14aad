// JSON for people and their programs: numbers in the usual notation, 101.52 instead of 1.0152E2.
#pragma once

#include <boost/json.hpp>
#include <string>

namespace horton {

std::string json_text(const boost::json::value& value);

}  // namespace horton
