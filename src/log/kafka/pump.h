// Keeps the brokers' threads of a consumer from sleeping while it is hungry. In librdkafka before 2.2 a broker's thread
// whose partitions all have enough prefetched sleeps for up to a second, and nobody wakes it when they run empty
// (docs/decisions/0008); any request to that broker does. Ours asks for one of the broker's settings, at most one at a
// time and every few milliseconds.
#pragma once

#include <vector>

#include "log/kafka/waker.h"
#include "mephisto/loop.h"

namespace mephisto::kafka {

class Pump {
 public:
  // `handle` is the consumer's own: another one has other threads.
  Pump(rd_kafka_t* handle, const Waker& waker);
  ~Pump();
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  // The brokers that lead what is read.
  void serve_from(const std::vector<int>& brokers);
  // The consumer would take more than there is. Gives when to say so again.
  Loop::time_point starved(Loop::time_point now);

 private:
  rd_kafka_t* handle_;
  Queue answers_;
  std::vector<int> brokers_;
  std::size_t unanswered_ = 0;
  Loop::time_point next_{};
};

}  // namespace mephisto::kafka
