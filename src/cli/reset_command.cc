// `reset`: deletes the stores of the app's tables on this machine and their snapshots, and with --changelog their
// topics. The offsets of the app's group stay: `lag --reset` sets those.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/commands.h"
#include "mephisto/app/table_forms.h"
#include "mephisto/app/table_stores.h"
#include "mephisto/store/snapshots.h"
#include "mephisto/store/store.h"

namespace mephisto::cli {
namespace {

constexpr std::size_t kStoreMemory = 1 << 20;

struct ResetOptions {
  bool dry_run = false;
  bool changelog = false;

  static std::vector<OptionHelp> help() {
    return {{"dry_run", "only show what would be deleted"},
            {"changelog",
             "delete the changelog topics, too: then the state is gone, on all machines (default: the next worker "
             "restores it from them)"}};
  }
};

}  // namespace

Task<void> check_stopped(const App& app, Log* log) {
  Workers workers{app};
  for (const auto& worker : co_await workers.ask())
    throw Failure(ErrorKind::kFenced, fmt::format("worker {} of {} runs: stop it first", worker.worker, app.id()));
  if (log == nullptr) co_return;
  // Sets no offset, but removes the group's dead members, and fails if one is alive, on any machine.
  const auto alone = co_await log->reset(app.id(), {});
  if (!alone && alone.error().kind != ErrorKind::kNotFound) throw Failure(alone.error());
}

namespace {

// A folder that several apps share has stores of the others; in the app's own folder there may be those of tables that
// are not declared any more.
bool is_of(const App& app, const std::string& store) {
  return app.settings().text("tabledir").empty() ||
         std::ranges::any_of(app.tables(), [&](const auto& table) { return table->spec().store_name() == store; });
}

Task<int> reset(ResetOptions options, CommandContext context) {
  const auto& app = context.app;
  if (app.tables().empty()) co_return nothing(context, "has no tables, so there is no local state to delete.");
  const auto log = options.changelog ? log_if_there(app) : nullptr;
  if (!options.dry_run) co_await check_stopped(app, log.get());

  TextTable deleted{options.dry_run ? "Would be deleted (dry run)" : "Deleted",
                    {{"what"}, {"name"}, {"partition", true}, {"place"}}};
  const auto folder = detail::store_folder(app);
  const auto stores = detail::stores_on_disk(app, kStoreMemory);
  for (const auto& [name, partition] : stores->list()) {
    if (!is_of(app, name)) continue;
    if (!options.dry_run) stores->remove(name, partition);
    deleted.add({"store", name, std::to_string(partition), fmt::format("{}/{}/{}", folder, name, partition)});
  }
  // The next worker would begin with them instead of the changelog.
  const auto& snapshots = app.settings().text("table_snapshot_dir");
  for (const auto& table : app.tables()) {
    if (snapshots.empty()) break;
    const auto name = table->spec().store_name();
    for (const int partition : detail::snapshot_partitions(snapshots, name)) {
      const detail::Snapshots of_store{snapshots, name, partition};
      for (const auto& [offset, path] : of_store.list())
        deleted.add({"snapshot", name, std::to_string(partition), path.string()});
      if (!options.dry_run) of_store.remove();
    }
  }
  // After the stores: a store without its changelog would be refused by the next worker.
  for (const auto& table : app.tables()) {
    if (!log) break;
    const auto& name = table->spec().changelog.name;
    if (!co_await topic_if_there(*log, name)) continue;
    if (!options.dry_run) value_or_throw(co_await log->delete_topic(name));
    deleted.add({"changelog", name, "", log->url()});
  }
  if (log && !options.dry_run) {
    const auto done = co_await log->delete_topic(detail::forms_topic(app));
    if (!done && done.error().kind != ErrorKind::kNotFound) throw Failure(done.error());
  }
  deleted.print(context.json);
  co_return kOk;
}

}  // namespace

Builtin reset_command() {
  return builtin<ResetOptions>("reset",
                               "Delete the state of tables on this machine; no offsets (lag --reset sets those).",
                               LogUse::kNone, reset);
}

}  // namespace mephisto::cli
