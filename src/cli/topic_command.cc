// `topic`: prints the decoded records of a topic, one line of JSON each.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "codec/value_json.h"

namespace mephisto::cli {
namespace {

constexpr int kDefaultLimit = 100;
constexpr std::chrono::milliseconds kFollow{60'000};
constexpr std::chrono::milliseconds kPatience{2'000};

struct TopicCommandOptions {
  std::string name;
  std::string from = "start";
  std::optional<int> partition;
  std::optional<int> limit;
  bool follow = false;

  static std::vector<OptionHelp> help() {
    return {{"name", "the topic, or @AGENT", "", true},
            {"from", "start, end, an offset, -N (N before each end), or a time (2026-01-02T03:04:05Z)"},
            {"partition", "only this partition"},
            {"limit", "at most this many records (0: all; default: 100, with --follow all)", "-n"},
            {"follow", "continue as records arrive, one line each; Ctrl-C ends it"}};
  }
};

// The app's codec for the topic's values; JSON if the app does not declare the topic.
Codec codec_of(const App& app, const std::string& topic) {
  for (const auto& one : app.topics()) {
    if (one->name() == topic) return one->spec().value_codec;
  }
  return Codec::json();
}

std::string record_json(const TopicPartition& partition, const RecordView& record, const Codec& codec) {
  return fmt::format(R"({{"partition":{},"offset":{},"time":"{}","key":{},"value":{},"headers":{}}})",
                     partition.partition, record.offset, format_iso8601(record.timestamp()),
                     record.has_key() ? to_json(Bytes{std::string{record.key}}) : "null",
                     record.has_value() ? value_json(codec, record.value) : "null",
                     headers_json(record.headers.list()));
}

// The offset that --from means in one partition.
Task<std::int64_t> start_of(TopicPartition partition, Watermarks marks, std::string from) {
  if (from == "start") co_return marks.start;
  if (from == "end") co_return marks.end;
  std::int64_t back = 0;
  if (from.starts_with('-') && take_number(std::string_view{from}.substr(1), back) && back >= 0)
    co_return std::max(marks.start, marks.end - std::min(back, marks.end));
  if (auto offset = co_await offset_or_time(partition, marks, from)) co_return *offset;
  throw UsageError(fmt::format("--from {}: expected start, end, an offset, -N, or a time like 2026-01-02T03:04:05Z",
                               printable(from)));
}

Task<int> topic(TopicCommandOptions options, CommandContext context) {
  auto& log = *log_context().log;
  if (options.limit && *options.limit < 0) throw UsageError(fmt::format("--limit {}: from 0", *options.limit));
  const auto info = co_await find_topic(context.app, topic_of(context.app, options.name));
  if (options.partition) check_partition(info.name, info.config.partitions, *options.partition);

  const auto codec = codec_of(context.app, info.name);
  ReaderOptions consume;
  consume.client = "command line";
  // The partitions' ends at the start; without --follow, reading ends there.
  std::map<TopicPartition, std::int64_t> unread;
  for (int i = 0; i < info.config.partitions; ++i) {
    if (options.partition && *options.partition != i) continue;
    TopicPartition partition{info.name, i};
    auto marks = value_or_throw(co_await log.watermarks(partition));
    auto from = co_await start_of(partition, marks, options.from);
    consume.partitions[partition] = from;
    if (from < marks.end) unread[partition] = marks.end;
  }
  auto consumer = log.reader(*Loop::current(), std::move(consume));
  std::map<AssignmentId, TopicPartition> partitions;
  const auto wanted = options.limit.value_or(options.follow ? 0 : kDefaultLimit);
  const auto limit = wanted == 0 ? std::numeric_limits<std::int64_t>::max() : wanted;
  std::int64_t printed = 0;
  bool more = false;
  JsonRows rows{context.json && !options.follow};
  while ((options.follow || !unread.empty()) && printed < limit) {
    // Existing records arrive at once, or from a broker after a moment. An empty poll means the end: the remaining
    // offsets may hold aborted records.
    auto polled = co_await consumer->poll(1 << 20, options.follow ? kFollow : kPatience);
    if (!options.follow && polled.batches.empty() && polled.assigned.empty()) break;
    for (auto& one : polled.assigned) partitions[one.id] = one.partition;
    for (const auto& batch : polled.batches) {
      const auto& partition = partitions[batch->assignment];
      auto end = unread.find(partition);
      for (const auto& record : batch->records) {
        if (!options.follow && (end == unread.end() || record.offset >= end->second)) break;
        if (printed == limit) {
          more = true;
          break;
        }
        rows.add(record_json(partition, record, codec));
        ++printed;
      }
      if (end != unread.end() && batch->next_offset >= end->second) unread.erase(end);
    }
    std::fflush(stdout);
  }
  if (!options.limit && !context.json && (more || !unread.empty()) && printed == limit)
    fmt::print(stderr, "These are the first {} records; all: --limit 0\n", printed);
  co_return kOk;
}

}  // namespace

Builtin topic_command() {
  return builtin<TopicCommandOptions>("topic", "Show a topic's records.", LogUse::kReads, topic, false);
}

}  // namespace mephisto::cli
