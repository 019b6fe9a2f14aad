// How the RocksDB databases of a worker are set up: many small ones that share memory and threads (decision 0028).
#pragma once

#include <rocksdb/cache.h>
#include <rocksdb/options.h>
#include <rocksdb/write_buffer_manager.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <set>

namespace mephisto::detail {

// The memory that the databases of a worker share, and when their write buffers go to the disk. Write buffers take
// their part of the cache's capacity. A quarter of the budget is for what RocksDB needs besides, and the allocator's
// gaps. Any thread.
class RocksMemory {
 public:
  // A change is on the disk after about `delay`, if there are more changes of any database.
  explicit RocksMemory(std::size_t budget, std::chrono::milliseconds delay = std::chrono::minutes{1});

  // For a database.
  rocksdb::Options options() const;

  void add(rocksdb::DB* database);
  void remove(rocksdb::DB* database);
  // Call it after writes. If the write buffers have used up their part, the largest is written to the disk. RocksDB
  // itself would write the buffer of the database that is written to, however small it is, because others are large.
  void after_write() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    if (now >= due_.load(std::memory_order_relaxed)) flush_all(now);
    if (buffers_->mutable_memtable_memory_usage() > buffers_->buffer_size() / 2) flush_largest();
  }

 private:
  using Time = std::chrono::steady_clock::duration;
  void flush_all(Time now);
  void flush_largest();

  const std::size_t budget_;
  const std::chrono::milliseconds delay_;
  std::atomic<Time> due_;
  std::shared_ptr<rocksdb::Cache> cache_;
  std::shared_ptr<rocksdb::WriteBufferManager> buffers_;
  std::mutex mutex_;
  std::set<rocksdb::DB*> databases_;
};

}  // namespace mephisto::detail
