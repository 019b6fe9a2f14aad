// Sends a worker's metrics and the traces of its events to a collector by OTLP/HTTP, by the settings otlp*. For a
// collector that is away it keeps a number of spans. Of metrics it keeps nothing: the next ones replace what the
// collector did not get. What is dropped is counted.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "app/worker_metrics.h"
#include "mephisto/http.h"
#include "mephisto/stream/tracer.h"

namespace mephisto {

// The headers of the setting otlp_headers.
Result<HttpHeaders> parse_otlp_headers(const std::string& text);

// Spans on their way from the shards, on the worker's loop.
struct SpanInbox {
  std::vector<detail::Span> spans;
  std::uint64_t dropped = 0;
  std::set<std::size_t> asked;  // shards that have not answered yet
  WaitQueue answered;
};
using SpansSource = std::function<void(const std::shared_ptr<SpanInbox>& inbox)>;

class Otlp {
 public:
  Otlp(const App& app, WorkerMetrics& metrics, std::function<WorkerLife()> life, SpansSource spans);
  ~Otlp();

  // They send until they are cancelled.
  Task<void> run();
  Task<void> run_traces();
  // Sends what there is for the last time, unless the collector did not take what came before.
  Task<void> close();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mephisto
