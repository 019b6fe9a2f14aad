// The clock moves the time of partitions that get no records: windows close and joins answer without a later record.
//
// A partition is idle if its stream time stands still for the table's `close_idle`, and nothing of its topics waits to
// be processed. Then OperatorTable::idle_work() does what a record at the time of the clock would do. That is a unit of
// work of its own, for one partition, on the shard that has it. It counts once, like an event: its changes and outputs
// are committed with the offsets of the partition, so the log refuses them if the partition has moved.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <vector>

#include "mephisto/stream/shard.h"
#include "mephisto/table/operator_table.h"
#include "mephisto/table/table_state.h"

namespace mephisto::detail {

class IdlePartitions {
 public:
  explicit IdlePartitions(Shard& shard) : shard_(shard) {}

  // `after`: how long stream time stands still. Before run().
  void add(const OperatorTable& table, const TableState& state, std::chrono::milliseconds after) {
    watched_.push_back({table, state, after, {}});
  }
  bool empty() const { return watched_.empty(); }
  // Works until it is cancelled. It looks four times within `after`.
  Task<void> run();
  // Whether a partition is being moved.
  bool busy() const { return busy_ > 0; }

 private:
  struct Seen {
    std::set<AssignmentId> users;  // of the partition
    std::optional<std::int64_t> stream;
    Loop::time_point since;
  };
  struct Watched {
    const OperatorTable& table;
    const TableState& state;
    std::chrono::milliseconds after;
    std::map<int, Seen> seen;  // by partition
  };

  Task<void> watch(Watched& one);
  Task<void> look(Watched& one, int partition);
  IdleWork::Times times(const Watched& one, int partition) const;
  // Whether all records of these assignments are processed, and the log has no more.
  Task<bool> caught_up(const std::set<std::string>& inputs, std::set<AssignmentId> users) const;

  Shard& shard_;
  std::vector<Watched> watched_;
  int busy_ = 0;
};

}  // namespace mephisto::detail
