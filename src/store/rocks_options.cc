#include "store/rocks_options.h"

#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>

#include <algorithm>

namespace mephisto::detail {
namespace {

constexpr std::size_t kMiB = 1 << 20;

// RocksDB's own log repeats all options at each start; what matters of it comes as a status.
class NoLog final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void LogHeader(const char*, va_list) override {}
  void Logv(const char*, va_list) override {}
};

void begin_flush(rocksdb::DB& database) {
  rocksdb::FlushOptions now;
  now.wait = false;
  now.allow_write_stall = true;
  database.Flush(now).PermitUncheckedError();  // the database's own next change reports it
}

std::uint64_t number(rocksdb::DB& database, const std::string& property) {
  std::uint64_t value = 0;
  database.GetIntProperty(property, &value);
  return value;
}

}  // namespace

RocksMemory::RocksMemory(std::size_t budget, std::chrono::milliseconds delay)
    : budget_(std::max(budget, 8 * kMiB)),
      delay_(delay),
      due_(std::chrono::steady_clock::now().time_since_epoch() + delay),
      cache_(rocksdb::NewLRUCache(budget_ * 3 / 4, /*num_shard_bits=*/3)),
      buffers_(std::make_shared<rocksdb::WriteBufferManager>(budget_ * 3 / 8, cache_)) {}

rocksdb::Options RocksMemory::options() const {
  rocksdb::Options made;
  made.info_log = std::make_shared<NoLog>();
  made.write_buffer_manager = buffers_;
  made.write_buffer_size = std::clamp(budget_ / 8, kMiB, 16 * kMiB);
  made.arena_block_size = 64 << 10;  // what a database takes that has one entry
  made.max_write_buffer_number = 3;

  // All databases of the process share two threads. Most are small and have few files.
  made.max_background_jobs = 2;
  made.max_open_files = 128;
  made.max_file_opening_threads = 1;
  made.target_file_size_base = 8 * kMiB;
  made.stats_dump_period_sec = 0;
  made.stats_persist_period_sec = 0;
  made.keep_log_file_num = 1;
  made.manifest_preallocation_size = 64 << 10;

  made.compaction_style = rocksdb::kCompactionStyleLevel;
  made.level_compaction_dynamic_level_bytes = true;
  made.max_bytes_for_level_base = 128 * kMiB;
  made.compression = rocksdb::kLZ4Compression;

  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache_;
  table.format_version = 5;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  // Filters and indexes are in the cache, in parts: a whole one of a large file is megabytes.
  table.cache_index_and_filter_blocks = true;
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = true;
  table.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
  made.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return made;
}

void RocksMemory::add(rocksdb::DB* database) {
  const std::lock_guard lock{mutex_};
  databases_.insert(database);
}

void RocksMemory::remove(rocksdb::DB* database) {
  const std::lock_guard lock{mutex_};
  databases_.erase(database);
}

void RocksMemory::flush_all(Time now) {
  const std::lock_guard lock{mutex_};
  due_ = now + delay_;
  for (auto* database : databases_)
    if (number(*database, rocksdb::DB::Properties::kNumEntriesActiveMemTable) > 0) begin_flush(*database);
}

void RocksMemory::flush_largest() {
  const std::lock_guard lock{mutex_};
  const auto largest = std::ranges::max_element(databases_, {}, [](rocksdb::DB* database) {
    return number(*database, rocksdb::DB::Properties::kCurSizeActiveMemTable);
  });
  if (largest != databases_.end()) begin_flush(**largest);
}

}  // namespace mephisto::detail
