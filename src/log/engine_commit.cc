// How a KvConsumer commits, and releases partitions.
#include <fmt/format.h>

#include <algorithm>

#include "log/engine.h"

namespace mephisto {
namespace {

// The topic of a commit; kFenced unless the member still owns the partition and the topic is still the one that it
// read.
Result<store::Topic> owned_topic(KvReader& tx, const Group& group, const std::string& member,
                                 const KvConsumer::Prepared::One& one) {
  if (auto owned = group.check(member, one.partition, one.epoch); !owned) return std::unexpected(owned.error());
  auto topic = store::find_topic(tx, one.partition.topic);
  if (!topic || topic->id != one.topic)
    return fail(ErrorKind::kFenced, fmt::format("topic {} was deleted", one.partition.topic));
  return std::move(*topic);
}

void put_commit(KvWriter& tx, const KvConsumer::Prepared& prepared, const store::Topic& topic,
                const KvConsumer::Prepared::One& one) {
  if (one.offset >= 0)
    store::put_commit(tx, prepared.group, topic, one.partition.partition, one.offset, one.metadata, prepared.now);
}

}  // namespace

Result<KvConsumer::Prepared> KvConsumer::prepare(const std::vector<AssignmentCommit>& commits) const {
  Prepared prepared{options_.group, member_, loop_.timestamp(), {}};
  for (const auto& one : commits) {
    auto place = held_.find(one.assignment);
    if (place == held_.end()) return fail(ErrorKind::kFenced, "this member no longer owns a partition of this commit");
    const auto& held = place->second;
    prepared.commits.push_back({held.partition, held.topic, held.epoch, one.offset, one.metadata});
  }
  return prepared;
}

Result<void> KvConsumer::apply(KvWriter& tx, const Prepared& prepared) {
  const auto group = store::group(tx, prepared.group);
  std::vector<store::Topic> topics;
  for (const auto& one : prepared.commits) {
    auto topic = owned_topic(tx, group, prepared.member, one);
    if (!topic) return std::unexpected(topic.error());
    topics.push_back(std::move(*topic));
  }
  for (std::size_t i = 0; i < topics.size(); ++i) put_commit(tx, prepared, topics[i], prepared.commits[i]);
  return {};
}

Task<Result<void>> KvConsumer::commit(std::vector<AssignmentCommit> commits) {
  if (commits.empty()) co_return Result<void>{};
  auto prepared = prepare(commits);
  if (!prepared) co_return std::unexpected(prepared.error());
  co_return co_await submit(kv_, [&](KvWriter& tx) { return apply(tx, *prepared); });
}

Task<Result<void>> KvConsumer::release(std::vector<AssignmentCommit> commits) {
  Result<void> outcome;
  std::erase_if(commits, [&](const AssignmentCommit& one) {
    if (held_.contains(one.assignment)) return false;
    outcome = fail(ErrorKind::kFenced, "this member no longer owns a partition that it released");
    return true;
  });
  const auto prepared = value_or_throw(prepare(commits));
  for (const auto& one : commits) held_.at(one.assignment).releasing = true;
  auto result = co_await submit(kv_, [&](KvWriter& tx) -> Result<void> {
    auto group = store::group(tx, prepared.group);
    for (const auto& one : prepared.commits) {
      auto topic = owned_topic(tx, group, prepared.member, one);
      if (!topic) {
        outcome = std::unexpected(topic.error());
        continue;
      }
      put_commit(tx, prepared, *topic, one);
      group.release(prepared.member, one.partition);
    }
    store::put_group(tx, prepared.group, group);
    return {};
  });
  const bool again = !result && result.error().retriable();
  for (const auto& one : commits) {
    auto place = held_.find(one.assignment);
    if (place == held_.end()) continue;
    place->second.releasing = false;
    if (!again) held_.erase(place);
  }
  synced_.clear();
  co_return result ? outcome : result;
}

}  // namespace mephisto
