#include "log/kafka/kafka_log.h"

#include <fmt/format.h>

#include <utility>

#include "log/kafka/consumer.h"
#include "log/kafka/producer.h"
#include "mephisto/log/reply_topics.h"
#include "mephisto/logging.h"

namespace mephisto::kafka {
namespace {

void must_be_real_time(const Loop& loop) {
  if (loop.virtual_time())
    throw Failure(ErrorKind::kInvalid,
                  "kafka:// works on a loop of real time only: brokers do not wait for a virtual clock");
}

// From this version on, a producer survives a partition that moves while its answer is lost.
constexpr int kKeepsProducers = 0x020300ff;

// A worker logs this once.
void check_library() {
  static const bool old = rd_kafka_version() < kKeepsProducers;
  static bool warned = false;
  if (!old || std::exchange(warned, true)) return;
  log::warn(
      "librdkafka {} is older than 2.3: it abandons producers needlessly when brokers die, which delays what is "
      "sent; build with a newer one (dev/librdkafka)",
      rd_kafka_version_str());
}

}  // namespace

Task<Result<TopicInfo>> KafkaLog::create_topic(std::string name, TopicConfig config, IfExists if_exists) {
  co_return co_await from_cluster([=](Cluster& cluster) { return cluster.create_topic(name, config, if_exists); },
                                  "Kafka to create a topic");
}

Task<Result<void>> KafkaLog::delete_topic(std::string name) {
  co_return co_await from_cluster([=](Cluster& cluster) { return cluster.delete_topic(name); },
                                  "Kafka to delete a topic");
}

Task<Result<std::vector<TopicInfo>>> KafkaLog::topics() {
  co_return co_await from_cluster([](Cluster& cluster) { return cluster.topics(); }, "Kafka's topics");
}

Task<Result<TopicInfo>> KafkaLog::topic(std::string name) {
  co_return co_await from_cluster([=](Cluster& cluster) { return cluster.topic(name); }, "a Kafka topic");
}

Task<Result<Watermarks>> KafkaLog::watermarks(TopicPartition partition) {
  auto found =
      co_await from_cluster([=](Cluster& cluster) { return cluster.watermarks({partition}); }, "Kafka's offsets");
  if (!found) co_return std::unexpected(found.error());
  co_return found->front();
}

Task<Result<std::vector<Watermarks>>> KafkaLog::watermarks_of(std::vector<TopicPartition> partitions) {
  if (partitions.empty()) co_return std::vector<Watermarks>{};
  co_return co_await from_cluster([=](Cluster& cluster) { return cluster.watermarks(partitions); }, "Kafka's offsets");
}

Task<Result<Watermarks>> KafkaLog::readable(TopicPartition partition) {
  co_return co_await from_cluster([=](Cluster& cluster) { return cluster.readable(partition); }, "Kafka's offsets");
}

Task<Result<std::int64_t>> KafkaLog::offset_at(TopicPartition partition, Timestamp time) {
  co_return co_await from_cluster([=](Cluster& cluster) { return cluster.offset_at(partition, time); },
                                  "a Kafka offset");
}

Task<Result<std::vector<GroupInfo>>> KafkaLog::groups() {
  co_return co_await from_cluster([](Cluster& cluster) { return cluster.groups(); }, "Kafka's groups");
}

Task<Result<void>> KafkaLog::reset(std::string group, std::map<TopicPartition, std::int64_t> offsets) {
  co_return co_await from_cluster([=](Cluster& cluster) { return cluster.reset(group, offsets); },
                                  "Kafka to set a group's offsets");
}

Task<Result<std::vector<OpenTransaction>>> KafkaLog::open_transactions(std::vector<TopicPartition> partitions) {
  co_return co_await from_cluster([=](Cluster& cluster) { return cluster.open_transactions(partitions); },
                                  "Kafka's transactions");
}

Task<Result<void>> KafkaLog::end_transaction(TopicPartition partition, std::int64_t start) {
  co_return co_await from_cluster([=](Cluster& cluster) { return cluster.end_transaction(partition, start); },
                                  "Kafka to end a transaction");
}

// Kafka does not report the age of an empty topic. So a reply topic is abandoned if we saw no record arrive for its
// retention time. Faust's askers send no keep-alive records: their topics must not be deleted here.
Task<Result<void>> KafkaLog::maintain() {
  auto all = co_await topics();
  if (!all) co_return std::unexpected(all.error());
  const auto now = std::chrono::steady_clock::now();
  for (const auto& topic : *all) {
    if (!is_reply_topic(topic.name) || !topic.config.retention) continue;
    std::vector<TopicPartition> partitions;
    for (int p = 0; p < topic.config.partitions; ++p) partitions.push_back({topic.name, p});
    auto found =
        co_await from_cluster([=](Cluster& cluster) { return cluster.watermarks(partitions); }, "Kafka's offsets");
    if (!found) continue;
    std::int64_t ends = 0;
    bool empty = true;
    for (const auto& one : *found) {
      ends += one.end;
      empty &= one.start == one.end;
    }
    bool abandoned = false;
    {
      std::lock_guard lock{mutex_};
      auto [it, fresh] = empty_.try_emplace(topic.name, Seen{ends, now});
      if (!fresh && (!empty || it->second.ends != ends)) it->second = {ends, now};
      abandoned = empty && now - it->second.since >= *topic.config.retention;
      if (abandoned) empty_.erase(it);
    }
    if (!abandoned) continue;
    auto ours = co_await from_cluster([name = topic.name](Cluster& cluster) { return cluster.created_by_us(name); },
                                      "a topic's settings");
    if (ours && *ours) (void)co_await delete_topic(topic.name);
  }
  co_return Result<void>{};
}

std::shared_ptr<JoinOrder> KafkaLog::join_order(const std::string& group) {
  const std::lock_guard lock{mutex_};
  auto& known = join_orders_[group];
  auto order = known.lock();
  if (!order) known = order = std::make_shared<JoinOrder>();
  return order;
}

std::unique_ptr<Reader> KafkaLog::reader(Loop& loop, ReaderOptions options) {
  must_be_real_time(loop);
  return std::make_unique<KafkaConsumer>(shared_from_this(), loop, std::move(options));
}

std::unique_ptr<Member> KafkaLog::member(Loop& loop, MemberOptions options) {
  must_be_real_time(loop);
  check_library();
  return std::make_unique<KafkaConsumer>(shared_from_this(), loop, std::move(options));
}

std::unique_ptr<Producer> KafkaLog::producer(Loop& loop) {
  must_be_real_time(loop);
  return std::make_unique<KafkaProducer>(shared_from_this(), loop);
}

}  // namespace mephisto::kafka
