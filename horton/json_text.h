// JSON for people and their programs: numbers as people write them, 101.52 and not 1.0152E2.
#pragma once

#include <boost/json.hpp>
#include <string>

namespace horton {

std::string json_text(const boost::json::value& value);

}  // namespace horton
