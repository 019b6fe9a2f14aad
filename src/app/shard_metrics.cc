#include "app/shard_metrics.h"

#include "app/app_shard.h"

namespace mephisto::detail {

ShardMetrics& ShardMetrics::operator+=(const ShardMetrics& other) {
  for (const auto& [agent, totals] : other.agents) agents[agent] += totals;
  for (const auto& [agent, times] : other.handler_time) handler_time[agent] += times;
  for (const auto& [partition, metrics] : other.partitions) {
    const auto [known, fresh] = partitions.try_emplace(partition, metrics);
    if (!fresh && known->second.committed <= metrics.committed) known->second = metrics;
  }
  for (const auto& [partition, table] : other.tables) tables.insert_or_assign(partition, table);
  for (const auto& [job, metrics] : other.crontabs) crontabs.insert_or_assign(job, metrics);
  leads |= other.leads;
  rebalances.count += other.rebalances.count;
  rebalances.ms += other.rebalances.ms;
  rebalances.unread_ms += other.rebalances.unread_ms;
  memory_in_use += other.memory_in_use;
  memory_budget += other.memory_budget;
  sent_records += other.sent_records;
  sent_bytes += other.sent_bytes;
  refused_records += other.refused_records;
  dropped_replies += other.dropped_replies;
  return *this;
}

ShardMetrics AppShard::metrics() {
  ShardMetrics all;
  const auto& assigned = shard_.assigned();
  const auto totals = assigned.totals();
  for (std::size_t i = 0; i < totals.size(); ++i) {
    const auto& subscription = assigned.subscriptions()[i];
    all.agents[{subscription.agent->name(), subscription.topic}] += totals[i];
  }
  for (const auto& runtime : runtimes_) all.handler_time[runtime->name()] += runtime->handler_time();

  std::map<TopicPartition, std::chrono::milliseconds> ages;
  const auto now = std::chrono::floor<std::chrono::milliseconds>(shard_.loop().wall_time());
  for (const auto& [id, assignment] : assigned.all()) {
    assigned.each_lane(*assignment, [&](const ShardAgent& agent, const Lane& lane) {
      if (const auto time = agent.oldest(lane)) {
        auto& age = ages[assignment->partition()];
        age = std::max(age, now - *time);
      }
    });
  }
  for (const auto& one : shard_.diagnose()) {
    const TopicPartition partition{one.topic, one.partition};
    PartitionMetrics metrics{one.committed, one.oldest};
    if (const auto age = ages.find(partition); age != ages.end()) metrics.oldest_age = age->second;
    if (!one.reasons.empty()) metrics.standstill = std::chrono::milliseconds{one.reasons.front().ms.value_or(0)};
    all.partitions.try_emplace(partition, metrics);
  }
  for (auto& one : tables()) {
    if (one.state == "standby") continue;  // its keys are those of its owner
    all.tables[{one.table, one.partition}] = std::move(one);
  }
  for (auto& one : cron_.metrics()) all.crontabs[one.job] = std::move(one);
  all.leads = leadership_.leads;
  all.rebalances = shard_.rebalance_totals();
  all.memory_in_use = shard_.flow().in_flight();
  all.memory_budget = shard_.flow().budget();
  auto& outbox = shard_.outbox();
  all.sent_records = outbox.appender().appended();
  all.sent_bytes = outbox.appender().appended_bytes();
  all.refused_records = outbox.refused().lost();
  all.dropped_replies = outbox.refused().replies_dropped();
  return all;
}

}  // namespace mephisto::detail
