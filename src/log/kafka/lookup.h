// Finds out which unacknowledged records of an ended producer are in the log (docs/decisions/0013).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "log/kafka/kafka_log.h"
#include "mephisto/loop.h"

namespace mephisto::kafka {

// The unacknowledged records of one partition.
struct InDoubt {
  struct Found {
    std::int64_t offset = -1;  // negative: the log does not have it
    std::int64_t timestamp_ms = 0;
  };

  TopicPartition partition;
  std::vector<RecordView> records;  // in the order of sending; their memory outlives the search
  bool times_chosen = true;         // otherwise librdkafka set each record's time when it accepted the record
  Timestamp began{};                // librdkafka accepted the records between these times
  Timestamp ended{};
  std::int64_t from = 0;      // none of them is before this offset
  bool follows_ours = false;  // the record before `from` is of the same producer
  // The records belong to a transaction that has ended; they count only if it was committed.
  bool committed = false;
  std::vector<Found> found{};  // one for each record
};

// Searches for all of them, after a delay in which requests in flight can arrive. Reads to the partitions' ends, also
// past open transactions. After an error that is not retriable, a search is impossible: kInvalid without the right to
// read, kNotFound if a topic is deleted.
Task<Result<void>> look_up(std::shared_ptr<KafkaLog> log, Loop& loop, std::vector<InDoubt>& in_doubt);

}  // namespace mephisto::kafka
