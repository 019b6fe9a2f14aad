// The queues that are notified of changes of a store. Thread-safe. Each queue is notified on its own loop's thread; the
// queues are notified in the order in which they were added.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "mephisto/sync.h"

namespace mephisto {

class Watchers {
 public:
  void add(Loop& loop, WaitQueue* queue) {
    std::lock_guard lock{mutex_};
    watchers_.push_back({loop.poster(), std::make_shared<State>(queue)});
  }
  // Call it on the queue's loop. Afterwards the queue gets no further notification.
  void remove(WaitQueue* queue) {
    std::lock_guard lock{mutex_};
    std::erase_if(watchers_, [&](const auto& watcher) {
      if (watcher.state->queue != queue) return false;
      watcher.state->queue = nullptr;
      return true;
    });
  }
  void notify() {
    std::lock_guard lock{mutex_};
    for (const auto& watcher : watchers_) {
      if (watcher.state->pending.exchange(true)) continue;
      watcher.post([state = watcher.state] {
        state->pending = false;
        if (state->queue != nullptr) state->queue->notify_all();
      });
    }
  }

 private:
  // State that a posted notification refers to. It must not refer to the poster: the poster keeps the loop alive, and
  // the loop keeps the notification.
  struct State {
    explicit State(WaitQueue* of) : queue(of) {}
    WaitQueue* queue;
    std::atomic<bool> pending{false};
  };
  struct Watcher {
    Loop::Poster post;
    std::shared_ptr<State> state;
  };
  std::mutex mutex_;
  std::vector<Watcher> watchers_;
};

}  // namespace mephisto
