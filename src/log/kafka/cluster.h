// Requests to a Kafka cluster as a whole: topics, offsets, groups. Every call blocks until the brokers answer, at most
// for kCallTimeout. Any thread may call.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "log/kafka/contact.h"

namespace mephisto::kafka {

inline constexpr std::chrono::milliseconds kCallTimeout{10'000};
inline constexpr std::chrono::milliseconds kBetweenTries{10};
using Metadata = std::unique_ptr<const struct rd_kafka_metadata, Deleter<rd_kafka_metadata_destroy>>;
// The largest record with its headers, as one Kafka batch.
inline constexpr std::size_t kMaxMessageBytes = kMaxRecordBytes + kMaxHeaderBytes + (64 << 10);

// The topic's partition count, looked up with `handle`; from then on `handle` knows these partitions. Blocks. Reports
// kNotFound only after a second, because a new topic takes that long to reach all brokers.
Result<int> partition_count(rd_kafka_t* handle, const std::string& topic);

struct BrokerAddress {
  int id = -1;
  std::string host;
  int port = 0;
  bool operator==(const BrokerAddress&) const = default;
};

// The leader of each partition that has one, and the addresses of the brokers.
struct Leaders {
  std::map<TopicPartition, int> of;
  std::set<TopicPartition>
      // Of these, the partitions with an in-sync replica whose broker is down: their last records are not readable yet.
      waiting;
  std::map<int, BrokerAddress> brokers;
};

class Cluster {
 public:
  // Throws Failure for invalid properties. Whether a broker can be reached shows at the first request only.
  explicit Cluster(Access access);

  const Access& access() const { return access_; }
  const std::string& servers() const { return access_.servers; }
  Contact& contact() { return contact_; }

  // Like Log::create_topic.
  Result<TopicInfo> create_topic(const std::string& name, const TopicConfig& config, IfExists if_exists);
  Result<void> delete_topic(const std::string& name);
  Result<std::vector<TopicInfo>> topics();
  Result<TopicInfo> topic(const std::string& name);
  // Whether create_topic() created it, and not another program.
  Result<bool> created_by_us(const std::string& topic);
  // The sum of the topics' partition counts, as far as they were looked up before. Makes no request.
  int known_partitions(const std::vector<std::string>& topics);
  // The leaders of the topics' partitions, as far as the brokers know them.
  Leaders leaders(const std::set<std::string>& topics);

  // In the order of `partitions`. kNotFound if one of them does not exist.
  Result<std::vector<Watermarks>> watermarks(const std::vector<TopicPartition>& partitions);
  // Like Log::readable.
  Result<Watermarks> readable(const TopicPartition& partition);
  Result<std::int64_t> offset_at(const TopicPartition& partition, Timestamp time);
  Result<std::vector<GroupInfo>> groups();
  // The group's commit of each partition, if there is one; kUnavailable for a partition whose offset an open
  // transaction commits. Asked with `handle`.
  using Committed = std::map<TopicPartition, Result<std::optional<Commit>>>;
  Result<Committed> committed(rd_kafka_t* handle, const std::string& group,
                              const std::vector<TopicPartition>& partitions);
  // The partition of __consumer_offsets that holds the group's offsets.
  Result<TopicPartition> offsets_partition(const std::string& group);
  // Like Log::open_transactions and Log::end_transaction.
  Result<std::vector<OpenTransaction>> open_transactions(std::vector<TopicPartition> partitions);
  Result<void> end_transaction(const TopicPartition& partition, std::int64_t start);
  // Like Log::reset. If a broker refuses one of the partitions, the others may have been set.
  Result<void> reset(const std::string& group, const std::map<TopicPartition, std::int64_t>& offsets);

 private:
  using Request = std::function<void(rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>;
  // The brokers' answer to an admin request of `handle`, within `timeout`.
  Result<Event> ask(rd_kafka_t* handle, const std::string& what, const Request& request,
                    std::chrono::milliseconds timeout = kCallTimeout);
  Result<std::vector<TopicInfo>> describe(std::vector<TopicInfo> topics);
  Result<std::vector<GroupInfo>> list_groups();
  Result<void> wait_for_leaders(const std::string& topic, int partitions);
  // Asks with a handle for which a partition ends at its last stable offset, the start of the first open transaction.
  Result<std::vector<std::int64_t>> stable_ends(const std::vector<TopicPartition>& partitions);
  Result<std::vector<std::int64_t>> offsets(const std::vector<TopicPartition>& partitions, std::int64_t order,
                                            rd_kafka_t* handle);
  Result<std::vector<std::int64_t>> offsets(const std::vector<TopicPartition>& partitions, std::int64_t order) {
    return offsets(partitions, order, handle_.get());
  }
  struct Open;  // a transaction, with all that is needed to end it
  Result<std::vector<Open>> open_in(const std::vector<TopicPartition>& partitions);
  // The settings of the topic itself, without the brokers' defaults.
  Result<Properties> settings(const std::string& topic);
  Result<void> alter(const TopicInfo& existing, const TopicConfig& config);
  Result<std::vector<Commit>> commits(rd_kafka_t* handle, const std::string& group);
  Result<std::vector<Commit>> commits(rd_kafka_t* handle, const std::string& group, bool stable);
  void note(const TopicInfo& topic);

  Access access_;
  Contact contact_;
  Handle handle_;
  Handle stable_handle_;  // of stable_ends(), from its first call on
  std::mutex mutex_;
  std::map<std::string, int> partitions_;  // of the topics that were looked up
};

}  // namespace mephisto::kafka
