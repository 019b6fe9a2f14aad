// Provides the records of a consumer's partitions. It knows nothing of the group, its members and their assignments.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "log/kafka/cluster.h"
#include "mephisto/loop.h"

namespace mephisto::kafka {

// Why a partition has no more records for now: an error of librdkafka or a broker (they use the same numbers).
struct SourceError {
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::string text;
};

// Belongs to its loop. Wakes its consumer when there are records to take.
class Source {
 public:
  virtual ~Source() = default;

  // After start() the partition is read from `offset` on. `id` is new, or continues at another offset.
  virtual void add(AssignmentId id, const TopicPartition& partition, std::int64_t offset) = 0;
  virtual void remove(AssignmentId id) = 0;
  // Whether take() will not be called for the partition for a while.
  virtual void hold(AssignmentId id, bool held) = 0;
  // `leaders`: those of the added partitions, as far as they are known.
  virtual void start(const Leaders& leaders) = 0;

  // Appends the partition's ready records, up to about `max_bytes`. Moves the batch's next_offset after them, and after
  // control records. Reports an error once, after the records before it. The source decides whether reading continues
  // after an error.
  virtual std::optional<SourceError> take(AssignmentId id, std::size_t max_bytes, Batch& batch) = 0;
  // After a round of take(): when to check again even if no wake-up comes.
  virtual std::optional<Loop::time_point> after_round() = 0;
};

}  // namespace mephisto::kafka
