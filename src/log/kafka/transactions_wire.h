// Requests that librdkafka does not have: the producers with open transactions, and the state of transactions. Over
// plaintext connections only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "log/kafka/cluster.h"

namespace mephisto::kafka {

// Whether connections to the brokers use neither TLS nor a password.
bool is_plaintext(const Access& access);

// A producer with an open transaction in a partition, as the partition's leader reports it.
struct OpenProducer {
  TopicPartition partition;
  std::int64_t producer = 0;
  std::int32_t epoch = 0;
  std::int32_t coordinator_epoch = 0;
  std::int64_t start = 0;
  std::int64_t last_timestamp = 0;
};

// A transaction as its coordinator reports it.
struct KnownTransaction {
  std::string id;
  std::string state;
  std::int64_t producer = 0;
  std::vector<TopicPartition> partitions;
  // Whether the coordinator will end this transaction in that partition.
  bool covers(const OpenProducer& open) const;
};

// Each call blocks for one connection and its answer.
Result<std::vector<OpenProducer>> open_producers(const BrokerAddress& broker,
                                                 const std::vector<TopicPartition>& partitions);
// The transactions of these producers that the broker coordinates.
Result<std::vector<KnownTransaction>> known_transactions(const BrokerAddress& broker,
                                                         const std::vector<std::int64_t>& producers);
// Makes the partition's leader write the abort marker. The transaction then does not count.
Result<void> write_abort(const BrokerAddress& broker, const OpenProducer& open);

}  // namespace mephisto::kafka
