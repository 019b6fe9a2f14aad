// How commands ask their app's workers on this machine. Each worker has a Unix domain socket in the data folder. The
// socket answers the line `status` with one line of JSON, and closes the connection.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "mephisto/worker.h"

namespace mephisto {

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

}  // namespace mephisto
