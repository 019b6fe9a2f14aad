// rocksdb://: one database for each store. A database has the position under the key "\0", and an entry under "\1" and
// its key.
#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/listener.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <limits>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/private_file.h"
#include "mephisto/logging.h"
#include "store/kinds.h"
#include "store/rocks_files.h"
#include "store/rocks_folder.h"
#include "store/rocks_options.h"

namespace mephisto::detail {
namespace {

const rocksdb::Slice kPositionKey{"\0", 1};
constexpr char kEntry = '\1';
constexpr std::size_t kCounted = 10'000;  // a store of more entries is estimated

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }

// Whether it tells of wrong or missing bytes, or of another program's database. Otherwise the disk, the rights or the
// memory are at fault, and the same call may succeed later.
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
};

// Opens a database that is there, or a new one.
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

class RocksStore final : public Store {
 public:
  RocksStore(std::unique_ptr<RocksFolder> folder, std::shared_ptr<RocksMemory> memory, Opened opened)
      : folder_(std::move(folder)),
        memory_(std::move(memory)),
        files_(std::move(opened.files)),
        errors_(std::move(opened.errors)),
        database_(std::move(opened.database)),
        position_(opened.position) {
    memory_->add(database_.get());
    files_->wait_for_space(true);
  }
  ~RocksStore() override {
    try {
      if (database_) flush();
    } catch (const Failure& failure) {
      log::warn("{}. Its last changes are restored from the changelog when it is opened again", failure.what());
    }
    close();
  }

  std::int64_t position() const override { return position_; }

  std::optional<std::string_view> get(std::string_view key) override {
    found_.Reset();
    auto& database = readable();
    const auto status = database.Get({}, database.DefaultColumnFamily(), slice(entry_key(from_, key)), &found_);
    if (status.IsNotFound()) return std::nullopt;
    check(status);
    return std::string_view{found_.data(), found_.size()};
  }

  void scan(std::string_view from, std::string_view to,
            const std::function<bool(std::string_view key, std::string_view value)>& visit) override {
    auto& database = readable();
    if (!to.empty() && from >= to) return;
    // Not members: `visit` may call `get` and `scan`.
    std::string first;
    std::string last{"\2"};
    entry_key(first, from);
    if (!to.empty()) entry_key(last, to);
    const auto lower = slice(first);
    const auto upper = slice(last);
    rocksdb::ReadOptions options;
    options.iterate_lower_bound = &lower;
    options.iterate_upper_bound = &upper;
    std::unique_ptr<rocksdb::Iterator> at{database.NewIterator(options)};
    for (at->Seek(lower); at->Valid(); at->Next()) {
      const auto key = at->key();
      const auto value = at->value();
      if (!visit({key.data() + 1, key.size() - 1}, {value.data(), value.size()})) return;
    }
    const auto status = at->status();
    at.reset();
    check(status);
  }

  void apply(std::span<const StoreChange> changes, std::int64_t position) override {
    auto& database = usable();
    batch_.Clear();
    for (const auto& [key, value] : changes) {
      const std::array<rocksdb::Slice, 2> parts{rocksdb::Slice{&kEntry, 1}, slice(key)};
      const rocksdb::SliceParts whole{parts.data(), parts.size()};
      if (value) {
        const auto bytes = slice(*value);
        check(batch_.Put(whole, rocksdb::SliceParts{&bytes, 1}));
      } else {
        check(batch_.Delete(whole));
      }
    }
    check(batch_.Put(kPositionKey, {reinterpret_cast<const char*>(&position), sizeof(position)}));
    // The changelog is the log: what a crash takes comes back from there. RocksDB's own log would also let changes that
    // are in a file be lost and later ones stay, if the end of its manifest is damaged.
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    options.no_slowdown = true;
    rocksdb::Status status;
    wait_until([&] { return !(status = database.Write(options, &batch_)).IsIncomplete(); });
    check(status);
    position_ = position;
    memory_->after_write();
  }

  void snapshot(const std::filesystem::path& path) override {
    flush();
    const auto unfinished = path.string() + ".unfinished";
    std::filesystem::remove_all(unfinished);
    if (std::filesystem::exists(path))
      throw Failure(ErrorKind::kInvalid, fmt::format("there is a snapshot {} already", path.string()));
    rocksdb::Checkpoint* made = nullptr;
    auto status = rocksdb::Checkpoint::Create(database_.get(), &made);
    const std::unique_ptr<rocksdb::Checkpoint> checkpoint{made};
    files_->wait_for_space(false);
    if (status.ok()) status = checkpoint->CreateCheckpoint(unfinished, std::numeric_limits<std::uint64_t>::max());
    files_->wait_for_space(true);
    if (!status.ok() && !status.IsCorruption()) throw unavailable(*folder_, status);
    check(status);
    own_folder(unfinished);
    folder_->write_format(unfinished);
    std::filesystem::rename(unfinished, path);
  }

  std::size_t size() const override {
    if (!database_) return 0;
    const rocksdb::Slice lower{&kEntry, 1};
    rocksdb::ReadOptions options;
    options.iterate_lower_bound = &lower;
    const std::unique_ptr<rocksdb::Iterator> at{database_->NewIterator(options)};
    std::size_t counted = 0;
    for (at->SeekToFirst(); at->Valid() && counted < kCounted; at->Next()) ++counted;
    if (counted < kCounted) return counted;
    return std::max<std::size_t>(counted, number(rocksdb::DB::Properties::kEstimateNumKeys));
  }

  std::size_t bytes() const override {
    return number(rocksdb::DB::Properties::kLiveSstFilesSize) + number(rocksdb::DB::Properties::kCurSizeAllMemTables);
  }

 private:
  static const std::string& entry_key(std::string& into, std::string_view key) {
    into.assign(1, kEntry);
    return into.append(key);
  }

  std::uint64_t number(const std::string& property) const {
    std::uint64_t value = 0;
    if (database_) database_->GetIntProperty(property, &value);
    return value;
  }

  rocksdb::DB& readable() {
    if (!database_) throw Failure(ErrorKind::kCorrupt, damage_);
    return *database_;
  }
  // For changes.
  rocksdb::DB& usable() {
    auto& database = readable();
    if (errors_->any()) give_up(errors_->first());
    if (RocksFiles::disk_is_full()) throw disk_is_full(*folder_);
    return database;
  }

  // RocksDB itself would also wait while the disk is full.
  void wait_until(auto done) {
    while (!done()) {
      usable();
      std::this_thread::sleep_for(std::chrono::microseconds{200});
    }
  }

  // Writes all changes to files.
  void flush() {
    rocksdb::FlushOptions now;
    now.wait = false;
    now.allow_write_stall = true;
    check(usable().Flush(now));
    wait_until([&] { return number(rocksdb::DB::Properties::kNumEntriesImmMemTables) == 0; });
  }

  void close() {
    if (!database_) return;
    found_.Reset();
    memory_->remove(database_.get());
    files_->wait_for_space(false);
    database_.reset();
  }

  void check(const rocksdb::Status& status) {
    if (status.ok()) return;
    if (!means_damage(status) && errors_->any()) give_up(errors_->first());
    if (!means_damage(status)) throw unavailable(*folder_, status);
    close();
    damage_ = fmt::format("{} is damaged: {}", folder_->what(), status.ToString());
    folder_->set_aside(status.ToString());
    throw Failure(ErrorKind::kCorrupt, damage_);
  }

  // RocksDB could not write what it has in memory. The files are sound, but behind.
  [[noreturn]] void give_up(const rocksdb::Status& status) {
    if (means_damage(status)) check(status);
    close();
    damage_ = fmt::format("{} has lost its last changes, because they could not be written: {}; check the disk",
                          folder_->what(), status.ToString());
    throw Failure(ErrorKind::kCorrupt, damage_);
  }

  std::unique_ptr<RocksFolder> folder_;
  std::shared_ptr<RocksMemory> memory_;
  std::unique_ptr<RocksFiles> files_;
  std::shared_ptr<Errors> errors_;
  std::unique_ptr<rocksdb::DB> database_;
  std::int64_t position_ = -1;
  std::string damage_;  // why it has no database
  rocksdb::WriteBatch batch_;
  rocksdb::PinnableSlice found_;
  std::string from_;
};

// Files of tables never change, so that a link is as good as a copy.
void copy_database(const std::filesystem::path& from, const std::filesystem::path& to) {
  for (const auto& file : std::filesystem::directory_iterator{from}) {
    const auto target = to / file.path().filename();
    std::error_code cannot;
    if (file.path().extension() == ".sst") std::filesystem::create_hard_link(file, target, cannot);
    if (file.path().extension() != ".sst" || cannot) {
      std::filesystem::copy_file(file, target);
      std::filesystem::permissions(target, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    }
  }
}

// Whether there is no store yet, or its making was cut off.
bool holds_nothing(const std::filesystem::path& path) {
  std::error_code missing;
  if (std::filesystem::exists(path / "CURRENT")) return false;
  return std::ranges::none_of(std::filesystem::directory_iterator{path, missing},
                              [](const auto& file) { return file.path().extension() == ".sst"; });
}

class RocksStores final : public Stores {
 public:
  RocksStores(std::filesystem::path folder, std::size_t memory_budget)
      : folder_(std::move(folder)), memory_(std::make_shared<RocksMemory>(memory_budget)) {}

  std::unique_ptr<Store> open(const std::string& name, int partition) override {
    auto folder = std::make_unique<RocksFolder>(folder_, name, partition);
    if (auto opened = open_if_sound(*folder))
      return std::make_unique<RocksStore>(std::move(folder), memory_, std::move(*opened));
    folder->create();
    auto opened = open_database(*memory_, folder->path(), true);
    if (!opened.status.ok()) throw unavailable(*folder, opened.status);
    return std::make_unique<RocksStore>(std::move(folder), memory_, std::move(opened));
  }

  void restore(const std::string& name, int partition, const std::filesystem::path& snapshot) override {
    const RocksFolder folder{folder_, name, partition};
    const auto damaged = [&](const std::string& why) {
      return Failure(ErrorKind::kCorrupt, fmt::format("the snapshot {} is not used: {}", snapshot.string(), why));
    };
    if (const auto wrong = folder.check_format(snapshot); !wrong.empty()) throw damaged(wrong);
    const std::filesystem::path copy = folder.path().string() + ".new";
    std::filesystem::remove_all(copy);
    own_folder(copy.string());
    try {
      copy_database(snapshot, copy);
      auto opened = open_database(*memory_, copy, false);
      if (opened.status.ok()) opened.status = opened.database->VerifyChecksum();
      if (!opened.status.ok())
        throw means_damage(opened.status) ? damaged(opened.status.ToString()) : unavailable(folder, opened.status);
      opened.database.reset();
      std::filesystem::remove_all(folder.path());
      std::filesystem::rename(copy, folder.path());
    } catch (const std::exception& error) {
      std::error_code ignored;
      std::filesystem::remove_all(copy, ignored);
      if (dynamic_cast<const Failure*>(&error) != nullptr) throw;
      throw Failure(ErrorKind::kUnavailable,
                    fmt::format("the snapshot {} cannot be copied: {}", snapshot.string(), error.what()));
    }
  }

  void remove(const std::string& name, int partition) override {
    const RocksFolder folder{folder_, name, partition};
    std::filesystem::remove_all(folder.path());
  }

  std::vector<std::pair<std::string, int>> list() override { return list_stores(folder_); }

 private:
  // Nothing: there is no store, or it was set aside.
  std::optional<Opened> open_if_sound(const RocksFolder& folder) {
    const auto& path = folder.path();
    if (holds_nothing(path)) return std::nullopt;
    own_folder(path.string());
    auto wrong = folder.check_format(path);
    auto opened = open_database(*memory_, path, false);
    if (opened.status.ok() && wrong.empty()) return opened;
    opened.database.reset();
    if (!opened.status.ok()) {
      if (!means_damage(opened.status)) throw unavailable(folder, opened.status);
      wrong = opened.status.ToString();
    }
    folder.set_aside(wrong);
    return std::nullopt;
  }

  const std::filesystem::path folder_;
  const std::shared_ptr<RocksMemory> memory_;
};

}  // namespace

std::unique_ptr<Stores> rocks_stores(const std::filesystem::path& folder, std::size_t memory_budget) {
  return std::make_unique<RocksStores>(folder, memory_budget);
}

}  // namespace mephisto::detail
