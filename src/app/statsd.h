// Sends a worker's metrics to a statsd server, by the settings statsd*. It keeps nothing for a server that is away:
// what cannot be sent is dropped and counted.
#pragma once

#include <functional>
#include <memory>

#include "app/worker_metrics.h"

namespace mephisto {

class Statsd {
 public:
  Statsd(const App& app, WorkerMetrics& metrics, std::function<WorkerLife()> life);
  ~Statsd();

  // Sends until it is cancelled.
  Task<void> run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mephisto
