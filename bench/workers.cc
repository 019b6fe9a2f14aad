#include "workers.h"

#include <cstdlib>

namespace mephisto::bench {
namespace {

constexpr int kWarmUps = 50;

}  // namespace

int serve(App& app, const std::string& url) {
  log::configure({.level = log::Level::kWarn, .file = ""});
  Loop loop;
  loop.run([](App& of, std::string where) -> Task<void> {
    Worker worker{of, open_log(where)};
    co_await worker.start();
    co_await worker.finished();
  }(app, url));
  return 0;
}

Results<int> square(Stream<int> numbers) {
  while (auto n = co_await numbers.next()) co_yield *n** n;
}

std::vector<double> round_trips(Agent<int, int>& squares, App& app, const std::string& url, int count,
                                const AskOptions& options) {
  std::vector<double> took;
  Loop loop;
  loop.run([](Agent<int, int>& asked, App& of, std::string where, int asks, AskOptions with,
              std::vector<double>& milliseconds) -> Task<void> {
    Client client{of, open_log(where)};
    for (int i = -kWarmUps; i < asks; ++i) {
      const auto start = now();
      if (co_await asked.ask(3, with) != 9) std::abort();
      if (i >= 0) milliseconds.push_back((now() - start) * 1000);
    }
    co_await client.close();
  }(squares, app, url, count, options, took));
  std::ranges::sort(took);
  return took;
}

}  // namespace mephisto::bench
