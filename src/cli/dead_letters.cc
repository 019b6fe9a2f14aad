#include "cli/dead_letters.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "cli/output.h"
#include "mephisto/stream/delivery.h"
#include "mephisto/stream/outbox.h"

namespace mephisto::cli {
namespace {

// The headers that AgentRuntime::dead_letter adds.
constexpr std::array<std::string_view, 10> kAdded{"x-headers-cut", "x-error", "x-error-kind", "x-app",
                                                  "x-agent",       "x-topic", "x-partition",  "x-offset",
                                                  "x-attempts",    "x-time"};
constexpr std::string_view kReplayedFrom = "x-replayed-from";

constexpr std::string_view kHandled = "-handled";

std::string group_of(const std::string& topic) { return topic + std::string{kHandled}; }

// The commit that shows which of a topic's dead letters are handled.
Task<Commit> handled(std::string topic) {
  for (const auto& group : value_or_throw(co_await log_context().log->groups())) {
    if (group.name != group_of(topic)) continue;
    for (const auto& commit : group.commits) {
      if (commit.partition.partition == 0) co_return commit;
    }
  }
  co_return Commit{};
}

bool consumes(const App& app, const std::string& agent, const std::string& topic) {
  return std::ranges::any_of(app.agents(),
                             [&](const auto& one) { return one->name() == agent && one->topic().name == topic; }) ||
         std::ranges::any_of(app.merged(),
                             [&](const auto& one) { return one.agent->name() == agent && one.topic.name == topic; });
}

}  // namespace

bool handles_dead_letters(std::string_view group) {
  return group.ends_with(fmt::format("{}{}", kDeadLetters, kHandled));
}

// Of headers with the same name, the failure added the last one. The record may have had the others, by accident or to
// mislead.
LetterHeaders::LetterHeaders(const RecordView& record) {
  const auto all = record.headers.list();
  for (auto one = all.rbegin(); one != all.rend(); ++one) {
    if (std::ranges::find(kAdded, one->name) == kAdded.end() || !added_.try_emplace(one->name, one->value).second)
      own_.push_back(*one);
  }
  std::ranges::reverse(own_);
}

std::string LetterHeaders::added(std::string_view name) const {
  const auto place = added_.find(name);
  return place == added_.end() ? "" : std::string{place->second};
}

Task<DeadLetters> read_dead_letters(std::string topic, bool to_handle) {
  auto& log = *log_context().log;
  DeadLetters letters;
  letters.topic = topic;
  if (const auto partitions = value_or_throw(co_await log.topic(topic)).config.partitions; partitions > 1) {
    print_notice(
        fmt::format("{} has {} partitions: dead letters are in partition 0, and only it is read", topic, partitions));
  }
  auto marks = value_or_throw(co_await log.watermarks({topic, 0}));
  Commit done;
  if (to_handle) {
    MemberOptions options;
    options.client = "dlq";
    options.group = group_of(topic);
    options.topics = {topic};
    auto member = log.member(*Loop::current(), std::move(options));
    letters.member = member.get();
    letters.reader = std::move(member);
  } else {
    done = co_await handled(topic);
    letters.reader = log.reader(*Loop::current(), {.client = "dlq", .partitions = {}});
    letters.reader->add({topic, 0}, std::max(done.offset, marks.start));
  }
  const auto deadline = Loop::current()->now() + std::chrono::seconds{10};
  std::int64_t next = -1;
  while (next < marks.end) {
    if (Loop::current()->now() > deadline)
      throw Failure(ErrorKind::kTimeout, fmt::format("somebody else is working with the dead letters in {}", topic));
    auto polled = co_await letters.reader->poll(64 << 20, std::chrono::milliseconds{200});
    for (auto& one : polled.assigned) {
      if (one.partition.partition != 0) continue;  // stays paused
      letters.assigned = one;
      letters.tracker = std::make_unique<detail::AckTracker>(one.offset, to_handle ? one.metadata : done.metadata);
      next = one.offset;
      letters.reader->resume(one.id);
    }
    for (auto& batch : polled.batches) {
      for (const auto& record : batch->records) {
        if (letters.tracker->done_before(record.offset)) continue;
        letters.sequences.emplace_back(record.offset, letters.tracker->deliver(record.offset));
        letters.open.push_back(record);
      }
      next = batch->next_offset;
      letters.batches.push_back(std::move(batch));
    }
  }
  co_return letters;
}

Task<Replay> replay_of(const App& app, const DeadLetters& letters, const RecordView& record,
                       std::optional<TopicInfo> to) {
  const auto place = fmt::format("{}/0@{}", letters.topic, record.offset);
  if (to) {
    auto& outbox = detail::Outbox::current();
    detail::TopicSpec spec;
    spec.name = to->name;
    SendOptions options;
    if (record.has_key()) options.key = std::string{record.key};
    co_return Replay{{to->name, outbox.collector().partition_of(*co_await outbox.topics().resolve(spec), options)},
                     std::nullopt};
  }
  const LetterHeaders headers{record};
  const auto from_app = headers.added("x-app");
  const auto agent = headers.added("x-agent");
  const auto topic = headers.added("x-topic");
  if (topic.empty() || agent.empty()) {
    throw Failure(
        ErrorKind::kInvalid,
        fmt::format(
            "{} does not say which agent failed (headers x-topic, x-agent): replay it with --to TOPIC, or drop it",
            place));
  }
  if (log_context().with_app && from_app == app.id() && !consumes(app, agent, topic)) {
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("{}: {} has no agent {} on topic {} any more: replay it with --to TOPIC, or drop it",
                              place, from_app, agent, topic));
  }
  const auto info = co_await log_context().log->topic(topic);
  const auto partition = std::atoi(headers.added("x-partition").c_str());
  if (!info && info.error().kind != ErrorKind::kNotFound) throw Failure(info.error());
  if (!info || partition < 0 || partition >= info->config.partitions) {
    throw Failure(
        ErrorKind::kNotFound,
        fmt::format("{}: there is no {}/{} any more: replay it with --to TOPIC, or drop it", place, topic, partition));
  }
  co_return Replay{{topic, partition}, fmt::format("{}/{}", from_app, agent)};
}

// Guarantee kept here: one transaction appends the replayed records and marks their dead letters as handled.
Task<void> handle(DeadLetters& letters, const std::vector<RecordView>& chosen, const std::vector<Replay>& where) {
  Transaction transaction;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const auto& record = chosen[i];
    for (auto [offset, sequence] : letters.sequences) {
      if (offset == record.offset) letters.tracker->ack(sequence);
    }
    if (where.empty()) continue;
    std::vector<Header> headers;
    for (const auto& one : LetterHeaders{record}.own()) {
      if (one.name != kReplayedFrom && one.name != detail::kOnlyFor)
        headers.push_back({std::string{one.name}, one.null ? std::nullopt : std::optional{std::string{one.value}}});
    }
    headers.push_back({std::string{kReplayedFrom}, fmt::format("{}/0@{}", letters.topic, record.offset)});
    if (where[i].agent)
      headers.push_back({std::string{detail::kOnlyFor}, detail::only_for(*where[i].agent, where[i].partition.topic)});
    OutBatch batch{where[i].partition, {}};
    batch.records.add(record.has_key() ? std::optional{record.key} : std::nullopt,
                      record.has_value() ? std::optional{record.value} : std::nullopt, Loop::current()->timestamp(),
                      headers);
    transaction.batches.push_back(std::move(batch));
  }
  const auto offset = letters.tracker->committable();
  transaction.offsets = {{letters.assigned.id, offset, letters.tracker->acks_ahead(offset)}};
  value_or_throw(co_await letters.member->transact(transaction));
}

}  // namespace mephisto::cli
