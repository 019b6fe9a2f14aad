// How the databases of RocksDB use the disk. Their files are for their owner only. A disk that is full is waited for:
// RocksDB would refuse all changes until it is told to go on, and then lose some of them (decision 0028).
#pragma once

#include <rocksdb/env.h>

#include <memory>

namespace mephisto::detail {

class PrivateFiles;

// For one database, and lives longer.
class RocksFiles {
 public:
  RocksFiles();

  // The system's files, threads and clock.
  rocksdb::Env* env() const { return env_.get(); }
  // Whether a write waits until there is space. Otherwise, as at first, it fails.
  void wait_for_space(bool wait);
  // Whether a write waits. All databases of the process share the threads that write, so that all have to wait.
  static bool disk_is_full();

 private:
  std::shared_ptr<PrivateFiles> files_;
  std::unique_ptr<rocksdb::Env> env_;
};

}  // namespace mephisto::detail
