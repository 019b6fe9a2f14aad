#include "store/rocks_open.h"

#include <fmt/format.h>

#include <cstring>

namespace mephisto::detail {

bool means_damage(const rocksdb::Status& status) {
  return status.IsCorruption() || status.IsInvalidArgument() || status.IsNotSupported() || status.IsPathNotFound() ||
         status.IsNotFound();
}

Failure disk_is_full(const RocksFolder& folder) {
  return {ErrorKind::kUnavailable,
          fmt::format("{} cannot be changed: the disk is full; free some space, and it goes on", folder.what())};
}

Failure unavailable(const RocksFolder& folder, const rocksdb::Status& status) {
  if (status.IsNoSpace()) return disk_is_full(folder);
  return {ErrorKind::kUnavailable,
          fmt::format("{} cannot be used: {}; check the disk and its rights", folder.what(), status.ToString())};
}

Opened open_database(const RocksMemory& memory, const std::filesystem::path& path, bool create) {
  Opened opened;
  auto options = memory.options();
  options.create_if_missing = create;
  options.env = opened.files->env();
  options.listeners.push_back(opened.errors);
  options.max_bgerror_resume_count = 0;
  options.avoid_flush_during_shutdown = true;  // it would wait for a full disk
  rocksdb::DB* database = nullptr;
  opened.status = rocksdb::DB::Open(options, path.string(), &database);
  if (!opened.status.ok()) return opened;
  opened.database.reset(database);
  std::string position;
  opened.status = database->Get({}, kPositionKey, &position);
  if (opened.status.ok()) {
    if (position.size() == sizeof(opened.position)) {
      std::memcpy(&opened.position, position.data(), sizeof(opened.position));
      opened.status = database->Get({}, kNoteKey, &opened.note);
      if (opened.status.IsNotFound()) opened.status = rocksdb::Status::OK();
    } else {
      opened.status = rocksdb::Status::Corruption("the position has a wrong length");
    }
  } else if (opened.status.IsNotFound()) {
    const std::unique_ptr<rocksdb::Iterator> any{database->NewIterator({})};
    any->SeekToFirst();
    opened.status = any->Valid() ? rocksdb::Status::Corruption("it has entries but no position") : any->status();
  }
  return opened;
}

}  // namespace mephisto::detail
