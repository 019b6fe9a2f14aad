// `snapshot`: writes snapshots of the stores on this machine that no worker uses. Workers write their own.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "mephisto/app/table_stores.h"
#include "mephisto/logging.h"
#include "mephisto/store/snapshots.h"

namespace mephisto::cli {
namespace {

constexpr std::size_t kStoreMemory = 8 << 20;

struct SnapshotOptions {
  bool list = false;

  static std::vector<OptionHelp> help() { return {{"list", "only show the snapshots that there are"}}; }
};

Task<int> snapshot(SnapshotOptions options, CommandContext context) {
  const auto& app = context.app;
  if (app.tables().empty()) co_return nothing(context, "has no tables, so there are no snapshots.");
  const auto& folder = app.settings().text("table_snapshot_dir");
  if (folder.empty())
    throw UsageError("there is no folder for snapshots: set table_snapshot_dir, which all machines should see");
  TextTable shown{options.list ? "Snapshots" : "Snapshots that were written",
                  {{"table"}, {"partition", true}, {"offset", true}, {"place"}}};
  int result = kOk;
  const auto stores = detail::stores_on_disk(app, kStoreMemory);
  const auto kept = stores->list();
  for (const auto& table : app.tables()) {
    const auto& name = table->spec().store_name();
    if (options.list) {
      for (const int partition : detail::snapshot_partitions(folder, name)) {
        for (const auto& [offset, path] : detail::Snapshots{folder, name, partition}.list())
          shown.add({table->name(), std::to_string(partition), std::to_string(offset), path.string()});
      }
      continue;
    }
    for (const auto& [store_name, partition] : kept) {
      if (store_name != name) continue;
      try {
        const auto store = stores->open(name, partition);
        if (store->position() < 0) continue;
        const auto path = detail::Snapshots{folder, name, partition}.writer(*store)();
        shown.add({table->name(), std::to_string(partition), path.filename().string(), path.string()});
      } catch (const Failure& failure) {
        log::warn("{}", failure.what());
        result = kFailed;
      }
    }
  }
  shown.print(context.json);
  co_return result;
}

}  // namespace

Builtin snapshot_command() {
  return builtin<SnapshotOptions>(
      "snapshot",
      "Write snapshots of the tables' stores on this machine that no worker uses (workers write their own).",
      LogUse::kNone, snapshot);
}

}  // namespace mephisto::cli
