// How commands ask the workers of their app that run on this machine: each has a Unix domain socket in the data folder,
// which answers a line `status` with one line of JSON, and closes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/thread_watch.h"
#include "mephisto/app.h"
#include "mephisto/stream/diagnosis.h"

namespace mephisto::cli {

struct WorkerStatus {
  std::string app;
  std::string worker;  // HOST:PID, which its members' names begin with
  std::vector<detail::PartitionDiagnosis> partitions;
  std::vector<detail::Rebalance> rebalances;
  std::vector<std::string> silent;  // members whose thread did not answer: a handler keeps it
  std::vector<KeptThread> kept_threads;
  std::uint64_t refused_replies = 0;  // answers to topics that requests may not name
  std::uint64_t dropped_replies = 0;  // answers that the log did not take
  std::uint64_t refused_records = 0;  // of timers and tasks, which the log did not take
};

// This process's socket. The file is only the user's own, and goes with the object.
class StatusSocket {
 public:
  // On the loop that run() is to run on. Throws Failure where there can be none.
  StatusSocket(Loop& loop, const App& app);
  ~StatusSocket();

  // Answers until it is cancelled.
  Task<void> run(std::function<Task<WorkerStatus>()> status);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What all workers of the app on this machine say. One that does not answer is none.
Task<std::vector<WorkerStatus>> ask_workers(const App& app);

}  // namespace mephisto::cli
