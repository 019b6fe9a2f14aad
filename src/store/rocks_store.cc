// A store on rocksdb://, which is a database of its own. It has the position under the key "\0", the owner's note under
// "\0n", and an entry under "\1" and its key.
#include <fmt/format.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <limits>
#include <thread>

#include "mephisto/logging.h"
#include "store/kinds.h"
#include "store/rocks_open.h"

namespace mephisto::detail {
namespace {

constexpr char kEntry = '\1';

rocksdb::Slice slice(std::string_view text) { return {text.data(), text.size()}; }

std::uint64_t number_of(rocksdb::DB& database, const std::string& property) {
  std::uint64_t value = 0;
  database.GetIntProperty(property, &value);
  return value;
}

// The database of a store that is copied, on any thread. The database ends with the last one that uses it.
struct Copied {
  std::shared_ptr<RocksFolder> folder;
  std::shared_ptr<RocksMemory> memory;
  std::shared_ptr<RocksFiles> files;
  std::shared_ptr<Errors> errors;
  std::shared_ptr<rocksdb::DB> database;

  std::int64_t write(const std::filesystem::path& path) const {
    flush();
    const auto unfinished = path.string() + ".unfinished";
    remove_folder(unfinished);
    if (std::filesystem::exists(path))
      throw Failure(ErrorKind::kInvalid, fmt::format("there is a snapshot {} already", path.string()));
    rocksdb::Checkpoint* made = nullptr;
    auto status = rocksdb::Checkpoint::Create(database.get(), &made);
    const std::unique_ptr<rocksdb::Checkpoint> checkpoint{made};
    files->wait_for_space(false);
    if (status.ok()) status = checkpoint->CreateCheckpoint(unfinished, std::numeric_limits<std::uint64_t>::max());
    files->wait_for_space(true);
    check(status);
    own_store_folder(unfinished);
    folder->write_format(unfinished);
    const auto position = position_of(unfinished);
    move_folder(unfinished, path);
    return position;
  }

 private:
  void check(const rocksdb::Status& status) const {
    if (!status.ok())
      throw means_damage(status)
          ? Failure(ErrorKind::kCorrupt, fmt::format("{} cannot be copied: {}", folder->what(), status.ToString()))
          : unavailable(*folder, status);
  }

  void flush() const {
    rocksdb::FlushOptions now;
    now.wait = false;
    now.allow_write_stall = true;
    check(database->Flush(now));
    while (number_of(*database, rocksdb::DB::Properties::kNumEntriesImmMemTables) > 0) {
      if (errors->any()) check(errors->first());
      if (RocksFiles::disk_is_full()) throw disk_is_full(*folder);
      std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
  }

  // There may have been changes after the flush that are in the copy too.
  std::int64_t position_of(const std::filesystem::path& copy) const {
    rocksdb::DB* opened = nullptr;
    check(rocksdb::DB::OpenForReadOnly(rocksdb::Options{}, copy.string(), &opened));
    const std::unique_ptr<rocksdb::DB> read{opened};
    std::string bytes;
    const auto status = read->Get({}, kPositionKey, &bytes);
    std::int64_t position = -1;
    if (status.IsNotFound()) return position;
    check(status);
    if (bytes.size() == sizeof(position)) std::memcpy(&position, bytes.data(), sizeof(position));
    return position;
  }
};

class RocksStore final : public Store {
 public:
  RocksStore(std::unique_ptr<RocksFolder> folder, std::shared_ptr<RocksMemory> memory, Opened opened)
      : folder_(std::move(folder)),
        memory_(std::move(memory)),
        files_(std::move(opened.files)),
        errors_(std::move(opened.errors)),
        database_(std::move(opened.database)),
        position_(opened.position),
        note_(std::move(opened.note)) {
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
    for (const auto& [key, value, existed] : changes) {
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
    if (note_changed_) check(batch_.Put(kNoteKey, slice(note_)));
    // The changelog is the log: what a crash takes comes back from there. RocksDB's own log would also let changes that
    // are in a file be lost and later ones stay, if the end of its manifest is damaged.
    rocksdb::WriteOptions options;
    options.disableWAL = true;
    options.no_slowdown = true;
    rocksdb::Status status;
    wait_until([&] { return !(status = database.Write(options, &batch_)).IsIncomplete(); });
    check(status);
    note_changed_ = false;
    position_ = position;
    memory_->after_write();
  }

  bool wanted() const override { return folder_->wanted(); }
  const std::string& note() const override { return note_; }
  void set_note(std::string note) override {
    note_ = std::move(note);
    note_changed_ = true;
  }

  std::function<std::int64_t()> snapshot(const std::filesystem::path& path) override {
    usable();
    return [path, copied = Copied{folder_, memory_, files_, errors_, database_}] { return copied.write(path); };
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

  std::uint64_t number(const std::string& property) const { return database_ ? number_of(*database_, property) : 0; }

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

  std::shared_ptr<RocksFolder> folder_;
  std::shared_ptr<RocksMemory> memory_;
  std::shared_ptr<RocksFiles> files_;
  std::shared_ptr<Errors> errors_;
  std::shared_ptr<rocksdb::DB> database_;
  std::int64_t position_ = -1;
  std::string note_;
  bool note_changed_ = false;
  std::string damage_;  // why it has no database
  rocksdb::WriteBatch batch_;
  rocksdb::PinnableSlice found_;
  std::string from_;
};

}  // namespace

std::unique_ptr<Store> rocks_store(std::unique_ptr<RocksFolder> folder, std::shared_ptr<RocksMemory> memory,
                                   Opened opened) {
  return std::make_unique<RocksStore>(std::move(folder), std::move(memory), std::move(opened));
}

}  // namespace mephisto::detail
