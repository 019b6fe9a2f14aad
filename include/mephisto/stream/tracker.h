// Tracks which records of a partition are done. Records are delivered in order and acknowledged in any order. The
// offset to commit is that of the first record that is not done.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mephisto::detail {

// A ring of bits in the order of delivery, so that gaps between offsets (compaction) cost nothing. Not thread-safe.
class AckTracker {
 public:
  // Starts at `offset`. `note` is the result of acks_ahead() when that offset was committed.
  AckTracker(std::int64_t offset, std::string_view note);

  // Whether the record at `offset` was done before the last commit.
  bool done_before(std::int64_t offset) const { return !done_.empty() && noted(offset); }

  // Registers the delivery of the record at `offset` and gives its sequence number.
  std::uint64_t deliver(std::int64_t offset) {
    if (offset != run_end_) begin_segment(offset);
    run_end_ = next_offset_ = offset + 1;
    if (next_ - first_ == capacity_) grow();
    return next_++;
  }
  // Sets the offset of the next fetch. With nothing in flight it is the offset to commit, also after a gap.
  void skip_to(std::int64_t offset) {
    if (offset > next_offset_) next_offset_ = offset;
  }

  void ack(std::uint64_t sequence) {
    if (sequence != first_) {
      word(sequence) |= bit(sequence);
      return;
    }
    ++first_;
    while (first_ != next_ && (word(first_) & bit(first_)) != 0) {
      word(first_) &= ~bit(first_);
      ++first_;
    }
  }
  // The sequence number of the record at `offset`; nothing if the record is not acknowledged, or if it is before the
  // forgotten offset.
  std::optional<std::uint64_t> acknowledged(std::int64_t offset) const;
  // The same, and takes the acknowledgement back.
  std::optional<std::uint64_t> reopen(std::int64_t offset);
  // Called after a commit of `offset`: the records before it are never reopened.
  void forget_before(std::int64_t offset);

  // Records before the first that is not done.
  std::uint64_t done() const { return first_; }
  // Records between the first that is not done and the last delivered one.
  std::uint64_t window() const { return next_ - first_; }
  // The offset of the first record that is not done; of the next one when all are.
  std::int64_t committable() const;
  // The offset after the last record that was delivered or skipped.
  std::int64_t next() const { return next_offset_; }
  // The records that are done from `base` on, as `5-9,12`, relative to `base`, which is at most committable(). Mostly
  // empty. A text of more than `max_bytes` is cut at its end.
  std::string acks_ahead(std::int64_t base, std::size_t max_bytes = std::numeric_limits<std::size_t>::max()) const;
  // An upper limit on the length of acks_ahead() relative to `start` or a later offset. It holds until the next
  // delivery, if `in_flight` of the delivered records are not done.
  std::size_t longest_acks_ahead(std::int64_t start, std::uint64_t in_flight) const;

 private:
  struct Segment {
    std::uint64_t sequence;
    std::int64_t offset;
  };
  struct Range {
    std::int64_t first;
    std::int64_t last;
  };

  std::uint64_t& word(std::uint64_t sequence) { return bits_[(sequence & (capacity_ - 1)) / 64]; }
  std::uint64_t word(std::uint64_t sequence) const { return bits_[(sequence & (capacity_ - 1)) / 64]; }
  static std::uint64_t bit(std::uint64_t sequence) { return std::uint64_t{1} << (sequence & 63); }
  bool noted(std::int64_t offset) const;
  void begin_segment(std::int64_t offset);
  std::int64_t offset_of(std::uint64_t sequence) const;
  void grow();

  std::uint64_t first_ = 0;  // first sequence that is not done
  std::uint64_t next_ = 0;
  std::int64_t next_offset_;
  std::int64_t run_end_ = -1;  // after the last delivered record: the last segment continues here
  std::uint64_t capacity_ = 256;
  std::vector<std::uint64_t> bits_ = std::vector<std::uint64_t>(256 / 64);
  std::deque<Segment> segments_;
  std::vector<Range> done_;  // done before this assignment, from the metadata; ascending
};

}  // namespace mephisto::detail
