// Another worker of a TestApp's app: an app of the same id, on the test's loop and log.
#pragma once

#include <functional>
#include <memory>

#include "support/test_app.h"

namespace mephisto::tests {

struct OtherWorker {
  OtherWorker(TestApp& world, const std::function<void(App&)>& declare, WorkerOptions options)
      : app(declared(world, declare)), worker(*app, world.log, options) {}

  // `declare` gives the app its agents and settings. Returns when the worker has started.
  static Task<std::unique_ptr<OtherWorker>> start(TestApp& world, std::function<void(App&)> declare,
                                                  WorkerOptions options = {}) {
    auto other = std::make_unique<OtherWorker>(world, declare, options);
    co_await other->worker.start();
    co_return other;
  }

  std::unique_ptr<App> app;
  Worker worker;

 private:
  static std::unique_ptr<App> declared(TestApp& world, const std::function<void(App&)>& declare) {
    auto app = std::make_unique<App>(world.app.id());
    declare(*app);
    return app;
  }
};

}  // namespace mephisto::tests
