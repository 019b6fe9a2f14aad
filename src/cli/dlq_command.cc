#include "cli/dlq_command.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "mephisto/detail/tracker.h"

namespace mephisto::cli {
namespace {

constexpr std::string_view kSuffix = "-dlq";

// One topic of dead letters. Which of them were handled (replayed or dropped) is the commit of a group of its own, so nothing is
// ever deleted here and two people who replay at the same time cannot both do it.
struct DeadLetters {
  std::string topic;
  std::unique_ptr<Consumer> consumer;
  Assigned assigned;
  std::vector<std::shared_ptr<Batch>> batches;
  std::vector<RecordView> open;  // not handled yet
  std::unique_ptr<detail::AckTracker> tracker;
  std::vector<std::pair<std::int64_t, std::uint64_t>> sequences;  // by offset
};

std::string header(const RecordView& record, std::string_view name) {
  auto found = record.headers.find(name);
  return found ? std::string{found->value} : "";
}

Task<DeadLetters> read(std::string topic) {
  auto& log = *log_context().log;
  DeadLetters letters;
  letters.topic = topic;
  auto marks = value_or_throw(co_await log.watermarks({topic, 0}));
  ConsumerOptions options;
  options.group = topic + "-handled";
  options.client = "dlq";
  options.topics = {topic};
  letters.consumer = log.consumer(*Loop::current(), std::move(options));
  const auto deadline = Loop::current()->now() + std::chrono::seconds{10};
  std::int64_t next = -1;
  while (next < marks.end) {
    if (Loop::current()->now() > deadline) throw Failure(ErrorKind::kTimeout, fmt::format("somebody else is working with the dead letters in {}", topic));
    auto polled = co_await letters.consumer->poll(64 << 20, std::chrono::milliseconds{200});
    for (auto& one : polled.assigned) {
      letters.assigned = one;
      letters.tracker = std::make_unique<detail::AckTracker>(one.offset, one.metadata);
      next = one.offset;
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

Task<std::vector<std::string>> topics_of(const App& app, const std::optional<std::string>& agent) {
  std::vector<std::string> all;
  for (const auto& one : value_or_throw(co_await log_context().log->topics())) {
    if (one.name.ends_with(kSuffix)) all.push_back(one.name);
  }
  if (!agent) co_return all;
  for (const auto& name : {*agent, fmt::format("{}-{}{}", app.id(), *agent, kSuffix)}) {
    if (std::ranges::find(all, name) != all.end()) co_return std::vector{name};
  }
  throw UsageError(fmt::format("there are no dead letters of \"{}\"{} See: {} dlq list", printable(*agent), did_you_mean(*agent, all), app.id()));
}

void show(const RecordView& record) {
  fmt::print("number:    {}\nagent:     {}\nfrom:      {}/{}@{}\ntime:      {}\nreason:    {}\nattempts:  {}\nkey:       {}\n", record.offset, header(record, "x-agent"),
             header(record, "x-topic"), header(record, "x-partition"), header(record, "x-offset"), format_iso8601(record.timestamp()), header(record, "x-error"),
             header(record, "x-attempts"), record.has_key() ? printable(record.key, 200) : "none");
  for (const auto& one : record.headers.list()) {
    if (!one.name.starts_with("x-")) fmt::print("header:    {}: {}\n", one.name, printable(one.value, 200));
  }
  fmt::print("value:     {}\n", record.has_value() ? printable(record.value, 4000) : "none");
}

// Guarantee: what is replayed is appended and marked as handled in one transaction.
Task<void> handle(DeadLetters& letters, const std::vector<RecordView>& chosen, bool replay) {
  std::vector<OutBatch> batches;
  for (const auto& record : chosen) {
    for (auto [offset, sequence] : letters.sequences) {
      if (offset == record.offset) letters.tracker->ack(sequence);
    }
    if (!replay) continue;
    std::vector<Header> headers;
    for (auto& one : record.headers.copy()) {
      if (!one.name.starts_with("x-")) headers.push_back(std::move(one));
    }
    headers.push_back({"x-replayed-from", fmt::format("{}/0@{}", letters.topic, record.offset)});
    OutBatch batch{{header(record, "x-topic"), std::atoi(header(record, "x-partition").c_str())}, {}};
    batch.records.add(record.has_key() ? std::optional{record.key} : std::nullopt, record.has_value() ? std::optional{record.value} : std::nullopt, Loop::current()->timestamp(),
                      headers);
    batches.push_back(std::move(batch));
  }
  auto producer = log_context().log->producer(*Loop::current());
  std::vector<AssignmentCommit> commits{{letters.assigned.id, letters.tracker->committable(), letters.tracker->note(letters.tracker->committable())}};
  value_or_throw(co_await producer->transact(batches, *letters.consumer, std::move(commits)));
}

}  // namespace

Task<int> dlq(DlqOptions options, CommandContext context) {
  static const std::vector<std::string> kActions{"list", "show", "replay", "drop"};
  if (std::ranges::find(kActions, options.action) == kActions.end()) {
    throw UsageError(fmt::format("dlq {}: expected list, show, replay or drop{}", printable(options.action), did_you_mean(options.action, kActions)));
  }
  if (options.action != "list" && !options.agent) throw UsageError(fmt::format("dlq {}: name the agent", options.action));
  if (options.action == "show" && !options.number) throw UsageError("dlq show AGENT NUMBER: give the number; see: dlq list");
  if ((options.action == "replay" || options.action == "drop") && !options.number && !options.all) {
    throw UsageError(fmt::format("dlq {} AGENT: give a number, or --all", options.action));
  }
  Table table{"Dead letters", {{"agent"}, {"number", true}, {"time"}, {"from"}, {"key"}, {"reason"}}};
  for (const auto& topic : co_await topics_of(context.app, options.agent)) {
    auto letters = co_await read(topic);
    if (options.action == "list") {
      for (const auto& record : letters.open) {
        table.add({header(record, "x-agent"), std::to_string(record.offset), format_iso8601(record.timestamp()),
                   fmt::format("{}/{}@{}", header(record, "x-topic"), header(record, "x-partition"), header(record, "x-offset")), printable(record.key, 30),
                   printable(header(record, "x-error"), 80)});
      }
      co_await letters.consumer->close();
      continue;
    }
    std::vector<RecordView> chosen;
    for (const auto& record : letters.open) {
      if (options.all || record.offset == options.number) chosen.push_back(record);
    }
    if (chosen.empty() && !options.all) {
      co_await letters.consumer->close();
      throw UsageError(fmt::format("{} has no open dead letter {}; see: {} dlq list", topic, *options.number, context.app.id()));
    }
    if (options.action == "show") {
      show(chosen.front());
    } else if (!chosen.empty()) {
      co_await handle(letters, chosen, options.action == "replay");
    }
    if (options.action != "show") fmt::print("{} {} dead letters of {}\n", options.action == "replay" ? "Replayed" : "Dropped", chosen.size(), topic);
    co_await letters.consumer->close();
  }
  if (options.action == "list") table.print(context.json);
  co_return kOk;
}

}  // namespace mephisto::cli
