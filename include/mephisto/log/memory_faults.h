// Fault injection into a log in memory, for tests. `open_log("memory://NAME")` gives the same log within a process as
// long as a pointer to it exists.
//
//   auto log = open_log("memory://orders");
//   memory_faults(*log).lose_commit_replies = 1;
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "mephisto/log.h"

namespace mephisto {

struct MemoryFaults {
  std::chrono::milliseconds delay{0};  // before a change is reported as done
  int fail_appends = 0;                // the next N appends fail (kUnavailable) and write nothing
  int lose_commit_replies = 0;         // the next N commits happen, but are reported as kIndefinite
  bool hold = false;                   // changes are visible at once, but durable and reported only after flush()

  // Makes the held changes durable and reports them as done.
  std::function<void()> flush;
  // Discards the changes that are not durable, as a power failure does; their callers get no result. Removes every
  // member from every group.
  std::function<void()> crash;
  // Ends the lease of every member whose client name is `client` (empty: all), as if it had died.
  std::function<void(const std::string& client)> expire;
};

// Throws Failure if `log` is not a memory:// log. Use it on the log's own loop only.
MemoryFaults& memory_faults(Log& log);

}  // namespace mephisto
