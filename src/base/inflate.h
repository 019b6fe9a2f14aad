#pragma once

#include <string>
#include <string_view>

#include "mephisto/error.h"

namespace mephisto {

// The plain bytes of a gzip text, at most `limit` of them.
Result<std::string> inflate_gzip(std::string_view compressed, std::size_t limit);

}  // namespace mephisto
