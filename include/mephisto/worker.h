// Running an app in process: a Worker is one shard of it on a loop, a Client lets code send and ask. The command line's
// `worker` runs one Worker per shard; tests run them on virtual time with memory://.
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

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mephisto/app.h"
#include "mephisto/agent/agent_runtime.h"
#include "mephisto/stream/shard.h"

namespace mephisto {

class Worker {
 public:
  // Runs on the current loop, which must have no other worker. Throws Failure if the app's declarations are wrong. It
  // is shard `number` of `shards`; tasks and timers run on shard 0 only.
  Worker(App& app, std::shared_ptr<Log> log, int number = 0, int shards = 1);
  ~Worker();

  // Creates the topics and begins to consume. If it throws, everything that it began has ended, and stop() must not be
  // called.
  Task<void> start();
  // Drains, commits and leaves the group. If an error ended the worker, throws it.
  Task<void> stop();
  // Waits until stop() is called or an error ends the worker; throws that error.
  Task<void> finished();

  std::vector<detail::LaneStatus> status() const { return shard_.status(); }
  const std::vector<detail::Transition>& transitions() const { return shard_.transitions(); }
  std::vector<detail::PartitionDiagnosis> diagnose() const { return shard_.diagnose(); }
  std::vector<detail::Rebalance> rebalances() const { return shard_.rebalances(); }
  detail::Shard& shard() { return shard_; }

 private:
  void add_tables(int shards);
  Task<void> begin();
  Task<void> declare_topics();
  Task<void> compare_topics();
  Task<void> check_joins();
  Task<bool> run_once(const detail::TaskSpec& spec);
  Task<void> run_timer(const detail::TaskSpec& spec);
  void crash(std::string why);
  Task<void> end(std::optional<Loop::time_point> until = {});

  bool may_answer_on(const std::string& topic);

  App& app_;
  App::Running app_runs_;
  std::shared_ptr<Log> log_;
  int number_;
  std::map<std::string, std::unique_ptr<detail::Stores>> stores_;  // by URL
  detail::Shard shard_;
  std::vector<std::unique_ptr<detail::TableState>> tables_;
  std::unique_ptr<AgentBase> leader_;
  std::vector<std::unique_ptr<detail::AgentRuntime>> runtimes_;
  std::vector<Spawned> tasks_;
  Spawned running_;
  std::optional<std::string> crash_;
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
  detail::Outbox outbox_;
};

}  // namespace mephisto
