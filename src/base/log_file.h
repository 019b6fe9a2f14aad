// The file that log lines are written to; supports log rotation.
#pragma once

#include <string_view>

namespace mephisto::log {

// Opens the file again by its name, after it was moved or removed. If it cannot be opened, lines go to the earlier
// file, beginning with an error.
void reopen();

// Writes lines below a log line, for example a table. Unsafe characters in them are made visible.
void write_below(std::string_view lines);

}  // namespace mephisto::log
