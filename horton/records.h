// The records in Horton's topics.
#pragma once

#include <string>

namespace horton {

struct CollectSecurityOverview {
  std::string symbol;
  std::string exchange;
};

}  // namespace horton
