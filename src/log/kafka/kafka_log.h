// kafka://host:port[,host:port…]: the log on Apache Kafka, through librdkafka.
//
// A consumer is one member of its group; a producer is one idempotent Kafka producer. Both run on their loop's thread,
// and the loop must use real time. Blocking calls run on the pool of blocking threads; a cancelled caller abandons its
// call (call.h).
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "log/kafka/begin.h"
#include "log/kafka/call.h"
#include "log/kafka/cluster.h"
#include "log/kafka/join_order.h"

namespace mephisto::kafka {

class KafkaLog : public Log, public std::enable_shared_from_this<KafkaLog> {
 public:
  // Throws Failure for invalid properties.
  explicit KafkaLog(Access access) : url_("kafka://" + access.servers), cluster_(std::move(access)) {}

  const std::string& url() const override { return url_; }
  // The brokers' default of offset.metadata.max.bytes.
  std::size_t max_acks_ahead_bytes() const override { return 4096 - kPartitionCountBytes; }
  Task<Result<TopicInfo>> create_topic(std::string name, TopicConfig config, IfExists if_exists) override;
  Task<Result<void>> delete_topic(std::string name) override;
  Task<Result<std::vector<TopicInfo>>> topics() override;
  Task<Result<TopicInfo>> topic(std::string name) override;
  Task<Result<Watermarks>> watermarks(TopicPartition partition) override;
  Task<Result<std::vector<Watermarks>>> watermarks_of(std::vector<TopicPartition> partitions) override;
  Task<Result<Watermarks>> readable(TopicPartition partition) override;
  Task<Result<std::int64_t>> offset_at(TopicPartition partition, Timestamp time) override;
  Task<Result<std::vector<GroupInfo>>> groups() override;
  Task<Result<void>> reset(std::string group, std::map<TopicPartition, std::int64_t> offsets) override;
  Task<Result<std::vector<OpenTransaction>>> open_transactions(std::vector<TopicPartition> partitions) override;
  Task<Result<void>> end_transaction(TopicPartition partition, std::int64_t start) override;
  // Deletes the reply topics of our askers that are gone. The brokers do all other maintenance.
  Task<Result<void>> maintain() override;
  std::unique_ptr<Member> member(Loop& loop, MemberOptions options) override;
  std::unique_ptr<Reader> reader(Loop& loop, ReaderOptions options) override;
  std::unique_ptr<Producer> producer(Loop& loop) override;

  Cluster& cluster() { return cluster_; }

  // Shared by the members of the group that start together. Any thread may call.
  std::shared_ptr<JoinOrder> join_order(const std::string& group);

 private:
  // Runs `ask` on the cluster; a cancelled caller does not wait for it.
  template <class Ask>
  auto from_cluster(Ask ask, const char* what) {
    return call([log = shared_from_this(), ask = std::move(ask)] { return ask(log->cluster_); }, what);
  }
  struct Seen {
    std::int64_t ends = 0;
    std::chrono::steady_clock::time_point since;
  };

  std::string url_;
  Cluster cluster_;
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<JoinOrder>> join_orders_;  // by group
  std::map<std::string, Seen> empty_;  // empty reply topics, and since when they have received no record
};

}  // namespace mephisto::kafka
