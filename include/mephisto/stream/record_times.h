// The times of a lane's records, until they are committed: from them the commit computes how long the records took.
#pragma once

#include <cstdint>
#include <vector>

namespace mephisto::detail {

// Runs of equal times, in the order of delivery. It keeps a bounded number of runs: beyond that, neighbours are counted
// together.
class RecordTimes {
 public:
  struct Run {
    std::int64_t ms = 0;
    std::uint64_t records = 0;
  };
  // On the path of each record.
  void add(std::int64_t ms) {
    if (ms != present_.ms) begin(ms);
    ++present_.records;
  }
  // Of all that were added, the first `records` belong to the next commit. After it, take_sealed() gives those.
  void seal(std::uint64_t records);
  std::vector<Run> take_sealed();

 private:
  void begin(std::int64_t ms);
  Run present_;
  std::vector<Run> runs_;    // before the present one
  std::vector<Run> sealed_;  // also of commits that failed
  std::uint64_t all_sealed_ = 0;
};

}  // namespace mephisto::detail
