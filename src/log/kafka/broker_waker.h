// Keeps librdkafka's broker threads awake while a consumer is starved. In librdkafka before 2.2 a broker's thread
// sleeps for up to a second when all its partitions have enough prefetched. Nothing wakes it when they run empty
// (docs/decisions/0008), but any request to that broker does. Our request asks for one of the broker's settings. At
// most one is in flight at a time, every few milliseconds.
#pragma once

#include <vector>

#include "log/kafka/waker.h"
#include "mephisto/loop.h"

namespace mephisto::kafka {

class BrokerWaker {
 public:
  // `handle` is the consumer's own, because another handle has other threads.
  BrokerWaker(rd_kafka_t* handle, const Waker& waker);
  ~BrokerWaker();
  BrokerWaker(const BrokerWaker&) = delete;
  BrokerWaker& operator=(const BrokerWaker&) = delete;

  // The brokers that lead the partitions of the consumer.
  void serve_from(const std::vector<int>& brokers);
  // The consumer wants more records than there are. Returns when to call again.
  Loop::time_point starved(Loop::time_point now);

 private:
  rd_kafka_t* handle_;
  Queue answers_;
  std::vector<int> brokers_;
  std::size_t unanswered_ = 0;
  Loop::time_point next_{};
};

}  // namespace mephisto::kafka
