#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "mephisto/log.h"

namespace mephisto::detail {

struct ShardOptions {
  std::string group;
  std::string client;                    // the member's name, for people
  std::size_t memory_budget = 64 << 20;  // this shard's part
  bool exactly_once = false;
  std::chrono::milliseconds commit_interval{2800};
  std::uint64_t commit_every = 10'000;  // acknowledged records
  std::chrono::milliseconds drain_timeout{10'000};
  std::chrono::milliseconds session_timeout{2000};
  bool from_latest = false;
  std::string instance;                       // the name of a static member of the group
  std::optional<double> trace_sample;         // the part of untraced records whose events are traced; none: no traces
  int shards = 1;                             // of the worker: they join the group together
  std::optional<TopicConfig> topic_defaults;  // of topics that it creates; without a value it creates none
};

}  // namespace mephisto::detail
