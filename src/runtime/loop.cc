#include "mephisto/loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <list>
#include <set>

#include "base/log_place.h"
#include "mephisto/logging.h"
#include "runtime/asio.h"
#include "runtime/tasks.h"

namespace mephisto {
namespace {

thread_local Loop* current_loop = nullptr;

// 2026-01-01, where virtual wall time starts.
constexpr Microtime kVirtualEpoch{std::chrono::sys_days{std::chrono::year{2026} / 1 / 1}};

// The number of ready coroutines that run before sockets and other threads get their turn.
constexpr int kTurn = 256;
// If coroutines take long, a turn ends after this time instead.
constexpr std::chrono::milliseconds kTurnTime{5};

// The number of handlers of sockets and posts that run before coroutines and timers get their turn. Without this limit,
// a socket that always has data to read would starve them.
constexpr int kHandlers = 16;

struct Ready {
  std::coroutine_handle<> handle;
  TaskContext* context;
};

}  // namespace

struct Loop::Impl {
  explicit Impl(Clock clock) : virtual_time(clock == Clock::kVirtual), work(boost::asio::make_work_guard(io)) {}

  const bool virtual_time;
  time_point virtual_now{};
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
};

thread_local TaskContext* TaskContext::current_ = nullptr;

TaskContext::TaskContext(Loop& loop, const std::string& name, TaskContext* parent)
    : loop_(loop), name_(*loop.impl().names.insert(name).first) {
  if (parent != nullptr) cancelled_ = parent->cancelled_;
  sender = parent != nullptr && parent->sender ? parent->sender : loop_.root_sender;
  auto& contexts = loop_.impl().contexts;
  place_ = contexts.insert(contexts.end(), this);
}

TaskContext::~TaskContext() {
  if (current_ == this) current_ = nullptr;
  loop_.impl().contexts.erase(place_);
}

void TaskContext::cancel() {
  if (cancelled_) return;
  cancelled_ = true;
  if (wait_ == nullptr) return;
  auto* wait = wait_;
  if (wait->abandon()) {
    wait->ended_by_cancel_ = true;
    wait->resume();
  }
}

void Wait::suspend(std::coroutine_handle<> handle, const char* what) {
  if (context_ == nullptr)
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("co_await of {} outside of a task: use Loop::spawn or Loop::run", what));
  handle_ = handle;
  context_->wait_ = this;
  context_->waiting_for_ = what;
  context_->waiting_since_ = context_->loop_.now();
}

void Wait::resume() {
  if (!handle_) return;
  context_->wait_ = nullptr;
  context_->waiting_for_ = nullptr;
  context_->loop_.schedule(std::exchange(handle_, nullptr), context_);
}

Loop::Loop(Clock clock) : impl_(std::make_shared<Impl>(clock)) {
  log::current_task_name.store(+[]() -> std::string_view {
    auto* context = TaskContext::current();
    return context == nullptr || context->name() == "main" ? std::string_view{} : context->name();
  });
}

Loop::~Loop() = default;

Loop* Loop::current() { return current_loop; }

void Loop::schedule(std::coroutine_handle<> handle, TaskContext* context) { impl_->ready.push_back({handle, context}); }

void Loop::stop() {
  impl_->stopped = true;
  boost::asio::post(impl_->io, [] {});
}

void Loop::post(std::function<void()> action) { boost::asio::post(impl_->io, std::move(action)); }

bool Loop::virtual_time() const { return impl_->virtual_time; }

Loop::time_point Loop::now() const {
  return impl_->virtual_time ? impl_->virtual_now : std::chrono::steady_clock::now();
}

Microtime Loop::wall_time() const {
  if (!impl_->virtual_time) return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  return kVirtualEpoch + std::chrono::floor<std::chrono::microseconds>(impl_->virtual_now.time_since_epoch());
}

Timestamp Loop::timestamp() const {
  if (impl_->virtual_time) return std::chrono::floor<std::chrono::milliseconds>(wall_time());
  // Called for every record that is sent. The kernel's tick of a few milliseconds is exact enough and costs a quarter.
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return Timestamp{std::chrono::milliseconds{now.tv_sec * 1000 + now.tv_nsec / 1'000'000}};
}

void Loop::Poster::operator()(std::function<void()> action) const { boost::asio::post(impl_->io, std::move(action)); }

void Loop::run() {
  run_until(nullptr);
  impl_->stopped = false;
}

bool Loop::turn_is_over() const {
  return !impl_->virtual_time && std::chrono::steady_clock::now() - impl_->turn_began() >= kTurnTime;
}

std::optional<Loop::Busy> Loop::busy() const {
  const auto* name = impl_->running_name.load(std::memory_order_acquire);
  if (name == nullptr) return std::nullopt;
  return Busy{*name, impl_->turn_began()};
}

void Loop::run_until(const bool* done) {
  auto& impl = *impl_;
  auto* outer = std::exchange(current_loop, this);
  struct Restore {
    Loop* outer;
    ~Restore() { current_loop = outer; }
  } restore{outer};
  auto finished = [&] { return done != nullptr ? *done : impl.stopped.load(std::memory_order_relaxed); };

  while (!finished()) {
    int turn = 0;
    if (!impl.virtual_time)
      impl.turn_began_at.store(std::chrono::steady_clock::now().time_since_epoch().count(), std::memory_order_relaxed);
    while (!impl.ready.empty() && turn < kTurn && !turn_is_over() && !finished()) {
      impl.running.swap(impl.ready);
      for (std::size_t i = 0; i < impl.running.size(); ++i) {
        auto [handle, context] = impl.running[i];
        TaskContext::current_ = context;
        impl.running_name.store(context == nullptr ? nullptr : &context->name(), std::memory_order_release);
        handle.resume();
        ++turn;
      }
      TaskContext::current_ = nullptr;
      impl.running_name.store(nullptr, std::memory_order_release);
      impl.running.clear();
    }
    if (finished()) break;
    int handled = 0;
    while (handled < kHandlers && impl.io.poll_one() > 0) ++handled;
    if (!impl.timers.empty()) {
      auto time = now();
      while (!impl.timers.empty() && impl.timers.begin()->first <= time) {
        auto* wait = impl.timers.begin()->second;
        impl.timers.erase(impl.timers.begin());
        wait->due();
      }
    }
    if (!impl.ready.empty() || handled == kHandlers || finished()) continue;
    if (!impl.virtual_time) {
      if (impl.timers.empty())
        impl.io.run_one();
      else
        impl.io.run_one_until(impl.timers.begin()->first);
    } else if (impl.external > 0) {
      impl.io.run_one();
    } else if (!impl.timers.empty()) {
      impl.virtual_now = impl.timers.begin()->first;
    } else if (impl.io.poll_one() == 0 && impl.ready.empty()) {
      if (done == nullptr) return;
      std::string tasks;
      for (const auto& line : describe_tasks()) tasks += "\n  " + line;
      throw Failure(ErrorKind::kInvalid, "nothing can happen any more, but the task is not done; waiting:" + tasks);
    }
  }
}

void Loop::on_signal(std::vector<int> signals, std::function<void(int)> action) {
  auto& set = impl_->signals.emplace_back(impl_->io);
  for (int signal : signals) set.add(signal);
  auto arm = std::make_shared<std::function<void()>>();
  *arm = [&set, action = std::move(action), weak = std::weak_ptr(arm)] {
    set.async_wait([action, keep = weak.lock()](boost::system::error_code error, int signal) {
      if (error) return;
      action(signal);
      (*keep)();
    });
  };
  (*arm)();
}

std::vector<std::string> Loop::describe_tasks() const {
  std::vector<std::string> lines;
  for (const auto* context : impl_->contexts) {
    if (context->waiting_for() == nullptr) {
      lines.push_back(fmt::format("{}: running", context->name()));
      continue;
    }
    auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now() - context->waiting_since());
    lines.push_back(
        fmt::format("{}: waits for {} since {}", context->name(), context->waiting_for(), format_duration(since)));
  }
  std::ranges::sort(lines);
  return lines;
}

Loop::TimerId Loop::add_timer(time_point at, Wait* wait) { return impl_->timers.emplace(at, wait); }

void Loop::remove_timer(TimerId place) { impl_->timers.erase(place); }

bool TimerWait::await_suspend(std::coroutine_handle<> handle) {
  if (cancelled()) {
    ended_by_cancel_ = true;
    return false;
  }
  suspend(handle, "a timer");
  place_ = context_->loop().add_timer(at_, this);
  return true;
}

bool TimerWait::abandon() {
  context_->loop().remove_timer(place_);
  return true;
}

TimerWait sleep_for(Loop::duration duration) {
  auto* context = TaskContext::current();
  if (context == nullptr)
    throw Failure(ErrorKind::kInvalid, "sleep_for outside of a task: use Loop::spawn or Loop::run");
  auto now = context->loop().now();
  return TimerWait{duration > Loop::time_point::max() - now ? Loop::time_point::max() : now + duration};
}

boost::asio::io_context& io_context_of(Loop& loop) { return loop.impl().io; }
const std::list<TaskContext*>& tasks_of(Loop& loop) { return loop.impl().contexts; }
void begin_external(Loop& loop) { ++loop.impl().external; }
void end_external(Loop& loop) { --loop.impl().external; }

}  // namespace mephisto
