// Sees handlers that keep their thread: nothing else of the shard goes on meanwhile, not even its signs of life.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "mephisto/app.h"

namespace mephisto::cli {

// A task that kept the thread of a shard for seconds.
struct KeptThread {
  std::string member;  // of the group: HOST:PID:SHARD
  std::string task;
  std::uint64_t times = 0;
  std::int64_t longest_ms = 0;
  std::optional<std::int64_t> now_ms;  // it keeps it now, for so long already
};

class ThreadWatch {
 public:
  ThreadWatch(const App& app, std::vector<const Loop*> shards);

  // Looks at the shards, on a thread that is none of theirs, until it is cancelled.
  Task<void> run();
  const std::vector<KeptThread>& kept() const { return kept_; }

 private:
  struct Shard {
    const Loop* loop;
    std::string member;
    std::optional<Loop::time_point> told;  // of the turn that was told
    std::size_t place = 0;                 // of it, in kept_
  };
  void look(Shard& shard);
  std::size_t place_of(const Shard& shard, const std::string& task);

  const App& app_;
  std::vector<Shard> shards_;
  std::vector<KeptThread> kept_;
};

}  // namespace mephisto::cli
