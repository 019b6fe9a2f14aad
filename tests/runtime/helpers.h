// Helpers of this room's tests.
#pragma once

#include <exception>
#include <string>
#include <vector>

#include "mephisto/sync.h"

namespace mephisto::testing_runtime {

using namespace std::chrono_literals;

// Runs `body(loop)`, a coroutine, to its end on virtual time. Its captures live until then.
template <class Body>
auto run_virtual(Body body) {
  Loop loop{Loop::Clock::kVirtual};
  return loop.run(body(loop));
}

// "", "cancelled", or what() of the exception.
inline std::string name_of(std::exception_ptr error) {
  if (!error) return "";
  try {
    std::rethrow_exception(error);
  } catch (const Cancelled&) {
    return "cancelled";
  } catch (const std::exception& exception) {
    return exception.what();
  }
}

// How `task` ends: "", "cancelled", or what() of its exception.
inline Task<std::string> outcome(Task<void> task) {
  std::exception_ptr error;
  try {
    co_await std::move(task);
  } catch (...) {
    error = std::current_exception();
  }
  co_return name_of(error);
}

// Waits for `duration`, then returns `value`.
template <class T>
Task<T> after(Loop::duration duration, T value) {
  co_await sleep_for(duration);
  co_return value;
}

inline Task<void> sleep_task(Loop::duration duration = 1s) { co_await sleep_for(duration); }

inline Task<void> fails(std::string what) {
  throw std::runtime_error(what);
  co_return;
}

inline Task<void> fails_after(Loop::duration duration, std::string what) {
  co_await sleep_for(duration);
  throw std::runtime_error(what);
}

// Waits for an hour and records how the wait ended.
inline Task<void> sleeps(std::string& ended) {
  ended = "sleeping";
  try {
    co_await sleep_for(1h);
    ended = "woke";
  } catch (const Cancelled&) {
    ended = "cancelled";
    throw;
  }
}

}  // namespace mephisto::testing_runtime
