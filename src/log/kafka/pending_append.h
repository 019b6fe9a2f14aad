// An append whose records are sent in several rounds. The unacknowledged records of a round are looked up in the log,
// and the missing ones are the next round.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "log/kafka/delivery.h"
#include "log/kafka/lookup.h"

namespace mephisto::kafka {

// The offset after a partition's last record that the producer knows, and the handle that wrote that record; 0:
// unknown.
struct Written {
  std::int64_t next = 0;
  std::uint64_t handle = 0;
};
using WrittenOffsets = std::map<TopicPartition, Written>;

class PendingAppend {
 public:
  // `batches` outlive this object, and do not change.
  explicit PendingAppend(std::vector<OutBatch>& batches) : whole_(batches) {}

  // The batches of the current round; empty once every record is appended or refused.
  std::vector<OutBatch>& round() { return resending_ ? remaining_ : whole_; }
  // Whether this round is the first, with all records.
  bool first() const { return !resending_; }
  // The unacknowledged records of a failed round of `handle`, to be looked up. Adds the acknowledged ones to `written`.
  std::vector<InDoubt> collect_in_doubt(const Delivery& delivery, std::uint64_t handle, WrittenOffsets& written);
  // Takes the search results; the next round has the records that were not found.
  void settle(const std::vector<InDoubt>& in_doubt, std::uint64_t handle, WrittenOffsets& written);
  // Marks the batches that are appended completely.
  void note_appended();
  // Call after a round that succeeded.
  void succeeded(const std::vector<AppendResult>& round);
  // Call after a round in which Kafka refused a record. The next rounds have smaller parts of its batch alone, until
  // that record is found.
  void refused(const Delivery& delivery, std::uint64_t handle, WrittenOffsets& written);
  // Call after a round that was refused before anything was sent. Returns whether its batches name the refused records.
  bool refused();
  // The offsets of all records, once no round is left. If records were refused, the batches name them, and have the
  // offsets of the others.
  Result<std::vector<AppendResult>> result();

 private:
  struct Row {
    std::size_t batch = 0;
    std::size_t row = 0;
  };

  void begin();
  // Makes the next round from the missing records.
  void next();
  void add_to_round(std::size_t batch, std::size_t most);
  // Empty if one of its records is missing.
  std::optional<AppendResult> appended_whole(std::size_t batch) const;
  Row row_of(std::size_t batch, std::size_t row) const { return resending_ ? rows_[batch][row] : Row{batch, row}; }
  void set_location(Row row, std::int64_t offset, std::int64_t timestamp_ms) {
    locations_[row.batch][row.row] = {offset, timestamp_ms};
  }

  std::vector<OutBatch>& whole_;
  bool resending_ = false;
  std::vector<OutBatch> remaining_;
  std::vector<std::vector<Row>> rows_;                             // of the batches in rest_
  std::vector<std::vector<InDoubt::Found>> locations_;             // of every record of the append
  std::vector<std::vector<Row>> in_doubt_rows_;                    // of the records that were looked up
  std::map<std::pair<std::size_t, std::size_t>, Error> refusals_;  // by batch and row
  std::optional<std::size_t> suspect_batch_;                       // the batch whose refused record is not found yet
  std::size_t most_ = 0;                                           // the most records of it in a round
};

}  // namespace mephisto::kafka
