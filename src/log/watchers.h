// Who wants to hear of changes of a store. Thread-safe; each queue is notified on its own loop's thread.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>

#include "mephisto/sync.h"

namespace mephisto {

class Watchers {
 public:
  void add(Loop& loop, WaitQueue* queue) {
    std::lock_guard lock{mutex_};
    watchers_[queue] = std::make_shared<Watcher>(loop.poster(), queue);
  }
  // On the queue's loop, so that no notification is under way to it afterwards.
  void remove(WaitQueue* queue) {
    std::lock_guard lock{mutex_};
    auto place = watchers_.find(queue);
    if (place == watchers_.end()) return;
    place->second->queue = nullptr;
    watchers_.erase(place);
  }
  void notify() {
    std::lock_guard lock{mutex_};
    for (const auto& [queue, watcher] : watchers_) {
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
  std::map<WaitQueue*, std::shared_ptr<Watcher>> watchers_;
};

}  // namespace mephisto
