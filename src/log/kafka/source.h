// Where the records of a consumer's partitions come from. Who is a member, and which partitions it has, is not known
// here.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "log/kafka/cluster.h"
#include "mephisto/loop.h"

namespace mephisto::kafka {

// Why there are no more records of a partition for now: an error of librdkafka's or a broker's (the numbers are the
// same).
struct SourceError {
  rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::string text;
};

// Belongs to its loop. Wakes its consumer when there is something to take.
class Source {
 public:
  virtual ~Source() = default;

  // From start() on the partition is read from `offset` on. `id` is new, or goes on at another place than it did.
  virtual void add(AssignmentId id, const TopicPartition& partition, std::int64_t offset) = 0;
  virtual void remove(AssignmentId id) = 0;
  // Whether the partition is not going to be taken from for a while.
  virtual void hold(AssignmentId id, bool held) = 0;
  // `leaders`: of what was added, as far as they are known.
  virtual void start(const Leaders& leaders) = 0;

  // Appends what is ready of the partition's records, up to about `max_bytes`, and moves the batch's next_offset behind
  // them and behind what is no record. An error is told once, after what lies before it; what is read on after it, if
  // anything, is the source's affair.
  virtual std::optional<SourceError> take(AssignmentId id, std::size_t max_bytes, Batch& batch) = 0;
  // After a round of take(): when to look again, though nothing wakes.
  virtual std::optional<Loop::time_point> after_round() = 0;
};

}  // namespace mephisto::kafka
