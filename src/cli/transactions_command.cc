// `transactions`: lists the log's open transactions, and ends a hanging one.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/commands.h"

namespace mephisto::cli {
namespace {

struct TransactionsOptions {
  std::string action = "list";
  std::optional<std::string> place;
  std::optional<std::int64_t> start;
  static std::vector<OptionHelp> help() {
    return {{"action", "list or end", "", true},
            {"place", "TOPIC/PARTITION; with list optional (default: all)", "", true},
            {"start", "with end: the offset at which the transaction starts there", "", true}};
  }
};

TopicPartition partition_of(const std::string& text) {
  const auto slash = text.rfind('/');
  TopicPartition partition{text.substr(0, slash), 0};
  if (slash == std::string::npos || slash == 0 || !take_number(text.substr(slash + 1), partition.partition))
    throw UsageError(fmt::format("{}: expected TOPIC/PARTITION", printable(text)));
  return partition;
}

// Throws UsageError if the log has no such topic or partition.
Task<void> check_exists(const App& app, TopicPartition partition) {
  const auto info = co_await find_topic(app, partition.topic);
  check_partition(info.name, info.config.partitions, partition.partition);
}

Task<int> list(Log& log, std::vector<TopicPartition> partitions, bool json) {
  TextTable table{"Transactions",
                  {{"topic"},
                   {"partition", true},
                   {"start", true},
                   {"producer", true},
                   {"id"},
                   {"state"},
                   {"last write"},
                   {"hangs"}}};
  for (const auto& one : value_or_throw(co_await log.open_transactions(std::move(partitions)))) {
    const bool known = one.producer >= 0;
    table.add({one.partition.topic, std::to_string(one.partition.partition), std::to_string(one.start),
               known ? std::to_string(one.producer) : "", json ? one.id : printable(one.id, 100), one.state,
               known ? format_iso8601(one.last_write) : "",
               !known        ? ""
               : one.hanging ? "yes"
                             : "no"});
  }
  table.print(json);
  co_return kOk;
}

Task<int> transactions(TransactionsOptions options, CommandContext context) {
  auto& log = *log_context().log;
  const bool lists = options.action == "list" && !options.start;
  if (!lists && (options.action != "end" || !options.place || !options.start))
    throw UsageError("transactions: expected list, list TOPIC/PARTITION, or end TOPIC/PARTITION START");
  std::vector<TopicPartition> partitions;
  if (options.place) {
    partitions.push_back(partition_of(*options.place));
    co_await check_exists(context.app, partitions.front());
  }
  if (lists) co_return co_await list(log, std::move(partitions), context.json);
  const auto& partition = partitions.front();
  value_or_throw(co_await log.end_transaction(partition, *options.start));
  if (context.json) {
    TextTable ended{"Ended", {{"topic"}, {"partition", true}, {"start", true}}};
    ended.add({partition.topic, std::to_string(partition.partition), std::to_string(*options.start)});
    ended.print(true);
    co_return kOk;
  }
  fmt::print("Ended: the transaction's records in {} from {} on do not count\n", partition.str(), *options.start);
  co_return kOk;
}

}  // namespace

Builtin transactions_command() {
  return builtin<TransactionsOptions>("transactions", "Show the log's open transactions, or end one that hangs.",
                                      LogUse::kReads, transactions, false);
}

}  // namespace mephisto::cli
