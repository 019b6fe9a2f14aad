// The Kafka cluster that the tests run on, and what they do to it behind the driver's back.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "mephisto/log.h"

namespace mephisto::test {

// What is given about reading is librdkafka's to do.
inline const std::map<std::string, std::string> kReadByLibrdkafka{{"check.crcs", "true"}};

// All calls block, and throw Failure where the cluster does not do as told.
class KafkaCluster {
 public:
  // That of the environment variable MEPHISTO_KAFKA (`host:port[,host:port]`); there is none without it.
  static std::optional<KafkaCluster> given();

  explicit KafkaCluster(std::string servers) : servers_(std::move(servers)) {}

  // Of the log: records are read by ours, or with MEPHISTO_KAFKA_READER=librdkafka by librdkafka, as over every
  // connection that is not in the clear.
  std::map<std::string, std::string> properties() const;

  std::string url() const { return "kafka://" + servers_; }
  // As many as there are brokers: what a topic needs to outlive one.
  int replicas() const { return 1 + static_cast<int>(std::ranges::count(servers_, ',')); }
  // Deletes all topics and groups, even those of members whom an earlier test left behind.
  void clear() const;
  // Puts the members called `client` out of their group, as if they had been silent for too long.
  void expel(const std::string& group, const std::string& client) const;
  // Sets what the brokers take for a topic, as its operator does; what was set before is set no more.
  void configure(const std::string& topic, const std::string& name, const std::string& value) const;
  // Deletes the records of `partition` before `offset`, as retention does when it likes.
  void delete_before(const TopicPartition& partition, std::int64_t offset) const;

 private:
  std::string servers_;
};

}  // namespace mephisto::test
