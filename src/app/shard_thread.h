// The loop of a shard of a worker: that of a thread of its own, or the worker's loop.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <thread>

#include "mephisto/loop.h"

namespace mephisto::detail {

class ShardThread {
 public:
  // Without a thread of its own, the shard runs on the current loop. `on_broken` gets what escapes from the thread's
  // loop; it is called on that thread, and the loop goes on.
  ShardThread(bool own_thread, std::function<void(std::exception_ptr)> on_broken);
  ~ShardThread();
  ShardThread(const ShardThread&) = delete;
  ShardThread& operator=(const ShardThread&) = delete;

  Loop& loop() { return own_ ? *own_ : *worker_; }
  // Runs body() on the shard's loop, and throws what it throws. When the caller is cancelled, so is body(), and its end
  // is awaited. What body() refers to must live until then.
  Task<void> run(std::function<Task<void>()> body);
  // Ends a thread of its own; `last` is the last call there.
  void close(std::function<void()> last);

 private:
  Loop* worker_;
  std::optional<Loop> own_;
  std::thread thread_;
};

}  // namespace mephisto::detail
