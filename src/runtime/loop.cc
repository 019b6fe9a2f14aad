#include "mephisto/loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>

#include "base/log_place.h"
#include "mephisto/logging.h"
#include "runtime/asio.h"
#include "runtime/loop_impl.h"
#include "runtime/tasks.h"

namespace mephisto {
namespace {

thread_local Loop* current_loop = nullptr;

// The number of ready coroutines that run before sockets and other threads get their turn.
constexpr int kTurn = 256;
// If coroutines take long, a turn ends after this time instead.
constexpr std::chrono::milliseconds kTurnTime{5};

// The number of handlers of sockets and posts that run before coroutines and timers get their turn. Without this limit,
// a socket that always has data to read would starve them.
constexpr int kHandlers = 16;

// The most that a loop of a simulation with a seed does before another loop may take its turn.
constexpr std::uint64_t kRandomTurn = 8;

}  // namespace

constinit thread_local TaskContext* TaskContext::current_ = nullptr;

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

Loop::Loop(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {
  if (impl_->simulation != nullptr) impl_->simulation->loops_.push_back(this);
  log::current_task_name.store(+[]() -> std::string_view {
    auto* context = TaskContext::current();
    return context == nullptr || context->name() == "main" ? std::string_view{} : context->name();
  });
}

Loop::Loop(Clock clock)
    : Loop(clock == Clock::kVirtual ? std::make_shared<Impl>(std::make_unique<Simulation>())
                                    : std::make_shared<Impl>(Environment::system())) {}

Loop::Loop(Environment& environment) : Loop(std::make_shared<Impl>(environment)) {}

Loop::~Loop() {
  if (impl_->simulation != nullptr) std::erase(impl_->simulation->loops_, this);
}

CurrentLoop::CurrentLoop(Loop& loop) : outer_(std::exchange(current_loop, &loop)) {}

CurrentLoop::~CurrentLoop() { current_loop = outer_; }

Loop* Loop::current() { return current_loop; }

void Loop::schedule(std::coroutine_handle<> handle, TaskContext* context) { impl_->ready.push_back({handle, context}); }

void Loop::stop() {
  impl_->stopped = true;
  boost::asio::post(impl_->io, [] {});
}

void Loop::post(std::function<void()> action) { boost::asio::post(impl_->io, std::move(action)); }

Environment& Loop::environment() const { return impl_->environment; }

bool Loop::virtual_time() const { return impl_->simulation != nullptr; }

Loop::time_point Loop::now() const { return impl_->environment.now(); }

Microtime Loop::wall_time() const { return impl_->environment.wall_time(); }

Timestamp Loop::timestamp() const { return impl_->environment.timestamp(); }

void Loop::Poster::operator()(std::function<void()> action) const { boost::asio::post(impl_->io, std::move(action)); }

void Loop::run() {
  run_until(nullptr);
  impl_->stopped = false;
}

bool Loop::turn_is_over() const {
  return impl_->simulation == nullptr && std::chrono::steady_clock::now() - impl_->turn_began() >= kTurnTime;
}

std::optional<Loop::Busy> Loop::busy() const {
  const auto* name = impl_->running_name.load(std::memory_order_acquire);
  if (name == nullptr) return std::nullopt;
  return Busy{*name, impl_->turn_began()};
}

int Loop::Impl::run_ready() {
  running.swap(ready);
  const auto count = running.size();
  for (std::size_t i = 0; i < count; ++i) run(running[i]);
  none_runs();
  running.clear();
  return static_cast<int>(count);
}

int Loop::Impl::handle_events() {
  int handled = 0;
  while (handled < kHandlers && io.poll_one() > 0) ++handled;
  return handled;
}

std::optional<Loop::time_point> Loop::Impl::next_timer(std::span<const std::string_view> without) const {
  for (const auto& [at, wait] : timers) {
    const char* what = wait->context_->waiting_for();
    if (what == nullptr || std::ranges::find(without, std::string_view{what}) == without.end()) return at;
  }
  return std::nullopt;
}

void Loop::Impl::wake_due(time_point now) {
  while (!timers.empty() && timers.begin()->first <= now) {
    auto* wait = timers.begin()->second;
    timers.erase(timers.begin());
    wait->due();
  }
}

bool Loop::Impl::turn(Loop& loop, const std::function<bool()>& finished, Random* order) {
  const CurrentLoop current{loop};
  bool active = !ready.empty();
  if (order != nullptr) {
    for (auto left = 1 + order->below(kRandomTurn); left > 0 && !ready.empty() && !finished(); --left) {
      std::swap(ready[order->below(ready.size())], ready.back());
      const auto next = ready.back();
      ready.pop_back();
      run(next);
      none_runs();
    }
  } else {
    for (int ran = 0; !ready.empty() && ran < kTurn && !finished();) ran += run_ready();
  }
  if (finished()) return true;
  active |= handle_events() > 0;
  wake_due(environment.now());
  return active || !ready.empty();
}

void Loop::run_until(const bool* done) {
  auto& impl = *impl_;
  auto finished = [&] { return done != nullptr ? *done : impl.stopped.load(std::memory_order_relaxed); };
  if (impl.simulation != nullptr) {
    impl.simulation->run_until(finished);
    if (finished() || done == nullptr) return;
    std::string tasks;
    for (const auto* loop : impl.simulation->loops_) {
      for (const auto& line : loop->describe_tasks()) tasks += "\n  " + line;
    }
    throw Failure(ErrorKind::kInvalid, "nothing can happen any more, but the task is not done; waiting:" + tasks);
  }
  const CurrentLoop current{*this};
  while (!finished()) {
    impl.turn_began_at.store(std::chrono::steady_clock::now().time_since_epoch().count(), std::memory_order_relaxed);
    for (int ran = 0; !impl.ready.empty() && ran < kTurn && !turn_is_over() && !finished();) ran += impl.run_ready();
    if (finished()) break;
    const int handled = impl.handle_events();
    if (!impl.timers.empty()) impl.wake_due(now());
    if (!impl.ready.empty() || handled == kHandlers || finished()) continue;
    if (impl.timers.empty())
      impl.io.run_one();
    else
      impl.io.run_one_until(impl.timers.begin()->first);
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
std::optional<Loop::time_point> next_timer(Loop& loop, std::span<const std::string_view> without) {
  return loop.impl().next_timer(without);
}
void begin_external(Loop& loop) { ++loop.impl().external; }
void end_external(Loop& loop) { --loop.impl().external; }

}  // namespace mephisto
