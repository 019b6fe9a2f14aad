// What is asked of a Kafka cluster as a whole: topics, offsets, groups. Every call blocks until the brokers have
// answered, for at most kCallTimeout, and may be made from any thread.
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
// The largest record with its headers, in the batch that Kafka makes of it.
inline constexpr std::size_t kMaxMessageBytes = kMaxRecordBytes + kMaxHeaderBytes + (64 << 10);

// How many partitions the topic has, as the brokers tell `handle`, which knows of them from then on. Blocks; kNotFound
// only after a second, in which all brokers hear of a topic that was just made.
Result<int> partition_count(rd_kafka_t* handle, const std::string& topic);

struct BrokerAddress {
  int id = -1;
  std::string host;
  int port = 0;
  bool operator==(const BrokerAddress&) const = default;
};

// Which broker leads each partition, where one does, and where these brokers are.
struct Leaders {
  std::map<TopicPartition, int> of;
  std::set<TopicPartition>
      waiting;  // of these, for a replica in step whose broker is away: what comes last is not seen yet
  std::map<int, BrokerAddress> brokers;
};

class Cluster {
 public:
  // Throws Failure for properties that cannot be; whether a broker is there shows only when one is asked.
  explicit Cluster(Access access);

  const Access& access() const { return access_; }
  const std::string& servers() const { return access_.servers; }
  Contact& contact() { return contact_; }

  Result<TopicInfo> create_topic(const std::string& name, const TopicConfig& config);
  Result<void> delete_topic(const std::string& name);
  Result<std::vector<TopicInfo>> topics();
  Result<TopicInfo> topic(const std::string& name);
  // Whether create_topic() made it, and not another program.
  Result<bool> made_here(const std::string& topic);
  // How many partitions the topics have together, as far as they were looked at; asks nobody.
  int known_partitions(const std::vector<std::string>& topics);
  // Who leads the partitions of the topics, as far as the brokers say.
  Leaders leaders(const std::set<std::string>& topics);

  // The offsets of all, in order. kNotFound where one is none.
  Result<std::vector<Watermarks>> watermarks(const std::vector<TopicPartition>& partitions);
  Result<std::int64_t> offset_at(const TopicPartition& partition, Timestamp time);
  Result<std::vector<GroupInfo>> groups();
  // What a group has committed of each of the partitions, if anything; or the error (kUnavailable) of one whose offset
  // an open transaction commits. Asked with `handle`.
  using Committed = std::map<TopicPartition, Result<std::optional<Commit>>>;
  Result<Committed> committed(rd_kafka_t* handle, const std::string& group,
                              const std::vector<TopicPartition>& partitions);
  // Where the brokers keep the group's offsets.
  Result<TopicPartition> offsets_place(const std::string& group);
  // As Log::open_transactions and Log::end_transaction.
  Result<std::vector<OpenTransaction>> open_transactions(std::vector<TopicPartition> partitions);
  Result<void> end_transaction(const TopicPartition& partition, std::int64_t start);
  // As Log::reset. Where a broker refuses one of the partitions the others may have been set.
  Result<void> reset(const std::string& group, const std::map<TopicPartition, std::int64_t>& offsets);

 private:
  using Request = std::function<void(rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>;
  // What the brokers answer within `timeout` to a request that is made with an admin call of `handle`.
  Result<Event> ask(rd_kafka_t* handle, const std::string& what, const Request& request,
                    std::chrono::milliseconds timeout = kCallTimeout);
  Result<std::vector<TopicInfo>> describe(std::vector<TopicInfo> topics);
  Result<void> wait_for_leaders(const std::string& topic, int partitions);
  Result<std::vector<std::int64_t>> offsets(const std::vector<TopicPartition>& partitions, std::int64_t order,
                                            rd_kafka_t* handle);
  Result<std::vector<std::int64_t>> offsets(const std::vector<TopicPartition>& partitions, std::int64_t order) {
    return offsets(partitions, order, handle_.get());
  }
  struct Open;  // a transaction, with what it takes to end it
  Result<std::vector<Open>> open_in(const std::vector<TopicPartition>& partitions);
  // What is set for the topic itself.
  Result<Properties> settings(const std::string& topic);
  Result<void> alter(const TopicInfo& existing, const TopicConfig& config);
  Result<std::vector<Commit>> commits(rd_kafka_t* handle, const std::string& group);
  Result<std::vector<Commit>> commits(rd_kafka_t* handle, const std::string& group, bool stable);
  void note(const TopicInfo& topic);

  Access access_;
  Contact contact_;
  Handle handle_;
  std::mutex mutex_;
  std::map<std::string, int> partitions_;  // of the topics that were looked at
};

}  // namespace mephisto::kafka
