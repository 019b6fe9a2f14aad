// What librdkafka does not ask for: who writes in a transaction, and what becomes of it. Over connections in the clear
// only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "log/kafka/cluster.h"

namespace mephisto::kafka {

// Whether brokers are asked without TLS and a password.
bool in_the_clear(const Access& access);

// A producer that has a transaction open in a partition, as the partition's leader says.
struct OpenProducer {
  TopicPartition partition;
  std::int64_t producer = 0;
  std::int32_t epoch = 0;
  std::int32_t coordinator_epoch = 0;
  std::int64_t start = 0;
  std::int64_t last_timestamp = 0;
};

// A transaction as its coordinator knows it.
struct KnownTransaction {
  std::string id;
  std::string state;
  std::int64_t producer = 0;
  std::vector<TopicPartition> partitions;
  // Whether somebody ends it there, sooner or later.
  bool covers(const OpenProducer& open) const;
};

// Each call blocks for one connection and its answer.
Result<std::vector<OpenProducer>> open_producers(const BrokerAddress& broker,
                                                 const std::vector<TopicPartition>& partitions);
// The transactions of these producers that the broker coordinates.
Result<std::vector<KnownTransaction>> known_transactions(const BrokerAddress& broker,
                                                         const std::vector<std::int64_t>& producers);
// Has the leader of the partition write the mark that ends the transaction, which then does not count.
Result<void> write_abort(const BrokerAddress& broker, const OpenProducer& open);

}  // namespace mephisto::kafka
