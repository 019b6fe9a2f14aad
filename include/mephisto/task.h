// Task<T>: a coroutine that starts when it is awaited and returns a T, or throws.
//
//   Task<int> answer() { co_await sleep_for(1s); co_return 42; }
//
// A task belongs to the thread of its Loop. Each chain of awaiting tasks runs in a TaskContext. The context has a name
// (for log lines and diagnosis) and can be cancelled: the chain's current wait then ends with the exception Cancelled.
#pragma once

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mephisto/error.h"

namespace mephisto {

namespace detail {
struct Sender;
struct UnitOfWork;
}  // namespace detail

class Loop;
class Wait;
template <class T>
class Task;

// One logical thread of coroutines. Created by Loop::spawn, when_all, when_any and timeout; never by hand.
class TaskContext {
 public:
  TaskContext(Loop& loop, const std::string& name, TaskContext* parent);
  ~TaskContext();
  TaskContext(const TaskContext&) = delete;
  TaskContext& operator=(const TaskContext&) = delete;

  // The context that is running on this thread; null outside of tasks.
  static TaskContext* current() { return current_; }

  Loop& loop() const { return loop_; }
  const std::string& name() const { return name_; }
  bool cancelled() const { return cancelled_; }
  // What the task waits for, in a few words, and since when; null while it runs.
  const char* waiting_for() const { return waiting_for_; }
  std::chrono::steady_clock::time_point waiting_since() const { return waiting_since_; }

  // Ends the current wait and every later one with Cancelled. Idempotent. Call it only on the loop's thread.
  void cancel();

  // The unit of work that the task's outputs and state changes belong to; null outside of events and timers. Children
  // in a TaskGroup work for the same unit. A task of Loop::spawn may outlive the unit and works for none.
  detail::UnitOfWork* current_unit = nullptr;
  // Where the task sends. A spawned task inherits it from its spawner.
  std::shared_ptr<detail::Sender> sender;

 private:
  friend class Wait;
  friend class Loop;
  static constinit thread_local TaskContext* current_;

  Loop& loop_;
  const std::string& name_;  // owned by the loop, where other threads can read it
  bool cancelled_ = false;
  Wait* wait_ = nullptr;
  const char* waiting_for_ = nullptr;
  std::chrono::steady_clock::time_point waiting_since_{};
  std::list<TaskContext*>::iterator place_;  // among the loop's tasks
};

// The base of every suspension. A derived awaitable calls suspend() when it must wait, and resume() when the awaited
// event has happened; cancellation ends it earlier. It lives in the frame of the coroutine that awaits it.
class Wait {
 public:
  Wait() : context_(TaskContext::current()) {}
  Wait(const Wait&) = delete;
  Wait& operator=(const Wait&) = delete;

  bool suspended() const { return handle_ != nullptr; }
  // Lets the coroutine continue at the loop's next turn. No effect if it is not waiting.
  void resume();

 protected:
  ~Wait() = default;

  bool cancelled() const { return context_ != nullptr && context_->cancelled_; }
  void suspend(std::coroutine_handle<> handle, const char* what);
  // For await_resume: throws Cancelled if cancellation ended the wait.
  void throw_if_cancelled() const {
    if (ended_by_cancel_) throw Cancelled{};
  }
  // Called by cancellation while suspended: remove this wait from the place where it is registered. Return false to go
  // on waiting, if the operation cannot be abandoned and will call resume() itself.
  virtual bool abandon() { return true; }
  // Called by the loop when a timer set for this wait is due.
  virtual void due() { resume(); }

  TaskContext* context_;
  bool ended_by_cancel_ = false;

 private:
  friend class TaskContext;
  friend class Loop;
  std::coroutine_handle<> handle_;
};

namespace detail {

struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> handle) const noexcept {
    return handle.promise().continuation;
  }
  void await_resume() const noexcept {}
};

struct TaskPromiseBase {
  std::coroutine_handle<> continuation = std::noop_coroutine();
  std::exception_ptr exception;

  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { exception = std::current_exception(); }
};

template <class T>
struct TaskPromise : TaskPromiseBase {
  Task<T> get_return_object();
  template <class U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T take() {
    if (exception) std::rethrow_exception(exception);
    return std::move(*value);
  }
  std::optional<T> value;
};

template <>
struct TaskPromise<void> : TaskPromiseBase {
  Task<void> get_return_object();
  void return_void() const noexcept {}
  void take() const {
    if (exception) std::rethrow_exception(exception);
  }
};

}  // namespace detail

template <class T = void>
class [[nodiscard("nothing waits until it is awaited: write co_await before it")]] Task {
 public:
  using promise_type = detail::TaskPromise<T>;
  using value_type = T;

  Task() = default;
  explicit Task(std::coroutine_handle<promise_type> handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    if (this != &other) {
      if (handle_) handle_.destroy();
      handle_ = std::exchange(other.handle_, nullptr);
    }
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }

  explicit operator bool() const { return handle_ != nullptr; }

  auto operator co_await() && noexcept {
    struct Awaiter {
      std::coroutine_handle<promise_type> handle;
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<> awaiting) const noexcept {
        handle.promise().continuation = awaiting;
        return handle;
      }
      T await_resume() const { return handle.promise().take(); }
    };
    return Awaiter{handle_};
  }
  auto operator co_await() & noexcept { return std::move(*this).operator co_await(); }

 private:
  std::coroutine_handle<promise_type> handle_;
};

namespace detail {
template <class T>
Task<T> TaskPromise<T>::get_return_object() {
  return Task<T>{std::coroutine_handle<TaskPromise<T>>::from_promise(*this)};
}
inline Task<void> TaskPromise<void>::get_return_object() {
  return Task<void>{std::coroutine_handle<TaskPromise<void>>::from_promise(*this)};
}
}  // namespace detail

}  // namespace mephisto
