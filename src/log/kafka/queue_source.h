// Records that librdkafka fetches: over every kind of connection that it supports, at a price (docs/decisions/0011).
// Each partition has its own queue. A paused partition's queue is not read. A record of an earlier assignment is never
// delivered for a later one, because each has its own queue.
#pragma once

#include <map>
#include <vector>

#include "log/kafka/cluster.h"
#include "log/kafka/broker_waker.h"
#include "log/kafka/source.h"
#include "log/kafka/waker.h"

namespace mephisto::kafka {

class QueueSource : public Source {
 public:
  // librdkafka's properties to fetch `partitions` partitions.
  static Properties properties(std::size_t partitions);

  // `handle` is the consumer's; it and `waker` outlive this object.
  QueueSource(rd_kafka_t* handle, Cluster& cluster, Loop& loop, const Waker& waker, std::size_t partitions);
  ~QueueSource() override;

  void add(AssignmentId id, const TopicPartition& partition, std::int64_t offset) override;
  void remove(AssignmentId id) override;
  // the queue of a held partition fills up, and librdkafka stops fetching for it
  void hold(AssignmentId, bool) override {}
  void start(const Leaders& leaders) override;
  std::optional<SourceError> take(AssignmentId id, std::size_t max_bytes, Batch& batch) override;
  std::optional<Loop::time_point> after_round() override;

 private:
  struct FetchState {
    TopicPartition partition;
    Queue queue;
    std::int64_t next = 0;
    std::size_t record_bytes = 16 << 10;  // an estimate of one record's size
  };

  rd_kafka_t* handle_;
  Cluster& cluster_;
  Loop& loop_;
  const Waker& waker_;
  std::size_t prefetched_;  // messages per partition; with less than half of them it is starved
  std::map<AssignmentId, FetchState> states_;
  std::vector<rd_kafka_message_t*> messages_;
  std::optional<BrokerWaker> broker_waker_;
  Loop::time_point flowed_{};  // the last time at which a partition had much to read
  bool starved_ = false;
};

}  // namespace mephisto::kafka
