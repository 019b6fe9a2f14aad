// What the brokers report of the records of one append or transaction.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "log/kafka/contact.h"

namespace mephisto::kafka {

class Delivery {
 public:
  explicit Delivery(const std::vector<OutBatch>& batches);

  const TopicPartition& partition(std::size_t batch) const { return batches_[batch].partition; }
  // librdkafka took so many records, or refused one for good.
  void taken(std::size_t count) { produced_ += count; }
  void refused(std::size_t batch, rd_kafka_resp_err_t code);
  void report(std::size_t batch, const rd_kafka_message_t& message);

  bool complete() const { return reported_ == produced_; }
  // Whether librdkafka has got any of them; and when, which handed_over() tells.
  bool begun() const { return produced_ > 0; }
  void handed_over();
  Timestamp began() const { return began_; }
  Timestamp ended() const { return ended_; }
  // How many of a batch's records are there for certain: the first ones, as the brokers take them in order. None where
  // they did not.
  std::int64_t count(std::size_t batch) const { return batches_[batch].mixed ? 0 : batches_[batch].count; }
  // Where these are.
  const AppendResult& acknowledged(std::size_t batch) const { return batches_[batch].appended; }
  // The batch whose record was the first that was refused for good; nothing where the call failed for another reason.
  const std::optional<std::size_t>& refused_in() const { return refused_in_; }
  // Whether it is the requests' size that the brokers refuse.
  bool too_large() const { return code_ == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; }
  // Whether that is for what is in a record, and not for all that is sent to its topic.
  bool of_one_record() const;
  // Where a batch's record is, by the order of the reports, which is that of the records; negative: it is not there.
  std::int64_t offset_of(std::size_t batch, std::size_t row) const;
  // Notes in the batches which of them are appended whole.
  void note_appended(std::vector<OutBatch>& batches) const;
  // Once complete: where the records are; or why they are not. kIndefinite where that is not known of some, or a batch
  // is there in part.
  Result<std::vector<AppendResult>> result() const;
  const std::optional<Error>& error() const { return error_; }

 private:
  struct Batch {
    TopicPartition partition;
    AppendResult appended{-1, {}};
    std::int64_t next = -1;  // expected, where the records follow each other
    std::int64_t count = 0;  // of the records that are written
    std::int64_t wanted = 0;
    bool failed = false;  // one of them
    bool mixed = false;   // one that failed was followed by one that did not
    std::vector<std::int64_t>
        later{};  // offsets of what was reported from the first that failed on; negative: it failed
  };

  std::vector<Batch> batches_;
  std::size_t produced_ = 0;
  std::size_t reported_ = 0;
  bool unclear_ = false;
  Timestamp began_{};
  Timestamp ended_{};
  std::optional<Error> error_;  // the first
  rd_kafka_resp_err_t code_ = RD_KAFKA_RESP_ERR_NO_ERROR;
  std::optional<std::size_t> refused_in_;
  void fail_with(std::size_t batch, rd_kafka_resp_err_t code, std::string_view detail);
};

}  // namespace mephisto::kafka
