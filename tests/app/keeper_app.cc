// An app whose handler blocks its thread for the milliseconds that each record names.
#include <chrono>
#include <thread>

#include "mephisto/mephisto.h"

using namespace mephisto;

namespace {

App app{"keeper"};
auto& pauses = app.topic<int>("pauses", {.internal = true});
auto& keeper = app.agent("keeper_agent", pauses, [](Stream<int> stream) -> Results<int> {
  while (auto pause = co_await stream.next()) {
    std::this_thread::sleep_for(std::chrono::milliseconds{*pause});
    co_yield *pause;
  }
});

}  // namespace

int main(int argc, char** argv) { return app.main(argc, argv); }
