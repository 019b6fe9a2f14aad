// The addresses of the web pages of an app's workers. They are in the compacted topic ID-__workers: the name of the
// process (HOST:PID), and its address. Each worker writes its own and reads all.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "mephisto/app.h"
#include "mephisto/log.h"

namespace mephisto::detail {

struct WorkerAddress {
  std::string url;  // http://HOST:PORT/
};

class WorkerAddresses {
 public:
  WorkerAddresses(const App& app, std::shared_ptr<Log> log);

  // Announces the address of this worker, and follows those of all until it is cancelled. If the topic does not exist
  // and must not be created, the worker knows itself only.
  Task<void> run(std::string url);
  // Takes back the address of a worker.
  Task<void> remove(std::string worker);
  // Takes back those of workers that did not answer and have no member in the app's group: they were killed.
  Task<void> remove_gone(std::vector<std::string> silent);

  const std::string& own() const { return own_; }
  // By the names of the workers, without this one.
  const std::map<std::string, WorkerAddress>& others() const { return others_; }

 private:
  Task<void> follow(const std::string& url);
  Task<void> write(std::string worker, std::optional<WorkerAddress> address);

  const App& app_;
  std::shared_ptr<Log> log_;
  TopicPartition partition_;
  std::string own_;
  std::unique_ptr<Producer> producer_;
  std::map<std::string, WorkerAddress> others_;
};

}  // namespace mephisto::detail
