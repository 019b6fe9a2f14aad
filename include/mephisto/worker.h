// Running an app within a program. A Worker is the process that runs an app: the command line, a server and tests use
// it. A Client lets code send and ask.
//
//   Loop loop{Loop::Clock::kVirtual};
//   auto log = open_log("memory://test");
//   loop.run([&]() -> Task<void> {
//     Worker worker{app, log};
//     co_await worker.start();
//     EXPECT_EQ(co_await square.ask(3), 9);
//     co_await worker.stop();
//   }());
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mephisto/app.h"
#include "mephisto/stream/outbox.h"
#include "mephisto/stream/status.h"

namespace mephisto {

struct WorkerOptions {
  int shards = 1;
  // Each shard runs on a thread of its own, and the worker names handlers that keep such a thread. Without it, all
  // shards run on the worker's loop; its tasks can then send and ask.
  bool own_threads = false;
  // Other processes ask this one for its status (`why`, `lag`, `rebalances`), through a socket in the app's folder. The
  // folder must exist. The worker ends if it is removed.
  bool answers_commands = false;
  // The stores of tables on memory:// are in it, and outlive the worker. Without it each shard has stores of its own.
  std::shared_ptr<detail::Stores> memory_stores{};
  // Serves web pages by the settings web_*: the app's, those of every worker (probes, metrics), and these. Null: none.
  const class Router* web = nullptr;
};

namespace status {

// A task that has kept the thread of a shard for seconds.
struct KeptThread {
  std::string member;  // the member's name in the group: HOST:PID:SHARD
  std::string task;
  std::uint64_t times = 0;
  std::int64_t longest_ms = 0;
  std::optional<std::int64_t> now_ms;  // how long it has kept it so far; empty: it does not now
};

// What an agent has done with a partition since the worker has it:
// consumed = acked + in flight + dead-lettered + skipped.
struct AgentPartition {
  std::string agent;
  std::string topic;
  int partition = 0;
  std::string member;
  std::string state;  // of the assignment: running, restoring, …
  std::int64_t generation = 0;
  std::uint64_t consumed = 0;
  std::uint64_t acked = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t dead_lettered = 0;
  std::uint64_t skipped = 0;
};

// A partition of a table that the worker has.
struct TableStatus {
  std::string table;
  int partition = 0;
  std::string member;
  std::string state;  // restoring, running, waiting (its store cannot be used), or standby (another worker has it)
  std::uint64_t keys = 0;
  std::uint64_t bytes = 0;
  std::int64_t position = 0;         // the changelog's offset after the last change that is in the store
  std::int64_t end = 0;              // the changelog's end: when the restore began, or of a running one its position
  std::int64_t from = 0;             // where the restore began
  std::optional<std::int64_t> ms{};  // how long the restore has run, or how long it waits
  std::optional<std::string> trouble{};  // why it waits
};

}  // namespace status

struct WorkerStatus {
  std::string app;
  std::string worker;  // HOST:PID, the prefix of its members' names
  std::vector<status::PartitionDiagnosis> partitions;
  std::vector<status::AgentPartition> accounts{};
  std::vector<status::Rebalance> rebalances;
  std::vector<status::TableStatus> tables;
  std::vector<std::string> silent;  // members that did not answer, because a handler keeps their thread
  std::vector<status::KeptThread> kept_threads;
  std::uint64_t refused_replies = 0;  // replies whose requests named a topic that is not allowed
  std::uint64_t dropped_replies = 0;  // replies that the log did not accept
  std::uint64_t refused_records = 0;  // records of timers and tasks that the log refused
  std::uint64_t sent_records = 0;     // records that the log has accepted
};

// A worker belongs to the loop that runs when it is made. Its functions are called there.
class Worker {
 public:
  // Throws Failure if the app's declarations are wrong.
  Worker(App& app, std::shared_ptr<Log> log, WorkerOptions options = {});
  // Call stop() before. Shards on threads of their own end here at the latest, without a commit.
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Starts all shards: they create the topics, join the app's group together, and begin to consume. Then the app's
  // tasks and timers begin, and on_started is called. Throws the error that ended the worker meanwhile; then all that
  // it began has ended. Returns early if stop() is called meanwhile.
  Task<void> start();
  // Drains, commits and leaves the group, within drain_timeout and a moment. Then as finished().
  Task<void> stop();
  // Waits until the worker has ended: by stop(), or because a shard has failed, which ends all of them. Throws the
  // error that ended it. If only this wait is cancelled, the worker goes on.
  Task<void> finished();

  // The different errors that ended the worker.
  const std::vector<std::string>& errors() const;
  // What the shards wait for that had not ended when the time for the stop was over, a line each. If there is one, end
  // the process without ending this object.
  const std::vector<std::string>& unended() const;

  Task<WorkerStatus> status();
  // What every task does, and the accounts of all partitions: lines for people.
  Task<std::vector<std::string>> describe();
  // The address of the web pages, `http://HOST:PORT/`; empty if it serves none.
  std::string url() const;
  // The partitions of all shards, by topic.
  const std::map<std::string, std::set<int>>& partitions() const;
  // Waits until they change.
  Task<void> partitions_changed();

  // For the library's own tests; see app/worker_impl.h.
  struct Impl;
  Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<Impl> impl_;
};

// Sends and asks without consuming. One client at a time per loop. On the loop of a worker it sends through the outbox
// of the worker.
class Client {
 public:
  Client(App& app, std::shared_ptr<Log> log);
  ~Client();
  // Waits until all sent records are durable.
  Task<void> close();

 private:
  App::Running app_runs_;
  std::shared_ptr<Log> log_;
  std::vector<std::unique_ptr<detail::GlobalState>> globals_;  // by the numbers of the tables
  std::vector<detail::Participant*> participants_;
  detail::Outbox outbox_;
};

}  // namespace mephisto
