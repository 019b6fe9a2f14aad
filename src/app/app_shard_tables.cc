// What a shard does for the tables of the app: their state, standbys, snapshots and status.
#include <algorithm>
#include <set>

#include "app/app_shard.h"
#include "base/private_file.h"
#include "mephisto/app/table_stores.h"
#include "mephisto/table/operator_table.h"

namespace mephisto::detail {
namespace {

constexpr const char* kInMemory = "memory://";
constexpr std::chrono::seconds kLookEvery{2};  // in the group, for partitions to follow

const std::string& store_of(const App& app, const TableBase& table) {
  const auto& own = table.spec().store;
  return own.empty() ? app.settings().text("store") : own;
}

std::int64_t in_ms(Loop::duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

}  // namespace

std::size_t memory_of_stores(const App& app, int shards) {
  const bool any = std::ranges::any_of(
      app.tables(), [&](const auto& table) { return !table->spec().global && store_of(app, *table) != kInMemory; });
  return any ? app.settings().bytes("memory_budget") / static_cast<std::size_t>(shards) / 4 * 3 : 0;
}

void AppShard::add_tables(const WorkerOptions& worker) {
  const auto& settings = app_.settings();
  std::set<std::string> topics;
  for (const auto& agent : app_.agents()) topics.insert(agent->topic().name);
  for (const auto& merged : app_.merged()) topics.insert(merged.topic.name);
  for (const auto& table : app_.tables()) {
    const auto& spec = table->spec();
    if (spec.global) {
      auto state = std::make_unique<GlobalState>(spec, shard_.loop(), log_, shard_.options().client, table->make_copy(),
                                                 [this](const std::string& why) { crash(why); });
      shard_.add(*state);
      globals_.push_back(state.get());
      states_.push_back(std::move(state));
      continue;
    }
    const auto& url = store_of(app_, *table);
    const bool in_memory = url == kInMemory;
    auto& stores = stores_[url];
    const bool kept = in_memory && worker.memory_stores != nullptr;
    if (kept) stores = worker.memory_stores;
    if (!stores) {
      // A folder that cannot be used is a mistake here. Later it is the disk's fault, and is waited for.
      if (!in_memory) own_folder(store_folder(app_));
      stores = open_stores(url, store_folder(app_), memory_of_stores(app_, worker.shards));
    }
    auto make = [&declared = *table, &loop = shard_.loop()](int partition) {
      return declared.make_part(partition, loop);
    };
    auto state = std::make_unique<TableState>(spec, shard_.loop(), *log_, *stores, in_memory && !kept,
                                              in_memory ? "" : settings.text("table_snapshot_dir"),
                                              spec.inputs.empty() ? topics : spec.inputs, std::move(make));
    shard_.add(*state);
    if (const auto* moved = dynamic_cast<const OperatorTable*>(table.get()); moved != nullptr) {
      const auto after = spec.close_idle.value_or(settings.duration("close_idle"));
      if (moved->idle_work().advance && after.count() > 0) idle_.add(*moved, *state, after);
    }
    tables_.push_back(state.get());
    states_.push_back(std::move(state));
  }
}

void AppShard::begin_state_tasks() {
  auto& loop = shard_.loop();
  if (!app_.settings().text("table_snapshot_dir").empty())
    state_tasks_.push_back(loop.spawn("snapshots", write_snapshots()));
  const auto replicas = static_cast<int>(app_.settings().integer("table_standby_replicas"));
  if (replicas == 0) return;
  state_tasks_.push_back(loop.spawn("standbys", keep_standbys(replicas)));
}

Task<void> AppShard::keep_standbys(int replicas) {
  const auto& options = shard_.options();
  for (;;) {
    co_await sleep_for(kLookEvery);
    const auto groups = co_await log_->groups();
    if (!groups) {
      log::debug("The standbys of tables are looked up again: {}", groups.error().message);
      continue;
    }
    const auto group = std::ranges::find(*groups, options.group, &GroupInfo::name);
    const auto members = group == groups->end() ? std::vector<MemberInfo>{} : group->members;
    for (auto* state : tables_) {
      try {
        co_await state->follow_as(members, options.client, replicas);
      } catch (const Failure& failure) {
        log::debug("Table {}: its standbys are looked up again: {}", state->spec().name, failure.what());
      }
    }
  }
}

Task<void> AppShard::end_state_tasks() {
  for (auto& task : state_tasks_) {
    task.cancel();
    co_await task.finished();
  }
  for (auto* state : tables_) co_await state->end_standbys();
}

Task<void> AppShard::write_snapshots() {
  const auto every = app_.settings().duration("table_snapshot_interval");
  for (;;) {
    co_await sleep_for(every);
    for (auto* state : tables_) co_await state->write_snapshots();
  }
}

std::vector<status::TableStatus> AppShard::tables() const {
  std::vector<status::TableStatus> all;
  add_copies(all);
  for (const auto* state : tables_) add_parts(*state, all);
  return all;
}

Task<std::vector<PartRows>> AppShard::rows(const TableBase& table, const RowQuery& query) const {
  for (const auto* state : globals_) {
    if (&state->spec() == &table.spec()) co_return co_await read_rows(table, *state, query);
  }
  for (const auto* state : tables_) {
    if (&state->spec() == &table.spec()) co_return co_await read_rows(table, *state, query);
  }
  co_return std::vector<PartRows>{};
}

// All shards have a copy of a global table; that of the first one is told.
void AppShard::add_copies(std::vector<status::TableStatus>& all) const {
  if (number_ != 0) return;
  for (const auto* state : globals_) {
    for (int i = 0; const auto& followed : state->followed()) {
      status::TableStatus one{state->spec().name, i, shard_.options().client, state->ready() ? "running" : "restoring"};
      const auto size = state->size(i++);
      one.keys = size.keys;
      one.bytes = size.bytes;
      one.position = followed.position;
      one.end = std::max(followed.position, followed.end);
      one.from = followed.from;
      if (!state->ready()) one.ms = in_ms(shard_.loop().now() - state->since());
      all.push_back(std::move(one));
    }
  }
}

void AppShard::add_parts(const TableState& state, std::vector<status::TableStatus>& all) const {
  const auto of = [&](const TablePart& part, std::string what) {
    status::TableStatus one{state.spec().name, part.partition(), shard_.options().client, std::move(what)};
    if (part.is_open()) {
      one.keys = part.store().size();
      one.bytes = part.store().bytes();
    }
    return one;
  };
  const auto add_progress = [](const Restoring& progress, status::TableStatus& one) {
    one.position = progress.position;
    one.end = progress.end;
    one.from = progress.from;
  };
  const auto now = shard_.loop().now();
  for (const auto& [partition, part] : state.parts()) {
    const auto restore = state.restoring().find(partition);
    if (part->ready()) {
      auto& one = all.emplace_back(of(*part, "running"));
      one.position = one.end = std::max<std::int64_t>(part->store().position(), 0);
    } else if (restore != state.restoring().end()) {
      auto& one = all.emplace_back(of(*part, "restoring"));
      add_progress(restore->second, one);
      one.ms = in_ms(now - restore->second.since);
    }
  }
  for (const auto& [partition, trouble] : state.troubles()) {
    const auto part = state.parts().find(partition);
    const bool runs = part != state.parts().end() && part->second->ready();
    if (runs || state.restoring().contains(partition) || state.users(partition).empty()) continue;
    status::TableStatus one{state.spec().name, partition, shard_.options().client, "waiting"};
    one.trouble = trouble.why;
    one.ms = in_ms(now - trouble.since);
    all.push_back(std::move(one));
  }
  for (const auto& [partition, follower] : state.followers()) {
    if (follower.part->is_open()) add_progress(follower.progress, all.emplace_back(of(*follower.part, "standby")));
  }
}

}  // namespace mephisto::detail
