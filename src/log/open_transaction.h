// Describes an open transaction for messages to people.
#pragma once

#include <string>

#include "mephisto/log.h"

namespace mephisto {

// `url` is the log's.
std::string describe(const OpenTransaction& open, const std::string& url);

}  // namespace mephisto
