// Commands that list what the log has: topics, groups, lag.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "cli/commands.h"

namespace mephisto::cli {
namespace {

// Programs get milliseconds, or null, in a column of numbers.
std::string duration_cell(std::optional<std::chrono::milliseconds> duration, const char* none, bool json) {
  if (json) return duration ? std::to_string(duration->count()) : "";
  return duration ? format_duration(*duration) : none;
}

Task<int> topics(NoOptions, CommandContext context) {
  auto& log = *log_context().log;
  Table table{"Topics", {{"topic"}, {"partitions", true}, {"records", true}, {"retention", context.json}, {"cleanup"}}};
  for (const auto& topic : value_or_throw(co_await log.topics())) {
    std::int64_t records = 0;
    for (int i = 0; i < topic.config.partitions; ++i) {
      auto marks = value_or_throw(co_await log.watermarks({topic.name, i}));
      records += marks.end - marks.start;
    }
    table.add({topic.name, std::to_string(topic.config.partitions), std::to_string(records), duration_cell(topic.config.retention, "forever", context.json),
               topic.config.compact ? "compact" : "delete"});
  }
  table.print(context.json);
  co_return kOk;
}

Task<int> groups(NoOptions, CommandContext context) {
  Table table{"Groups", {{"group"}, {"generation", true}, {"member"}, {"partitions"}}};
  for (const auto& group : value_or_throw(co_await log_context().log->groups())) {
    if (group.members.empty()) table.add({group.name, std::to_string(group.generation), "", ""});
    for (const auto& member : group.members) {
      std::map<std::string, std::vector<int>> owned;
      for (const auto& partition : member.owned) owned[partition.topic].push_back(partition.partition);
      std::string text;
      for (auto& [topic, numbers] : owned) text += (text.empty() ? "" : ", ") + topic + " " + fold(numbers);
      table.add({group.name, std::to_string(group.generation), member.client, text});
    }
  }
  table.print(context.json);
  co_return kOk;
}

// When the record at `offset`, or the first after it, was made; nothing when there is none.
Task<std::optional<Timestamp>> time_of(TopicPartition partition, std::int64_t offset) {
  ConsumerOptions options;
  options.client = "command line";
  options.partitions[partition] = offset;
  auto consumer = log_context().log->consumer(*Loop::current(), std::move(options));
  auto polled = co_await consumer->poll(1, std::chrono::milliseconds{0});
  if (polled.batches.empty() || polled.batches.front()->records.empty()) co_return std::nullopt;
  co_return polled.batches.front()->records.front().timestamp();
}

Task<int> lag(NoOptions, CommandContext context) {
  auto& log = *log_context().log;
  const auto now = Loop::current()->timestamp();
  Table table{"Lag", {{"group"}, {"topic"}, {"partition", true}, {"end", true}, {"committed", true}, {"lag", true}, {"owner"}, {"oldest unacknowledged", context.json}}};
  for (const auto& group : value_or_throw(co_await log.groups())) {
    struct Line {
      std::optional<std::int64_t> committed;
      std::string owner;
    };
    std::map<TopicPartition, Line> lines;
    for (const auto& commit : group.commits) lines[commit.partition].committed = commit.offset;
    for (const auto& member : group.members) {
      for (const auto& partition : member.owned) lines[partition].owner = member.client;
    }
    for (const auto& [partition, line] : lines) {
      auto marks = co_await log.watermarks(partition);
      if (!marks) continue;  // the topic is gone
      auto from = std::max(line.committed.value_or(marks->start), marks->start);
      std::optional<std::chrono::milliseconds> age;
      if (from < marks->end) {
        if (auto time = co_await time_of(partition, from)) age = std::max(now - *time, std::chrono::milliseconds{0});
      }
      table.add({group.name, partition.topic, std::to_string(partition.partition), std::to_string(marks->end), line.committed ? std::to_string(*line.committed) : "",
                 std::to_string(marks->end - from), line.owner, duration_cell(age, "", context.json)});
    }
  }
  table.print(context.json);
  co_return kOk;
}

}  // namespace

std::vector<Builtin> log_commands() {
  std::vector<Builtin> commands;
  commands.push_back(builtin<NoOptions>("topics", "List the log's topics.", LogUse::kReads, topics, false));
  commands.push_back(builtin<NoOptions>("groups", "List groups, their members and partitions.", LogUse::kReads, groups, false));
  commands.push_back(builtin<NoOptions>("lag", "Show how far each group is behind.", LogUse::kReads, lag, false));
  commands.push_back(send_command());
  commands.push_back(topic_command());
  commands.push_back(dlq_command());
  return commands;
}

}  // namespace mephisto::cli
