// Benchmarks on a real Apache Kafka, compared with librdkafka in plain C (raw_kafka.c). Each measurement is a separate
// process.
#include <fmt/format.h>

#include <cstdlib>
#include <thread>

#include "kafka_place.h"
#include "kafka_state.h"
#include "rebalance.h"
#include "workers.h"

namespace mephisto::bench {
namespace {

constexpr int kWide = 512;
constexpr int kHeavy = 200'000;  // records of the work that the broker does not limit
constexpr int kRoundTrips = 2000;

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
  if (words.size() == 3 && words[0] == "square") return run_square(words);
  if (words.size() == 4 && words[0] == "ask") return run_ask(words);
  if (words.size() == 5 && words[0] == "restore") return run_restore(words);
  if (words.size() == 4 && words[0] == "restore_plain") return run_plain_restore(words);
  if (words.size() == 6 && words[0] == "serve") return run_serve(words);
  return 2;
}

std::vector<Case> kafka_cases(const std::string& servers, bool only_state) {
  auto place = std::make_shared<KafkaPlace>(servers);
  if (only_state) return kafka_state_cases(place);
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
  for (auto some : {rebalance_cases(place), kafka_state_cases(place)})
    cases.insert(cases.end(), some.begin(), some.end());
  return cases;
}

}  // namespace mephisto::bench
