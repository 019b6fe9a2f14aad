// Standbys: stores of partitions that other workers have, kept up to date for a takeover (decision 0033).
#include <fmt/format.h>

#include <algorithm>

#include "mephisto/base/backoff.h"
#include "mephisto/base/defer.h"
#include "mephisto/logging.h"
#include "mephisto/table/standby_plan.h"
#include "mephisto/table/table_state.h"

namespace mephisto::detail {
namespace {

constexpr std::chrono::milliseconds kFirstRetry{500};
constexpr std::chrono::milliseconds kLastRetry{10'000};  // a worker that needs the store tries more often

}  // namespace

Task<void> TableState::follow_as(const std::vector<MemberInfo>& members, const std::string& client, int replicas) {
  co_await look_up_partitions();
  if (followed_.empty()) co_return;
  auto wanted = partitions_to_follow(members, client, *followed_.begin(), partitions_, replicas);
  // A partition that is assigned here is restored, not followed.
  std::erase_if(wanted, [&](int partition) { return users_.contains(partition); });
  std::vector<int> unwanted;
  for (const auto& [partition, follower] : followers_) {
    if ((!wanted.contains(partition) || follower.task.done()) && !users_.contains(partition))
      unwanted.push_back(partition);
  }
  for (const int partition : unwanted) {
    const auto part = co_await end_follower(partition);
    if (!part) continue;  // taken over meanwhile
    part->close();
    if (in_memory_ && !parts_.contains(partition)) stores_.remove(spec_.store_name(), partition);
  }
  for (const int partition : wanted) {
    if (followers_.contains(partition) || users_.contains(partition)) continue;
    auto& follower = followers_[partition];
    follower.part = make_part(partition);
    follower.progress = {follower.part->changelog(), 0, 0, 0, loop_.now()};
    follower.task = loop_.spawn("standby of " + follower.part->changelog().str(), follow(partition));
  }
}

Task<void> TableState::follow(int partition) {
  const auto part = followers_.at(partition).part;
  std::optional<LastingError> trouble;
  for (Backoff backoff{kFirstRetry, kLastRetry};;) {
    try {
      if (!part->is_open()) co_await open_store(*part);
      co_await read_changelog(*part, followers_.at(partition).progress, true);
    } catch (const Failure& failure) {
      part->close();
      troubles_.erase(partition);
      if (const auto lasting = LastingError::note(trouble, failure.error(), loop_.now())) {
        // While another worker on this machine has the store, it is up to date anyway.
        if (failure.kind() == ErrorKind::kUnavailable)
          log::debug("Table {}: no standby of partition {}{}: {}", spec_.name, partition, *lasting, failure.what());
        else
          log::warn("Table {}: no standby of partition {}{}: {}", spec_.name, partition, *lasting, failure.what());
      }
    }
    co_await sleep_for(backoff.next());
  }
}

Task<void> TableState::end_standbys() {
  while (!followers_.empty()) {
    if (const auto part = co_await end_follower(followers_.begin()->first)) part->close();
  }
}

Task<std::shared_ptr<TablePart>> TableState::end_follower(int partition) {
  const auto found = followers_.find(partition);
  if (found == followers_.end()) co_return nullptr;
  found->second.task.cancel();
  auto task = found->second.task;
  co_await task.finished();
  const auto follower = followers_.extract(partition);
  co_return follower.empty() ? nullptr : follower.mapped().part;
}

}  // namespace mephisto::detail
