// Who wants to hear of changes of a store. Thread-safe; each queue is notified on its own loop's thread, in the order in which they
// came.
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
    watchers_.push_back(std::make_shared<Watcher>(loop.poster(), queue));
  }
  // On the queue's loop, so that no notification is under way to it afterwards.
  void remove(WaitQueue* queue) {
    std::lock_guard lock{mutex_};
    std::erase_if(watchers_, [&](const auto& watcher) {
      if (watcher->queue != queue) return false;
      watcher->queue = nullptr;
      return true;
    });
  }
  void notify() {
    std::lock_guard lock{mutex_};
    for (const auto& watcher : watchers_) {
      if (watcher->pending.exchange(true)) continue;
      watcher->post([watcher] {
        watcher->pending = false;
        if (watcher->queue != nullptr) watcher->queue->notify_all();
      });
    }
  }

 private:
  struct Watcher {
    Watcher(Loop::Poster to, WaitQueue* of) : post(std::move(to)), queue(of) {}
    Loop::Poster post;
    WaitQueue* queue;
    std::atomic<bool> pending{false};
  };
  std::mutex mutex_;
  std::vector<std::shared_ptr<Watcher>> watchers_;
};

}  // namespace mephisto
