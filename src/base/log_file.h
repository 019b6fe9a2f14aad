// The file that log lines go to, for who rotates logs.
#pragma once

namespace mephisto::log {

// Opens it anew by its name, after it was moved or removed. Where it cannot be opened, lines go on to the one before, and say so.
void reopen();

}  // namespace mephisto::log
