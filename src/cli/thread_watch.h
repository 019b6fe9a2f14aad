// Detects handlers that keep their thread. Meanwhile nothing else of the shard runs, not even its heartbeats.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mephisto/app.h"

namespace mephisto::cli {

// A task that has kept the thread of a shard for seconds.
struct KeptThread {
  std::string member;  // the member's name in the group: HOST:PID:SHARD
  std::string task;
  std::uint64_t times = 0;
  std::int64_t longest_ms = 0;
  std::optional<std::int64_t> now_ms;  // how long it has kept it so far; empty: it does not now
};

class ThreadWatch {
 public:
  ThreadWatch(const App& app, std::vector<const Loop*> shards);

  // Checks the shards until it is cancelled. Must run on another thread than theirs.
  Task<void> run();
  const std::vector<KeptThread>& kept() const { return kept_; }

 private:
  struct Shard {
    const Loop* loop;
    std::string member;
    std::optional<Loop::time_point> told;  // the start of the turn that was reported
    std::size_t place = 0;                 // its index in kept_
  };
  void look(Shard& shard);
  std::size_t place_of(const Shard& shard, const std::string& task);

  const App& app_;
  std::vector<Shard> shards_;
  std::vector<KeptThread> kept_;
};

}  // namespace mephisto::cli
