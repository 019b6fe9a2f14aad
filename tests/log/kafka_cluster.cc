#include "kafka_cluster.h"

#include <fmt/format.h>

#include <boost/asio/ip/tcp.hpp>
#include <cstdlib>
#include <thread>
#include <vector>

#include "log/kafka/handle.h"

namespace mephisto::test {
namespace {

using namespace std::chrono_literals;

constexpr int kWaitMs = 15'000;

using kafka::Deleter;
using kafka::Event;
using kafka::Partitions;
using kafka::Queue;
using kafka::TopicHandle;
using Handle = std::unique_ptr<rd_kafka_t, Deleter<rd_kafka_destroy>>;  // ended before the test continues
using DeleteGroup = std::unique_ptr<rd_kafka_DeleteGroup_t, Deleter<rd_kafka_DeleteGroup_destroy>>;
using DeleteTopic = std::unique_ptr<rd_kafka_DeleteTopic_t, Deleter<rd_kafka_DeleteTopic_destroy>>;
using DeleteRecords = std::unique_ptr<rd_kafka_DeleteRecords_t, Deleter<rd_kafka_DeleteRecords_destroy>>;
using Config = std::unique_ptr<rd_kafka_ConfigResource_t, Deleter<rd_kafka_ConfigResource_destroy>>;
using Metadata = std::unique_ptr<const rd_kafka_metadata_t, Deleter<rd_kafka_metadata_destroy>>;

void check(rd_kafka_resp_err_t error, const std::string& what) {
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR)
    throw Failure(ErrorKind::kUnavailable, fmt::format("{}: {}", what, rd_kafka_err2str(error)));
}

std::string int16(int value) { return {static_cast<char>(value >> 8), static_cast<char>(value)}; }
std::string int32(std::size_t value) {
  return int16(static_cast<int>(value >> 16)) + int16(static_cast<int>(value & 0xffff));
}
std::string text(const std::string& value) { return int16(static_cast<int>(value.size())) + value; }

struct Member {
  std::string id;
  std::string client;
};

struct Members {
  std::string coordinator_host;
  std::string coordinator_port;
  std::vector<Member> members;
};

// LeaveGroup, version 3: librdkafka's clients only send it for themselves.
void leave(const Members& group, const std::string& name, const std::string& member) {
  const auto request =
      int16(13) + int16(3) + int32(1) + text("test") + text(name) + int32(1) + text(member) + int16(-1);
  boost::asio::ip::tcp::iostream connection{group.coordinator_host, group.coordinator_port};
  connection << int32(request.size()) << request << std::flush;
  char answer[14];  // size, correlation, throttle time, error
  connection.read(answer, sizeof answer);
  if (!connection)
    throw Failure(ErrorKind::kUnavailable,
                  fmt::format("{}:{} does not answer", group.coordinator_host, group.coordinator_port));
  check(static_cast<rd_kafka_resp_err_t>(answer[12] << 8 | static_cast<unsigned char>(answer[13])),
        fmt::format("cannot put {} out of {}", member, name));
}

// One for each call, because a handle remembers topics even after they were deleted and created again.
struct Client {
  Handle handle;

  explicit Client(const std::string& servers) {
    char why[512] = "";
    auto* conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", servers.c_str(), why, sizeof why);
    handle.reset(rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why));
    if (!handle) throw Failure(ErrorKind::kInvalid, why);
  }

  // The answer to the request that `start` sends through a queue.
  template <class Start>
  Event ask(const std::string& what, Start start) {
    Queue queue{rd_kafka_queue_new(handle.get())};
    start(queue.get());
    Event event{rd_kafka_queue_poll(queue.get(), kWaitMs)};
    check(event ? rd_kafka_event_error(event.get()) : RD_KAFKA_RESP_ERR__TIMED_OUT, what);
    return event;
  }

  // The metadata of one topic, or of all. librdkafka remembers a topic that it was asked about.
  Metadata metadata(rd_kafka_topic_t* only = nullptr) {
    const rd_kafka_metadata_t* found = nullptr;
    check(rd_kafka_metadata(handle.get(), only == nullptr ? 1 : 0, only, &found, kWaitMs), "cannot look at the topics");
    return Metadata{found};
  }

  std::vector<std::string> topics() {
    const auto all = metadata();
    std::vector<std::string> names;
    for (int i = 0; i < all->topic_cnt; ++i) {
      const std::string name = all->topics[i].topic;
      if (!name.starts_with("__")) names.push_back(name);
    }
    return names;
  }

  std::vector<std::string> groups() {
    auto event =
        ask("cannot list the groups", [&](auto* queue) { rd_kafka_ListConsumerGroups(handle.get(), nullptr, queue); });
    std::size_t count = 0;
    const auto** found =
        rd_kafka_ListConsumerGroups_result_valid(rd_kafka_event_ListConsumerGroups_result(event.get()), &count);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < count; ++i) names.emplace_back(rd_kafka_ConsumerGroupListing_group_id(found[i]));
    return names;
  }

  Members members(const std::string& group) {
    const char* name = group.c_str();
    auto event = ask("cannot describe " + group,
                     [&](auto* queue) { rd_kafka_DescribeConsumerGroups(handle.get(), &name, 1, nullptr, queue); });
    std::size_t count = 0;
    const auto** found = rd_kafka_DescribeConsumerGroups_result_groups(
        rd_kafka_event_DescribeConsumerGroups_result(event.get()), &count);
    const auto* error = rd_kafka_ConsumerGroupDescription_error(found[0]);
    check(error == nullptr ? RD_KAFKA_RESP_ERR_NO_ERROR : rd_kafka_error_code(error), "cannot describe " + group);
    const auto* coordinator = rd_kafka_ConsumerGroupDescription_coordinator(found[0]);
    Members all{rd_kafka_Node_host(coordinator), std::to_string(rd_kafka_Node_port(coordinator)), {}};
    for (std::size_t i = 0; i < rd_kafka_ConsumerGroupDescription_member_count(found[0]); ++i) {
      const auto* member = rd_kafka_ConsumerGroupDescription_member(found[0], i);
      all.members.push_back(
          {rd_kafka_MemberDescription_consumer_id(member), rd_kafka_MemberDescription_client_id(member)});
    }
    return all;
  }

  // Looks again to see whether all are gone.
  void delete_all(const std::vector<std::string>& topics, const std::vector<std::string>& groups) {
    for (const auto& name : groups) {
      const auto group = members(name);
      for (const auto& member : group.members) leave(group, name, member.id);
      DeleteGroup deleting{rd_kafka_DeleteGroup_new(name.c_str())};
      auto* one = deleting.get();
      ask("cannot delete " + name, [&](auto* queue) { rd_kafka_DeleteGroups(handle.get(), &one, 1, nullptr, queue); });
    }
    if (topics.empty()) return;
    std::vector<DeleteTopic> deleting;
    std::vector<rd_kafka_DeleteTopic_t*> all;
    for (const auto& name : topics) all.push_back(deleting.emplace_back(rd_kafka_DeleteTopic_new(name.c_str())).get());
    ask("cannot delete topics",
        [&](auto* queue) { rd_kafka_DeleteTopics(handle.get(), all.data(), all.size(), nullptr, queue); });
  }
};

}  // namespace

std::optional<KafkaCluster> KafkaCluster::given() {
  const char* servers = std::getenv("MEPHISTO_KAFKA");
  return servers == nullptr ? std::nullopt : std::optional{KafkaCluster{servers}};
}

std::map<std::string, std::string> KafkaCluster::properties() const {
  const char* reader = std::getenv("MEPHISTO_KAFKA_READER");
  return reader != nullptr && std::string_view{reader} == "librdkafka" ? kReadByLibrdkafka
                                                                       : std::map<std::string, std::string>{};
}

void KafkaCluster::clear() const {
  Client admin{servers_};
  // A member that an earlier test left may join once more before it ends.
  for (int attempt = 0; attempt < 200; ++attempt) {
    const auto topics = admin.topics();
    const auto groups = admin.groups();
    if (topics.empty() && groups.empty()) return;
    admin.delete_all(topics, groups);
    if (attempt > 0) std::this_thread::sleep_for(50ms);
  }
  throw Failure(ErrorKind::kUnavailable, "topics or groups of an earlier test cannot be deleted from " + servers_);
}

void KafkaCluster::expel(const std::string& group, const std::string& client) const {
  Client admin{servers_};
  const auto found = admin.members(group);
  for (const auto& member : found.members) {
    if (member.client == client) leave(found, group, member.id);
  }
}

void KafkaCluster::configure(const std::string& topic, const std::string& name, const std::string& value) const {
  Client admin{servers_};
  const Config changed{rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str())};
  rd_kafka_ConfigResource_set_config(changed.get(), name.c_str(), value.c_str());
  auto* one = changed.get();
  const auto event = admin.ask("cannot configure " + topic, [&](auto* queue) {
    rd_kafka_AlterConfigs(admin.handle.get(), &one, 1, nullptr, queue);
  });
  std::size_t count = 0;
  const auto* const* resources =
      rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event.get()), &count);
  check(rd_kafka_ConfigResource_error(resources[0]), "cannot configure " + topic);
}

void KafkaCluster::delete_before(const TopicPartition& partition, std::int64_t offset) const {
  Client admin{servers_};
  TopicHandle topic{rd_kafka_topic_new(admin.handle.get(), partition.topic.c_str(), nullptr)};
  // DeleteRecords may take a topic as unknown that the handle has not heard of yet.
  admin.metadata(topic.get());
  Partitions list{rd_kafka_topic_partition_list_new(1)};
  rd_kafka_topic_partition_list_add(list.get(), partition.topic.c_str(), partition.partition)->offset = offset;
  DeleteRecords deleting{rd_kafka_DeleteRecords_new(list.get())};
  auto* one = deleting.get();
  auto event = admin.ask("cannot delete records",
                         [&](auto* queue) { rd_kafka_DeleteRecords(admin.handle.get(), &one, 1, nullptr, queue); });
  check(rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(event.get()))->elems[0].err,
        "cannot delete records of " + partition.str());
}

}  // namespace mephisto::test
