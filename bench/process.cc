// A worker as a process: the time of an ask, the time to the first output, the memory, and the processor time when
// idle.
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "bench.h"
#include "part.h"
#include "work.h"
#include "workers.h"

namespace mephisto::bench {
namespace {

constexpr int kAsks = 300;

// The app of most cases: it changes trades from `in` to `out`, and answers requests to square numbers.
struct BenchApp {
  App app{"bench"};
  const Topic<Trade>& in = app.topic<Trade>("in", {.partitions = 8});
  const Topic<Trade>& out = app.topic<Trade>("out", {.partitions = 8});
  Agent<Trade, void>& change = app.agent("change", in, [this](Stream<Trade> stream) -> Task<void> {
    while (auto event = co_await stream.next()) {
      event->price *= 1.01;
      co_await out.cast(*event, {.key = std::string{event.key()}, .partition = event.partition()});
    }
  });
  Agent<int, int>& squares = app.agent("square", square);
};

int run_worker(const std::string& url) {
  BenchApp it;
  it.app.settings().set("broker", url, "bench");
  return serve(it.app, url);
}

Part bench_worker(const std::string& url) { return {"mephisto_bench", {"--part", "worker", url}}; }

template <class Body>
void with_log(const std::string& url, Body body) {
  Loop loop;
  loop.run([](std::string where, Body& inner) -> Task<void> {
    auto log = open_log(where);
    co_await inner(log);
  }(url, body));
}

Task<void> wait_for_outputs(Log& log, std::int64_t count) {
  ReaderOptions options;
  for (int partition = 0; partition < 8; ++partition) options.partitions[{"out", partition}] = 0;
  auto consumer = log.reader(*Loop::current(), std::move(options));
  while (count > 0) {
    auto polled = co_await consumer->poll(1 << 20, std::chrono::milliseconds{1000});
    for (const auto& batch : polled.batches) count -= static_cast<std::int64_t>(batch->records.size());
  }
}

// The median time of sequential asks from this process to a worker in another one.
double ask_ours() {
  const auto url = "local://" + fresh_folder("ask");
  const auto worker = bench_worker(url);
  BenchApp it;
  return median(round_trips(it.squares, it.app, url, kAsks, {}));
}

// The least cost of a request and its reply: two durable commits, one after the other.
double ask_limit() {
  Lmdb lmdb{fresh_folder("ask_limit")};
  std::vector<double> seconds;
  for (int i = 0; i < kAsks; ++i) {
    const auto start = now();
    lmdb.commit(static_cast<std::uint64_t>(2 * i), texts()[0]);
    lmdb.commit(static_cast<std::uint64_t>(2 * i + 1), texts()[0]);
    seconds.push_back(now() - start);
  }
  return median(std::move(seconds)) * 1000;
}

// A log with all records in `in`, and an empty `out`.
std::string filled(const std::string& name) {
  auto url = "local://" + fresh_folder(name);
  with_log(url, [](std::shared_ptr<Log> log) -> Task<void> {
    co_await fill(*log, "in", 8);
    TopicConfig config;
    config.partitions = 8;
    value_or_throw(co_await log->create_topic("out", config));
  });
  return url;
}

double first_output() {
  const auto url = filled("start");
  double seconds = 0;
  with_log(url, [&](std::shared_ptr<Log> log) -> Task<void> {
    const auto start = now();
    auto worker = bench_worker(url);
    co_await wait_for_outputs(*log, 1);
    seconds = now() - start;
  });
  return seconds;
}

double peak_memory() {
  const auto url = filled("peak");
  double megabytes = 0;
  with_log(url, [&](std::shared_ptr<Log> log) -> Task<void> {
    auto worker = bench_worker(url);
    co_await wait_for_outputs(*log, kRecords);
    megabytes = worker.memory("VmHWM");
  });
  return megabytes;
}

// An idle `horton worker`, measured for three seconds after it has all its partitions.
struct Idle {
  double megabytes = 0;
  double milliseconds = 0;  // of processor time
};
Idle idle() {
  constexpr std::size_t kPartitions = 2 * 8 + 1;  // those of its two agents, and the leader's
  const auto folder = fresh_folder("idle");
  std::filesystem::create_directories(folder);
  Part worker{"horton",
              {"-q", "-l", "error", "-W", folder, "--datadir", folder, "--set",
               "service.apiendpoint=http://127.0.0.1:9/", "worker", "--without-web"}};
  Idle seen;
  with_log("local://" + folder + "/log", [&](std::shared_ptr<Log> log) -> Task<void> {
    for (std::size_t owned = 0; owned < kPartitions;) {
      co_await sleep_for(std::chrono::milliseconds{50});
      owned = 0;
      for (const auto& group : value_or_throw(co_await log->groups())) {
        for (const auto& member : group.members) owned += member.owned.size();
      }
    }
    co_await sleep_for(std::chrono::seconds{4});  // until its last commit is done
    const auto before = worker.processor_seconds();
    co_await sleep_for(std::chrono::seconds{3});
    seen.milliseconds = (worker.processor_seconds() - before) * 1000;
    seen.megabytes = worker.memory("VmRSS");
  });
  return seen;
}

double fixed(double value) { return value; }

}  // namespace

namespace {

// repeat CASE TIMES: repeats the work of a case, so that instructions.py can count it.
int repeat(const std::string& name, int times) {
  for (const auto& cases : {json_cases(), log_cases(), state_cases()}) {
    const auto found = std::ranges::find(cases, name, &Case::name);
    if (found == cases.end()) continue;
    for (int i = 0; i < times; ++i) found->ours();
    return 0;
  }
  return 2;
}

}  // namespace

int run_part(const std::vector<std::string>& words) {
  if (words.size() == 2 && words[0] == "worker") return run_worker(words[1]);
  if (words.size() == 3 && words[0] == "repeat") return repeat(words[1], std::atoi(words[2].c_str()));
  if (words.size() == 9 && words[0] == "work") return run_work({words.begin() + 1, words.end()});
  if (!words.empty() && words[0] == "store") return run_store_part();
  if (words.size() == 3 && words[0] == "big") return run_big_part({words.begin() + 1, words.end()});
  if (!words.empty() && words[0] == "web") return run_web_part({words.begin() + 1, words.end()});
  if (!words.empty() && words[0] == "kafka") return run_kafka_part({words.begin() + 1, words.end()});
  return 2;
}

std::vector<Case> process_cases() {
  return {
      {"local_ask", "ms", "two durable LMDB commits", ask_ours, ask_limit, 1.5, true},
      {"start_to_output", "s", "the target", first_output, [] { return fixed(0.3); }, 1, true},
      {"peak_memory", "MB", "the target", peak_memory, [] { return fixed(64); }, 1, true},
      {"idle_memory", "MB", "the target", [] { return idle().megabytes; }, [] { return fixed(20); }, 1, true},
      {"idle_cpu", "ms in 3 s", "one tick of the clock", [] { return idle().milliseconds; }, [] { return fixed(10); },
       1, true},
  };
}

}  // namespace mephisto::bench
