// Apps that do one kind of work on the trades of a topic. Each measurement is a separate process.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "bench.h"

namespace mephisto::bench {

// The progress of the agents of all shards.
struct Progress {
  std::atomic<int> seen{0};
  std::atomic<double> started{0};
  std::atomic<double> sum{0};

  void begin() {
    double never = 0;
    if (started == 0) started.compare_exchange_strong(never, now());
  }
};

// When a record counts: when its agent has processed it, when its output is acknowledged, or when it is committed.
enum class Done { kProcessed, kSent, kCommitted };

struct WorkingApp {
  explicit WorkingApp(const std::string& id) : app(id) { app.settings().set("topic_disable_leader", "true", "bench"); }
  virtual ~WorkingApp() = default;
  WorkingApp(const WorkingApp&) = delete;
  WorkingApp& operator=(const WorkingApp&) = delete;

  App app;
  Progress progress;
  Done done = Done::kSent;
};

// An app that counts, windows or joins the trades of `in`, with its state in RocksDB (state_apps.cc); null if `kind` is
// no such work.
std::unique_ptr<WorkingApp> state_app(const std::string& kind, const std::string& id, const std::string& in,
                                      const std::string& out);

// Waits until the agents have got `wanted` records of the topic, and gives the records per second from the first that
// arrived to the last that counted. Records that count when they are committed: to the first commit of nearly all.
Task<double> rate(WorkingApp& of, Worker& worker, const std::string& topic, std::uint64_t wanted);

// KIND URL ID IN OUT COUNT SHARDS GUARANTEE: prints records per second, megabytes, and seconds since the process began.
// Prints nothing if SIGTERM ends it earlier.
int run_work(const std::vector<std::string>& words);

}  // namespace mephisto::bench
