#include "mephisto/stream/tracker.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace mephisto::detail {

namespace {

// Parses `5-9,12`: ascending, each number relative to the committed offset. Any other text gives an empty list, because
// it is not ours.
std::vector<std::pair<std::int64_t, std::int64_t>> parse_note(std::string_view note) {
  std::vector<std::pair<std::int64_t, std::int64_t>> ranges;
  const char* at = note.data();
  const char* const end = at + note.size();
  auto number = [&](std::int64_t& value) {
    auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc{} || value < 0) return false;
    at = next;
    return true;
  };
  while (at != end) {
    auto& [first, last] = ranges.emplace_back();
    if (!number(first)) return {};
    last = first;
    if (at != end && *at == '-') {
      ++at;
      if (!number(last)) return {};
    }
    if (last < first || (ranges.size() > 1 && first <= ranges[ranges.size() - 2].second)) return {};
    if (at == end) break;
    if (*at != ',') return {};
    if (++at == end) return {};
  }
  return ranges;
}

}  // namespace

AckTracker::AckTracker(std::int64_t offset, std::string_view note) : next_offset_(offset) {
  for (auto [first, last] : parse_note(note)) done_.push_back({offset + first, offset + last});
}

bool AckTracker::noted(std::int64_t offset) const {
  if (offset > done_.back().last) return false;
  auto found = std::ranges::lower_bound(done_, offset, {}, &Range::last);
  return offset >= found->first;
}

std::int64_t AckTracker::offset_of(std::uint64_t sequence) const {
  auto found = std::ranges::upper_bound(segments_, sequence, {}, &Segment::sequence);
  --found;
  return found->offset + static_cast<std::int64_t>(sequence - found->sequence);
}

void AckTracker::begin_segment(std::int64_t offset) { segments_.push_back({next_, offset}); }

void AckTracker::forget_before(std::int64_t offset) {
  while (segments_.size() > 1 && segments_[1].sequence <= first_ && segments_[1].offset <= offset)
    segments_.pop_front();
}

std::optional<std::uint64_t> AckTracker::acknowledged(std::int64_t offset) const {
  auto segment = std::ranges::upper_bound(segments_, offset, {}, &Segment::offset);
  if (segment == segments_.begin()) return std::nullopt;
  const auto end = segment == segments_.end() ? next_ : segment->sequence;
  --segment;
  const auto sequence = segment->sequence + static_cast<std::uint64_t>(offset - segment->offset);
  if (sequence >= end || (sequence >= first_ && (word(sequence) & bit(sequence)) == 0)) return std::nullopt;
  return sequence;
}

std::optional<std::uint64_t> AckTracker::reopen(std::int64_t offset) {
  const auto sequence = acknowledged(offset);
  if (!sequence) return std::nullopt;
  if (*sequence >= first_) {
    word(*sequence) &= ~bit(*sequence);
    return sequence;
  }
  while (next_ - *sequence > capacity_) grow();
  for (auto done = *sequence + 1; done < first_; ++done) word(done) |= bit(done);
  first_ = *sequence;
  return sequence;
}

std::int64_t AckTracker::committable() const { return first_ == next_ ? next_offset_ : offset_of(first_); }

std::string AckTracker::acks_ahead(std::int64_t base, std::size_t max_bytes) const {
  std::vector<Range> ranges;
  if (const auto first = committable(); base < first) ranges.push_back({base, first - 1});
  std::vector<std::int64_t> open;
  for (auto sequence = first_; sequence != next_; ++sequence) {
    const auto offset = offset_of(sequence);
    if ((word(sequence) & bit(sequence)) != 0)
      ranges.push_back({offset, offset});
    else
      open.push_back(offset);
  }
  // Add the records that earlier assignments acknowledged, also those between the records in flight now.
  for (const auto& range : done_) {
    if (range.last >= base) ranges.push_back({std::max(range.first, base), range.last});
  }
  std::ranges::sort(ranges, {}, &Range::first);
  // Before the last delivered record, an offset that was neither done earlier nor delivered has no record (Kafka's
  // transaction markers). It does not separate two ranges.
  const auto parted = [&](std::int64_t last, std::int64_t first) {
    if (first > next_offset_) return first > last + 1;
    const auto found = std::ranges::upper_bound(open, last);
    return found != open.end() && *found < first;
  };
  std::string text;
  for (std::size_t i = 0; i < ranges.size();) {
    auto [first, last] = ranges[i++];
    for (; i < ranges.size() && !parted(last, ranges[i].first); ++i) last = std::max(last, ranges[i].last);
    auto range = std::to_string(first - base);
    if (last > first) range += "-" + std::to_string(last - base);
    if (text.size() + (text.empty() ? 0 : 1) + range.size() > max_bytes) break;
    if (!text.empty()) text += ',';
    text += range;
  }
  return text;
}

std::size_t AckTracker::longest_acks_ahead(std::int64_t start, std::uint64_t in_flight) const {
  // Each range but the first either ends before a record that is not done, or is one of those after the last delivered
  // record.
  const auto ahead = done_.end() - std::ranges::lower_bound(done_, next_offset_, {}, &Range::last);
  const auto end = done_.empty() ? next_offset_ : std::max(next_offset_, done_.back().last);
  const auto digits = std::to_string(end - start).size();
  return (1 + in_flight + static_cast<std::uint64_t>(ahead)) * (2 * digits + 2);
}

void AckTracker::grow() {
  std::vector<std::uint64_t> bits(capacity_ * 2 / 64);
  const auto capacity = capacity_ * 2;
  for (auto sequence = first_; sequence != next_; ++sequence) {
    if ((word(sequence) & bit(sequence)) != 0) bits[(sequence & (capacity - 1)) / 64] |= bit(sequence);
  }
  bits_ = std::move(bits);
  capacity_ = capacity;
}

}  // namespace mephisto::detail
