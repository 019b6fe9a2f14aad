#include "app/shard_thread.h"

#include <memory>
#include <utility>

namespace mephisto::detail {
namespace {

// The wait for a task on another loop.
class RemoteTask : public Wait {
 public:
  RemoteTask(Loop& target, std::function<Task<void>()> body) : target_(target) {
    target_.post([&target, body = std::move(body), ending = ending_, back = context_->loop().poster()] {
      ending->task = target.spawn("worker", work(body, ending, back));
    });
  }
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    suspend(handle, "a shard on its thread");
    ending_->waiter = this;
    if (cancelled()) abandon();
  }
  void await_resume() const {
    ending_->waiter = nullptr;
    if (ending_->error) std::rethrow_exception(ending_->error);
  }

 private:
  struct Ending {
    Spawned task;  // used on the target's thread only; the others on the caller's
    std::exception_ptr error;
    RemoteTask* waiter = nullptr;
  };
  using Body = std::function<Task<void>()>;

  static Task<void> work(Body body, std::shared_ptr<Ending> ending, Loop::Poster back) {
    std::exception_ptr error;
    try {
      co_await body();
    } catch (...) {
      error = std::current_exception();
    }
    back([ending, error] {
      ending->error = error;
      ending->waiter->resume();
    });
  }
  bool abandon() override {
    target_.post([ending = ending_] { ending->task.cancel(); });
    return false;
  }

  Loop& target_;
  std::shared_ptr<Ending> ending_ = std::make_shared<Ending>();
};

}  // namespace

ShardThread::ShardThread(bool own_thread, std::function<void(std::exception_ptr)> on_broken)
    : worker_(Loop::current()) {
  if (!own_thread) return;
  own_.emplace();
  thread_ = std::thread([this, on_broken = std::move(on_broken)] {
    for (bool ended = false; !ended;) {
      try {
        own_->run();
        ended = true;
      } catch (...) {
        on_broken(std::current_exception());
      }
    }
  });
}

ShardThread::~ShardThread() { close({}); }

Task<void> ShardThread::run(std::function<Task<void>()> body) {
  if (own_)
    co_await RemoteTask{*own_, std::move(body)};
  else
    co_await body();
}

void ShardThread::close(std::function<void()> last) {
  if (!thread_.joinable()) return;
  own_->post([this, last = std::move(last)] {
    if (last) last();
    own_->stop();
  });
  thread_.join();
}

}  // namespace mephisto::detail
