// The topics that the measurements on Kafka need, made at the first use.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bench.h"
#include "part.h"

namespace mephisto::bench {

inline constexpr int kMany = 2'000'000;  // records
inline constexpr int kPartitions = 8;

// A topic that is deleted with this object. Then the kernel need not write the topic's dirty pages to the disk.
class FreshTopic {
 public:
  FreshTopic(std::string servers, std::string name, int partitions)
      : servers_(std::move(servers)), name_(std::move(name)) {
    figures_of("raw_kafka", {"create", servers_, name_, std::to_string(partitions)});
  }
  ~FreshTopic() { figures_of("raw_kafka", {"delete", servers_, name_}); }
  FreshTopic(const FreshTopic&) = delete;
  FreshTopic& operator=(const FreshTopic&) = delete;

  const std::string& name() const { return name_; }

 private:
  std::string servers_;
  std::string name_;
};

class KafkaPlace {
 public:
  explicit KafkaPlace(std::string servers) : servers_(std::move(servers)) {}

  const std::string& servers() const { return servers_; }
  // A name for a group or a new topic that no other run uses.
  std::string name() { return fmt::format("bench-{}-{}", getpid(), made_++); }
  FreshTopic fresh(int partitions = kPartitions) { return {servers_, name(), partitions}; }
  // A topic with kMany trades. A new broker is slow until Java has compiled its code. The warm-up keeps that out of the
  // first measurement.
  const std::string& filled(int partitions = kPartitions) {
    auto& topic = filled_[partitions];
    if (topic) return topic->name();
    topic = std::make_unique<FreshTopic>(servers_, name(), partitions);
    figures_of("raw_kafka",
               {"fill", servers_, topic->name(), std::to_string(partitions), std::to_string(scaled(kMany))});
    for (int i = 0; partitions == kPartitions && i < kWarmUps && !quick; ++i) {
      raw_pass();
      pass("at_least_once");
      pass("exactly_once");
    }
    return topic->name();
  }
  std::vector<double> raw_pass() {
    const auto& in = filled();
    const auto out = fresh();
    return figures_of("raw_kafka",
                      {"pass", servers_, in, out.name(), std::to_string(kPartitions), std::to_string(kMany)});
  }
  std::vector<double> pass(const std::string& guarantee, int count = kMany) {
    const auto& in = filled();
    const auto out = fresh();
    return ours("pass", in, out.name(), count, 1, guarantee);
  }
  // Measures a worker of ours (kafka.cc).
  std::vector<double> ours(const std::string& kind, const std::string& in, const std::string& out, int count,
                           int shards = 1, const std::string& guarantee = "at_least_once") {
    return figures_of("mephisto_bench", {"--part", "work", kind, "kafka://" + servers_, name(), in, out,
                                         std::to_string(count), std::to_string(shards), guarantee});
  }

 private:
  static constexpr int kWarmUps = 10;
  std::string servers_;
  std::map<int, std::unique_ptr<FreshTopic>> filled_;
  int made_ = 0;
};

}  // namespace mephisto::bench
