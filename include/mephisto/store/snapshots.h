// Copies of stores that a new machine begins with: FOLDER/NAME/PARTITION/OFFSET, OFFSET being the changelog's offset
// after the last change in it (decision 0034).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/store/store.h"

namespace mephisto::detail {

// The snapshots of one store.
class Snapshots {
 public:
  Snapshots(const std::filesystem::path& folder, const std::string& name, int partition)
      : place_(folder / name / std::to_string(partition)) {}

  // By offset, the newest first.
  std::vector<std::pair<std::int64_t, std::filesystem::path>> list() const;
  // The function writes a snapshot, removes older ones but one, and gives the new one's place. Any thread may call it
  // while the store is in use, or after it is destroyed. Throws Failure.
  std::function<std::filesystem::path()> writer(Store& store) const;
  void remove() const;

 private:
  std::filesystem::path place_;
};

// The partitions of which there may be snapshots, in order.
std::vector<int> snapshot_partitions(const std::filesystem::path& folder, const std::string& name);

}  // namespace mephisto::detail
