// Tells the service manager how this process is, as sd_notify(3) does: a datagram to the socket that NOTIFY_SOCKET
// names. Without that variable it does nothing.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "mephisto/worker.h"

namespace mephisto::cli {

class ServiceManager {
 public:
  // Reads the environment.
  ServiceManager();

  // `READY=1`, `STOPPING=1`, `STATUS=…`; several are divided by line ends.
  void notify(std::string_view state) const;
  // Tells again and again that the worker is alive, while all its shards answer. Does nothing unless the manager wants
  // that (WATCHDOG_USEC).
  Task<void> watch(Worker& worker) const;

 private:
  std::string socket_;
  std::optional<std::chrono::microseconds> watchdog_;  // the manager's patience
};

}  // namespace mephisto::cli
