// `send`: sends records to a topic or agent, and prints the position of each as a line of JSON.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "mephisto/codec/json_read.h"
#include "mephisto/runtime/environment.h"

namespace mephisto::cli {
namespace {

struct SendCommandOptions {
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
            {"key_serializer", "a codec for the key (default: as typed)"},
            {"value_serializer", "a codec for the value (default: as typed)"},
            {"partition", "send to this partition (default: by key, else any)"},
            {"repeat", "send this many times", "-r"},
            {"min_latency", "with --repeat: least seconds between two records"},
            {"max_latency", "with --repeat: most seconds between two records"}};
  }
};

// Encodes the typed text with a codec. `json` takes JSON text; the others take bytes.
std::string encode(const std::optional<std::string>& codec_name, const std::string& text, const char* option) {
  if (!codec_name) return text;
  auto codec = Codec::parse(*codec_name);
  if (!codec) throw UsageError(fmt::format("{}: {}", option, codec.error().message));
  Buffer bytes;
  if (*codec_name == "json" || codec_name->starts_with("json|")) {
    auto json = from_json<Json>(text);
    if (!json)
      throw UsageError(fmt::format("{} {}: \"{}\" is not JSON: {}", option, printable(*codec_name), printable(text),
                                   json.error().message));
    codec->dump(*json, bytes);
  } else {
    codec->dump(text, bytes);
  }
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
    if (auto fits = model->check(text); !fits)
      throw UsageError(fmt::format("the value is not a {}: {}", *name, fits.error().message));
    return;
  }
  throw UsageError(fmt::format("{}: there is no model \"{}\"{}", option, printable(*name), did_you_mean(*name, known)));
}

// The topic as the app declares it. An undeclared topic must exist, because a mistyped name should not create one.
Task<detail::TopicSpec> find_topic(const App& app, std::string name) {
  for (const auto& topic : app.topics()) {
    if (topic->name() == name) co_return topic->spec();
  }
  for (const auto& agent : app.agents()) {
    if (agent->topic().name == name) co_return agent->topic();
  }
  std::vector<std::string> names;
  for (const auto& one : value_or_throw(co_await log_context().log->topics())) names.push_back(one.name);
  if (std::ranges::find(names, name) == names.end()) {
    throw UsageError(fmt::format("there is no topic \"{}\" (for an agent's topic write @AGENT){}", printable(name),
                                 did_you_mean(name, names)));
  }
  detail::TopicSpec spec;
  spec.name = std::move(name);
  co_return spec;
}

Task<int> send(SendCommandOptions options, CommandContext context) {
  auto name = topic_of(context.app, options.entity);
  if (auto valid = check_topic_name(name); !valid) throw UsageError(valid.error().message);
  if (options.repeat < 1) throw UsageError(fmt::format("--repeat {}: at least 1", options.repeat));
  // This form of the condition refuses NaN too.
  if (!(options.min_latency >= 0 && options.max_latency >= options.min_latency && options.max_latency <= 86'400)) {
    throw UsageError(
        "--min-latency and --max-latency are seconds from 0 to 86400, the latter not less than the former");
  }
  auto value = options.value.value_or("null");
  check_model(context.app, options.value_type, value, "--value-type");
  if (options.key) check_model(context.app, options.key_type, *options.key, "--key-type");
  value = encode(options.value_serializer, value, "--value-serializer");
  if (options.key) options.key = encode(options.key_serializer, *options.key, "--key-serializer");

  TopicBase topic{co_await find_topic(context.app, name)};
  const auto* place = co_await detail::Outbox::current().topics().resolve(topic.spec());
  if (options.partition) check_partition(name, place->partitions, *options.partition);
  auto random = Loop::current()->environment().random("send");
  JsonRows rows{context.json};
  for (int i = 0; i < options.repeat; ++i) {
    if (i > 0 && options.max_latency > 0) {
      auto seconds = options.min_latency + random.uniform() * (options.max_latency - options.min_latency);
      co_await sleep_for(std::chrono::duration_cast<Loop::duration>(std::chrono::duration<double>{seconds}));
    }
    SendOptions how;
    how.key = options.key;
    how.partition = options.partition;
    auto placed = co_await topic.send_raw(value, how);
    rows.add(fmt::format(
        R"({{"topic": {}, "partition": {}, "topic_partition": [{}, {}], "offset": {}, "timestamp": {}, "timestamp_type": 0}})",
        to_json(placed.topic), placed.partition, to_json(placed.topic), placed.partition, placed.offset,
        placed.timestamp.time_since_epoch().count()));
    std::fflush(stdout);
  }
  co_return kOk;
}

}  // namespace

std::string topic_of(const App& app, const std::string& entity) {
  if (!entity.starts_with('@')) return entity;
  const auto wanted = entity.substr(1);
  std::vector<std::string> names;
  for (const auto& agent : app.agents()) {
    if (agent->name() == wanted) return agent->topic().name;
    names.push_back(agent->name());
  }
  if (!log_context().with_app)
    throw UsageError(
        fmt::format("{}: without an app its agents are unknown: give it by -A, or name the topic", printable(entity)));
  throw UsageError(fmt::format("there is no agent \"{}\" (see: {} agents){}", printable(wanted), app.id(),
                               did_you_mean(wanted, names)));
}

void check_partition(const std::string& topic, int partitions, int partition) {
  if (partition < 0 || partition >= partitions)
    throw UsageError(fmt::format("topic {} has partitions 0 to {}, not {}", topic, partitions - 1, partition));
}

Builtin send_command() {
  return builtin<SendCommandOptions>("send", "Send message to agent/topic.", LogUse::kWrites, send, false);
}

}  // namespace mephisto::cli
