// Where a store on disk is, and whom it belongs to:
//
//   FOLDER/NAME/PARTITION/               RocksDB's files, and FORMAT: version, name, partition, checksum
//   FOLDER/NAME/PARTITION.lock           locked by the process that uses the store: its name, and lines of others that
//                                        want it
//   FOLDER/NAME/PARTITION.corrupt-TIME/  a store that could not be trusted
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/error.h"

namespace mephisto::detail {

// One store's place, locked for this object until it is destroyed.
class RocksFolder {
 public:
  // Makes the folder around it, and removes a copy that was not finished. Throws Failure: kInvalid if the name is no
  // file's, kUnavailable if it is in use.
  RocksFolder(const std::filesystem::path& folder, const std::string& name, int partition);
  ~RocksFolder();
  RocksFolder(const RocksFolder&) = delete;
  RocksFolder& operator=(const RocksFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // For a copy that is to take its place.
  std::filesystem::path unfinished() const { return path_.string() + ".new"; }
  // "the store of NAME partition N (in PATH)", for messages.
  std::string what() const;

  // Makes the folder and its FORMAT. There is nothing of RocksDB's in it yet.
  void create() const;
  // Writes FORMAT to another folder, a copy of the store.
  void write_format(const std::filesystem::path& to) const;
  // What is wrong with FORMAT in `in`; empty if it is this store's. Throws Failure kInvalid if it is of a newer
  // version.
  std::string check_format(const std::filesystem::path& in) const;
  // Whether another RocksFolder of this store has failed.
  bool wanted() const;
  // Renames the store's folder to `….corrupt-TIME`, and logs that and why.
  void set_aside(const std::string& why) const;

 private:
  const std::string name_;
  const int partition_;
  std::filesystem::path path_;
  int lock_ = -1;
  off_t own_ = 0;  // bytes of this one in the file
};

// As own_folder() and open_own_file() (base/private_file.h), but what the disk or the rights refuse may be possible
// later: they throw Failure kUnavailable.
void own_store_folder(const std::filesystem::path& path);
int open_store_file(const std::filesystem::path& path);
// Throw Failure kUnavailable. There may be nothing to remove.
void remove_folder(const std::filesystem::path& path);
void move_folder(const std::filesystem::path& from, const std::filesystem::path& to);

// Name and partition of each store in `folder`.
std::vector<std::pair<std::string, int>> list_stores(const std::filesystem::path& folder);

}  // namespace mephisto::detail
