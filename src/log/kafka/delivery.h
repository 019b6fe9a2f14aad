// What the brokers report of the records of one append or transaction.
#pragma once

#include <vector>

#include "log/kafka/contact.h"

namespace mephisto::kafka {

class Delivery {
 public:
  explicit Delivery(const std::vector<OutBatch>& batches);

  // Hands the record over. kUnavailable where librdkafka's queue is full: read reports, and repeat.
  rd_kafka_resp_err_t produce(rd_kafka_t* handle, std::size_t batch, const RecordView& record);
  // Takes in the report of one of its records.
  static void report(const rd_kafka_message_t& message);

  bool complete() const { return reported_ == produced_; }
  // Once complete: where the records are; or why they are not. kIndefinite where that is not known of some, and of the others' kind where
  // none was written.
  Result<std::vector<Appended>> result() const;
  const std::optional<Error>& error() const { return error_; }

 private:
  struct Batch {
    Delivery* delivery = nullptr;
    TopicPartition partition;
    Appended appended{-1, {}};
    std::int64_t next = -1;  // expected, where the records follow each other
    std::int64_t count = 0;
  };

  std::vector<Batch> batches_;
  std::size_t produced_ = 0;
  std::size_t reported_ = 0;
  std::size_t written_ = 0;
  bool unclear_ = false;
  std::optional<Error> error_;  // the first
};

// Reads the reports that are in `queue`; false when there were none. What the brokers say besides (errors) is logged.
bool read_reports(rd_kafka_t* handle, rd_kafka_queue_t* queue, int timeout_ms, Contact& contact);

}  // namespace mephisto::kafka
