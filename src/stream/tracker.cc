#include "mephisto/detail/tracker.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace mephisto::detail {

namespace {

// `5-9,12`: ascending, each relative to the commit. Nothing where it is anything else: then it is not ours.
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
  auto place = std::ranges::lower_bound(done_, offset, {}, &Range::last);
  return offset >= place->first;
}

std::int64_t AckTracker::offset_of(std::uint64_t sequence) const {
  auto place = std::ranges::upper_bound(segments_, sequence, {}, &Segment::sequence);
  --place;
  return place->offset + static_cast<std::int64_t>(sequence - place->sequence);
}

std::int64_t AckTracker::committable() const { return first_ == next_ ? next_offset_ : offset_of(first_); }

std::string AckTracker::note(std::int64_t base) const {
  std::vector<Range> ranges;
  if (const auto first = committable(); base < first) ranges.push_back({base, first - 1});
  for (auto sequence = first_; sequence != next_; ++sequence) {
    if ((word(sequence) & bit(sequence)) == 0) continue;
    const auto offset = offset_of(sequence);
    ranges.push_back({offset, offset});
  }
  // What earlier stays had done, also between what this one has in flight.
  for (const auto& range : done_) {
    if (range.last >= base) ranges.push_back({std::max(range.first, base), range.last});
  }
  std::ranges::sort(ranges, {}, &Range::first);
  std::string text;
  for (std::size_t i = 0; i < ranges.size();) {
    auto [first, last] = ranges[i++];
    for (; i < ranges.size() && ranges[i].first <= last + 1; ++i) last = std::max(last, ranges[i].last);
    if (!text.empty()) text += ',';
    text += std::to_string(first - base);
    if (last > first) text += "-" + std::to_string(last - base);
  }
  return text;
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
