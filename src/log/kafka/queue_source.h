// Records as librdkafka fetches them: over every kind of connection that it knows, at a price (docs/decisions/0011).
// Each partition has a queue of its own, which is read or not: that is how a partition is paused, and how a record can
// never be taken for one of an earlier stay.
#pragma once

#include <map>
#include <vector>

#include "log/kafka/cluster.h"
#include "log/kafka/pump.h"
#include "log/kafka/source.h"
#include "log/kafka/waker.h"

namespace mephisto::kafka {

class QueueSource : public Source {
 public:
  // How librdkafka is to fetch `partitions` partitions.
  static Properties properties(std::size_t partitions);

  // Of the consumer `handle`, which outlives it, as `waker` does.
  QueueSource(rd_kafka_t* handle, Cluster& cluster, Loop& loop, const Waker& waker, std::size_t partitions);
  ~QueueSource() override;

  void add(AssignmentId id, const TopicPartition& partition, std::int64_t offset) override;
  void remove(AssignmentId id) override;
  void hold(AssignmentId, bool) override {}  // its queue fills up, and librdkafka fetches no more for it
  void start(const Leaders& leaders) override;
  std::optional<SourceError> take(AssignmentId id, std::size_t max_bytes, Batch& batch) override;
  std::optional<Loop::time_point> after_round() override;

 private:
  struct FetchState {
    TopicPartition partition;
    Queue queue;
    std::int64_t next = 0;
    std::size_t record_bytes = 16 << 10;  // about so large are its records
  };

  rd_kafka_t* handle_;
  Cluster& cluster_;
  Loop& loop_;
  const Waker& waker_;
  std::size_t prefetched_;  // of a partition; where it has less than half of it, it is hungry
  std::map<AssignmentId, FetchState> places_;
  std::vector<rd_kafka_message_t*> messages_;
  std::optional<Pump> pump_;
  Loop::time_point flowed_{};  // when a partition last had much to read
  bool hungry_ = false;
};

}  // namespace mephisto::kafka
