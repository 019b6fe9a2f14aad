// Whether the brokers of a cluster can be reached: why not at first, and that they cannot at present is said once.
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

  // Waits until a broker has answered `handle`, whose errors come through its main queue; from then on there is nothing
  // to wait for. kInvalid where none lets us in, kUnavailable where none answers within five seconds. Blocks.
  Result<void> make(rd_kafka_t* handle);

  // No broker can be reached any more; said once, until one is heard.
  void lost();
  // A broker has answered.
  void heard() {
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
