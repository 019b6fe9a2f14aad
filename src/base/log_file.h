// The file that log lines go to, for who rotates logs.
#pragma once

#include <string_view>

namespace mephisto::log {

// Opens it anew by its name, after it was moved or removed. Where it cannot be opened, lines go on to the one before,
// and say so.
void reopen();

// Writes lines below a log line, as a table has them; what is foreign in them is made visible.
void write_below(std::string_view lines);

}  // namespace mephisto::log
