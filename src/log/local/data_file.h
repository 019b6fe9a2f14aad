// Looks into LMDB's data file without LMDB. LMDB maps the file, and the system ends a process that reads a mapped page
// behind the file's end (SIGBUS).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace mephisto {

// Throws Failure if the log's data is gone: data.mdb is missing, empty, or shorter than what LMDB itself reads first.
// Leaves what is no file of LMDB to LMDB.
void check_data_file(const std::string& directory);

// The bytes that the file must have for the snapshot of the transaction `txn`. Nothing if this snapshot has been
// overwritten; then take a newer one. The caller holds the snapshot, so that its pages do not change.
std::optional<std::uint64_t> bytes_in_use(int fd, std::size_t page_bytes, std::uint64_t txn);

std::uint64_t bytes_of(int fd);

// If a read of a mapped page ends the process, one line on standard error names this log's data file first. Does
// nothing if the program has a handler of its own.
void explain_bus_errors(const std::string& directory);

}  // namespace mephisto
