// `dlq`: dead letters. What agents could not process, with the reason, kept in topics ID-AGENT-dlq.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/commands.h"
#include "mephisto/detail/tracker.h"

namespace mephisto::cli {
namespace {

struct DlqOptions {
  std::string action;
  std::optional<std::string> agent;
  std::optional<std::int64_t> number;
  bool all = false;

  static std::vector<OptionHelp> help() {
    return {{"action", "list, show, replay or drop", "", true},
            {"agent", "the agent's name, or the topic with its dead letters", "", true},
            {"number", "which one, as `list` numbers them", "", true},
            {"all", "replay or drop all of the agent's"}};
  }
};

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

std::string group_of(const std::string& topic) { return topic + "-handled"; }

std::string header(const RecordView& record, std::string_view name) {
  auto found = record.headers.find(name);
  return found ? std::string{found->value} : "";
}

// Where the handling of a topic's dead letters has come to.
Task<Commit> handled(std::string topic) {
  for (const auto& group : value_or_throw(co_await log_context().log->groups())) {
    if (group.name != group_of(topic)) continue;
    for (const auto& commit : group.commits) co_return commit;
  }
  co_return Commit{};
}

// The open dead letters; `to_handle` keeps everybody else from handling them until the consumer is closed.
Task<DeadLetters> read(std::string topic, bool to_handle) {
  auto& log = *log_context().log;
  DeadLetters letters;
  letters.topic = topic;
  auto marks = value_or_throw(co_await log.watermarks({topic, 0}));
  ConsumerOptions options;
  options.client = "dlq";
  Commit done;
  if (to_handle) {
    options.group = group_of(topic);
    options.topics = {topic};
  } else {
    done = co_await handled(topic);
    options.partitions[{topic, 0}] = std::max(done.offset, marks.start);
  }
  letters.consumer = log.consumer(*Loop::current(), std::move(options));
  const auto deadline = Loop::current()->now() + std::chrono::seconds{10};
  std::int64_t next = -1;
  while (next < marks.end) {
    if (Loop::current()->now() > deadline) throw Failure(ErrorKind::kTimeout, fmt::format("somebody else is working with the dead letters in {}", topic));
    auto polled = co_await letters.consumer->poll(64 << 20, std::chrono::milliseconds{200});
    for (auto& one : polled.assigned) {
      letters.assigned = one;
      letters.tracker = std::make_unique<detail::AckTracker>(one.offset, to_handle ? one.metadata : done.metadata);
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

// The topics with dead letters: all, or those of one agent (by name, or the topic itself).
Task<std::vector<std::string>> topics_of(const App& app, std::optional<std::string> agent) {
  std::vector<std::string> all;
  for (const auto& one : value_or_throw(co_await log_context().log->topics())) {
    if (one.name.ends_with(kSuffix)) all.push_back(one.name);
  }
  if (!agent) co_return all;
  for (const auto& name : {*agent, fmt::format("{}-{}{}", app.id(), *agent, kSuffix)}) {
    if (std::ranges::find(all, name) != all.end()) co_return std::vector{name};
  }
  // On a log without its app any app's agent may be meant.
  std::vector<std::string> matching;
  std::ranges::copy_if(all, std::back_inserter(matching), [&](const std::string& topic) { return topic.ends_with(fmt::format("-{}{}", *agent, kSuffix)); });
  if (!log_context().with_app && matching.size() == 1) co_return matching;
  if (!log_context().with_app && matching.size() > 1)
    throw UsageError(fmt::format("there are several agents \"{}\": name one of the topics {}", *agent, fmt::join(matching, ", ")));
  std::vector<std::string> known = all;
  for (const auto& one : app.agents()) known.push_back(one->name());
  throw UsageError(fmt::format("there are no dead letters of \"{}\" (see: {} dlq list){}", printable(*agent), app.id(), did_you_mean(*agent, known)));
}

Table list_table() { return {"Dead letters", {{"agent"}, {"number", true}, {"time"}, {"from"}, {"key"}, {"reason"}}}; }

struct DeadLetter {
  std::int64_t number;
  std::string agent;
  std::string from;
  std::string time;
  std::string reason;
  int attempts;
  std::optional<Bytes> key;
  std::optional<Bytes> value;
  std::map<std::string, Bytes> headers;  // the record's own
};

DeadLetter letter_of(const RecordView& record) {
  auto bytes = [](bool there, std::string_view of) { return there ? std::optional{Bytes{std::string{of}}} : std::nullopt; };
  DeadLetter letter{record.offset,
                    header(record, "x-agent"),
                    fmt::format("{}/{}@{}", header(record, "x-topic"), header(record, "x-partition"), header(record, "x-offset")),
                    format_iso8601(record.timestamp()),
                    header(record, "x-error"),
                    std::atoi(header(record, "x-attempts").c_str()),
                    bytes(record.has_key(), record.key),
                    bytes(record.has_value(), record.value),
                    {}};
  for (const auto& one : record.headers.list()) {
    if (!one.name.starts_with("x-")) letter.headers.insert_or_assign(std::string{one.name}, Bytes{std::string{one.value}});
  }
  return letter;
}

void list(const DeadLetters& letters, Table& table) {
  for (const auto& record : letters.open) {
    auto one = letter_of(record);
    table.add({one.agent, std::to_string(one.number), one.time, one.from, printable(record.key, 30), printable(one.reason, 80)});
  }
}

void show(const RecordView& record, bool json) {
  auto letter = letter_of(record);
  if (json) {
    fmt::print("{}\n", to_json(std::vector{letter}, Dialect::kShown));
    return;
  }
  auto line = [](const char* name, std::string_view value) { fmt::print("{:<11}{}\n", name, value); };
  line("number:", std::to_string(letter.number));
  line("agent:", letter.agent);
  line("from:", letter.from);
  line("time:", letter.time);
  line("reason:", letter.reason);
  line("attempts:", std::to_string(letter.attempts));
  line("key:", record.has_key() ? printable(record.key, 200) : "none");
  for (const auto& [name, value] : letter.headers) line("header:", fmt::format("{}: {}", name, printable(value.data, 200)));
  line("value:", record.has_value() ? printable(record.value, 4000) : "none");
}

// Guarantee: what is replayed is appended and marked as handled in one transaction.
Task<void> handle(DeadLetters& letters, const std::vector<RecordView>& chosen, bool replay) {
  std::vector<OutBatch> batches;
  for (const auto& record : chosen) {
    for (auto [offset, sequence] : letters.sequences) {
      if (offset == record.offset) letters.tracker->ack(sequence);
    }
    if (!replay) continue;
    if (header(record, "x-topic").empty()) {
      throw Failure(ErrorKind::kInvalid, fmt::format("{}/0@{} does not say where it came from (header x-topic): it can only be dropped", letters.topic, record.offset));
    }
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

void check_options(const DlqOptions& options) {
  static const std::vector<std::string> kActions{"list", "show", "replay", "drop"};
  if (std::ranges::find(kActions, options.action) == kActions.end()) {
    throw UsageError(fmt::format("dlq {}: expected list, show, replay or drop{}", printable(options.action), did_you_mean(options.action, kActions)));
  }
  if (options.action == "list") return;
  if (!options.agent) throw UsageError(fmt::format("dlq {}: name the agent", options.action));
  if (options.action == "show" && !options.number) throw UsageError("dlq show AGENT NUMBER: give the number; see: dlq list");
  if (options.action != "show" && !options.number && !options.all) throw UsageError(fmt::format("dlq {} AGENT: give a number, or --all", options.action));
}

Task<int> dlq(DlqOptions options, CommandContext context) {
  check_options(options);
  auto table = list_table();
  for (const auto& topic : co_await topics_of(context.app, options.agent)) {
    const bool to_handle = options.action == "replay" || options.action == "drop";
    auto letters = co_await read(topic, to_handle);
    std::vector<RecordView> chosen;
    for (const auto& record : letters.open) {
      if (options.all || record.offset == options.number) chosen.push_back(record);
    }
    const bool missing = options.action != "list" && chosen.empty() && !options.all;
    if (options.action == "list") {
      list(letters, table);
    } else if (options.action == "show" && !chosen.empty()) {
      show(chosen.front(), context.json);
    } else if (to_handle && !missing) {
      if (!chosen.empty()) co_await handle(letters, chosen, options.action == "replay");
      fmt::print("{} {} dead letter{} of {}\n", options.action == "replay" ? "Replayed" : "Dropped", chosen.size(), chosen.size() == 1 ? "" : "s", topic);
    }
    co_await letters.consumer->close();
    if (missing) throw UsageError(fmt::format("{} has no open dead letter {}; see: {} dlq list", topic, *options.number, context.app.id()));
  }
  if (options.action == "list") table.print(context.json);
  co_return kOk;
}

}  // namespace

Builtin dlq_command() { return builtin<DlqOptions>("dlq", "List, show, replay or drop dead letters.", LogUse::kReads, dlq, false); }

}  // namespace mephisto::cli
