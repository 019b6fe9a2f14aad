#include "mephisto/store/snapshots.h"

#include <algorithm>
#include <functional>

#include "base/text.h"
#include "store/rocks_folder.h"

namespace mephisto::detail {
namespace {

constexpr std::size_t kKept = 2;  // if the newest is damaged, there is another

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
  const auto next = place_ / "next";
  return [*this, next, write = store.snapshot(next)] {
    remove_folder(next);  // a process may have ended before it had its name
    const auto path = place_ / std::to_string(write());
    if (std::filesystem::exists(path))
      remove_folder(next);
    else
      move_folder(next, path);
    const auto all = list();
    for (std::size_t i = kKept; i < all.size(); ++i) remove_folder(all[i].second);
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
