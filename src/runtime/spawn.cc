// Spawned tasks, groups of them, and calls on the pool of blocking threads.
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "mephisto/sync.h"
#include "runtime/asio.h"

namespace mephisto {
namespace detail {

struct SpawnState {
  SpawnState(Loop& loop, const std::string& name)
      : context(std::make_unique<TaskContext>(loop, name, TaskContext::current())) {}
  ~SpawnState() {
    if (root) root.destroy();
  }

  std::unique_ptr<TaskContext> context;
  std::coroutine_handle<> root;
  bool done = false;
  std::exception_ptr error;
  WaitQueue finished;

  static void start(Loop& loop, const std::shared_ptr<SpawnState>& state) {
    loop.schedule(state->root, state->context.get());
  }
};

namespace {

struct Root {
  struct promise_type {
    Root get_return_object() { return Root{std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};

// The frame owns the state, so the state lives until the task has ended, even if no handle is left. If the loop is
// destroyed before that, the frame is leaked: there is no moment at which unwinding it would be safe.
Root run_root(std::shared_ptr<SpawnState> state, Task<void> task) {
  try {
    co_await std::move(task);
  } catch (...) {
    state->error = std::current_exception();
  }
  state->done = true;
  state->root = nullptr;
  task = {};
  state->finished.notify_all();
  state->context.reset();
}

}  // namespace

void rethrow_first(const TaskGroup& group) {
  for (std::size_t i = 0; i < group.size(); ++i) {
    if (auto error = group.error(i)) std::rethrow_exception(error);
  }
}

void throw_timeout(Loop::duration limit) {
  auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(limit);
  throw Failure(ErrorKind::kTimeout, fmt::format("not done within {}", format_duration(ms)));
}

}  // namespace detail

bool Spawned::done() const { return !state_ || state_->done; }

std::exception_ptr Spawned::error() const { return state_ ? state_->error : nullptr; }

void Spawned::cancel() {
  if (state_ && state_->context) state_->context->cancel();
}

namespace {

// These coroutines own the state: the handle may be destroyed before they begin.
Task<void> wait_for(std::shared_ptr<detail::SpawnState> state) {
  while (state && !state->done) co_await state->finished.wait("a task to end");
}

Task<void> join_state(std::shared_ptr<detail::SpawnState> state) {
  co_await wait_for(state);
  if (!state || !state->error) co_return;
  try {
    std::rethrow_exception(state->error);
  } catch (const Cancelled&) {
  }
}

}  // namespace

Task<void> Spawned::finished() { return wait_for(state_); }

Task<void> Spawned::join() { return join_state(state_); }

Spawned Loop::spawn(const std::string& name, Task<void> task) {
  auto state = std::make_shared<detail::SpawnState>(*this, name);
  state->root = detail::run_root(state, std::move(task)).handle;
  detail::SpawnState::start(*this, state);
  return Spawned{state};
}

class TaskGroup::Waiter : public Wait {
 public:
  explicit Waiter(TaskGroup& group) : group_(group) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    suspend(handle, group_.name_.c_str());
    group_.waiter_ = this;
  }
  void await_resume() const { group_.waiter_ = nullptr; }

 private:
  bool abandon() override {
    group_.cancel_all();
    return false;
  }
  TaskGroup& group_;
};

void TaskGroup::spawn(Task<void> task) {
  auto* context = TaskContext::current();
  if (context == nullptr)
    throw Failure(ErrorKind::kInvalid, "a TaskGroup works inside of a task only: use Loop::spawn");
  // A child carries its parent's name, so that its log lines say whose they are. It is counted as done after its frame
  // is gone: what the frame refers to may then go too.
  auto body = [](TaskGroup& group, std::size_t index, detail::UnitOfWork* unit, Task<void> inner) -> Task<void> {
    TaskContext::current()->current_unit = unit;
    std::exception_ptr error;
    try {
      co_await std::move(inner);
    } catch (...) {
      error = std::current_exception();
    }
    inner = {};
    if (group.done_++ == 0) group.first_ = index;
    if (group.waiter_ != nullptr) group.waiter_->resume();
    if (error) std::rethrow_exception(error);
  };
  children_.push_back(
      context->loop().spawn(context->name(), body(*this, children_.size(), context->current_unit, std::move(task))));
}

void TaskGroup::cancel_all() {
  for (auto& child : children_) child.cancel();
}

Task<void> TaskGroup::wait(bool first) {
  auto* context = TaskContext::current();
  if (context->cancelled()) cancel_all();
  while (done_ < children_.size() && !(first && done_ > 0 && !context->cancelled())) co_await Waiter{*this};
  if (context->cancelled()) throw Cancelled{};
}

// Threads for blocking calls. Their number grows with demand up to a bound; they live as long as the process.
class BlockingPool {
 public:
  static BlockingPool& instance() {
    static BlockingPool* pool = new BlockingPool;
    return *pool;
  }

  void run(std::function<void()> job) {
    std::lock_guard lock{mutex_};
    jobs_.push_back(std::move(job));
    if (jobs_.size() > static_cast<std::size_t>(idle_) && threads_ < kMaxThreads) {
      ++threads_;
      std::thread([this] { work(); }).detach();
    }
    filled_.notify_one();
  }

 private:
  static constexpr int kMaxThreads = 16;

  void work() {
    std::unique_lock lock{mutex_};
    for (;;) {
      ++idle_;
      filled_.wait(lock, [this] { return !jobs_.empty(); });
      --idle_;
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<std::function<void()>> jobs_;
  int threads_ = 0;
  int idle_ = 0;
};

namespace {

class BlockingWait : public Wait {
 public:
  BlockingWait(std::function<void()>& work, const char* what) : work_(work), what_(what) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    suspend(handle, what_);
    auto& loop = context_->loop();
    begin_external(loop);
    BlockingPool::instance().run([this, &loop, post = loop.poster()] {
      try {
        work_();
      } catch (...) {
        error_ = std::current_exception();
      }
      post([this, &loop] {
        end_external(loop);
        resume();
      });
    });
  }
  void await_resume() const {
    if (cancelled()) throw Cancelled{};
    if (error_) std::rethrow_exception(error_);
  }

 private:
  bool abandon() override { return false; }
  std::function<void()>& work_;
  const char* what_;
  std::exception_ptr error_;
};

}  // namespace

Task<void> blocking_call(std::function<void()> work, const char* what) { co_await BlockingWait{work, what}; }

}  // namespace mephisto
