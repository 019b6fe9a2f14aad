// The metrics of a worker, from its status and the log's watermarks. Nothing is counted for them on a record's path.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "app/web_service.h"
#include "web/exposition.h"

namespace mephisto {

class WebMetrics {
 public:
  WebMetrics(const App& app, Log& log) : app_(app), log_(log) {}

  void answered(int status) { ++answers_[status]; }
  Task<std::string> text(Exposition::Format format, WorkerStatus status, WorkerLife life);

 private:
  // The ends of the partitions that the worker has, at most a second old.
  Task<void> look_up_ends(const WorkerStatus& status);

  const App& app_;
  Log& log_;
  std::map<int, std::uint64_t> answers_;
  std::map<TopicPartition, std::int64_t> ends_;
  Loop::time_point looked_up_{};
};

}  // namespace mephisto
