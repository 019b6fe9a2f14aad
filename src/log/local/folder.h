// The folder of local:// as it must be before anything in it is used: on a local disk, writable, and with room for the
// files that are mapped. A mapped page for which the disk has no room would end the process without a word (SIGBUS).
#pragma once

#include <cstddef>
#include <string>

namespace mephisto {

// Makes the folder with its parents for its owner only, or throws Failure with what is wrong with it and what to do.
void prepare_folder(const std::string& directory);

// Opens a file of one's own, creating it, with room on the disk for its first `bytes`; its size is left as it is.
// Throws Failure.
int open_reserved(const std::string& path, std::size_t bytes);

// Whether `path` still leads to the open file.
bool is_at(int fd, const std::string& path);

// Whether nothing more can be added to the file: its disk is full, or the user's quota used up.
bool is_full(int fd);

// The name of a network file system by its number from statfs, or null. Its locks and mapped pages are not shared
// between machines.
const char* network_file_system(unsigned long type);

}  // namespace mephisto
