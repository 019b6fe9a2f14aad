// What the measurements on Kafka need on the brokers, made when it is first needed.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "part.h"

namespace mephisto::bench {

inline constexpr int kMany = 2'000'000;  // records
inline constexpr int kPartitions = 8;

class KafkaPlace {
 public:
  explicit KafkaPlace(std::string servers) : servers_(std::move(servers)) {}

  const std::string& servers() const { return servers_; }
  // A name that no other run has: of a group, or of a topic to be made.
  std::string name() { return fmt::format("bench-{}-{}", getpid(), made_++); }
  // A new topic.
  std::string fresh(int partitions = kPartitions) {
    auto topic = name();
    figures_of("raw_kafka", {"create", servers_, topic, std::to_string(partitions)});
    return topic;
  }
  // A topic with kMany trades. A broker just started is slow until Java has compiled it: not at the expense of who is measured first.
  const std::string& filled(int partitions = kPartitions) {
    auto& topic = filled_[partitions];
    if (!topic.empty()) return topic;
    topic = fresh(partitions);
    figures_of("raw_kafka", {"fill", servers_, topic, std::to_string(partitions), std::to_string(kMany)});
    for (int i = 0; partitions == kPartitions && i < kWarmUps; ++i) raw_pass();
    return topic;
  }
  std::vector<double> raw_pass() {
    const auto& in = filled();
    return figures_of("raw_kafka", {"pass", servers_, in, fresh(), std::to_string(kPartitions), std::to_string(kMany)});
  }
  // A worker of ours (kafka.cc).
  std::vector<double> ours(const std::string& kind, const std::string& in, const std::string& out, int count, int shards = 1, const std::string& guarantee = "at_least_once") {
    return figures_of("mephisto_bench", {"--part", "kafka", kind, servers_, name(), in, out, std::to_string(count), std::to_string(shards), guarantee});
  }

 private:
  static constexpr int kWarmUps = 3;
  std::string servers_;
  std::map<int, std::string> filled_;
  int made_ = 0;
};

}  // namespace mephisto::bench
