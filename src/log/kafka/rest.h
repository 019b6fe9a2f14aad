// An append whose records are sent in more than one round: what could not be told of a round is looked up, and what is
// missing is the next.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "log/kafka/delivery.h"
#include "log/kafka/lookup.h"

namespace mephisto::kafka {

// Up to where records are known to be in a partition, as a producer has seen it, and which handle wrote the last of
// them; 0: nobody knows.
struct Written {
  std::int64_t next = 0;
  std::uint64_t handle = 0;
};
using WrittenPlaces = std::map<TopicPartition, Written>;

class Rest {
 public:
  // `batches` outlive it and stay as they are.
  explicit Rest(std::vector<OutBatch>& batches) : whole_(batches) {}

  // What the round sends; empty once everything is there, or refused.
  std::vector<OutBatch>& round() { return again_ ? rest_ : whole_; }
  // Whether it is everything.
  bool first() const { return !again_; }
  // What to look for after a round of `handle` that failed: what nobody acknowledged. `written` learns what was.
  std::vector<Sought> doubtful(const Delivery& delivery, std::uint64_t handle, WrittenPlaces& written);
  // Takes in what was found of it; the next round is what was not.
  void settle(const std::vector<Sought>& sought, std::uint64_t handle, WrittenPlaces& written);
  // Notes in the batches which of them are appended whole.
  void note_appended();
  // After a round that succeeded.
  void succeeded(const std::vector<AppendResult>& round);
  // After a round that Kafka refused a record of: the next rounds are smaller, of its batch alone, until it is known
  // which.
  void refused(const Delivery& delivery, std::uint64_t handle, WrittenPlaces& written);
  // After a round that was refused before anything was sent: whether its batches say which records those are.
  bool refused();
  // Where everything is, once no round is left. Where records were refused, the batches name them, and where the others
  // are.
  Result<std::vector<AppendResult>> result();

 private:
  struct Row {
    std::size_t batch = 0;
    std::size_t row = 0;
  };

  void begin();
  // Makes the next round of what is not there.
  void next();
  void add_to_round(std::size_t batch, std::size_t most);
  // Nothing where one of its records is not there.
  std::optional<AppendResult> appended_whole(std::size_t batch) const;
  Row row_of(std::size_t batch, std::size_t row) const { return again_ ? rows_[batch][row] : Row{batch, row}; }
  void place(Row row, std::int64_t offset, std::int64_t timestamp_ms) {
    places_[row.batch][row.row] = {offset, timestamp_ms};
  }

  std::vector<OutBatch>& whole_;
  bool again_ = false;
  std::vector<OutBatch> rest_;
  std::vector<std::vector<Row>> rows_;                             // of the batches in rest_
  std::vector<std::vector<Sought::Found>> places_;                 // of each record of the whole
  std::vector<std::vector<Row>> doubtful_;                         // of what was looked for
  std::map<std::pair<std::size_t, std::size_t>, Error> refusals_;  // by batch and row
  std::optional<std::size_t> suspect_;                             // the batch that a refused record is sought in
  std::size_t most_ = 0;                                           // records of it in a round
};

}  // namespace mephisto::kafka
