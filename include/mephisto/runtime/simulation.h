// Several loops on one thread with one virtual clock: a test runs several workers in it. The clock moves only if no
// loop has anything to do; it then jumps to the next timer.
//
//   Simulation simulation{seed};
//   Loop one{simulation};
//   Loop two{simulation};
//   two.spawn("worker", work());
//   one.run(test());  // runs `two` as well, until test() is done
//
// With a seed the same program does the same in every run. The seed chooses the order in which ready tasks run and
// loops take their turns, and it gives all random numbers. Other seeds give other orders. Without a seed the order is
// first in, first out, and random numbers are seeded by the system.
//
// Sockets, blocking calls and other threads are not simulated: the clock waits for them, and they end when they end.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "mephisto/runtime/environment.h"

namespace mephisto {

class Loop;

class Simulation final : public Environment {
 public:
  explicit Simulation(std::optional<std::uint64_t> seed = std::nullopt);

  // Runs all loops until nothing can happen on any of them.
  void run();
  // Jumps forwards. What was due in between runs late.
  void skip(std::chrono::steady_clock::duration time) { now_ += time; }

  time_point now() const override { return now_; }
  // Begins at 2026-01-01.
  Microtime wall_time() const override;
  Timestamp timestamp() const override;
  Random random(std::string_view name) override;

 private:
  friend class Loop;

  // Ends when `finished()` holds, or when nothing can happen any more.
  void run_until(const std::function<bool()>& finished);
  bool take_turns(const std::function<bool()>& finished);
  bool wait_for_others();
  bool move_clock();

  std::optional<std::uint64_t> seed_;
  std::optional<Random> order_;
  std::map<std::string, std::uint32_t, std::less<>> given_;  // the number of sources with this name
  time_point now_{};
  std::vector<Loop*> loops_;
  bool running_ = false;
};

}  // namespace mephisto
