// Assertions that stay on in every build. A broken one ends the process at once and names its place: going on could
// lose records or process them twice.
#pragma once

#include <source_location>

namespace mephisto::detail {

[[noreturn]] void assertion_failed(const char* condition, const char* why, const std::source_location& where);

}  // namespace mephisto::detail

// `why` says what the program relies on.
#define MEPHISTO_ASSERT(condition, why) \
  ((condition) ? void() : ::mephisto::detail::assertion_failed(#condition, why, std::source_location::current()))
