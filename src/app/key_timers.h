// Durable timers inside. Each shard waits for the next timer of the partitions that it has. It takes those that are due
// out of the table and sends their payloads, in a unit of work of the partition.
#pragma once

#include <vector>

#include "mephisto/app.h"
#include "mephisto/stream/shard.h"

namespace mephisto::detail {

// Rings when there may be an earlier timer than the one that the scanner waits for.
struct Alarm {
  bool rung = false;
  WaitQueue changed;

  void ring() {
    rung = true;
    changed.notify_all();
  }
};

class TimersScanner {
 public:
  TimersScanner(const App& app, Shard& shard);

  bool empty() const { return tables_.empty(); }
  // The shard has other partitions.
  void look_again() { alarm_.ring(); }
  Task<void> run();

 private:
  // Sends what is due. Gives the time of the next timer.
  Task<Timestamp> look(const TimersTable& table);
  Task<Timestamp> look(const TimersTable& table, int partition);

  Shard& shard_;
  std::vector<const TimersTable*> tables_;
  Alarm alarm_;
};

}  // namespace mephisto::detail
