// The stores of rocksdb:// on this machine: which can be trusted, and copies of them.
#include <fmt/format.h>
#include <rocksdb/perf_level.h>

#include <algorithm>
#include <optional>
#include <system_error>

#include "store/kinds.h"
#include "store/rocks_open.h"
#include "store/write_behind.h"

namespace mephisto::detail {
namespace {

constexpr std::uintmax_t kLeastSpace = 1 << 20;  // bytes that must be free on the disk before a store is opened

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
      : folder_(std::move(folder)),
        memory_(std::make_shared<RocksMemory>(memory_budget - memory_budget / 8)),
        gathered_(std::make_shared<WriteBehindMemory>(memory_budget / 8)) {}

  std::unique_ptr<Store> open(const std::string& name, int partition) override {
    auto folder = std::make_unique<RocksFolder>(folder_, name, partition);
    // The store could be opened and read, but its next change would fail.
    std::error_code unknown;
    const auto space = std::filesystem::space(folder->path().parent_path(), unknown);
    if (!unknown && space.available < kLeastSpace) throw disk_is_full(*folder);
    if (auto opened = open_if_sound(*folder)) return store_of(std::move(folder), std::move(*opened));
    folder->create();
    auto opened = open_database(*memory_, folder->path(), true);
    if (!opened.status.ok()) throw unavailable(*folder, opened.status);
    return store_of(std::move(folder), std::move(opened));
  }

  void restore(const std::string& name, int partition, const std::filesystem::path& snapshot) override {
    const RocksFolder folder{folder_, name, partition};
    const auto damaged = [&](const std::string& why) {
      return Failure(ErrorKind::kCorrupt, fmt::format("the snapshot {} is not used: {}", snapshot.string(), why));
    };
    if (const auto wrong = folder.check_format(snapshot); !wrong.empty()) throw damaged(wrong);
    const auto copy = folder.unfinished();
    own_store_folder(copy);
    try {
      copy_database(snapshot, copy);
      auto opened = open_database(*memory_, copy, false);
      if (opened.status.ok()) opened.status = opened.database->VerifyChecksum();
      if (!opened.status.ok())
        throw means_damage(opened.status) ? damaged(opened.status.ToString()) : unavailable(folder, opened.status);
      opened.database.reset();
      remove_folder(folder.path());
      move_folder(copy, folder.path());
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
    remove_folder(folder.path());
  }

  std::vector<std::pair<std::string, int>> list() override { return list_stores(folder_); }

 private:
  // Nothing: there is no store, or it was set aside.
  std::optional<Opened> open_if_sound(const RocksFolder& folder) {
    const auto& path = folder.path();
    if (holds_nothing(path)) return std::nullopt;
    own_store_folder(path);
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

  std::unique_ptr<Store> store_of(std::unique_ptr<RocksFolder> folder, Opened opened) {
    // RocksDB counts each comparison of two keys in a variable of the thread, which costs more than the comparison.
    rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable);
    return write_behind(rocks_store(std::move(folder), memory_, std::move(opened)), gathered_);
  }

  const std::filesystem::path folder_;
  const std::shared_ptr<RocksMemory> memory_;
  const std::shared_ptr<WriteBehindMemory> gathered_;
};

}  // namespace

std::unique_ptr<Stores> rocks_stores(const std::filesystem::path& folder, std::size_t memory_budget) {
  return std::make_unique<RocksStores>(folder, memory_budget);
}

}  // namespace mephisto::detail
