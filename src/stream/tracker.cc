#include "mephisto/detail/tracker.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace mephisto::detail {

AckTracker::AckTracker(std::int64_t offset, std::string_view metadata) : next_offset_(offset) {
  if (metadata.empty()) return;
  for (const auto& part : split(metadata, ',')) {
    Range range{};
    const char* end = part.data() + part.size();
    auto [at, code] = std::from_chars(part.data(), end, range.first);
    if (code != std::errc{}) {  // not ours
      done_.clear();
      return;
    }
    range.last = range.first;
    if (at != end && (*at != '-' || std::from_chars(at + 1, end, range.last).ec != std::errc{})) {
      done_.clear();
      return;
    }
    done_.push_back({offset + range.first, offset + range.last});
  }
}

bool AckTracker::done_before(std::int64_t offset) const {
  if (done_.empty() || offset > done_.back().last) return false;
  return std::ranges::any_of(done_, [&](const Range& range) { return offset >= range.first && offset <= range.last; });
}

std::int64_t AckTracker::offset_of(std::uint64_t sequence) const {
  auto place = std::ranges::upper_bound(segments_, sequence, {}, &Segment::sequence);
  --place;
  return place->offset + static_cast<std::int64_t>(sequence - place->sequence);
}

std::int64_t AckTracker::committable() const { return first_ == next_ ? next_offset_ : offset_of(first_); }

std::string AckTracker::metadata() const {
  std::string text;
  const auto base = committable();
  auto add = [&](std::int64_t first, std::int64_t last) {
    if (!text.empty()) text += ',';
    text += std::to_string(first - base);
    if (last > first) text += "-" + std::to_string(last - base);
  };
  std::int64_t run_first = -1;
  std::int64_t run_last = -1;
  for (auto sequence = first_; sequence != next_; ++sequence) {
    if ((word(sequence) & bit(sequence)) == 0) continue;
    auto offset = offset_of(sequence);
    if (run_first >= 0 && offset == run_last + 1) {
      run_last = offset;
      continue;
    }
    if (run_first >= 0) add(run_first, run_last);
    run_first = run_last = offset;
  }
  if (run_first >= 0) add(run_first, run_last);
  // What earlier stays had done and this one has not reached yet.
  for (const auto& range : done_) {
    if (range.last >= next_offset_) add(std::max(range.first, next_offset_), range.last);
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
