// Commands on the log: send, topics, topic, groups, lag. Dead letters are in dlq_command.cc.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "base/text.h"
#include "cli/dlq_command.h"
#include "mephisto/json_read.h"

namespace mephisto::cli {
namespace {

struct SendOptionsCli {
  std::string entity;
  std::optional<std::string> value;
  std::optional<std::string> key;
  std::optional<std::string> key_type;
  std::optional<std::string> value_type;
  std::optional<std::string> key_serializer;
  std::optional<std::string> value_serializer;
  std::optional<int> partition;
  int repeat = 1;
  double min_latency = 0;
  double max_latency = 0;

  static std::vector<OptionHelp> help() {
    return {{"entity", "a topic, or @AGENT", "", true},
            {"value", "the value, as it goes to the topic (default: null)", "", true},
            {"key", "the record's key", "-k"},
            {"key_type", "a model to check the key against", "-K"},
            {"value_type", "a model to check the value against", "-V"},
            {"key_serializer", "a codec for the key (default: raw)"},
            {"value_serializer", "a codec for the value (default: as typed)"},
            {"partition", "send to this partition (default: by key, else any)"},
            {"repeat", "send so many times", "-r"},
            {"min_latency", "with --repeat: least seconds between two"},
            {"max_latency", "with --repeat: most seconds between two"}};
  }
};

std::string encode(const std::optional<std::string>& codec_name, const std::string& text, const char* option) {
  if (!codec_name) return text;
  auto codec = Codec::parse(*codec_name);
  if (!codec) throw UsageError(fmt::format("{}: {}", option, codec.error().message));
  Buffer bytes;
  if (*codec_name == "json" || codec_name->starts_with("json|"))
    codec->dump(Json{text}, bytes);
  else
    codec->dump(text, bytes);
  return std::string{bytes.view()};
}

void check_model(const App& app, const std::optional<std::string>& name, const std::string& text, const char* option) {
  if (!name) return;
  std::vector<std::string> known;
  for (const auto& topic : app.topics()) {
    const auto& model = topic->spec().model;
    if (!model) continue;
    known.push_back(model->name);
    if (model->name != *name) continue;
    if (auto fits = model->check(text); !fits) throw UsageError(fmt::format("the value is no {}: {}", *name, fits.error().message));
    return;
  }
  throw UsageError(fmt::format("{}: there is no model \"{}\"{}", option, printable(*name), did_you_mean(*name, known)));
}

std::string topic_of(const App& app, const std::string& entity) {
  if (!entity.starts_with('@')) return entity;
  std::vector<std::string> names;
  for (const auto& agent : app.agents()) {
    if (agent->name() == entity.substr(1)) return agent->topic().name;
    names.push_back(agent->name());
  }
  throw UsageError(fmt::format("there is no agent \"{}\"{} See: {} agents", printable(entity.substr(1)), did_you_mean(entity.substr(1), names), app.id()));
}

Task<int> send(SendOptionsCli options, CommandContext context) {
  auto name = topic_of(context.app, options.entity);
  if (auto valid = check_topic_name(name); !valid) throw UsageError(valid.error().message);
  if (options.repeat < 1) throw UsageError("--repeat: at least 1");
  if (options.min_latency < 0 || options.max_latency < options.min_latency) throw UsageError("--max-latency must be at least --min-latency, and both from 0");
  auto value = options.value.value_or("null");
  check_model(context.app, options.value_type, value, "--value-type");
  if (options.key) check_model(context.app, options.key_type, *options.key, "--key-type");
  value = encode(options.value_serializer, value, "--value-serializer");

  detail::TopicSpec spec;
  bool declared = false;
  auto adopt = [&](const detail::TopicSpec& one) {
    if (one.name != name) return;
    spec = one;
    declared = true;
  };
  for (const auto& topic : context.app.topics()) adopt(topic->spec());
  for (const auto& agent : context.app.agents()) adopt(agent->topic());
  if (!declared) {
    // A topic that nobody declared must be there: a mistyped name should not make one.
    auto known = co_await log_context().log->topics();
    std::vector<std::string> names;
    for (const auto& one : value_or_throw(std::move(known))) names.push_back(one.name);
    if (std::ranges::find(names, name) == names.end()) {
      throw UsageError(fmt::format("there is no topic \"{}\"{} For an agent's topic write @AGENT.", printable(name), did_you_mean(name, names)));
    }
    spec.name = name;
  }
  TopicBase topic{spec};
  Random random;
  for (int i = 0; i < options.repeat; ++i) {
    if (i > 0 && options.max_latency > 0) {
      auto seconds = options.min_latency + random.uniform() * (options.max_latency - options.min_latency);
      co_await sleep_for(std::chrono::duration_cast<Loop::duration>(std::chrono::duration<double>{seconds}));
    }
    SendOptions how;
    if (options.key) how.key = encode(options.key_serializer, *options.key, "--key-serializer");
    how.partition = options.partition;
    auto placed = co_await topic.send_raw(value, how);
    fmt::print("{{\"topic\": {}, \"partition\": {}, \"topic_partition\": [{}, {}], \"offset\": {}, \"timestamp\": {}, \"timestamp_type\": 0}}\n", to_json(placed.topic),
               placed.partition, to_json(placed.topic), placed.partition, placed.offset, placed.timestamp.time_since_epoch().count());
    std::fflush(stdout);
  }
  co_return kOk;
}

Task<int> topics(NoOptions, CommandContext context) {
  auto& log = *log_context().log;
  Table table{"Topics", {{"topic"}, {"partitions", true}, {"records", true}, {"retention"}, {"cleanup"}}};
  for (const auto& topic : value_or_throw(co_await log.topics())) {
    std::int64_t records = 0;
    for (int i = 0; i < topic.config.partitions; ++i) {
      auto marks = value_or_throw(co_await log.watermarks({topic.name, i}));
      records += marks.end - marks.start;
    }
    table.add({topic.name, std::to_string(topic.config.partitions), std::to_string(records), topic.config.retention ? format_duration(*topic.config.retention) : "forever",
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

// The record at `offset` or the first after it, as one batch that keeps it alive; null when there is none.
Task<std::shared_ptr<Batch>> read_at(TopicPartition partition, std::int64_t offset) {
  ConsumerOptions options;
  options.client = "command line";
  options.partitions[partition] = offset;
  auto consumer = log_context().log->consumer(*Loop::current(), std::move(options));
  auto polled = co_await consumer->poll(1, std::chrono::milliseconds{0});
  co_return polled.batches.empty() ? nullptr : polled.batches.front();
}

Task<int> lag(NoOptions, CommandContext context) {
  auto& log = *log_context().log;
  const auto now = Loop::current()->timestamp();
  Table table{"Lag", {{"group"}, {"topic"}, {"partition", true}, {"end", true}, {"committed", true}, {"lag", true}, {"owner"}, {"oldest unacknowledged"}}};
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
      auto from = line.committed.value_or(marks->start);
      std::string age;
      if (from < marks->end) {
        if (auto batch = co_await read_at(partition, from)) age = format_duration(now - batch->records.front().timestamp());
      }
      table.add({group.name, partition.topic, std::to_string(partition.partition), std::to_string(marks->end), line.committed ? std::to_string(*line.committed) : "",
                 std::to_string(marks->end - from), line.owner, age});
    }
  }
  table.print(context.json);
  co_return kOk;
}

struct TopicOptionsCli {
  std::string name;
  std::string from = "start";
  std::optional<int> partition;
  int limit = 100;
  bool follow = false;

  static std::vector<OptionHelp> help() {
    return {{"name", "the topic, or @AGENT", "", true},
            {"from", "start, end, an offset, or a time (2026-01-02T03:04:05Z)"},
            {"partition", "only this one"},
            {"limit", "at most so many records (0: all)", "-n"},
            {"follow", "go on as records come; Ctrl-C ends it"}};
  }
};

std::string record_json(const TopicPartition& partition, const RecordView& record) {
  auto text_or_json = [](std::string_view bytes) {
    auto value = from_json<Json>(bytes);
    return value ? value->text : to_json(Bytes{std::string{bytes}});
  };
  std::string headers;
  for (const auto& header : record.headers.list()) {
    headers += fmt::format("{}{}:{}", headers.empty() ? "" : ",", to_json(std::string{header.name}), header.null ? "null" : to_json(Bytes{std::string{header.value}}));
  }
  return fmt::format(R"({{"partition":{},"offset":{},"time":"{}","key":{},"value":{},"headers":{{{}}}}})", partition.partition, record.offset, format_iso8601(record.timestamp()),
                     record.has_key() ? to_json(Bytes{std::string{record.key}}) : "null", record.has_value() ? text_or_json(record.value) : "null", headers);
}

Task<int> topic(TopicOptionsCli options, CommandContext context) {
  auto& log = *log_context().log;
  auto name = topic_of(context.app, options.name);
  auto info = co_await log.topic(name);
  if (!info) {
    std::vector<std::string> names;
    for (const auto& one : value_or_throw(co_await log.topics())) names.push_back(one.name);
    throw UsageError(fmt::format("there is no topic \"{}\"{} See: {} topics", printable(name), did_you_mean(name, names), context.app.id()));
  }
  if (options.partition && (*options.partition < 0 || *options.partition >= info->config.partitions)) {
    throw UsageError(fmt::format("topic {} has partitions 0 to {}, not {}", name, info->config.partitions - 1, *options.partition));
  }
  ConsumerOptions consume;
  consume.client = "command line";
  std::map<int, std::int64_t> ends;
  std::int64_t left = 0;
  for (int i = options.partition.value_or(0); i < (options.partition ? *options.partition + 1 : info->config.partitions); ++i) {
    TopicPartition partition{name, i};
    auto marks = value_or_throw(co_await log.watermarks(partition));
    std::int64_t from = marks.start;
    if (options.from == "end") {
      from = marks.end;
    } else if (options.from != "start") {
      auto digits = options.from.find_first_not_of("0123456789") == std::string::npos && options.from.size() < 19;
      if (digits) {
        from = std::clamp<std::int64_t>(std::stoll(options.from), marks.start, marks.end);
      } else if (auto time = parse_iso8601(options.from)) {
        from = value_or_throw(co_await log.offset_at(partition, std::chrono::floor<std::chrono::milliseconds>(*time)));
      } else {
        throw UsageError(fmt::format("--from {}: expected start, end, an offset, or a time like 2026-01-02T03:04:05Z", printable(options.from)));
      }
    }
    consume.partitions[partition] = from;
    ends[i] = marks.end;
    left += marks.end - from;
  }
  auto consumer = log.consumer(*Loop::current(), std::move(consume));
  std::map<AssignmentId, TopicPartition> names;
  std::size_t printed = 0;
  const bool array = context.json && !options.follow;
  if (array) fmt::print("[");
  bool more = left > 0 || options.follow;
  std::map<int, std::int64_t> next;
  while (more) {
    auto polled = co_await consumer->poll(1 << 20, std::chrono::milliseconds{options.follow ? 60'000 : 100});
    for (auto& one : polled.assigned) names[one.id] = one.partition;
    for (const auto& batch : polled.batches) {
      const auto& partition = names[batch->assignment];
      for (const auto& record : batch->records) {
        if (!options.follow && record.offset >= ends[partition.partition]) continue;
        if (options.limit > 0 && printed == static_cast<std::size_t>(options.limit)) break;
        if (array)
          fmt::print("{}{}", printed > 0 ? "," : "", record_json(partition, record));
        else
          fmt::print("{}\n", record_json(partition, record));
        ++printed;
      }
      next[partition.partition] = batch->next_offset;
    }
    std::fflush(stdout);
    if (options.limit > 0 && printed >= static_cast<std::size_t>(options.limit)) break;
    if (!options.follow && polled.batches.empty() && polled.assigned.empty()) more = false;
  }
  if (array) fmt::print("]\n");
  co_return kOk;
}

}  // namespace

std::vector<Builtin> log_commands() {
  std::vector<Builtin> commands;
  commands.push_back(builtin<SendOptionsCli>("send", "Send message to agent/topic.", Needs::kLog, send, false));
  commands.push_back(builtin<NoOptions>("topics", "List the log's topics.", Needs::kLog, topics, false));
  commands.push_back(builtin<TopicOptionsCli>("topic", "Show a topic's records.", Needs::kLog, topic, false));
  commands.push_back(builtin<NoOptions>("groups", "List groups, their members and partitions.", Needs::kLog, groups, false));
  commands.push_back(builtin<NoOptions>("lag", "Show how far each group is behind.", Needs::kLog, lag, false));
  commands.push_back(builtin<DlqOptions>("dlq", "List, show, replay or drop dead letters.", Needs::kLog, dlq, false));
  return commands;
}

}  // namespace mephisto::cli
