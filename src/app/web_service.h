// The web pages of a worker: the app's own, and those that every worker has. It runs on the worker's loop, and asks the
// shards for their part.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "app/table_pages.h"
#include "app/worker_metrics.h"
#include "mephisto/http.h"
#include "mephisto/web/page.h"
#include "mephisto/worker.h"

namespace mephisto {

class WebService {
 public:
  // Listens, by the settings web_*. Serves `more` too. Throws Failure if it must not or cannot.
  WebService(App& app, std::shared_ptr<Log> log, const Router& more, std::function<Task<WorkerStatus>()> status,
             WorkerMetrics& metrics, std::function<WorkerLife()> life, detail::TablePages::Local rows);
  ~WebService();

  // `http://HOST:PORT/`
  const std::string& url() const;
  // Serves until it is cancelled. Then close() sends what handlers have sent.
  Task<void> run();
  Task<void> close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mephisto
