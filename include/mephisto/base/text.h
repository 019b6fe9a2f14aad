// Makes foreign text (from a record, the log or a server) safe for a terminal, a log line or an error message. Log
// lines and error messages on the command line are made safe automatically; text that an app prints is not.
//
//   fmt::print("{}\n", printable(symbol));
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mephisto {

inline constexpr std::size_t kWhole = std::string_view::npos;  // the text is not truncated

// `text`, with bytes that a terminal acts on or a reader cannot see written as `\xNN`: control characters (C0, DEL,
// C1), line separators, controls of the writing direction, characters without width, broken UTF-8. Truncated after
// about `max` bytes; it then ends with `…`.
std::string printable(std::string_view text, std::size_t max = 60);

// A JSON text on one line, with the same characters escaped as `\uNNNN`: its values do not change.
std::string printable_json(std::string_view json);

}  // namespace mephisto
