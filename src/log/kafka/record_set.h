// Records as Kafka's brokers store and send them: a sequence of record batches (format 2, since Kafka 0.11; see "Record
// Batch" in Kafka's documentation). They are read in place: uncompressed records are never copied.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "mephisto/log.h"

namespace mephisto::kafka {

// This many bytes after the records must be readable: at least kJsonPadding, because JSON readers look that far.
inline constexpr std::size_t kSetPadding = 64;

// An aborted transaction: its producer, and the offset of its first record that a reply can have.
struct AbortedTransaction {
  std::int64_t producer = 0;
  std::int64_t first = 0;
};

// How far the complete batches of a set reach; a reply's last batch may be cut off.
struct Extent {
  std::size_t bytes = 0;  // of complete batches
  std::int64_t next = 0;  // the offset after them
  std::size_t first = 0;  // the size of the first batch, even if it is cut off; 0 if even its size is missing
};
Extent extent_of(std::string_view set);

// The fields of a batch that identify its producer.
struct BatchHead {
  std::int64_t next = 0;       // the offset after it
  std::int64_t producer = -1;  // negative: not idempotent
  std::int32_t sequence = -1;  // of the first record, in its producer's sequence for this partition
  bool transactional = false;
  bool append_time = false;  // its records have a broker's timestamps
};

class RecordSet {
 public:
  // `size` bytes of complete batches, and the aborted transactions in them.
  RecordSet(std::shared_ptr<const char[]> bytes, std::size_t size, std::vector<AbortedTransaction> aborted);

  bool empty() const { return at_ == size_; }
  std::size_t bytes_left() const { return size_ - at_; }
  // The header of the next batch; its records may be damaged.
  BatchHead head() const;
  // Appends the next batch's records from offset `from` on, without aborted ones, and sets batch.next_offset after it.
  // kCorrupt if the batch is damaged, kInvalid if its format is older. Both repeat, as such a batch is not skipped.
  Result<void> take(std::int64_t from, Batch& batch);

 private:
  // Whether the batch must be hidden. Called once for each batch of a transaction and each marker, in order.
  bool is_aborted(std::string_view stored);

  std::shared_ptr<const char[]> bytes_;
  std::size_t size_;
  std::size_t at_ = 0;
  std::vector<AbortedTransaction> aborted_;  // sorted by their first record
  std::size_t begun_ = 0;                    // how many of aborted_ have begun
  std::vector<std::int64_t> aborting_;       // producers whose records at this point belong to an aborted transaction
};

}  // namespace mephisto::kafka
