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

Task<int> list(Log& log, const TransactionsOptions& options, bool json) {
  Table table{"Transactions",
              {{"topic"},
               {"partition", true},
               {"start", true},
               {"producer", true},
               {"id"},
               {"state"},
               {"last write"},
               {"hangs"}}};
  std::vector<TopicPartition> partitions;
  if (options.place) partitions.push_back(partition_of(*options.place));
  for (const auto& one : value_or_throw(co_await log.open_transactions(std::move(partitions)))) {
    const bool known = one.producer >= 0;
    table.add({one.partition.topic, std::to_string(one.partition.partition), std::to_string(one.start),
               known ? std::to_string(one.producer) : "", printable(one.id, 100), one.state,
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
  if (options.action == "list" && !options.start) co_return co_await list(log, options, context.json);
  if (options.action != "end" || !options.place || !options.start)
    throw UsageError("transactions: expected list, list TOPIC/PARTITION, or end TOPIC/PARTITION START");
  const auto partition = partition_of(*options.place);
  value_or_throw(co_await log.end_transaction(partition, *options.start));
  fmt::print("Ended: the transaction's records in {} from {} on do not count\n", partition.str(), *options.start);
  co_return kOk;
}

}  // namespace

Builtin transactions_command() {
  return builtin<TransactionsOptions>("transactions", "Show the log's open transactions, or end one that hangs.",
                                      LogUse::kReads, transactions, false);
}

}  // namespace mephisto::cli
