// What people are told of a transaction that is open.
#pragma once

#include <string>

#include "mephisto/log.h"

namespace mephisto {

// `url` is the log's.
std::string describe(const OpenTransaction& open, const std::string& url);

}  // namespace mephisto
