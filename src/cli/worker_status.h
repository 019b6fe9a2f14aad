// How commands ask their app's workers on this machine. Each worker has a Unix domain socket in the data folder. The
// socket answers the line `status` with one line of JSON, and closes the connection.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "cli/thread_watch.h"
#include "mephisto/app.h"
#include "mephisto/stream/diagnosis.h"

namespace mephisto::cli {

struct WorkerStatus {
  std::string app;
  std::string worker;  // HOST:PID, the prefix of its members' names
  std::vector<detail::PartitionDiagnosis> partitions;
  std::vector<detail::Rebalance> rebalances;
  std::vector<std::string> silent;  // members that did not answer, because a handler keeps their thread
  std::vector<KeptThread> kept_threads;
  std::uint64_t refused_replies = 0;  // replies whose requests named a topic that is not allowed
  std::uint64_t dropped_replies = 0;  // replies that the log did not accept
  std::uint64_t refused_records = 0;  // records of timers and tasks that the log refused
};

// This process's socket. Only the user can access its file, which is removed with this object.
class StatusSocket {
 public:
  // `loop` is the one that run() runs on. Throws Failure if the socket cannot be created.
  StatusSocket(Loop& loop, const App& app);
  ~StatusSocket();

  // Answers until it is cancelled.
  Task<void> run(std::function<Task<WorkerStatus>()> status);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The app's workers on this machine.
class Workers {
 public:
  explicit Workers(const App& app) : app_(app) {}

  // The status of all of them, who are asked at the same time. A worker that does not answer is left out, and is not
  // asked again.
  Task<std::vector<WorkerStatus>> ask();

 private:
  const App& app_;
  std::set<std::string> silent_;  // the names of their sockets
};

}  // namespace mephisto::cli
