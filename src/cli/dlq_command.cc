// `dlq`: lists, shows, replays and drops dead letters.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/text.h"
#include "cli/dead_letters.h"
#include "cli/output.h"

namespace mephisto::cli {
namespace {

struct DlqOptions {
  std::string action;
  std::optional<std::string> agent;
  std::optional<std::int64_t> number;
  bool all = false;
  std::optional<std::string> reason;
  std::optional<std::string> to;
  bool dry_run = false;

  static std::vector<OptionHelp> help() {
    return {{"action", "list, show, replay (only to the agent that failed) or drop", "", true},
            {"agent", "the agent's name, or the topic with its dead letters", "", true},
            {"number", "the dead letter's number, as `list` shows it", "", true},
            {"all", "replay or drop all dead letters of the agent"},
            {"reason", "only those whose reason contains this text, in upper or lower case"},
            {"to", "replay to this topic, or @AGENT's topic, where every agent gets them"},
            {"dry_run", "only show what would be replayed or dropped"}};
  }
  bool handles() const { return action == "replay" || action == "drop"; }
};

// The topics with dead letters: all, or only the topic of one agent. `agent` is its name, or the topic's name.
Task<std::vector<std::string>> topics_of(const App& app, std::optional<std::string> agent) {
  std::vector<std::string> all;
  for (const auto& one : value_or_throw(co_await log_context().log->topics())) {
    if (one.name.ends_with(kDeadLetters)) all.push_back(one.name);
  }
  if (!agent) co_return all;
  for (const auto& name : {*agent, fmt::format("{}-{}{}", app.id(), *agent, kDeadLetters)}) {
    if (std::ranges::find(all, name) != all.end()) co_return std::vector{name};
  }
  // Without an app, the agent may belong to any app.
  std::vector<std::string> matching;
  std::ranges::copy_if(all, std::back_inserter(matching), [&](const std::string& topic) {
    return topic.ends_with(fmt::format("-{}{}", *agent, kDeadLetters));
  });
  if (!log_context().with_app && matching.size() == 1) co_return matching;
  if (!log_context().with_app && matching.size() > 1)
    throw UsageError(fmt::format("there are several agents \"{}\": name one of the topics {}", printable(*agent),
                                 fmt::join(matching, ", ")));
  std::vector<std::string> known = all;
  for (const auto& one : app.agents()) {
    if (one->name() == *agent) co_return std::vector<std::string>{};  // none has failed yet
    known.push_back(one->name());
  }
  throw UsageError(fmt::format("there are no dead letters of \"{}\" (see: {} dlq list){}", printable(*agent), app.id(),
                               did_you_mean(*agent, known)));
}

struct DeadLetter {
  std::int64_t number;
  std::string agent;
  std::string from;
  std::string time;
  Bytes reason;
  int attempts;
  std::optional<Bytes> key;
  std::optional<Bytes> value;
  Json headers;  // the headers of the record itself
};

DeadLetter letter_of(const RecordView& record) {
  auto bytes = [](bool there, std::string_view of) {
    return there ? std::optional{Bytes{std::string{of}}} : std::nullopt;
  };
  const LetterHeaders headers{record};
  return {record.offset,
          headers.added("x-agent"),
          fmt::format("{}/{}@{}", headers.added("x-topic"), headers.added("x-partition"), headers.added("x-offset")),
          format_iso8601(record.timestamp()),
          Bytes{headers.added("x-error")},
          std::atoi(headers.added("x-attempts").c_str()),
          bytes(record.has_key(), record.key),
          bytes(record.has_value(), record.value),
          Json{headers_json(headers.own())}};
}

// A row of `list`, and an object of its --json.
struct ListedLetter {
  std::string agent;
  std::int64_t number;
  std::string time;
  Bytes from;
  std::optional<Bytes> key;
  Bytes reason;
};

void print_list(const std::vector<ListedLetter>& listed, bool json) {
  if (json) return print_json(to_json(listed, Dialect::kShown));
  TextTable table{"Dead letters", {{"agent"}, {"number", true}, {"time"}, {"from"}, {"key"}, {"reason"}}};
  for (const auto& one : listed) {
    table.add({one.agent, std::to_string(one.number), one.time, one.from.data,
               one.key ? printable(one.key->data, 30) : "", printable(one.reason.data, 80)});
  }
  table.print(false);
}

void show(const RecordView& record, bool json) {
  const auto letter = letter_of(record);
  if (json) return print_json(to_json(std::vector{letter}, Dialect::kShown));
  auto line = [](const char* name, std::string_view value, std::size_t max = kWhole) {
    fmt::print("{:<11}{}\n", name, printable(value, max));
  };
  line("number:", std::to_string(letter.number));
  line("agent:", letter.agent);
  line("from:", letter.from);
  line("time:", letter.time);
  line("reason:", letter.reason.data);
  line("attempts:", std::to_string(letter.attempts));
  line("key:", record.has_key() ? record.key : "none", 200);
  for (const auto& one : LetterHeaders{record}.own())
    line("header:", fmt::format("{}: {}", one.name, one.null ? "null" : one.value), 400);
  line("value:", record.has_value() ? record.value : "none", 4000);
}

void check_options(const DlqOptions& options) {
  static const std::vector<std::string> kActions{"list", "show", "replay", "drop"};
  if (std::ranges::find(kActions, options.action) == kActions.end()) {
    throw UsageError(fmt::format("dlq {}: expected list, show, replay or drop{}", printable(options.action),
                                 did_you_mean(options.action, kActions)));
  }
  if (options.to && options.action != "replay")
    throw UsageError(fmt::format("dlq {}: --to goes with replay", options.action));
  if (options.dry_run && !options.handles())
    throw UsageError(fmt::format("dlq {}: --dry-run goes with replay and drop", options.action));
  if (options.number && (options.all || options.reason))
    throw UsageError(fmt::format("dlq {}: give a number, or --all or --reason", options.action));
  if (options.action == "list") return;
  if (!options.agent) throw UsageError(fmt::format("dlq {}: name the agent", options.action));
  if (options.action == "show" && !options.number)
    throw UsageError("dlq show AGENT NUMBER: give the number; see: dlq list");
  if (options.handles() && !options.number && !options.all && !options.reason) {
    throw UsageError(fmt::format("dlq {} AGENT: give a number, or --all, or --reason TEXT", options.action));
  }
}

std::vector<RecordView> choose(const DeadLetters& letters, const DlqOptions& options) {
  std::vector<RecordView> chosen;
  for (const auto& record : letters.open) {
    if (options.number && record.offset != *options.number) continue;
    if (options.reason && !to_lower(LetterHeaders{record}.added("x-error")).contains(to_lower(*options.reason)))
      continue;
    chosen.push_back(record);
  }
  return chosen;
}

// Replays or drops the chosen dead letters of one topic, with a row for each.
Task<void> handle_chosen(const App& app, DeadLetters& letters, const std::vector<RecordView>& chosen,
                         const DlqOptions& options, std::optional<TopicInfo> to, TextTable& table) {
  std::vector<Replay> where;
  for (const auto& record : chosen) {
    if (options.action == "replay") where.push_back(co_await replay_of(app, letters, record, to));
    table.add({letters.topic, std::to_string(record.offset), where.empty() ? "" : where.back().partition.str(),
               where.empty() ? "" : where.back().agent.value_or("all"), LetterHeaders{record}.added("x-error")});
  }
  if (!chosen.empty() && !options.dry_run) co_await handle(letters, chosen, where);
}

Task<int> dlq(DlqOptions options, CommandContext context) {
  check_options(options);
  std::vector<ListedLetter> listed;
  TextTable handled{options.dry_run ? "Dead letters (dry run)" : "Dead letters",
                    {{"dead letters"}, {"number", true}, {"to"}, {"for"}, {"reason"}}};
  const auto topics = co_await topics_of(context.app, options.agent);
  if (topics.empty() && options.agent && options.action != "list")
    throw UsageError(fmt::format("agent {} has no dead letters yet", printable(*options.agent)));
  for (const auto& topic : topics) {
    std::optional<TopicInfo> to;
    if (options.to) to = co_await find_topic(context.app, topic_of(context.app, *options.to));
    auto letters = co_await read_dead_letters(topic, options.handles() && !options.dry_run);
    const auto chosen = choose(letters, options);
    const bool missing = options.number && chosen.empty();
    std::exception_ptr failure;  // thrown only after close(), so that the next command need not wait for this member
    if (options.action == "list") {
      for (const auto& record : chosen) {
        auto one = letter_of(record);
        listed.push_back({std::move(one.agent), one.number, std::move(one.time), Bytes{std::move(one.from)},
                          std::move(one.key), std::move(one.reason)});
      }
    } else if (options.action == "show" && !missing) {
      show(chosen.front(), context.json);
    } else if (options.handles() && !missing) {
      try {
        co_await handle_chosen(context.app, letters, chosen, options, to, handled);
      } catch (...) {
        failure = std::current_exception();
      }
      const auto* done = options.action == "replay" ? "Replayed" : "Dropped";
      if (!failure && !context.json && !options.dry_run)
        fmt::print("{} {} dead letter{} of {}\n", done, chosen.size(), chosen.size() == 1 ? "" : "s", topic);
    }
    co_await letters.reader->close();
    if (failure) std::rethrow_exception(failure);
    if (missing)
      throw UsageError(
          fmt::format("{} has no open dead letter {}; see: {} dlq list", topic, *options.number, context.app.id()));
  }
  if (options.action == "list") print_list(listed, context.json);
  if (options.handles() && (context.json || options.dry_run)) handled.print(context.json);
  co_return kOk;
}

}  // namespace

Builtin dlq_command() {
  return builtin<DlqOptions>("dlq", "List, show, replay or drop dead letters.", LogUse::kReads, dlq, false);
}

}  // namespace mephisto::cli
