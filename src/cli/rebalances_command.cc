// `rebalances`: shows when and why the running workers' partitions moved, and how long each phase took.
#include <algorithm>

#include "cli/commands.h"

namespace mephisto::cli {
namespace {

Task<int> rebalances(NoOptions, CommandContext context) {
  std::vector<status::Rebalance> all;
  Workers workers{context.app};
  for (auto& worker : co_await workers.ask()) std::ranges::move(worker.rebalances, std::back_inserter(all));
  std::ranges::sort(all, {}, [](const status::Rebalance& one) { return std::pair{one.time, one.member}; });
  TextTable table{"Rebalances",
                  {{"time"},
                   {"member"},
                   {"reason"},
                   {"before", true},
                   {"after", true},
                   {"ms", true},
                   {"unread", true},
                   {"drain", true},
                   {"commit", true},
                   {"release", true},
                   {"wait", true},
                   {"state"}}};
  for (const auto& one : all) {
    table.add({one.time, one.member, one.reason, std::to_string(one.before), std::to_string(one.after),
               std::to_string(one.total_ms), std::to_string(one.unread_ms), std::to_string(one.drain_ms),
               std::to_string(one.commit_ms), std::to_string(one.release_ms), std::to_string(one.wait_ms),
               one.spare  ? "spare"
               : one.over ? "over"
                          : "under way"});
  }
  table.print(context.json);
  co_return kOk;
}

}  // namespace

Builtin rebalances_command() {
  return builtin<NoOptions>(
      "rebalances",
      "Show when and why partitions of the workers on this machine moved, with the milliseconds of each phase.",
      LogUse::kNone, rebalances);
}

}  // namespace mephisto::cli
