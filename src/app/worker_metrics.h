// The metrics of a worker, for the page /metrics, for statsd and for OTLP: what its shards count, the ends of their
// partitions in the log, and the process.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "app/shard_metrics.h"
#include "web/metric_families.h"

namespace mephisto {

// How far the worker is in its life, for the probes.
struct WorkerLife {
  bool ready = false;
  bool stopping = false;
};

// What the shards answer that are asked for their metrics.
struct MetricsAnswers {
  std::map<std::size_t, detail::ShardMetrics> by_shard;
  std::size_t silent = 0;  // shards that do not answer
};
using MetricsSource = std::function<Task<MetricsAnswers>()>;

class WorkerMetrics {
 public:
  WorkerMetrics(const App& app, Log& log, MetricsSource source) : app_(app), log_(log), source_(std::move(source)) {}

  // A reply of the server. `page` is the path as it was declared; empty: there is no such page.
  void answered(const std::string& page, int status, std::chrono::nanoseconds duration);
  // What statsd was not sent.
  void dropped(std::uint64_t datagrams) { dropped_ += datagrams; }
  // What the collector did not get or did not take of its metrics or traces.
  void otlp_dropped(std::string_view signal, std::uint64_t count) { otlp_dropped_[signal] += count; }
  Task<MetricFamilies> collect(WorkerLife life);

 private:
  // The offsets in the log, at most a second old; while they are looked up for another scrape, those before. Those of
  // partitions that cannot be looked up are missing.
  Task<void> look_up_offsets();
  void add_partitions(MetricFamilies& out) const;
  void add_worker(MetricFamilies& out, WorkerLife life) const;

  const App& app_;
  Log& log_;
  MetricsSource source_;
  detail::ShardMetrics now_;
  std::map<std::size_t, detail::ShardMetrics> known_;  // by shard: one that does not answer keeps its last numbers
  std::size_t silent_ = 0;
  std::map<std::pair<std::string, int>, std::uint64_t> answers_;
  detail::Histogram answer_time_;
  std::uint64_t dropped_ = 0;
  std::map<std::string_view, std::uint64_t> otlp_dropped_{{"metrics", 0}, {"traces", 0}};
  std::map<TopicPartition, Watermarks> offsets_;
  Loop::time_point looked_up_{};
};

}  // namespace mephisto
