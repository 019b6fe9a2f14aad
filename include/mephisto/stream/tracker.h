// Which records of a partition are done. Records are delivered in order and acknowledged in any order; what may be
// committed is the offset of the first one that is not done.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mephisto::detail {

// A ring of bits by order of delivery, so that gaps between offsets (compaction) cost nothing; not thread-safe.
class AckTracker {
 public:
  // Starts at `offset`; `note` is what note() gave when that offset was committed.
  AckTracker(std::int64_t offset, std::string_view note);

  // Whether the record at `offset` was done already before the last commit.
  bool done_before(std::int64_t offset) const { return !done_.empty() && noted(offset); }

  // Registers the delivery of the record at `offset` and gives its sequence number.
  std::uint64_t deliver(std::int64_t offset) {
    if (offset != run_end_) begin_segment(offset);
    run_end_ = next_offset_ = offset + 1;
    if (next_ - first_ == capacity_) grow();
    return next_++;
  }
  // Where the next fetch starts: with nothing in flight this is what is committed, also behind a gap.
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
  // Takes the acknowledgement of the record at `offset` back and gives its sequence number. Nothing where it is not
  // acknowledged, or lies before what was forgotten.
  std::optional<std::uint64_t> reopen(std::int64_t offset);
  // After a commit of `offset`: what is before it is never reopened.
  void forget_before(std::int64_t offset);

  // Records between the first that is not done and the last delivered one.
  std::uint64_t window() const { return next_ - first_; }
  // The offset of the first record that is not done; of the next one when all are.
  std::int64_t committable() const;
  // Behind the last one delivered, or skipped.
  std::int64_t next() const { return next_offset_; }
  // What is done from `base` on, which is at most committable(): `5-9,12`, relative to it. Empty mostly. Of one that
  // would have more than `max_bytes` the end is missing.
  std::string acks_ahead(std::int64_t base, std::size_t max_bytes = std::numeric_limits<std::size_t>::max()) const;
  // No note relative to `start` or what lies behind it gets longer than this before the next delivery, if `in_flight`
  // of the records that were delivered are not done.
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
  std::int64_t run_end_ = -1;  // behind the last one delivered: where the last segment goes on
  std::uint64_t capacity_ = 256;
  std::vector<std::uint64_t> bits_ = std::vector<std::uint64_t>(256 / 64);
  std::deque<Segment> segments_;
  std::vector<Range> done_;  // before the start, from the note; ascending
};

}  // namespace mephisto::detail
