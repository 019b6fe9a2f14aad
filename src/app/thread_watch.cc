#include "app/thread_watch.h"

#include <fmt/format.h>

#include <algorithm>

#include "mephisto/logging.h"

namespace mephisto {
namespace {

constexpr std::chrono::seconds kLook{1};
constexpr std::chrono::seconds kLong{2};

}  // namespace

Task<void> ThreadWatch::run() {
  for (;;) {
    co_await sleep_for(kLook);
    for (auto& shard : shards_) look(shard);
  }
}

std::size_t ThreadWatch::place_of(const Shard& shard, const std::string& task) {
  auto place = std::ranges::find_if(
      kept_, [&](const status::KeptThread& one) { return one.member == shard.member && one.task == task; });
  if (place == kept_.end()) place = kept_.insert(place, {shard.member, task});
  return static_cast<std::size_t>(place - kept_.begin());
}

void ThreadWatch::look(Shard& shard) {
  const auto busy = shard.loop->busy();
  if (shard.told && (!busy || busy->since != *shard.told)) {
    kept_[shard.place].now_ms.reset();
    shard.told.reset();
  }
  if (!busy) return;
  const auto time =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - busy->since);
  if (time < kLong) return;
  if (!shard.told) {
    const bool agent = std::ranges::any_of(app_.agents(), [&](const auto& one) { return one->name() == busy->task; });
    log::warn(
        "{} {} has kept its thread ({}) for {}: nothing else runs there meanwhile; let slow calls run in "
        "co_await blocking(…)",
        agent ? "Agent" : "Task", busy->task, shard.member, format_duration(time));
    shard.told = busy->since;
    shard.place = place_of(shard, busy->task);
    ++kept_[shard.place].times;
  }
  auto& kept = kept_[shard.place];
  kept.now_ms = time.count();
  kept.longest_ms = std::max(kept.longest_ms, time.count());
}

}  // namespace mephisto
