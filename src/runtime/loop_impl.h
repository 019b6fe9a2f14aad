// The inside of a Loop, for loop.cc and simulation.cc. Not installed.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/loop.h"
#include "mephisto/runtime/simulation.h"

namespace mephisto {

struct Loop::Impl {
  struct Ready {
    std::coroutine_handle<> handle;
    TaskContext* context;
  };

  explicit Impl(Environment& given)
      : environment(given), simulation(dynamic_cast<Simulation*>(&given)), work(boost::asio::make_work_guard(io)) {}
  // With a simulation of its own.
  explicit Impl(std::unique_ptr<Simulation> made) : Impl(*made) { own = std::move(made); }

  Environment& environment;
  Simulation* const simulation;  // null on real time
  std::unique_ptr<Simulation> own;
  boost::asio::io_context io{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;
  std::vector<Ready> ready;
  std::vector<Ready> running;
  std::multimap<time_point, Wait*> timers;
  std::list<boost::asio::signal_set> signals;
  std::list<TaskContext*> contexts;
  // The tasks' names, few and kept for good, so that another thread can read that of the running one.
  std::set<std::string, std::less<>> names;
  std::atomic<const std::string*> running_name{nullptr};
  std::atomic<time_point::rep> turn_began_at{0};
  std::atomic<bool> stopped{false};
  int external = 0;

  time_point turn_began() const { return time_point{duration{turn_began_at.load(std::memory_order_relaxed)}}; }

  void run(const Ready& next) {
    TaskContext::current_ = next.context;
    running_name.store(next.context == nullptr ? nullptr : &next.context->name(), std::memory_order_release);
    next.handle.resume();
  }
  void none_runs() {
    TaskContext::current_ = nullptr;
    running_name.store(nullptr, std::memory_order_release);
  }
  // Runs the coroutines that are ready now, in their order. Returns their number.
  int run_ready();
  // Runs handlers of sockets and posts. Returns their number.
  int handle_events();
  void wake_due(time_point now);
  std::optional<time_point> next_timer(std::span<const std::string_view> without) const;
  // A turn on virtual time. With `order` it takes ready coroutines at random, and only a few. False if there was
  // nothing to do.
  bool turn(Loop& loop, const std::function<bool()>& finished, Random* order);
};

// While it lives, Loop::current() is this loop.
class CurrentLoop {
 public:
  explicit CurrentLoop(Loop& loop);
  ~CurrentLoop();
  CurrentLoop(const CurrentLoop&) = delete;
  CurrentLoop& operator=(const CurrentLoop&) = delete;

 private:
  Loop* outer_;
};

}  // namespace mephisto
