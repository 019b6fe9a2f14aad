#include "mephisto/runtime/simulation.h"

#include <algorithm>

#include "base/hash.h"
#include "runtime/loop_impl.h"

namespace mephisto {
namespace {

constexpr Microtime kEpoch{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}};

// How long one loop is watched for the end of a blocking call before the next one is.
constexpr std::chrono::milliseconds kWatch{1};

}  // namespace

Simulation::Simulation(std::optional<std::uint64_t> seed) : seed_(seed) {
  if (seed_) order_ = random("order");
}

Microtime Simulation::wall_time() const {
  return kEpoch + std::chrono::floor<std::chrono::microseconds>(now_.time_since_epoch());
}

Timestamp Simulation::timestamp() const { return std::chrono::floor<std::chrono::milliseconds>(wall_time()); }

Random Simulation::random(std::string_view name) {
  if (!seed_) return Random{};
  auto given = given_.find(name);
  if (given == given_.end()) given = given_.emplace(name, 0).first;
  const auto number = ++given->second;
  return Random{Random{*seed_}.next() ^ (std::uint64_t{crc32c(name)} << 32 | number)};
}

void Simulation::run() {
  run_until([] { return false; });
}

void Simulation::run_until(const std::function<bool()>& finished) {
  if (running_)
    throw Failure(ErrorKind::kInvalid, "this simulation runs already: co_await the task instead of running a loop");
  running_ = true;
  struct Ended {
    bool& running;
    ~Ended() { running = false; }
  } ended{running_};
  while (!finished()) {
    if (take_turns(finished) || wait_for_others() || move_clock()) continue;
    return;
  }
}

// Each loop takes one turn. False if none of them had anything to do. A task may make and destroy loops.
bool Simulation::take_turns(const std::function<bool()>& finished) {
  if (order_) {
    for (auto left = loops_.size(); left > 1; --left) std::swap(loops_[left - 1], loops_[order_->below(left)]);
  }
  bool active = false;
  for (std::size_t i = 0; i < loops_.size() && !finished(); ++i)
    active |= loops_[i]->impl().turn(*loops_[i], finished, order_ ? &*order_ : nullptr);
  return active;
}

// Waits for sockets, blocking calls and other threads. False if no loop waits for any.
bool Simulation::wait_for_others() {
  bool any = false;
  for (std::size_t i = 0; i < loops_.size(); ++i) {
    auto& loop = *loops_[i];
    if (loop.impl().external == 0) continue;
    any = true;
    const CurrentLoop current{loop};
    if (loops_.size() == 1)
      loop.impl().io.run_one();
    else
      loop.impl().io.run_one_for(kWatch);
  }
  return any;
}

bool Simulation::move_clock() {
  auto next = time_point::max();
  bool any = false;
  for (auto* loop : loops_) {
    const auto& timers = loop->impl().timers;
    if (timers.empty()) continue;
    next = std::min(next, timers.begin()->first);
    any = true;
  }
  if (any) now_ = std::max(now_, next);
  return any;
}

}  // namespace mephisto
