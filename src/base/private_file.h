// Files and folders that are their owner's only, whatever the umask is. What another user prepared is refused, not
// trusted: a link would lead a write somewhere else, and another's file could change under us.
#pragma once

#include <string>

namespace mephisto {

// Makes the folder with its parents (0700 each); of one that is there, takes away what others may do. Throws Failure
// kInvalid where it belongs to another user, another user's link leads to it, or everybody could exchange it.
void own_folder(const std::string& path);

// Opens a file to read and write (0600), making it where there is none; of one that is there, takes away what others
// may do. Throws Failure: kUnavailable where the disk is full, kInvalid where it is a link, no plain file, or another
// user's.
int open_own_file(const std::string& path);

// As open_own_file, to append lines: may lead through a link of one's own or the system's, and to what is no file
// (`/dev/stderr`).
int open_own_log_file(const std::string& path);

}  // namespace mephisto
