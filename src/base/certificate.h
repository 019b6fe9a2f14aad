// Certificates in PEM files.
#pragma once

#include <string>
#include <vector>

#include "mephisto/error.h"
#include "mephisto/base/time.h"

namespace mephisto {

// When the certificates of the file expire. There is at least one.
Result<std::vector<Microtime>> certificate_ends(const std::string& path);

}  // namespace mephisto
