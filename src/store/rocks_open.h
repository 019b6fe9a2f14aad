// Opens RocksDB databases of stores, and says what their errors mean.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/listener.h>

#include <atomic>
#include <filesystem>
#include <memory>
#include <mutex>

#include "mephisto/store/store.h"
#include "store/rocks_files.h"
#include "store/rocks_folder.h"
#include "store/rocks_options.h"

namespace mephisto::detail {

inline const rocksdb::Slice kPositionKey{"\0", 1};  // entries have another first byte
inline const rocksdb::Slice kNoteKey{"\0n", 2};

// Whether it tells of wrong or missing bytes, or of another program's database. Otherwise the disk, the rights or the
// memory are at fault, and the same call may succeed later.
bool means_damage(const rocksdb::Status& status);
Failure disk_is_full(const RocksFolder& folder);
Failure unavailable(const RocksFolder& folder, const rocksdb::Status& status);

// Takes errors of RocksDB's threads, which write buffers to files, and keeps RocksDB from going on by itself after one.
class Errors final : public rocksdb::EventListener {
 public:
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status, bool* by_itself) override {
    *by_itself = false;
  }
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) override {
    const std::lock_guard lock{mutex_};
    if (first_.ok()) first_ = *error;
    any_ = true;
  }

  bool any() const { return any_; }
  rocksdb::Status first() {
    const std::lock_guard lock{mutex_};
    return first_;
  }

 private:
  std::atomic<bool> any_ = false;
  std::mutex mutex_;
  rocksdb::Status first_;
};

struct Opened {
  rocksdb::Status status;
  std::unique_ptr<RocksFiles> files = std::make_unique<RocksFiles>();
  std::shared_ptr<Errors> errors = std::make_shared<Errors>();
  std::unique_ptr<rocksdb::DB> database;
  std::int64_t position = -1;
  std::string note;
};

// Opens a database that is there, or a new one.
Opened open_database(const RocksMemory& memory, const std::filesystem::path& path, bool create);

std::unique_ptr<Store> rocks_store(std::unique_ptr<RocksFolder> folder, std::shared_ptr<RocksMemory> memory,
                                   Opened opened);

}  // namespace mephisto::detail
