// What an app has on one shard of a worker: its part of every agent, its state, and, on shard 0, tasks and timers.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/cron_scheduler.h"
#include "app/key_timers.h"
#include "app/leadership.h"
#include "app/shard_metrics.h"
#include "app/shard_rows.h"
#include "mephisto/agent/agent_runtime.h"
#include "mephisto/app.h"
#include "mephisto/worker.h"
#include "mephisto/stream/shard.h"
#include "mephisto/table/global_state.h"
#include "mephisto/table/idle_partitions.h"
#include "mephisto/table/table_state.h"

namespace mephisto::detail {

// The configuration for topics that do not exist; no value if they must not be created.
std::optional<TopicConfig> topic_defaults(const App& app);
// A shard's part of memory_budget for the stores of its tables on disk. The rest is for fetched records.
std::size_t memory_of_stores(const App& app, int shards);
// The current loop. `what` belongs to it: throws Failure if there is none.
Loop& this_loop(const char* what);

class AppShard {
 public:
  // Belongs to the current loop. It is shard `number` of the worker's.
  AppShard(App& app, std::shared_ptr<Log> log, int number, const WorkerOptions& options);
  ~AppShard();
  AppShard(const AppShard&) = delete;
  AppShard& operator=(const AppShard&) = delete;

  // The steps of the start. Each is taken when all shards of the worker have taken the one before.
  Task<void> prepare();  // topics and agents
  Task<void> join();     // the app's group
  Task<void> consume();
  Task<void> begin_leading();  // crontabs, timers of keys, and what is on_leader
  Task<void> begin_tasks();    // with timers and on_started, on shard 0 only

  // Ends what was begun, whatever step it has come to: drains, commits and leaves the group. Then as finished().
  Task<void> stop(Loop::time_point until);
  // Waits until it consumes no more, and throws the error that ended it.
  Task<void> finished();

  // Whether the clock moves the time of a partition.
  bool moves_time() const { return idle_.busy(); }
  Shard& shard() { return shard_; }
  const Shard& shard() const { return shard_; }
  const std::vector<GlobalState*>& globals() const { return globals_; }
  // The partitions of the app's tables that it has.
  std::vector<status::TableStatus> tables() const;
  // What it has of the table.
  Task<std::vector<PartRows>> rows(const TableBase& table, const RowQuery& query) const;
  // What its agents have done with its partitions.
  std::vector<status::AgentPartition> accounts() const;
  ShardMetrics metrics();
  // What every task on its loop does, and the accounts of its partitions: lines for people.
  std::vector<std::string> describe();

  // Called after partitions are assigned (`owned`), and before they are revoked.
  std::function<void(const std::vector<TopicPartition>&, bool owned)> on_partitions;

 private:
  void add_tables(const WorkerOptions& options);
  void add_copies(std::vector<status::TableStatus>& all) const;
  void add_parts(const TableState& state, std::vector<status::TableStatus>& all) const;
  Task<void> declare_topics();
  Task<void> compare_topics();
  Task<void> run_task(const TaskSpec& spec);
  Task<bool> run_once(const TaskSpec& spec);
  Task<void> run_timer(const TaskSpec& spec);
  Task<void> run_while_leading(const TaskSpec& spec);
  Task<void> maintain();
  Task<void> tell_crontabs();
  void begin_state_tasks();
  Task<void> end_state_tasks();
  // Looks in the group which partitions this member follows, and keeps their stores up to date until it is cancelled.
  Task<void> keep_standbys(int replicas);
  Task<void> write_snapshots();
  void crash(std::string why);
  bool may_answer_on(const std::string& topic);

  App& app_;
  std::shared_ptr<Log> log_;
  int number_;
  std::map<std::string, std::shared_ptr<Stores>> stores_;  // by URL
  std::vector<std::unique_ptr<Participant>> states_;       // those of the tables first, by their numbers
  std::vector<TableState*> tables_;                        // without the global ones
  std::vector<GlobalState*> globals_;
  Shard shard_;
  IdlePartitions idle_{shard_};
  std::unique_ptr<AgentBase> leader_;
  Leadership leadership_;
  CronScheduler cron_;
  TimersScanner timers_;
  std::vector<std::unique_ptr<AgentRuntime>> runtimes_;
  std::vector<Spawned> tasks_;
  std::vector<Spawned> led_;          // tasks that run while this shard leads, of all its terms
  std::vector<Spawned> state_tasks_;  // standbys and snapshots
  Spawned running_;
  bool joins_ = false;
  bool consumes_ = false;
  bool started_ = false;
  std::optional<std::string> crash_;
};

}  // namespace mephisto::detail
