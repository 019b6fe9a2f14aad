// Loop: the event loop of one thread. All work of a shard (its agents, timers, sockets, its part of the log) runs on
// one Loop and needs no lock. Tests run a Loop on virtual time: when nothing is left to do, the clock jumps to the next
// timer. Several loops can share a virtual clock: runtime/simulation.h.
//
//   Loop loop;
//   int n = loop.run(answer());
#pragma once

#include <chrono>
#include <coroutine>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/task.h"
#include "mephisto/base/time.h"

namespace mephisto {

class Environment;

namespace detail {
struct SpawnState;
}

// A task started by Loop::spawn. Dropping the handle leaves the task running.
class Spawned {
 public:
  Spawned() = default;
  explicit Spawned(std::shared_ptr<detail::SpawnState> state) : state_(std::move(state)) {}

  bool done() const;
  // The exception that ended the task (also Cancelled), or null.
  std::exception_ptr error() const;
  void cancel();
  // Waits for the end; rethrows what the task threw, except Cancelled.
  Task<void> join();
  // As join, but never throws what the task threw. Cancelling the waiter does not cancel the task.
  Task<void> finished();

 private:
  std::shared_ptr<detail::SpawnState> state_;
};

class Loop {
 public:
  // kReal: the system's environment. kVirtual: a Simulation without a seed, for this loop alone.
  enum class Clock { kReal, kVirtual };
  using time_point = std::chrono::steady_clock::time_point;
  using duration = std::chrono::steady_clock::duration;

  explicit Loop(Clock clock = Clock::kReal);
  // The environment must outlive the loop. In a Simulation every run of this loop runs the others too.
  explicit Loop(Environment& environment);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // The loop that runs on this thread; null if there is none.
  static Loop* current();

  // Runs until stop() of this loop. On virtual time, also returns when nothing can happen any more.
  void run();
  // Runs until `task` is done and returns its result. On virtual time, throws Failure if the task can never finish.
  template <class T>
  T run(Task<T> task);
  // Thread-safe.
  void stop();

  // Starts `task` at the loop's next turn. Not thread-safe; from another thread: post([&]{ loop.spawn(…); }).
  Spawned spawn(const std::string& name, Task<void> task);
  // Runs `action` on the loop's thread. Thread-safe; keeps order per calling thread.
  void post(std::function<void()> action);
  // post() for other threads that may outlive the loop: actions posted after the loop's end are dropped.
  struct Impl;
  class Poster {
   public:
    explicit Poster(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
    void operator()(std::function<void()> action) const;

   private:
    std::shared_ptr<Impl> impl_;
  };
  Poster poster() const { return Poster{impl_}; }

  // Where code that belongs to the loop gets its random numbers.
  Environment& environment() const;
  bool virtual_time() const;
  // Whether timers, sockets and other threads have waited for some milliseconds. A task that could go on for long
  // should then yield(). Always false on virtual time, which stands still while a task runs.
  bool turn_is_over() const;
  time_point now() const;
  // Wall time, for timestamps of records. On virtual time it moves with the clock, from 2026-01-01.
  Microtime wall_time() const;
  // The same in milliseconds, but cheaper: it may lag by a tick of the kernel (4 ms).
  Timestamp timestamp() const;

  // Calls `action(signal)` on this loop's thread for every such signal of the process. Replaces the default action.
  void on_signal(std::vector<int> signals, std::function<void(int)> action);

  // The task that occupies the loop's thread, and since when; no value between two tasks. Thread-safe.
  struct Busy {
    std::string task;
    time_point since;
  };
  std::optional<Busy> busy() const;

  // One line for each task: its name, what it waits for, and since when.
  std::vector<std::string> describe_tasks() const;

  // Timers for the awaitables of this library.
  using TimerId = std::multimap<time_point, Wait*>::iterator;
  TimerId add_timer(time_point at, Wait* wait);
  void remove_timer(TimerId place);

  // Where tasks send that no other task has spawned.
  std::shared_ptr<detail::Sender> root_sender;

  // For the rooms that do input and output through Asio; see runtime/asio.h.
  Impl& impl() { return *impl_; }

 private:
  friend class Wait;
  friend class TaskContext;
  friend struct detail::SpawnState;

  explicit Loop(std::shared_ptr<Impl> impl);
  void schedule(std::coroutine_handle<> handle, TaskContext* context);
  void run_until(const bool* done);

  std::shared_ptr<Impl> impl_;
};

// co_await yield(): lets every other ready task run first.
class [[nodiscard("nothing waits until it is awaited: write co_await before it")]] YieldWait : public Wait {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    suspend(handle, "its next turn");
    resume();
  }
  void await_resume() const {
    if (cancelled()) throw Cancelled{};
  }
};
inline YieldWait yield() { return YieldWait{}; }

// co_await sleep_until(t), sleep_for(d).
class [[nodiscard("nothing waits until it is awaited: write co_await before it")]] TimerWait : public Wait {
 public:
  explicit TimerWait(Loop::time_point at) : at_(at) {}
  bool await_ready() const { return false; }
  bool await_suspend(std::coroutine_handle<> handle);
  void await_resume() const { throw_if_cancelled(); }

 private:
  bool abandon() override;
  Loop::time_point at_;
  Loop::TimerId place_{};
};
inline TimerWait sleep_until(Loop::time_point at) { return TimerWait{at}; }
TimerWait sleep_for(Loop::duration duration);

template <class T>
T Loop::run(Task<T> task) {
  // Shared with the task: if the task can never finish, this call ends first.
  struct Ending {
    bool done = false;
    std::exception_ptr error;
    std::optional<std::conditional_t<std::is_void_v<T>, bool, T>> value;
  };
  auto ending = std::make_shared<Ending>();
  spawn("main", [](Task<T> inner, std::shared_ptr<Ending> end) -> Task<void> {
    try {
      if constexpr (std::is_void_v<T>) {
        co_await std::move(inner);
      } else {
        end->value.emplace(co_await std::move(inner));
      }
    } catch (...) {
      end->error = std::current_exception();
    }
    end->done = true;
  }(std::move(task), ending));
  run_until(&ending->done);
  if (ending->error) std::rethrow_exception(ending->error);
  if constexpr (!std::is_void_v<T>) return std::move(*ending->value);
}

}  // namespace mephisto
