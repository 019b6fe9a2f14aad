// What somebody else wrote (a record, a name in the log, an answer of a server), made safe for a terminal, a log line
// or an error message. Log lines and the texts of errors on the command line are made safe by themselves; what an app
// prints is not.
//
//   fmt::print("{}\n", printable(symbol));
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mephisto {

inline constexpr std::size_t kWhole = std::string_view::npos;  // a text is not cut

// `text` with each byte as `\xNN` that a terminal acts on or a reader cannot see: control characters (C0, DEL, C1),
// line separators, controls of the writing direction, characters without width, broken UTF-8. Cut after about `max`
// bytes, with `…` then.
std::string printable(std::string_view text, std::size_t max = 60);

// A JSON text on one line, with the same characters escaped as `\uNNNN`: a program reads the same values from it.
std::string printable_json(std::string_view json);

}  // namespace mephisto
