#pragma once

#include <string>

namespace mephisto {

struct PageOptions {
  // Empty: POST if the handler takes a body, otherwise GET. A page for GET also answers HEAD.
  std::string method{};
  // For /openapi.json.
  std::string help{};
};

}  // namespace mephisto
