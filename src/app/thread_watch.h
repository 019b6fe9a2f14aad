// Detects handlers that keep their thread. Meanwhile nothing else of the shard runs, not even its heartbeats.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mephisto/worker.h"

namespace mephisto {

class ThreadWatch {
 public:
  explicit ThreadWatch(const App& app) : app_(app) {}
  // Before run(). `member` is the name of the shard's member of the group.
  void add(const Loop& shard, std::string member) { shards_.push_back({&shard, std::move(member), std::nullopt}); }

  // Checks the shards until it is cancelled. Must run on another thread than theirs.
  Task<void> run();
  const std::vector<status::KeptThread>& kept() const { return kept_; }

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
  std::vector<status::KeptThread> kept_;
};

}  // namespace mephisto
