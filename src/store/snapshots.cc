#include "mephisto/store/snapshots.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <string_view>

#include "base/text.h"
#include "mephisto/base/ids.h"
#include "store/rocks_folder.h"

namespace mephisto::detail {
namespace {

constexpr std::size_t kKept = 2;  // if the newest is damaged, there is another
constexpr std::string_view kUnfinished = "next-";
constexpr std::chrono::hours kAbandoned{24};

std::filesystem::path unfinished(const std::filesystem::path& place) {
  Random random;
  return place / (std::string{kUnfinished} + Uuid::random(random).str());
}

// Another process may remove it at the same moment.
void remove_once(const std::filesystem::path& path) {
  const auto aside = unfinished(path.parent_path());
  std::error_code gone;
  std::filesystem::rename(path, aside, gone);
  if (gone != std::errc::no_such_file_or_directory) remove_folder(gone ? path : aside);
}

// Of processes that ended before their snapshots were complete.
void remove_abandoned(const std::filesystem::path& place) {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator{place, none}) {
    if (!entry.path().filename().string().starts_with(kUnfinished)) continue;
    const auto written = entry.last_write_time(none);
    if (!none && std::filesystem::file_time_type::clock::now() - written > kAbandoned) remove_once(entry.path());
  }
}

}  // namespace

std::vector<std::pair<std::int64_t, std::filesystem::path>> Snapshots::list() const {
  std::vector<std::pair<std::int64_t, std::filesystem::path>> all;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator{place_, none}) {
    std::int64_t offset = 0;
    if (take_number(entry.path().filename().string(), offset)) all.emplace_back(offset, entry.path());
  }
  std::ranges::sort(all, std::greater{});
  return all;
}

std::function<std::filesystem::path()> Snapshots::writer(Store& store) const {
  own_store_folder(place_);
  // The worker that had the partition before may still be writing.
  const auto next = unfinished(place_);
  return [*this, next, write = store.snapshot(next)] {
    remove_abandoned(place_);
    const auto path = place_ / std::to_string(write());
    if (std::filesystem::exists(path))
      remove_folder(next);
    else
      move_folder(next, path);
    const auto all = list();
    for (std::size_t i = kKept; i < all.size(); ++i) remove_once(all[i].second);
    return path;
  };
}

std::vector<int> snapshot_partitions(const std::filesystem::path& folder, const std::string& name) {
  std::vector<int> all;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator{folder / name, none}) {
    int partition = 0;
    if (take_number(entry.path().filename().string(), partition)) all.push_back(partition);
  }
  std::ranges::sort(all);
  return all;
}

void Snapshots::remove() const { remove_folder(place_); }

}  // namespace mephisto::detail
