// How the RocksDB databases of a worker are set up: many small ones that share memory and threads (decision 0028).
#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/options.h>
#include <rocksdb/write_buffer_manager.h>

#include <cstddef>
#include <memory>
#include <mutex>
#include <set>

namespace mephisto::detail {

// The memory that the databases of a worker share. Write buffers take their part of the cache's capacity, so that both
// together keep to the budget. Any thread.
class RocksMemory {
 public:
  explicit RocksMemory(std::size_t budget);

  // For a database, new or old.
  rocksdb::Options options(bool create) const;

  void add(rocksdb::DB* database);
  void remove(rocksdb::DB* database);
  // Call it after writes. If the write buffers have used up their part, the largest is written to the disk. RocksDB
  // itself would write the buffer of the database that is written to, however small it is, because others are large.
  void after_write() {
    if (buffers_->mutable_memtable_memory_usage() > buffers_->buffer_size() / 2) flush_largest();
  }

 private:
  void flush_largest();

  const std::size_t budget_;
  std::shared_ptr<rocksdb::Cache> cache_;
  std::shared_ptr<rocksdb::WriteBufferManager> buffers_;
  std::mutex mutex_;
  std::set<rocksdb::DB*> databases_;
};

}  // namespace mephisto::detail
