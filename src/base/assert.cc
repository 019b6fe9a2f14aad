#include "mephisto/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace mephisto::detail {

void assertion_failed(const char* condition, const char* why, const std::source_location& where) {
  std::fprintf(stderr, "%s:%u: assertion failed: %s (%s)\n", where.file_name(), static_cast<unsigned>(where.line()),
               why, condition);
  std::abort();
}

}  // namespace mephisto::detail
