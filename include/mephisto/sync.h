// Tools with which tasks of one loop wait for each other: WaitQueue, Channel, and the combinators when_all, when_any
// and timeout. Nothing here is thread-safe. Use `blocking` to do slow work on another thread.
//
//   auto [a, b] = co_await when_all(fetch("a"), fetch("b"));
//   auto page = co_await timeout(5s, fetch("c"));          // throws Failure kTimeout; fetch is cancelled
#pragma once

#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "mephisto/loop.h"

namespace mephisto {

// Tasks that wait until somebody notifies them. Spurious wake-ups happen: wait in a loop on the condition.
class WaitQueue {
 public:
  class [[nodiscard("nothing waits until it is awaited: write co_await before it")]] Waiter : public Wait {
   public:
    Waiter(WaitQueue& queue, const char* what, std::optional<Loop::time_point> deadline)
        : queue_(queue), what_(what), deadline_(deadline) {}
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> handle) {
      if (cancelled()) {
        ended_by_cancel_ = true;
        return false;
      }
      suspend(handle, what_);
      place_ = queue_.waiters_.insert(queue_.waiters_.end(), this);
      if (deadline_) timer_ = context_->loop().add_timer(*deadline_, this);
      return true;
    }
    void await_resume() const { throw_if_cancelled(); }

   private:
    friend class WaitQueue;
    void wake() {
      leave();
      resume();
    }
    void leave() {
      queue_.waiters_.erase(place_);
      if (deadline_) context_->loop().remove_timer(timer_);
    }
    bool abandon() override {
      leave();
      return true;
    }
    void due() override {
      queue_.waiters_.erase(place_);
      resume();
    }
    WaitQueue& queue_;
    const char* what_;
    std::optional<Loop::time_point> deadline_;
    std::list<Waiter*>::iterator place_{};
    Loop::TimerId timer_{};
  };

  // `what` describes the wait for diagnosis; it must outlive the wait.
  Waiter wait(const char* what) { return Waiter{*this, what, std::nullopt}; }
  // Like wait, but also ends at `deadline`. The caller does not learn which of the two ended it.
  Waiter wait_until(Loop::time_point deadline, const char* what) { return Waiter{*this, what, deadline}; }
  void notify_one() {
    if (!waiters_.empty()) waiters_.front()->wake();
  }
  void notify_all() {
    while (!waiters_.empty()) notify_one();
  }
  bool empty() const { return waiters_.empty(); }

 private:
  std::list<Waiter*> waiters_;
};

// Lets one task of a loop at a time do something: `const auto lock = co_await mutex.lock("the page before");`.
class Mutex {
 public:
  class [[nodiscard("it is unlocked at once: keep the lock in a variable")]] Lock {
   public:
    explicit Lock(Mutex& mutex) : mutex_(&mutex) {}
    Lock(Lock&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
    Lock& operator=(Lock&&) = delete;
    ~Lock() {
      if (mutex_ == nullptr) return;
      mutex_->locked_ = false;
      mutex_->unlocked_.notify_one();
    }

   private:
    Mutex* mutex_;
  };

  // `what` describes the wait for diagnosis; it must outlive the wait.
  Task<Lock> lock(const char* what) {
    while (locked_) co_await unlocked_.wait(what);
    locked_ = true;
    co_return Lock{*this};
  }

 private:
  bool locked_ = false;
  WaitQueue unlocked_;
};

// A bounded queue between tasks of one loop.
template <class T>
class Channel {
 public:
  explicit Channel(std::size_t capacity) : capacity_(capacity) {}

  // Waits while the channel is full. False when it is closed.
  Task<bool> push(T value) {
    while (!closed_ && items_.size() >= capacity_) co_await room_.wait("room in a channel");
    co_return try_push(std::move(value));
  }
  // False when full or closed.
  bool try_push(T value) {
    if (closed_ || items_.size() >= capacity_) return false;
    items_.push_back(std::move(value));
    filled_.notify_one();
    return true;
  }
  // Waits for an item; nothing once the channel is closed and drained.
  Task<std::optional<T>> pop() {
    while (items_.empty() && !closed_) co_await filled_.wait("an item in a channel");
    if (items_.empty()) co_return std::nullopt;
    std::optional<T> item{std::move(items_.front())};
    items_.pop_front();
    room_.notify_one();
    co_return item;
  }
  void close() {
    closed_ = true;
    filled_.notify_all();
    room_.notify_all();
  }
  std::size_t size() const { return items_.size(); }
  bool closed() const { return closed_; }

 private:
  std::size_t capacity_;
  bool closed_ = false;
  std::deque<T> items_;
  WaitQueue filled_;
  WaitQueue room_;
};

// Runs child tasks, each in its own context, and waits for all of them. Cancelling the waiter cancels the children.
class TaskGroup {
 public:
  explicit TaskGroup(std::string name) : name_(std::move(name)) {}
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  void spawn(Task<void> task);
  void cancel_all();
  // Waits until every child is done, or, when `first` is set, until one is. Never throws what a child threw.
  Task<void> wait(bool first = false);
  std::size_t size() const { return children_.size(); }
  // The index of the child that ended first.
  std::optional<std::size_t> first() const { return first_; }
  // The exception that ended child `index`, or null.
  std::exception_ptr error(std::size_t index) const { return children_[index].error(); }

 private:
  // Waits for a child to end; a cancelled waiter cancels the children and goes on waiting for them.
  class Waiter;

  std::string name_;
  std::size_t done_ = 0;
  std::optional<std::size_t> first_;
  Waiter* waiter_ = nullptr;
  std::vector<Spawned> children_;
};

namespace detail {

// The value of a child task kept for its parent; void becomes monostate.
template <class T>
using Kept = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T>
Task<void> keep(Task<T> task, std::optional<Kept<T>>& place) {
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    place.emplace();
  } else {
    place.emplace(co_await std::move(task));
  }
}

void rethrow_first(const TaskGroup& group);
[[noreturn]] void throw_timeout(Loop::duration limit);

}  // namespace detail

// Waits for all tasks. If some fail, throws the exception of the first of them (in order), after all are done.
template <class... T>
Task<std::tuple<detail::Kept<T>...>> when_all(Task<T>... tasks) {
  std::tuple<std::optional<detail::Kept<T>>...> kept;
  TaskGroup group{"when_all"};
  std::apply([&](auto&... place) { (group.spawn(detail::keep(std::move(tasks), place)), ...); }, kept);
  co_await group.wait();
  detail::rethrow_first(group);
  co_return std::apply([](auto&... place) { return std::tuple<detail::Kept<T>...>{std::move(*place)...}; }, kept);
}

template <class T>
Task<std::vector<detail::Kept<T>>> when_all(std::vector<Task<T>> tasks) {
  std::vector<std::optional<detail::Kept<T>>> kept(tasks.size());
  TaskGroup group{"when_all"};
  for (std::size_t i = 0; i < tasks.size(); ++i) group.spawn(detail::keep(std::move(tasks[i]), kept[i]));
  co_await group.wait();
  detail::rethrow_first(group);
  std::vector<detail::Kept<T>> values;
  values.reserve(kept.size());
  for (auto& value : kept) values.push_back(std::move(*value));
  co_return values;
}

// Waits for the first task to be done, cancels the others and waits for their end. Returns the index of the first one
// and its value.
template <class T>
Task<std::pair<std::size_t, detail::Kept<T>>> when_any(std::vector<Task<T>> tasks) {
  if (tasks.empty()) throw Failure(ErrorKind::kInvalid, "when_any of nothing would wait for ever");
  std::vector<std::optional<detail::Kept<T>>> kept(tasks.size());
  TaskGroup group{"when_any"};
  for (std::size_t i = 0; i < tasks.size(); ++i) group.spawn(detail::keep(std::move(tasks[i]), kept[i]));
  co_await group.wait(true);
  const auto winner = *group.first();
  group.cancel_all();
  co_await group.wait();
  if (auto error = group.error(winner)) std::rethrow_exception(error);
  co_return std::pair<std::size_t, detail::Kept<T>>{winner, std::move(*kept[winner])};
}

// The value of `task`. After `limit`, cancels the task, waits for its end and throws Failure kTimeout.
template <class T>
Task<T> timeout(Loop::duration limit, Task<T> task) {
  std::optional<detail::Kept<T>> value;
  bool late = false;
  TaskGroup group{"timeout"};
  group.spawn(detail::keep(std::move(task), value));
  group.spawn([](Loop::duration duration, bool& flag) -> Task<void> {
    co_await sleep_for(duration);
    flag = true;
  }(limit, late));
  co_await group.wait(true);
  group.cancel_all();
  co_await group.wait();
  if (auto error = group.error(0); error && !late) std::rethrow_exception(error);
  if (!value) detail::throw_timeout(limit);
  if constexpr (!std::is_void_v<T>) co_return std::move(*value);
}

// Runs `work` on a thread of the process's pool for blocking calls and resumes on the loop. A running call cannot be
// abandoned: a cancelled caller waits for its end, then gets Cancelled.
Task<void> blocking_call(std::function<void()> work, const char* what);

template <class Work>
Task<std::invoke_result_t<Work>> blocking(Work work, const char* what = "a blocking call") {
  using T = std::invoke_result_t<Work>;
  if constexpr (std::is_void_v<T>) {
    co_await blocking_call(std::move(work), what);
  } else {
    std::optional<T> result;
    co_await blocking_call([&] { result.emplace(work()); }, what);
    co_return std::move(*result);
  }
}

}  // namespace mephisto
