#include "log/kafka/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <span>
#include <thread>

namespace mephisto::kafka {
namespace {

constexpr int kTimeout = static_cast<int>(kCallTimeout.count());
constexpr std::chrono::milliseconds kPropagation{1000};  // until every broker knows a new topic

using NewTopic = std::unique_ptr<rd_kafka_NewTopic_t, Deleter<rd_kafka_NewTopic_destroy>>;
using Resource = std::unique_ptr<rd_kafka_ConfigResource_t, Deleter<rd_kafka_ConfigResource_destroy>>;

// Kafka's settings for a topic's configuration. All of them are given: a broker's default retention would delete
// records with old timestamps within seconds.
Properties settings_of(const TopicConfig& config) {
  return {
      {"retention.ms", std::to_string(config.retention ? config.retention->count() : -1)},
      {"retention.bytes", std::to_string(config.retention_bytes.value_or(-1))},
      {"cleanup.policy", !config.compact                              ? "delete"
                         : config.retention || config.retention_bytes ? "compact,delete"
                                                                      : "compact"},
      {"max.message.bytes", std::to_string(kMaxMessageBytes)},
  };
}

void read_setting(TopicConfig& config, std::string_view name, std::string_view value) {
  const auto number = [&]() -> std::optional<std::int64_t> {
    std::int64_t parsed = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), parsed);
    return error == std::errc{} && parsed >= 0 ? std::optional{parsed} : std::nullopt;
  };
  if (name == "retention.ms") {
    if (auto ms = number()) config.retention = std::chrono::milliseconds{*ms};
  } else if (name == "retention.bytes") {
    config.retention_bytes = number();
  } else if (name == "cleanup.policy") {
    config.compact = value.find("compact") != std::string_view::npos;
  }
}

// Retention has no effect without the cleanup policy "delete".
void drop_unused(TopicConfig& config, bool deletes) {
  if (deletes) return;
  config.retention.reset();
  config.retention_bytes.reset();
}

TopicInfo to_info(const rd_kafka_metadata_topic& topic) {
  TopicInfo info;
  info.name = topic.topic;
  info.config.partitions = topic.partition_cnt;
  info.config.replicas = topic.partition_cnt > 0 ? topic.partitions[0].replica_cnt : 1;
  return info;
}

// The brokers' metadata of one topic.
Result<Metadata> look_up(rd_kafka_t* handle, const std::string& name) {
  if (!check_topic_name(name)) return fail(ErrorKind::kNotFound, fmt::format("there is no topic {}", name));
  const TopicHandle topic{rd_kafka_topic_new(handle, name.c_str(), nullptr)};
  const struct rd_kafka_metadata* found = nullptr;
  auto code = rd_kafka_metadata(handle, 0, topic.get(), &found, kTimeout);
  Metadata metadata{found};
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR && metadata->topic_cnt == 1) code = metadata->topics[0].err;
  if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
    return fail(ErrorKind::kNotFound, fmt::format("there is no topic {}", name));
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
    return std::unexpected(to_error(code, fmt::format("cannot look up topic {}", name)));
  return metadata;
}

// A partition's leader is unknown or moves; that passes.
bool is_moving(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION || code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
         code == RD_KAFKA_RESP_ERR__WAIT_CACHE ||
         // A broker that has just started may know an older epoch than the one that the client has seen.
         code == RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH || code == RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH;
}

std::string name_of(const rd_kafka_topic_partition_t& one) { return fmt::format("{}/{}", one.topic, one.partition); }

template <class Results>
Result<void> first_error(Results results, std::size_t count, const std::string& what) {
  for (std::size_t i = 0; i < count; ++i) {
    if (const auto code = rd_kafka_topic_result_error(results[i]); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
      const auto* text = rd_kafka_topic_result_error_string(results[i]);
      return std::unexpected(to_error(code, what, text == nullptr ? "" : text));
    }
  }
  return {};
}

// A partition's end is the offset of the next record, even while a transaction is open.
const Properties kAdminProperties{{"isolation.level", "read_uncommitted"}};

}  // namespace

Result<int> partition_count(rd_kafka_t* handle, const std::string& topic) {
  for (const auto deadline = std::chrono::steady_clock::now() + kPropagation;;
       std::this_thread::sleep_for(kBetweenTries)) {
    auto found = look_up(handle, topic);
    if (found) return (*found)->topics[0].partition_cnt;
    if (found.error().kind != ErrorKind::kNotFound || std::chrono::steady_clock::now() >= deadline)
      return std::unexpected(found.error());
  }
}

Cluster::Cluster(Access access)
    : access_(std::move(access)),
      contact_(access_.servers),
      handle_(make_handle(RD_KAFKA_PRODUCER, access_, kAdminProperties, RD_KAFKA_EVENT_ERROR)) {}

Result<Event> Cluster::ask(rd_kafka_t* handle, const std::string& what, const Request& request,
                           std::chrono::milliseconds timeout) {
  const Queue answers{rd_kafka_queue_new(handle)};
  const std::unique_ptr<rd_kafka_AdminOptions_t, Deleter<rd_kafka_AdminOptions_destroy>> options{
      rd_kafka_AdminOptions_new(handle, RD_KAFKA_ADMIN_OP_ANY)};
  const auto ms = static_cast<int>(timeout.count());
  char text[256];
  rd_kafka_AdminOptions_set_request_timeout(options.get(), ms, text, sizeof text);
  request(options.get(), answers.get());
  Event event{rd_kafka_queue_poll(answers.get(), ms + 1000)};
  if (!event) return fail(ErrorKind::kTimeout, fmt::format("{}: Kafka at {} does not answer", what, servers()));
  if (const auto code = rd_kafka_event_error(event.get()); code != RD_KAFKA_RESP_ERR_NO_ERROR)
    return std::unexpected(to_error(code, what, rd_kafka_event_error_string(event.get())));
  return event;
}

Result<TopicInfo> Cluster::create_topic(const std::string& name, const TopicConfig& config, IfExists if_exists) {
  if (auto sound = check_topic_name(name); !sound) return std::unexpected(sound.error());
  if (config.partitions < 1 || config.partitions > kMaxPartitions) {
    return fail(ErrorKind::kInvalid,
                fmt::format("topic {} cannot have {} partitions: 1 to {}", name, config.partitions, kMaxPartitions));
  }
  if (auto made = contact_.make(handle_.get()); !made) return std::unexpected(made.error());
  const auto what = fmt::format("cannot create topic {}", name);
  char text[256];
  const NewTopic topic{rd_kafka_NewTopic_new(name.c_str(), config.partitions, config.replicas, text, sizeof text)};
  if (!topic) return fail(ErrorKind::kInvalid, fmt::format("{}: {}", what, text));
  for (const auto& [setting, value] : settings_of(config))
    rd_kafka_NewTopic_set_config(topic.get(), setting.c_str(), value.c_str());
  auto* wanted = topic.get();
  auto event = ask(handle_.get(), what, [&](auto* options, auto* queue) {
    rd_kafka_CreateTopics(handle_.get(), &wanted, 1, options, queue);
  });
  if (!event) return std::unexpected(event.error());
  std::size_t count = 0;
  const auto* results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event->get()), &count);
  const bool exists = count == 1 && rd_kafka_topic_result_error(results[0]) == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS;
  if (!exists) {
    if (auto done = first_error(results, count, what); !done) return std::unexpected(done.error());
    if (auto led = wait_for_leaders(name, config.partitions); !led) return std::unexpected(led.error());
    TopicInfo made{name, config, {}};
    note(made);
    return made;
  }
  auto existing = this->topic(name);
  // Another program may be creating the topic right now: it exists before every broker knows it.
  for (const auto until = std::chrono::steady_clock::now() + kCallTimeout;
       !existing && existing.error().kind == ErrorKind::kNotFound && std::chrono::steady_clock::now() < until;) {
    std::this_thread::sleep_for(kBetweenTries);
    existing = this->topic(name);
  }
  if (!existing || if_exists == IfExists::kKeep) return existing;
  if (existing->config.partitions != config.partitions) {
    auto text = fmt::format("topic {} has {} partitions, not {}: declare as many, or delete the topic", name,
                            existing->config.partitions, config.partitions);
    if (existing->config.partitions < config.partitions) {
      text += fmt::format(
          "; Kafka's own tool can add partitions (kafka-topics.sh --alter --topic {} --partitions {}), "
          "which moves keys to other partitions",
          name, config.partitions);
    }
    return fail(ErrorKind::kInvalid, text);
  }
  if (auto altered = alter(*existing, config); !altered) return std::unexpected(altered.error());
  existing->config.retention = config.retention;
  existing->config.retention_bytes = config.retention_bytes;
  existing->config.compact = config.compact;
  return existing;
}

// A topic exists before its partitions have leaders, and before every broker knows it.
Result<void> Cluster::wait_for_leaders(const std::string& topic, int partitions) {
  const auto deadline = std::chrono::steady_clock::now() + kCallTimeout;
  for (;; std::this_thread::sleep_for(kBetweenTries)) {
    auto found = look_up(handle_.get(), topic);
    if (found && (*found)->topics[0].partition_cnt == partitions) {
      const auto& all = (*found)->topics[0];
      if (std::all_of(all.partitions, all.partitions + all.partition_cnt,
                      [](const auto& one) { return one.leader >= 0; }))
        return {};
    }
    if (std::chrono::steady_clock::now() >= deadline)
      return fail(ErrorKind::kTimeout, fmt::format("topic {} was created, but its partitions have no leaders", topic));
  }
}

Result<Properties> Cluster::settings(const std::string& topic) {
  const Resource asked{rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str())};
  auto* one = asked.get();
  auto event =
      ask(handle_.get(), fmt::format("cannot read the settings of topic {}", topic),
          [&](auto* options, auto* queue) { rd_kafka_DescribeConfigs(handle_.get(), &one, 1, options, queue); });
  if (!event) return std::unexpected(event.error());
  Properties settings;
  std::size_t count = 0;
  const auto* resources =
      rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event->get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    std::size_t entries = 0;
    const auto* configs = rd_kafka_ConfigResource_configs(resources[i], &entries);
    for (std::size_t n = 0; n < entries; ++n) {
      if (rd_kafka_ConfigEntry_source(configs[n]) != RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG) continue;
      const auto* value = rd_kafka_ConfigEntry_value(configs[n]);
      settings.try_emplace(rd_kafka_ConfigEntry_name(configs[n]), value == nullptr ? "" : value);
    }
  }
  return settings;
}

// No other program sets max.message.bytes to exactly our largest record.
Result<bool> Cluster::created_by_us(const std::string& topic) {
  auto found = settings(topic);
  if (!found) return std::unexpected(found.error());
  const auto largest = found->find("max.message.bytes");
  return largest != found->end() && largest->second == std::to_string(kMaxMessageBytes);
}

// AlterConfigs replaces all settings of the topic. So the settings that are not ours are sent again.
Result<void> Cluster::alter(const TopicInfo& existing, const TopicConfig& config) {
  if (existing.config.retention == config.retention && existing.config.retention_bytes == config.retention_bytes &&
      existing.config.compact == config.compact)
    return {};
  auto before = settings(existing.name);
  if (!before) return std::unexpected(before.error());
  auto settings = settings_of(config);
  settings.erase("max.message.bytes");
  settings.merge(*before);
  const auto what = fmt::format("cannot change the settings of topic {}", existing.name);
  const Resource changed{rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, existing.name.c_str())};
  for (const auto& [name, value] : settings)
    rd_kafka_ConfigResource_set_config(changed.get(), name.c_str(), value.c_str());
  auto* one = changed.get();
  auto done = ask(handle_.get(), what,
                  [&](auto* options, auto* queue) { rd_kafka_AlterConfigs(handle_.get(), &one, 1, options, queue); });
  if (!done) return std::unexpected(done.error());
  std::size_t count = 0;
  const auto* resources =
      rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(done->get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    if (const auto code = rd_kafka_ConfigResource_error(resources[i]); code != RD_KAFKA_RESP_ERR_NO_ERROR)
      return std::unexpected(to_error(code, what, rd_kafka_ConfigResource_error_string(resources[i])));
  }
  return {};
}

Result<void> Cluster::delete_topic(const std::string& name) {
  if (auto sound = check_topic_name(name); !sound)
    return fail(ErrorKind::kNotFound, fmt::format("there is no topic {}", name));
  if (auto made = contact_.make(handle_.get()); !made) return made;
  const auto what = fmt::format("cannot delete topic {}", name);
  const std::unique_ptr<rd_kafka_DeleteTopic_t, Deleter<rd_kafka_DeleteTopic_destroy>> topic{
      rd_kafka_DeleteTopic_new(name.c_str())};
  auto* one = topic.get();
  auto event = ask(handle_.get(), what,
                   [&](auto* options, auto* queue) { rd_kafka_DeleteTopics(handle_.get(), &one, 1, options, queue); });
  if (!event) return std::unexpected(event.error());
  std::size_t count = 0;
  const auto* results = rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(event->get()), &count);
  return first_error(results, count, what);
}

Result<std::vector<TopicInfo>> Cluster::topics() {
  if (auto made = contact_.make(handle_.get()); !made) return std::unexpected(made.error());
  const struct rd_kafka_metadata* found = nullptr;
  if (const auto code = rd_kafka_metadata(handle_.get(), 1, nullptr, &found, kTimeout);
      code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return std::unexpected(to_error(code, fmt::format("cannot list the topics of Kafka at {}", servers())));
  }
  const Metadata metadata{found};
  std::vector<TopicInfo> topics;
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const auto& topic = metadata->topics[i];
    if (topic.err == RD_KAFKA_RESP_ERR_NO_ERROR && !std::string_view{topic.topic}.starts_with("__"))
      topics.push_back(to_info(topic));
  }
  std::ranges::sort(topics, {}, &TopicInfo::name);
  return describe(std::move(topics));
}

Result<TopicInfo> Cluster::topic(const std::string& name) {
  if (auto made = contact_.make(handle_.get()); !made) return std::unexpected(made.error());
  auto found = look_up(handle_.get(), name);
  if (!found) return std::unexpected(found.error());
  auto described = describe({to_info((*found)->topics[0])});
  if (!described) return std::unexpected(described.error());
  note(described->front());
  return std::move(described->front());
}

void Cluster::note(const TopicInfo& topic) {
  const std::lock_guard lock{mutex_};
  partitions_[topic.name] = topic.config.partitions;
}

int Cluster::known_partitions(const std::vector<std::string>& topics) {
  const std::lock_guard lock{mutex_};
  int count = 0;
  for (const auto& topic : topics) {
    if (const auto it = partitions_.find(topic); it != partitions_.end()) count += it->second;
  }
  return count;
}

Leaders Cluster::leaders(const std::set<std::string>& names) {
  Leaders leaders;
  for (const auto& name : names) {
    const auto found = look_up(handle_.get(), name);
    if (!found) continue;
    const auto& topic = (*found)->topics[0];
    const std::span brokers{(*found)->brokers, static_cast<std::size_t>((*found)->broker_cnt)};
    for (int i = 0; i < topic.partition_cnt; ++i) {
      const auto& partition = topic.partitions[i];
      if (partition.leader < 0) continue;
      leaders.of[{name, partition.id}] = partition.leader;
      for (int n = 0; n < partition.isr_cnt; ++n) {
        if (std::ranges::find(brokers, partition.isrs[n], &rd_kafka_metadata_broker::id) == brokers.end())
          leaders.waiting.insert({name, partition.id});
      }
    }
    for (int i = 0; i < (*found)->broker_cnt; ++i) {
      const auto& broker = (*found)->brokers[i];
      leaders.brokers[broker.id] = {broker.id, broker.host, broker.port};
    }
  }
  return leaders;
}

Result<std::vector<TopicInfo>> Cluster::describe(std::vector<TopicInfo> topics) {
  if (topics.empty()) return topics;
  std::vector<rd_kafka_ConfigResource_t*> asked;
  asked.reserve(topics.size());
  for (const auto& topic : topics)
    asked.push_back(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.name.c_str()));
  auto event = ask(handle_.get(), "cannot read the settings of topics", [&](auto* options, auto* queue) {
    rd_kafka_DescribeConfigs(handle_.get(), asked.data(), asked.size(), options, queue);
  });
  rd_kafka_ConfigResource_destroy_array(asked.data(), asked.size());
  if (!event) return std::unexpected(event.error());
  std::size_t count = 0;
  const auto* resources =
      rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event->get()), &count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto name = std::string_view{rd_kafka_ConfigResource_name(resources[i])};
    const auto topic = std::ranges::find(topics, name, &TopicInfo::name);
    if (topic == topics.end()) continue;
    bool deletes = true;
    std::size_t entries = 0;
    const auto* configs = rd_kafka_ConfigResource_configs(resources[i], &entries);
    for (std::size_t n = 0; n < entries; ++n) {
      const auto* value = rd_kafka_ConfigEntry_value(configs[n]);
      const std::string_view setting = rd_kafka_ConfigEntry_name(configs[n]);
      if (value == nullptr) continue;
      read_setting(topic->config, setting, value);
      if (setting == "cleanup.policy") deletes = std::string_view{value}.find("delete") != std::string_view::npos;
    }
    drop_unused(topic->config, deletes);
  }
  return topics;
}

Result<std::vector<std::int64_t>> Cluster::offsets(const std::vector<TopicPartition>& partitions, std::int64_t order,
                                                   rd_kafka_t* handle) {
  for (const auto& partition : partitions) {
    if (partition.partition < 0 || !check_topic_name(partition.topic))
      return fail(ErrorKind::kNotFound, fmt::format("there is no partition {}", partition.str()));
  }
  if (partitions.empty()) return std::vector<std::int64_t>{};
  if (auto made = contact_.make(handle_.get()); !made) return std::unexpected(made.error());
  const auto deadline = std::chrono::steady_clock::now() + kCallTimeout;
  for (;; std::this_thread::sleep_for(kBetweenTries)) {
    const auto list = new_list(partitions.size());
    for (const auto& partition : partitions) add(*list, partition, order);
    auto code = rd_kafka_offsets_for_times(handle, list.get(), kTimeout);
    std::string what = fmt::format("cannot look up offsets at {}", servers());
    TopicPartition failed = partitions.front();
    std::vector<std::int64_t> offsets;
    for (int i = 0; i < list->cnt; ++i) {
      const auto& one = list->elems[i];
      if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        code = one.err;
        what = fmt::format("cannot look up the offsets of {}", name_of(one));
        failed = {one.topic, one.partition};
        break;
      }
      offsets.push_back(one.offset);
    }
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return offsets;
    // The leader of a new topic may hear of it later than the other brokers.
    const bool unknown = code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if ((!is_moving(code) && !unknown) || std::chrono::steady_clock::now() >= deadline)
      return std::unexpected(to_error(code, what));
    auto led = look_up(handle, failed.topic);  // refreshes the leaders
    if (unknown && (!led || (*led)->topics[0].partition_cnt <= failed.partition))
      return std::unexpected(to_error(code, what));
    if (!led) return std::unexpected(led.error());
  }
}

Result<std::vector<Watermarks>> Cluster::watermarks(const std::vector<TopicPartition>& partitions) {
  auto starts = offsets(partitions, RD_KAFKA_OFFSET_BEGINNING);
  if (!starts) return std::unexpected(starts.error());
  auto ends = offsets(partitions, RD_KAFKA_OFFSET_END);
  if (!ends) return std::unexpected(ends.error());
  std::vector<Watermarks> found;
  for (std::size_t i = 0; i < partitions.size(); ++i) found.push_back({(*starts)[i], (*ends)[i]});
  return found;
}

Result<std::vector<std::int64_t>> Cluster::stable_ends(const std::vector<TopicPartition>& partitions) {
  {
    const std::lock_guard lock{mutex_};
    if (!stable_handle_)
      stable_handle_ =
          make_handle(RD_KAFKA_PRODUCER, access_, {{"isolation.level", "read_committed"}}, RD_KAFKA_EVENT_ERROR);
  }
  return offsets(partitions, RD_KAFKA_OFFSET_END, stable_handle_.get());
}

Result<Watermarks> Cluster::readable(const TopicPartition& partition) {
  auto ends = stable_ends({partition});
  if (!ends) return std::unexpected(ends.error());
  auto starts = offsets({partition}, RD_KAFKA_OFFSET_BEGINNING);
  if (!starts) return std::unexpected(starts.error());
  return Watermarks{starts->front(), ends->front()};
}

Result<std::int64_t> Cluster::offset_at(const TopicPartition& partition, Timestamp time) {
  // Negative timestamps would mean "start" and "end" to Kafka.
  auto found = offsets({partition}, std::max<std::int64_t>(time.time_since_epoch().count(), 0));
  if (!found) return std::unexpected(found.error());
  if (found->front() >= 0) return found->front();
  auto end = offsets({partition}, RD_KAFKA_OFFSET_END);
  if (!end) return std::unexpected(end.error());
  return end->front();
}

}  // namespace mephisto::kafka
