// The numbers behind a worker's metrics, as one shard has them. The shards keep them anyway, or compute them when they
// are asked.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "app/cron_scheduler.h"
#include "mephisto/stream/assigned_partitions.h"
#include "mephisto/worker.h"

namespace mephisto::detail {

// Of a partition that the shard reads. Negative offsets: it cannot begin to read it.
struct PartitionMetrics {
  std::int64_t committed = 0;
  std::int64_t oldest = 0;                                // the first record that is not done
  std::optional<std::chrono::milliseconds> oldest_age{};  // since its time
  std::chrono::milliseconds standstill{};                 // how long the most important reason has lasted
};

struct ShardMetrics {
  ShardMetrics& operator+=(const ShardMetrics& other);

  std::map<std::pair<std::string, std::string>, AgentTotals> agents;  // by agent and topic
  std::map<std::string, Histogram> handler_time;                      // by agent
  // While one of these moves between two shards, both may tell it.
  std::map<TopicPartition, PartitionMetrics> partitions;
  std::map<TopicPartition, status::TableStatus> tables;  // by table
  std::map<std::string, CronMetrics> crontabs;           // of the leader
  bool leads = false;
  Rebalances::Totals rebalances;
  std::size_t memory_in_use = 0;
  std::size_t memory_budget = 0;
  std::uint64_t sent_records = 0;
  std::uint64_t sent_bytes = 0;
  std::uint64_t refused_records = 0;
  std::uint64_t dropped_replies = 0;
};

}  // namespace mephisto::detail
