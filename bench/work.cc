#include "work.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>

#include "app/worker_impl.h"

namespace mephisto::bench {
namespace {

constexpr int kHeavyRounds = 200;  // how often each record is decoded: takes some 20 microseconds
const double process_start = now();
constexpr auto kLook = std::chrono::milliseconds{5};  // between two checks of the progress

// An app whose agent keeps no state. Counting costs almost nothing.
struct StatelessApp : WorkingApp {
  StatelessApp(const std::string& kind, const std::string& id, const std::string& from, const std::string& to)
      : WorkingApp(id), in(app.topic<Trade>(from)), out(app.topic<Trade>(to)) {
    if (kind != "pass") done = Done::kProcessed;
    if (kind == "consume")
      app.agent("consume", in, [this](Stream<Trade> stream) { return consume(std::move(stream)); });
    if (kind == "pass") app.agent("pass", in, [this](Stream<Trade> stream) { return pass(std::move(stream)); });
    if (kind == "heavy") app.agent("heavy", in, [this](Stream<Trade> stream) { return heavy(std::move(stream)); });
  }

  Task<void> consume(Stream<Trade> stream) {
    double sum = 0;
    while (auto event = co_await stream.next()) {
      if (sum == 0) progress.begin();
      sum += event->price;
      progress.seen.fetch_add(1, std::memory_order_relaxed);
    }
    progress.sum = sum;
  }
  Task<void> pass(Stream<Trade> stream) {
    SendOptions options;
    while (auto event = co_await stream.next()) {
      if (progress.started == 0) progress.begin();
      event->price *= 1.01;
      options.key.emplace(event.key());
      options.partition = event.partition();
      co_await out.cast(*event, options);
    }
  }
  Task<void> heavy(Stream<Trade> stream) {
    Trade again;
    while (auto event = co_await stream.next()) {
      progress.begin();
      for (int i = 0; i < kHeavyRounds; ++i) again = value_or_throw(from_json<Trade>(to_json(*event)));
      progress.sum = again.price;
      progress.seen.fetch_add(1, std::memory_order_relaxed);
    }
  }

  const Topic<Trade>& in;
  const Topic<Trade>& out;
};

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

struct Look {
  std::uint64_t done = 0;       // records that count
  std::uint64_t delivered = 0;  // to the agents
};

Task<Look> look(WorkingApp& of, Worker& worker, const std::string& topic) {
  const auto seen = static_cast<std::uint64_t>(of.progress.seen.load());
  if (of.done == Done::kProcessed) co_return Look{seen, seen};
  if (of.done == Done::kSent) {
    const auto sent = (co_await worker.status()).sent_records;
    co_return Look{sent, sent};
  }
  // Not status(): it also counts the keys of all tables.
  Look at;
  for (const auto& one : worker.impl().shard().diagnose()) {
    if (one.topic != topic) continue;
    if (one.next > 0) of.progress.begin();
    at.delivered += static_cast<std::uint64_t>(std::max<std::int64_t>(one.next, 0));
    at.done += static_cast<std::uint64_t>(std::max<std::int64_t>(one.committed, 0));
  }
  co_return at;
}

}  // namespace

Task<double> rate(WorkingApp& of, Worker& worker, const std::string& topic, std::uint64_t wanted) {
  // The last commit waits for broker_commit_interval, which is no part of the work.
  const auto enough = of.done == Done::kCommitted ? wanted - wanted / 10 : wanted;
  double found = 0;
  for (;;) {
    const auto at = co_await look(of, worker, topic);
    if (found == 0 && at.done >= enough) found = static_cast<double>(at.done) / (now() - of.progress.started);
    if (found > 0 && at.delivered >= wanted) co_return found;
    co_await sleep_for(kLook);
  }
}

int run_work(const std::vector<std::string>& words) {
  const auto& kind = words[0];
  auto it = state_app(kind, words[2], words[3], words[4]);
  if (!it) it = std::make_unique<StatelessApp>(kind, words[2], words[3], words[4]);
  const auto count = std::atoi(words[5].c_str());
  const auto shards = std::atoi(words[6].c_str());
  it->app.settings().set("processing_guarantee", words[7], "bench");
  const auto folder = fresh_folder(words[2]);
  it->app.settings().set("datadir", folder, "bench");
  log::configure({.level = log::Level::kWarn, .file = ""});
  Loop loop;
  loop.run([](WorkingApp& of, std::string url, std::string topic, WorkerOptions options,
              std::uint64_t wanted) -> Task<void> {
    auto& own = *Loop::current();
    const auto log = open_log(url);
    Worker worker{of.app, log, options};
    co_await worker.start();
    auto measuring =
        own.spawn("measure", [](WorkingApp& app, Worker& on, std::string in, std::uint64_t all) -> Task<void> {
          const auto found = co_await rate(app, on, in, all);
          fmt::print("{:.0f} {:.1f} {:.3f}\n", found, peak_megabytes(), now() - process_start);
        }(of, worker, topic, wanted));
    own.on_signal({SIGTERM}, [&](int) { measuring.cancel(); });
    co_await measuring.finished();
    co_await worker.stop();
    for (const auto& made : of.app.topics()) {
      if (made->spec().internal) (void)co_await log->delete_topic(made->spec().name);
    }
    for (const auto& table : of.app.tables()) (void)co_await log->delete_topic(table->spec().changelog.name);
  }(*it, words[1], words[3], {.shards = shards, .own_threads = it->done != Done::kCommitted},
                                    static_cast<std::uint64_t>(count)));
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return 0;
}

}  // namespace mephisto::bench
