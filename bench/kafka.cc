// Benchmarks on a real Apache Kafka, compared with librdkafka in plain C (raw_kafka.c). Each measurement is a separate
// process.
#include <fmt/format.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "kafka_place.h"
#include "rebalance.h"
#include "workers.h"

namespace mephisto::bench {
namespace {

constexpr int kWide = 512;
constexpr int kHeavy = 200'000;    // records of the work that the broker does not limit
constexpr int kHeavyRounds = 200;  // how often each of them is decoded: takes some 20 microseconds
constexpr int kRoundTrips = 2000;
const double process_start = now();
constexpr auto kLook = std::chrono::milliseconds{5};  // between two checks of the progress

// The progress of the agents of all shards.
struct Progress {
  std::atomic<int> seen{0};
  std::atomic<double> started{0};
  std::atomic<double> sum{0};

  void begin() {
    double never = 0;
    if (started == 0) started.compare_exchange_strong(never, now());
  }
};

// An app whose agent does one kind of work. Counting costs almost nothing.
struct KafkaApp {
  KafkaApp(const std::string& kind, const std::string& from, const std::string& to, const std::string& group)
      : app(group), in(app.topic<Trade>(from)), out(app.topic<Trade>(to)) {
    app.settings().set("topic_disable_leader", "true", "bench");
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

  App app;
  const Topic<Trade>& in;
  const Topic<Trade>& out;
  Progress progress;
};

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// kafka KIND SERVERS GROUP IN OUT COUNT SHARDS GUARANTEE: prints records per second, megabytes, and seconds since the
// process began. The rate is from the first record that arrives to the last that is processed; for `pass`, also
// acknowledged. Prints nothing if SIGTERM ends it earlier.
int run_work(const std::vector<std::string>& words) {
  const auto& kind = words[0];
  KafkaApp it{kind, words[3], words[4], words[2]};
  const auto count = std::atoi(words[5].c_str());
  const auto shards = std::atoi(words[6].c_str());
  it.app.settings().set("processing_guarantee", words[7], "bench");
  log::configure({.level = log::Level::kWarn, .file = ""});
  Loop loop;
  loop.run([](KafkaApp& of, std::string url, WorkerOptions options, bool sends,
              std::uint64_t wanted) -> Task<void> {
    bool over = false;
    Loop::current()->on_signal({SIGTERM}, [&](int) { over = true; });
    Worker worker{of.app, open_log(url), options};
    co_await worker.start();
    while (!over) {
      co_await sleep_for(kLook);
      const auto so_far =
          sends ? (co_await worker.status()).sent_records : static_cast<std::uint64_t>(of.progress.seen.load());
      if (so_far < wanted) continue;
      fmt::print("{:.0f} {:.1f} {:.3f}\n", static_cast<double>(wanted) / (now() - of.progress.started),
                 peak_megabytes(), now() - process_start);
      over = true;
    }
    co_await worker.stop();
  }(it, "kafka://" + words[1], {.shards = shards, .own_threads = true}, kind == "pass",
                                    static_cast<std::uint64_t>(count)));
  return 0;
}

// kafka square SERVERS GROUP: answers requests until it is killed. kafka ask SERVERS GROUP COUNT: prints the median and
// the 99th percentile.
struct SquareApp {
  explicit SquareApp(const std::string& group) : app(group) {
    app.settings().set("topic_disable_leader", "true", "bench");
  }
  App app;
  Agent<int, int>& squares = app.agent("square", square);
};

int run_square(const std::vector<std::string>& words) {
  SquareApp it{words[2]};
  return serve(it.app, "kafka://" + words[1]);
}

int run_ask(const std::vector<std::string>& words) {
  SquareApp it{words[2]};
  log::configure({.level = log::Level::kWarn, .file = ""});
  const auto took = round_trips(it.squares, it.app, "kafka://" + words[1], std::atoi(words[3].c_str()), {.key = "one"});
  fmt::print("{:.4f} {:.4f}\n", took[took.size() / 2], took[took.size() * 99 / 100]);
  return 0;
}

// Percent of a processor that an idle worker takes, after it has its partitions and its first commit.
double idle_percent(const std::vector<std::string>& words) {
  constexpr int kSeconds = 10;
  const Part worker{"mephisto_bench", words};
  std::this_thread::sleep_for(std::chrono::seconds{6});
  const auto before = worker.processor_seconds();
  std::this_thread::sleep_for(std::chrono::seconds{kSeconds});
  return (worker.processor_seconds() - before) / kSeconds * 100;
}

}  // namespace

int run_kafka_part(const std::vector<std::string>& words) {
  if (words.size() == 8) return run_work(words);
  if (words.size() == 3 && words[0] == "square") return run_square(words);
  if (words.size() == 4 && words[0] == "ask") return run_ask(words);
  return 2;
}

std::vector<Case> kafka_cases(const std::string& servers) {
  auto place = std::make_shared<KafkaPlace>(servers);
  const auto heavy = [=](int shards) {
    return [=] { return place->ours("heavy", place->filled(), "none", kHeavy, shards)[0]; };
  };
  // The many partitions are kept between runs, because making them is not part of the measurement.
  const auto wide = [=, out = std::make_shared<std::unique_ptr<FreshTopic>>()] {
    const auto pass = [&] { return place->ours("pass", place->filled(kWide), (*out)->name(), kMany)[0]; };
    if (!*out) {
      *out = std::make_unique<FreshTopic>(servers, place->name(), kWide);
      pass();
      pass();
    }
    return pass();
  };
  // Each round uses a new pair of processes.
  const auto round_trip = [=](std::size_t which) {
    return [=] {
      const auto group = place->name();
      const Part worker{"mephisto_bench", {"--part", "kafka", "square", servers, group}};
      return figures_of("mephisto_bench",
                        {"--part", "kafka", "ask", servers, group, std::to_string(kRoundTrips)})[which];
    };
  };
  const auto raw_round_trip = [=](std::size_t which) {
    return [=] {
      const auto there = place->fresh(1);
      const auto back = place->fresh(1);
      const Part echo{"raw_kafka", {"echo", servers, there.name(), back.name()}};
      return figures_of("raw_kafka", {"ask", servers, there.name(), back.name(), std::to_string(kRoundTrips)})[which];
    };
  };
  const auto raw_consume = [=] {
    return figures_of("raw_kafka",
                      {"consume", servers, place->filled(), std::to_string(kPartitions), std::to_string(kMany)})[0];
  };
  std::vector<Case> cases{
      {"kafka_consume", "records/s", "raw C, consume",
       [=] { return place->ours("consume", place->filled(), "none", kMany)[0]; }, raw_consume, 0.8},
      {"kafka_pass", "records/s", "raw C, consume→copy→produce", [=] { return place->pass("at_least_once")[0]; },
       [=] { return place->raw_pass()[0]; }, 0.8},
      {"kafka_exactly_once", "records/s", "ours, at least once", [=] { return place->pass("exactly_once")[0]; },
       [=] { return place->pass("at_least_once")[0]; }, 0.9},
      {"kafka_ask", "ms", "raw C round trip, p50", round_trip(0), raw_round_trip(0), 1.2, true},
      {"kafka_ask_p99", "ms", "raw C round trip, p99", round_trip(1), raw_round_trip(1), 1.5, true},
      {"kafka_two_shards", "records/s", "one shard", heavy(2), heavy(1), 1.8},
      {"kafka_partitions", "records/s", "8 partitions", wide, [=] { return place->pass("at_least_once")[0]; }, 0.83},
      {"kafka_first_output", "s", "the target", [=] { return place->pass("at_least_once", 1)[2]; }, [] { return 0.3; },
       1, true},
      {"kafka_idle_cpu", "%", "half a percent",
       [=] { return idle_percent({"--part", "kafka", "square", servers, place->name()}); }, [] { return 0.5; }, 1,
       true},
      {"kafka_peak_mb", "MB", "raw C, consume→copy→produce", [=] { return place->pass("at_least_once")[1]; },
       [=] { return place->raw_pass()[1]; }, 1.2, true},
  };
  for (auto& one : rebalance_cases(place)) cases.push_back(std::move(one));
  return cases;
}

}  // namespace mephisto::bench
