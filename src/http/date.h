// Dates as HTTP writes them: `Sun, 06 Nov 1994 08:49:37 GMT`.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace mephisto {

std::string format_http_date(std::chrono::sys_seconds time);

// Also reads the two obsolete forms, `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov  6 08:49:37 1994`. Nothing if the
// text is not such a date.
std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text);

}  // namespace mephisto
