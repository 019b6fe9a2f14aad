// Checks and prepares the folder of local:// before use: it must be on a local disk, writable, and have room for the
// mapped files. If the disk has no room for a mapped page, the system kills the process without a message (SIGBUS).
#pragma once

#include <cstddef>
#include <string>

namespace mephisto {

// Creates the folder and its parents, accessible to the owner only. Throws Failure with the problem and the remedy.
void prepare_folder(const std::string& directory);

// Opens a file that only its owner can access, creating it if necessary, and reserves disk space for its first `bytes`.
// Does not change its size. Throws Failure.
int open_reserved(const std::string& path, std::size_t bytes);

// Whether `path` still refers to the open file.
bool is_at(int fd, const std::string& path);

// Whether the file cannot grow: its disk is full or the user's quota is used up.
bool is_full(int fd);

// The name of a network file system by its number from statfs; null for a local one. Network file systems do not share
// locks and mapped pages between machines.
const char* network_file_system(unsigned long type);

}  // namespace mephisto
