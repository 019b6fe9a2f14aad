// Access to Boost.Asio for the rooms that do input and output. Not installed.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "mephisto/loop.h"

namespace mephisto {

boost::asio::io_context& io_context_of(Loop& loop);

// Counts operations that end outside of the loop (on a socket, another thread), so that a loop on virtual time waits
// for them.
void begin_external(Loop& loop);
void end_external(Loop& loop);

// Awaits an Asio coroutine from a Task. Cancelling the task cancels the running operation and waits for its end.
template <class T>
class AsioWait : public Wait {
 public:
  AsioWait(boost::asio::awaitable<T> operation, const char* what) : operation_(std::move(operation)), what_(what) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    suspend(handle, what_);
    auto& loop = context_->loop();
    begin_external(loop);
    auto done = [this, &loop](std::exception_ptr error, auto... result) {
      end_external(loop);
      error_ = error;
      if constexpr (!std::is_void_v<T>) {
        if (!error) value_.emplace(std::move(result)...);
      }
      resume();
    };
    boost::asio::co_spawn(io_context_of(loop), std::move(operation_),
                          boost::asio::bind_cancellation_slot(signal_.slot(), std::move(done)));
    if (cancelled()) signal_.emit(boost::asio::cancellation_type::terminal);
  }
  T await_resume() {
    if (cancelled()) throw Cancelled{};
    if (error_) std::rethrow_exception(error_);
    if constexpr (!std::is_void_v<T>) return std::move(*value_);
  }

 private:
  bool abandon() override {
    signal_.emit(boost::asio::cancellation_type::terminal);
    return false;
  }
  using Value = std::conditional_t<std::is_void_v<T>, char, T>;
  boost::asio::awaitable<T> operation_;
  const char* what_;
  boost::asio::cancellation_signal signal_;
  std::exception_ptr error_;
  std::optional<Value> value_;
};

template <class T>
AsioWait<T> await_asio(boost::asio::awaitable<T> operation, const char* what) {
  return AsioWait<T>{std::move(operation), what};
}

}  // namespace mephisto
