// Snapshots of a table's stores: written now and then, and where a restore without a store begins (decision 0034).
#include <fmt/format.h>

#include "mephisto/logging.h"
#include "mephisto/store/snapshots.h"
#include "mephisto/table/table_state.h"

namespace mephisto::detail {

Task<void> TableState::write_snapshots() {
  if (snapshots_.empty()) co_return;
  std::vector<int> partitions;
  for (const auto& [partition, part] : parts_) partitions.push_back(partition);
  for (const int partition : partitions) {
    const auto found = parts_.find(partition);
    if (found == parts_.end() || !found->second->ready()) continue;
    const auto position = found->second->store().position();
    const Snapshots snapshots{snapshots_, spec_.store_name(), partition};
    try {
      if (const auto all = snapshots.list(); position < 0 || (!all.empty() && all.front().first >= position)) continue;
      const auto path = co_await blocking(found->second->snapshot_writer(snapshots), "a snapshot to be written");
      log::info("Table {}, partition {}: there is a snapshot {}", spec_.name, partition, path.string());
    } catch (const std::exception& error) {
      log::warn("Table {}, partition {}: no snapshot is written now: {}", spec_.name, partition, error.what());
    }
  }
}

// Damaged snapshots are passed over.
Task<void> TableState::begin_with_snapshot(int partition, Watermarks marks) {
  const Snapshots snapshots{snapshots_, spec_.store_name(), partition};
  for (const auto& [offset, path] : snapshots.list()) {
    if (offset < marks.start || offset > marks.end) continue;
    try {
      co_await blocking([this, partition, path] { stores_.restore(spec_.store_name(), partition, path); },
                        "a snapshot to be copied");
      log::info("Table {}, partition {}: begins with the snapshot {}", spec_.name, partition, path.string());
      co_return;
    } catch (const Failure& failure) {
      log::warn("Table {}, partition {}: {}", spec_.name, partition, failure.what());
    }
  }
}

Task<void> TableState::open_store(TablePart& part) {
  const auto open = [&] { use_store(part, [&] { part.open(stores_.open(spec_.store_name(), part.partition())); }); };
  open();
  if (part.store().position() >= 0 || snapshots_.empty()) co_return;
  if (Snapshots{snapshots_, spec_.store_name(), part.partition()}.list().empty()) co_return;
  part.close();
  co_await begin_with_snapshot(part.partition(), value_or_throw(co_await log_.watermarks(part.changelog())));
  open();
}

}  // namespace mephisto::detail
