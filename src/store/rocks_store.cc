// rocksdb://: one database for each store. A database has the position under the key "\0", and an entry under "\1" and
// its key.
#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <system_error>

#include "base/private_file.h"
#include "mephisto/base/assert.h"
#include "store/kinds.h"
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

Failure unavailable(const RocksFolder& folder, const rocksdb::Status& status) {
  const bool full = status.IsNoSpace() || status.ToString().find(std::strerror(EDQUOT)) != std::string::npos;
  return {ErrorKind::kUnavailable,
          fmt::format("{} cannot be used: {} ({})", folder.what(),
                      full ? "the disk is full; free some space, and it goes on" : "check the disk and its rights",
                      status.ToString())};
}

struct Opened {
  rocksdb::Status status;
  std::unique_ptr<rocksdb::DB> database;
  std::int64_t position = -1;
};

// Opens a database that is there, or a new one.
Opened open_database(const RocksMemory& memory, const std::filesystem::path& path, bool create) {
  Opened opened;
  rocksdb::DB* database = nullptr;
  opened.status = rocksdb::DB::Open(memory.options(create), path.string(), &database);
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
      : folder_(std::move(folder)), memory_(std::move(memory)) {
    take(std::move(opened));
  }
  ~RocksStore() override { close(); }

  std::int64_t position() const override { return position_; }

  std::optional<std::string_view> get(std::string_view key) override {
    found_.Reset();
    auto& database = usable();
    const auto status = database.Get({}, database.DefaultColumnFamily(), slice(entry_key(from_, key)), &found_);
    if (status.IsNotFound()) return std::nullopt;
    check(status);
    return std::string_view{found_.data(), found_.size()};
  }

  void scan(std::string_view from, std::string_view to,
            const std::function<bool(std::string_view key, std::string_view value)>& visit) override {
    if (!to.empty() && from >= to) return;
    const rocksdb::Slice lower = slice(entry_key(from_, from));
    const rocksdb::Slice upper = to.empty() ? rocksdb::Slice{"\2", 1} : slice(entry_key(to_, to));
    rocksdb::ReadOptions options;
    options.iterate_lower_bound = &lower;
    options.iterate_upper_bound = &upper;
    std::unique_ptr<rocksdb::Iterator> at{usable().NewIterator(options)};
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
    auto status = usable().Write({}, &batch_);
    if (!status.ok() && !means_damage(status) && go_on()) status = usable().Write({}, &batch_);
    check(status);
    position_ = position;
    memory_->after_write();
  }

  void snapshot(const std::filesystem::path& path) override {
    const auto unfinished = path.string() + ".unfinished";
    std::filesystem::remove_all(unfinished);
    if (std::filesystem::exists(path))
      throw Failure(ErrorKind::kInvalid, fmt::format("there is a snapshot {} already", path.string()));
    rocksdb::Checkpoint* made = nullptr;
    auto status = rocksdb::Checkpoint::Create(&usable(), &made);
    const std::unique_ptr<rocksdb::Checkpoint> checkpoint{made};
    if (status.ok()) status = checkpoint->CreateCheckpoint(unfinished);
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

  void take(Opened opened) {
    database_ = std::move(opened.database);
    position_ = opened.position;
    memory_->add(database_.get());
  }

  void close() {
    if (!database_) return;
    found_.Reset();
    memory_->remove(database_.get());
    database_.reset();
  }

  rocksdb::DB& usable() {
    if (!damage_.empty()) throw Failure(ErrorKind::kCorrupt, damage_);
    if (!database_ && !reopen()) throw unavailable(*folder_, last_);
    return *database_;
  }

  void check(const rocksdb::Status& status) {
    if (status.ok()) return;
    if (!means_damage(status)) throw unavailable(*folder_, status);
    close();
    damage_ = fmt::format("{} is damaged: {}", folder_->what(), status.ToString());
    folder_->set_aside(status.ToString());
    throw Failure(ErrorKind::kCorrupt, damage_);
  }

  // After an error RocksDB refuses all changes until it is told to go on. If it cannot, it can be opened again: all
  // changes are in its log. Returns whether it can be used.
  bool go_on() {
    if (database_->Resume().ok()) return true;
    close();
    return reopen();
  }

  bool reopen() {
    const auto before = position_;
    auto opened = open_database(*memory_, folder_->path(), false);
    last_ = opened.status;
    if (!last_.ok()) return false;
    take(std::move(opened));
    if (position_ < before) check(rocksdb::Status::Corruption("it has lost changes"));
    return true;
  }

  std::unique_ptr<RocksFolder> folder_;
  std::shared_ptr<RocksMemory> memory_;
  std::unique_ptr<rocksdb::DB> database_;
  std::int64_t position_ = -1;
  std::string damage_;    // not empty: it is damaged, and set aside
  rocksdb::Status last_;  // of the last attempt to open it again
  rocksdb::WriteBatch batch_;
  rocksdb::PinnableSlice found_;
  std::string from_;
  std::string to_;
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
  return std::ranges::none_of(std::filesystem::directory_iterator{path, missing}, [](const auto& file) {
    return file.path().extension() == ".sst" || file.path().extension() == ".log";
  });
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
    } catch (...) {
      std::error_code ignored;
      std::filesystem::remove_all(copy, ignored);
      throw;
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
