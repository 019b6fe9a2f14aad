#include "mephisto/codec/json_types.h"

#include <cmath>

namespace mephisto::json {

std::optional<std::int64_t> nearest_whole(double value) {
  const double whole = std::round(value);
  if (!(whole >= -0x1p63 && whole < 0x1p63)) return std::nullopt;
  return static_cast<std::int64_t>(whole);
}

}  // namespace mephisto::json
