// Which of the records whose producer ended before it was told are in the log (docs/decisions/0013).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "log/kafka/kafka_log.h"
#include "mephisto/loop.h"

namespace mephisto::kafka {

// Records of one partition that are looked for.
struct Sought {
  struct Found {
    std::int64_t offset = -1;  // negative: it is not there
    std::int64_t timestamp_ms = 0;
  };

  TopicPartition partition;
  std::vector<RecordView> records;  // in the order in which they were sent; their memory outlives the search
  bool times_chosen = true;         // otherwise librdkafka gave each the time at which it got it
  Timestamp began{};                // in this span
  Timestamp ended{};
  std::int64_t from = 0;       // none of them lies before this offset
  bool follows_ours = false;   // what lies before it is of the same producer
  bool committed = false;      // they are of a transaction that has ended, and count only if it was committed
  std::vector<Found> found{};  // of each record
};

// Looks for all of them, after a while in which what is still under way arrives. Reads to the partitions' ends, which
// an open transaction does not hide. An error that is not retriable says that nobody can look: kInvalid without the
// right to read, kNotFound where a topic is gone.
Task<Result<void>> look_up(std::shared_ptr<KafkaLog> log, Loop& loop, std::vector<Sought>& sought);

}  // namespace mephisto::kafka
