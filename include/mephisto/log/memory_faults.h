// A log in memory whose faults a test injects. `open_log("memory://NAME")` gives the same log within a process for as
// long as somebody holds it.
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
  std::chrono::milliseconds delay{0};  // before anybody hears that a change is done
  int fail_appends = 0;                // the next so many appends fail (kUnavailable) and write nothing
  int lose_commit_replies = 0;         // the next so many commits happen, but are reported as kIndefinite
  bool hold = false;                   // changes are visible at once but durable, and answered, only after flush()

  // Makes what was held durable and answers it.
  std::function<void()> flush;
  // Forgets what is not durable, as a power failure does; its callers get no answer. Every member of every group is
  // out.
  std::function<void()> crash;
  // Ends the lease of every member whose client name is `client` (empty: all), as if it had died.
  std::function<void(const std::string& client)> expire;
};

// Throws Failure when `log` is no memory:// log. Use it on the log's own loop only.
MemoryFaults& memory_faults(Log& log);

}  // namespace mephisto
