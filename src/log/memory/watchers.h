// Who wants to hear of changes of a store. Thread-safe; each queue is notified on its own loop's thread, in the order
// in which they came.
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
  // On the queue's loop, so that no notification is under way to it afterwards.
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
  // What a notification under way refers to; not to the poster, which keeps the loop that keeps the notification.
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
