#include "mephisto/stream/record_times.h"

#include <algorithm>
#include <utility>

namespace mephisto::detail {
namespace {

constexpr std::size_t kMostRuns = 1024;

void limit(std::vector<RecordTimes::Run>& runs) {
  while (runs.size() > kMostRuns) {
    const auto half = runs.size() / 2;
    for (std::size_t i = 0; i < half; ++i) runs[i] = {runs[2 * i].ms, runs[2 * i].records + runs[2 * i + 1].records};
    if (runs.size() % 2 == 1) runs[half - 1].records += runs.back().records;
    runs.resize(half);
  }
}

}  // namespace

void RecordTimes::begin(std::int64_t ms) {
  if (present_.records > 0) runs_.push_back(present_);
  present_ = {ms, 0};
  limit(runs_);
}

void RecordTimes::seal(std::uint64_t records) {
  begin(present_.ms);
  auto run = runs_.begin();
  while (run != runs_.end() && all_sealed_ < records) {
    const auto taken = std::min(run->records, records - all_sealed_);
    sealed_.push_back({run->ms, taken});
    all_sealed_ += taken;
    run->records -= taken;
    if (run->records == 0) ++run;
  }
  runs_.erase(runs_.begin(), run);
  limit(sealed_);
}

std::vector<RecordTimes::Run> RecordTimes::take_sealed() { return std::exchange(sealed_, {}); }

}  // namespace mephisto::detail
