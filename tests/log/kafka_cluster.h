// The Kafka cluster that the tests run on, and the changes that they make to it without the driver's knowledge.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "mephisto/log.h"

namespace mephisto::test {

// If a fetch property is set, librdkafka reads.
inline const std::map<std::string, std::string> kReadByLibrdkafka{{"check.crcs", "true"}};

// All calls block, and throw Failure if the cluster refuses.
class KafkaCluster {
 public:
  // The cluster of the environment variable MEPHISTO_KAFKA (`host:port[,host:port]`); empty without it.
  static std::optional<KafkaCluster> given();

  explicit KafkaCluster(std::string servers) : servers_(std::move(servers)) {}

  // The log's properties. Our own reader reads records; with MEPHISTO_KAFKA_READER=librdkafka, librdkafka does, as it
  // does over every connection that is not plaintext.
  std::map<std::string, std::string> properties() const;

  std::string url() const { return "kafka://" + servers_; }
  // The number of brokers: a topic needs as many replicas to outlive one.
  int replicas() const { return 1 + static_cast<int>(std::ranges::count(servers_, ',')); }
  // Deletes all topics and groups, even groups with members that an earlier test left.
  void clear() const;
  // Removes the members called `client` from their group, as if they had been silent for too long.
  void expel(const std::string& group, const std::string& client) const;
  // Sets a topic's configuration in the brokers, as its operator does. Earlier settings are dropped.
  void configure(const std::string& topic, const std::string& name, const std::string& value) const;
  // Deletes the records of `partition` before `offset`, as retention may do at any time.
  void delete_before(const TopicPartition& partition, std::int64_t offset) const;

 private:
  std::string servers_;
};

}  // namespace mephisto::test
