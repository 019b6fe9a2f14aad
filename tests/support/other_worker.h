// A worker with its own thread and loop, for tests of several workers at once.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include "mephisto/worker.h"

namespace mephisto::tests {

class OtherWorker {
 public:
  // `declare` gives the app its agents and settings. Returns when the worker has started.
  OtherWorker(const std::string& url, std::function<void(App&)> declare)
      : thread_([this, url, declare = std::move(declare)] { live(url, declare); }) {
    started_.get_future().wait();
  }
  ~OtherWorker() { stop(); }

  void stop() {
    if (!thread_.joinable()) return;
    loop_->post([this] { loop_->spawn("stop", finish(*this)); });
    thread_.join();
  }
  // The partitions that it has, counted once for each agent on them.
  std::size_t lanes() {
    std::promise<std::size_t> count;
    loop_->post([&] { count.set_value(worker_->status().size()); });
    return count.get_future().get();
  }

 private:
  static Task<void> finish(OtherWorker& self) {
    co_await self.worker_->stop();
    self.loop_->stop();
  }
  void live(const std::string& url, const std::function<void(App&)>& declare) {
    Loop loop;
    App app{"shared"};
    app.settings().set("broker_session_timeout", "100ms", "test");
    app.settings().set("broker_commit_interval", "20ms", "test");
    app.settings().set("topic_disable_leader", "true", "test");
    declare(app);
    loop_ = &loop;
    auto log = open_log(url);
    loop.spawn("start", [](OtherWorker& self, App& of, std::shared_ptr<Log> on) -> Task<void> {
      self.worker_ = std::make_unique<Worker>(of, std::move(on));
      co_await self.worker_->start();
      self.started_.set_value();
    }(*this, app, log));
    loop.run();
    worker_.reset();
  }

  Loop* loop_ = nullptr;
  std::unique_ptr<Worker> worker_;
  std::promise<void> started_;
  std::thread thread_;
};

}  // namespace mephisto::tests
