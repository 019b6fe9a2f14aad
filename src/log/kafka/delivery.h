// Collects the brokers' delivery reports for the records of one append or transaction.
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
  // librdkafka accepted `count` records, or refused one permanently.
  void taken(std::size_t count) { produced_ += count; }
  void refused(std::size_t batch, rd_kafka_resp_err_t code);
  void report(std::size_t batch, const rd_kafka_message_t& message);

  bool complete() const { return reported_ == produced_; }
  // Whether librdkafka has accepted any record; and the time span in which it did so, which handed_over() ends.
  bool begun() const { return produced_ > 0; }
  void handed_over();
  Timestamp began() const { return began_; }
  Timestamp ended() const { return ended_; }
  // How many of a batch's records are certainly in the log. These are the first ones, because brokers accept records in
  // order; 0 if this batch's order was broken.
  std::int64_t count(std::size_t batch) const { return batches_[batch].mixed ? 0 : batches_[batch].count; }
  // Where the log has these records.
  const AppendResult& acknowledged(std::size_t batch) const { return batches_[batch].appended; }
  // The batch with the first record that was refused permanently; empty if the call failed for another reason.
  const std::optional<std::size_t>& refused_in() const { return refused_in_; }
  // Whether the brokers refuse the size of the request.
  bool too_large() const { return code_ == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; }
  // Whether the refusal is due to the content of one record, and does not concern every record of its topic.
  bool of_one_record() const;
  // The offset of a batch's record; negative if it is not in the log. Reports come in the order of the records.
  std::int64_t offset_of(std::size_t batch, std::size_t row) const;
  // Marks the batches that are appended completely.
  void note_appended(std::vector<OutBatch>& batches) const;
  // Once complete: where the log has the records, or why it does not have them. kIndefinite if that is unknown for some
  // records, or if only a part of a batch was appended.
  Result<std::vector<AppendResult>> result() const;
  const std::optional<Error>& error() const { return error_; }
  // The error, for the only record that it can be due to.
  Error error_of(const RecordView& record) const;

 private:
  struct Batch {
    TopicPartition partition;
    AppendResult appended{-1, {}};
    std::int64_t next = -1;  // the expected offset, while the records are contiguous
    std::int64_t count = 0;  // of the appended records
    std::int64_t wanted = 0;
    bool failed = false;  // at least one record failed
    bool mixed = false;   // a record failed and a later one succeeded
    std::vector<std::int64_t>
        // The reported offsets from the first failed record on; negative for a failed record.
        later{};
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
