// Records as Kafka's brokers store and send them: record batches one after another (format 2, since Kafka 0.11; Kafka's
// documentation, "Record Batch"). Read in place: what is not compressed is never copied.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "mephisto/log.h"

namespace mephisto::kafka {

// So many bytes behind what holds records must be readable: no fewer than kJsonPadding, whose readers look so far.
inline constexpr std::size_t kSetPadding = 64;

// A transaction that was aborted: whose, and the first of its records that can be in a reply.
struct AbortedTransaction {
  std::int64_t producer = 0;
  std::int64_t first = 0;
};

// How far the whole batches of a set reach; the last one of a reply may be cut off.
struct Extent {
  std::size_t bytes = 0;  // of whole batches
  std::int64_t next = 0;  // the offset behind them
  std::size_t first = 0;  // bytes of the first batch, also where it is cut off; 0: not even that is known
};
Extent extent_of(std::string_view set);

// Of a batch: who wrote it.
struct BatchHead {
  std::int64_t next = 0;       // the offset behind it
  std::int64_t producer = -1;  // negative: one that is not idempotent
  std::int32_t sequence = -1;  // of the first record, among its producer's in this partition
  bool transactional = false;
  bool append_time = false;  // its records have the time of a broker
};

class RecordSet {
 public:
  // `size` bytes of whole batches, and the aborted transactions in them.
  RecordSet(std::shared_ptr<const char[]> bytes, std::size_t size, std::vector<AbortedTransaction> aborted);

  bool empty() const { return at_ == size_; }
  std::size_t bytes_left() const { return size_ - at_; }
  // What the next batch says of itself; its records may be damaged.
  BatchHead head() const;
  // Appends the records of the next batch from offset `from` on, but for aborted ones, and sets batch.next_offset
  // behind it. kCorrupt where it is damaged, kInvalid where its format is older; both again and again, as it is not
  // passed.
  Result<void> take(std::int64_t from, Batch& batch);

 private:
  // Whether the batch of a transaction must not be seen. Called once for each of them, in order.
  bool is_aborted(std::string_view stored);

  std::shared_ptr<const char[]> bytes_;
  std::size_t size_;
  std::size_t at_ = 0;
  std::vector<AbortedTransaction> aborted_;  // by their first record
  std::size_t begun_ = 0;                    // of aborted_, how many have begun
  std::vector<std::int64_t> aborting_;       // producers whose records are of an aborted transaction here
};

}  // namespace mephisto::kafka
