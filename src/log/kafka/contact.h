// Whether the brokers of a cluster can be reached. The first failure is explained; a later loss is logged once.
#pragma once

#include <atomic>
#include <mutex>
#include <string>

#include "log/kafka/handle.h"

namespace mephisto::kafka {

// May be used from any thread.
class Contact {
 public:
  explicit Contact(std::string servers) : servers_(std::move(servers)) {}

  // Waits until a broker has answered `handle`; later calls return at once. `handle` reports its errors through its
  // main queue. kInvalid if no broker accepts our login, kUnavailable if none answers within five seconds. Blocks.
  Result<void> make(rd_kafka_t* handle);

  // No broker can be reached any more. Logged once, until a broker answers again.
  void lost();
  // A broker has answered.
  void answered() {
    if (lost_.load(std::memory_order_relaxed)) found();
  }

 private:
  void found();

  std::string servers_;
  std::atomic<bool> made_{false};
  std::atomic<bool> lost_{false};
  std::mutex mutex_;
};

}  // namespace mephisto::kafka
