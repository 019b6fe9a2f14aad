// Commands that list topics and groups, and functions that commands on the log share.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"

namespace mephisto::cli {
namespace {

Task<int> topics(NoOptions, CommandContext context) {
  auto& log = *log_context().log;
  TextTable table{"Topics",
                  {{"topic"}, {"partitions", true}, {"offsets", true}, {"retention", context.json}, {"cleanup"}}};
  for (const auto& topic : value_or_throw(co_await log.topics())) {
    // Not every offset has a record: transaction markers have offsets, and so had the records that compaction removed.
    std::int64_t offsets = 0;
    for (int i = 0; i < topic.config.partitions; ++i) {
      auto marks = value_or_throw(co_await log.watermarks({topic.name, i}));
      offsets += marks.end - marks.start;
    }
    table.add({topic.name, std::to_string(topic.config.partitions), std::to_string(offsets),
               duration_cell(topic.config.retention, "forever", context.json),
               topic.config.compact ? "compact" : "delete"});
  }
  table.print(context.json);
  co_return kOk;
}

struct OwnedPartitions {
  Bytes topic;
  std::vector<int> partitions;
};

// An object of `groups --json`. A group without members has one object, without a member.
struct ListedMember {
  Bytes group;
  std::optional<std::int64_t> generation;  // Kafka's brokers do not report it
  std::optional<Bytes> member;
  std::vector<OwnedPartitions> partitions;
};

std::vector<OwnedPartitions> owned_by(const MemberInfo& member) {
  std::map<std::string, std::vector<int>> numbers;
  for (const auto& partition : member.owned) numbers[partition.topic].push_back(partition.partition);
  std::vector<OwnedPartitions> owned;
  for (auto& [topic, of_topic] : numbers) {
    std::ranges::sort(of_topic);
    owned.push_back({Bytes{topic}, std::move(of_topic)});
  }
  return owned;
}

Task<int> groups(NoOptions, CommandContext context) {
  std::vector<ListedMember> listed;
  for (const auto& group : value_or_throw(co_await log_context().log->groups())) {
    if (group.members.empty()) listed.push_back({Bytes{group.name}, group.generation, std::nullopt, {}});
    for (const auto& member : group.members)
      listed.push_back({Bytes{group.name}, group.generation, Bytes{member.client}, owned_by(member)});
  }
  if (context.json) {
    print_json(to_json(listed, Dialect::kShown));
    co_return kOk;
  }
  TextTable table{"Groups", {{"group"}, {"generation", true}, {"member"}, {"partitions"}}};
  for (const auto& one : listed) {
    std::string text;
    for (const auto& [topic, numbers] : one.partitions)
      text += (text.empty() ? "" : ", ") + topic.data + " " + fold(numbers);
    table.add({one.group.data, one.generation ? std::to_string(*one.generation) : "",
               one.member ? one.member->data : "", text});
  }
  table.print(false);
  co_return kOk;
}

}  // namespace

std::shared_ptr<Log> log_if_there(const App& app) {
  const auto url = app.log_url();
  return url.starts_with("memory:") || !log_exists(url) ? nullptr : app.open_log();
}

std::string duration_cell(std::optional<std::chrono::milliseconds> duration, const char* none, bool json) {
  if (json) return duration ? std::to_string(duration->count()) : "";
  return duration ? format_duration(*duration) : none;
}

std::set<std::string> consumed_topics(const App& app) {
  std::set<std::string> topics;
  for (const auto& agent : app.agents()) topics.insert(agent->topic().name);
  for (const auto& merged : app.merged()) topics.insert(merged.topic.name);
  return topics;
}

Task<std::vector<TopicPartition>> consumed_partitions(const App& app, Log& log) {
  std::vector<TopicPartition> partitions;
  for (const auto& topic : consumed_topics(app)) {
    const auto info = co_await topic_if_there(log, topic);
    if (!info) continue;
    for (int i = 0; i < info->config.partitions; ++i) partitions.push_back({topic, i});
  }
  co_return partitions;
}

Task<TopicInfo> find_topic(const App& app, std::string name) {
  auto& log = *log_context().log;
  auto info = co_await log.topic(name);
  if (info) co_return std::move(*info);
  if (info.error().kind != ErrorKind::kNotFound) throw Failure(info.error());
  std::vector<std::string> names;
  for (const auto& one : value_or_throw(co_await log.topics())) names.push_back(one.name);
  throw UsageError(
      fmt::format("there is no topic \"{}\" (see: {} topics){}", printable(name), app.id(), did_you_mean(name, names)));
}

Task<std::optional<std::int64_t>> offset_or_time(TopicPartition partition, Watermarks marks, std::string text) {
  if (text.find_first_not_of("0123456789") == std::string::npos && !text.empty() && text.size() < 19) {
    co_return std::clamp<std::int64_t>(std::stoll(text), marks.start, marks.end);
  }
  if (auto time = parse_iso8601(text)) {
    co_return value_or_throw(co_await log_context().log->offset_at(
        std::move(partition), std::chrono::floor<std::chrono::milliseconds>(*time)));
  }
  co_return std::nullopt;
}

std::vector<Builtin> log_commands() {
  std::vector<Builtin> commands;
  commands.push_back(builtin<NoOptions>("topics", "List the log's topics.", LogUse::kReads, topics, false));
  commands.push_back(
      builtin<NoOptions>("groups", "List groups, their members and partitions.", LogUse::kReads, groups, false));
  commands.push_back(lag_command());
  commands.push_back(why_command());
  commands.push_back(rebalances_command());
  commands.push_back(send_command());
  commands.push_back(cron_command());
  commands.push_back(migrate_command());
  commands.push_back(reset_command());
  commands.push_back(snapshot_command());
  commands.push_back(table_command());
  commands.push_back(tables_command());
  commands.push_back(topic_command());
  commands.push_back(transactions_command());
  commands.push_back(dlq_command());
  commands.push_back(doctor_command());
  return commands;
}

}  // namespace mephisto::cli
