// Files and folders that only their owner can access, independent of the umask. Files and links of another user are
// refused: a link could redirect a write, and another user could change the file during use.
#pragma once

#include <string>

namespace mephisto {

// Creates the folder and its parents (0700 each); removes other users' rights from an existing folder. Throws Failure
// kInvalid if it belongs to another user, another user's link leads to it, or everybody could replace it.
void own_folder(const std::string& path);

// Opens a file to read and write (0600), and creates it if necessary; removes other users' rights from an existing
// file. Throws Failure: kUnavailable if the disk is full, kInvalid if it is a link, not a plain file, or another
// user's.
int open_own_file(const std::string& path);

// Like open_own_file, to append lines. The path may be a link of this user or of root, and may lead to a device
// (`/dev/stderr`).
int open_own_log_file(const std::string& path);

}  // namespace mephisto
