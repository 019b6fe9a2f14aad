#include "mephisto/table/idle_partitions.h"

#include <algorithm>

#include "mephisto/base/defer.h"
#include "mephisto/logging.h"

namespace mephisto::detail {

Task<void> IdlePartitions::run() {
  std::vector<Task<void>> all;
  for (auto& one : watched_) all.push_back(watch(one));
  co_await when_all(std::move(all));
}

Task<void> IdlePartitions::watch(Watched& one) {
  const auto every = std::max(one.after / 4, std::chrono::milliseconds{1});
  for (;;) {
    co_await sleep_for(every);
    std::vector<int> partitions;
    for (const auto& [partition, part] : one.state.parts()) partitions.push_back(partition);
    std::erase_if(one.seen, [&](const auto& seen) { return !one.state.parts().contains(seen.first); });
    for (const auto partition : partitions) {
      std::string why;
      try {
        co_await look(one, partition);
        continue;
      } catch (const std::exception& error) {
        why = error.what();
      }
      log::error("Table {}, partition {}: its time cannot be moved by the clock: {}; trying again in {}",
                 one.table.name(), partition, why, format_duration(every));
    }
  }
}

IdleWork::Times IdlePartitions::times(const Watched& one, int partition) const {
  ReadState state{static_cast<Rows<std::string>&>(*one.state.parts().at(partition))};
  return one.table.idle_work().times(state);
}

Task<void> IdlePartitions::look(Watched& one, int partition) {
  const auto runs = [&] {
    const auto part = one.state.parts().find(partition);
    return part != one.state.parts().end() && part->second->ready();
  };
  if (!runs()) co_return;
  const auto users = one.state.users(partition);
  const auto now = shard_.loop().now();
  const auto found = times(one, partition);
  auto& seen = one.seen[partition];
  if (seen.users != users || seen.stream != found.stream) {
    seen = {users, found.stream, now};
    co_return;
  }
  const auto clock = shard_.loop().timestamp().time_since_epoch().count();
  if (!found.stream || now - seen.since < one.after || found.next > clock) co_return;

  ++busy_;
  const Defer done{[this] { --busy_; }};
  // A log that does not answer is no idle one.
  if (!co_await caught_up(one.table.spec().inputs, users)) co_return;
  if (!runs() || one.state.users(partition) != users || times(one, partition).stream != seen.stream) co_return;
  TimerRun run{shard_.participants(), partition};
  (void)co_await shard_.work(run, [&] { return one.table.idle_work().advance(clock); });
  // The time was moved by the clock, so the partition is still idle.
  if (runs()) seen.stream = times(one, partition).stream;
}

// `inputs` are the topics of a join; windows do not say theirs, so all topics count that the app consumes.
Task<bool> IdlePartitions::caught_up(const std::set<std::string>& inputs, std::set<AssignmentId> users) const {
  for (const auto id : users) {
    const auto before = shard_.processed(id);
    if (!before) co_return false;
    if (!inputs.empty() && !inputs.contains(before->partition.topic)) continue;
    const auto marks = co_await shard_.log().watermarks(before->partition);
    const auto now = shard_.processed(id);
    if (!marks || !now || now->offset < marks->end) co_return false;
  }
  co_return !users.empty();
}

}  // namespace mephisto::detail
