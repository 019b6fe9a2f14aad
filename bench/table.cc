// Tables as an agent uses them, with every change in the changelog: single keys compared with std::unordered_map and
// plain RocksDB, and what an event costs with many keys.
#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <fstream>
#include <map>
#include <random>
#include <unordered_map>

#include "mephisto/store/store.h"
#include "part.h"
#include "plain_rocks.h"
#include "work.h"

namespace mephisto::bench {
namespace {

constexpr int kFew = kKeys;
int many() { return scaled(10'000'000); }
constexpr int kEvents = 300;  // each uses kBatch keys
constexpr int kParts = 8;

std::string text(std::uint64_t number) { return std::string{std::string_view{Key{number}}}; }

// Writes counts of all keys into the stores of a table, as the state before the first record of its changelog.
void preload(const std::string& folder, const std::string& changelog, int keys, int partitions) {
  const auto stores = detail::open_stores("rocksdb://", folder, kBudget);
  for (int partition = 0; partition < partitions; ++partition) {
    const auto store = stores->open(changelog, partition);
    std::vector<Key> batch;
    std::vector<detail::StoreChange> changes;
    const auto write = [&] {
      changes.clear();
      for (const auto& key : batch) changes.push_back({key, "1"});
      store->apply(changes, 0);
      batch.clear();
    };
    for (int i = partition; i < keys; i += partitions) {
      batch.emplace_back(i);
      if (batch.size() == kBatch) write();
    }
    write();
  }
}

// Each event reads or counts kBatch random keys. Returns keys per second. The state is kept for the next call.
double operations(const std::string& store, int keys, bool update) {
  static std::map<std::string, std::pair<std::shared_ptr<Log>, std::string>> kept;
  const auto id = "table-" + store.substr(0, store.find(':'));
  auto& [log, folder] = kept[store];
  const bool fresh = !log;
  if (fresh) {
    log = open_log("memory://" + id);
    folder = fresh_folder(id);
    if (store == "rocksdb://") preload(folder, id + "-counts-changelog", keys, 1);
  }
  App app{id};
  app.settings().set("topic_disable_leader", "true", "bench");
  app.settings().set("tabledir", folder, "bench");
  // A batch of plain RocksDB is the changes of one event; std::unordered_map is compared with what is in memory.
  app.settings().set("broker_commit_every", store == "rocksdb://" ? "1" : "1000000", "bench");
  auto& counts = app.table<std::string, std::int64_t>("counts", {.partitions = 1, .store = store});
  double start = 0;
  double end = 0;
  std::int64_t sum = 0;
  app.agent("use", app.topic<int>("use", {.partitions = 1}), [&](Stream<int> stream) -> Task<void> {
    std::mt19937_64 random{3};
    int events = 0;
    while (auto event = co_await stream.next()) {
      if (*event < 0) {
        for (int i = 0; i < keys; ++i) counts.set(text(i), 1);
        continue;
      }
      if (events == 0) start = now();
      if (events++ == kEvents) end = now();
      for (int i = 0; i < kBatch; ++i) {
        const auto key = text(random() % static_cast<unsigned>(keys));
        sum += update ? counts[key] += 1 : counts.get(key);
      }
    }
  });
  Loop loop;
  loop.run([](App& of, std::shared_ptr<Log> on, bool first, double& until) -> Task<void> {
    TopicConfig config;
    config.partitions = 1;
    value_or_throw(co_await on->create_topic("use", config));
    Worker worker{of, on};
    co_await worker.start();
    std::vector<OutBatch> batches(1);
    batches[0].partition = {"use", 0};
    if (first) batches[0].records.add(std::nullopt, "-1", Timestamp{});
    for (int i = 0; i <= kEvents; ++i) batches[0].records.add(std::nullopt, "1", Timestamp{});
    value_or_throw(co_await on->producer(*Loop::current())->append(batches));
    while (until == 0) co_await sleep_for(std::chrono::milliseconds{1});
    co_await worker.stop();
  }(app, log, fresh && store == "memory://", end));
  if (sum == 0) std::abort();
  return kEvents * kBatch / (end - start);
}

double hash_map(bool update) {
  static std::unordered_map<std::string, std::int64_t> map = [] {
    std::unordered_map<std::string, std::int64_t> made;
    for (int i = 0; i < kFew; ++i) made[text(i)] = 1;
    return made;
  }();
  std::mt19937_64 random{3};
  std::int64_t sum = 0;
  const auto start = now();
  for (int i = 0; i < kEvents * kBatch; ++i) {
    const auto key = text(random() % static_cast<unsigned>(kFew));
    sum += update ? map[key] += 1 : map.find(key)->second;
  }
  if (sum == 0) std::abort();
  return kEvents * kBatch / (now() - start);
}

double plain_rocks(bool update) {
  static auto rocks = [] {
    auto made = std::make_unique<PlainRocks>(fresh_folder("table_plain"));
    for (int i = 0; i < many(); ++i) {
      made->put(Key{static_cast<std::uint64_t>(i)}, "1");
      if (i % kBatch == kBatch - 1) made->write();
    }
    made->write();
    return made;
  }();
  std::mt19937_64 random{3};
  const auto start = now();
  for (int event = 0; event < kEvents; ++event) {
    for (int i = 0; i < kBatch; ++i) {
      const Key key{random() % static_cast<unsigned>(many())};
      const auto found = rocks->get(key);
      std::int64_t count = 0;
      std::from_chars(found.data(), found.data() + found.size(), count);
      if (count == 0) std::abort();
      if (update) rocks->put(key, std::to_string(count + 1));
    }
    if (update) rocks->write();
  }
  return kEvents * kBatch / (now() - start);
}

// Without the pages of the log's file, which the kernel can take back.
double own_megabytes() {
  std::ifstream status{"/proc/self/status"};
  double kilobytes = 0;
  for (std::string word; status >> word;)
    if (word == "RssAnon:" && status >> kilobytes) break;
  return kilobytes / 1024;
}

Task<void> watch_memory(double& most) {
  for (;;) {
    most = std::max(most, own_megabytes());
    co_await sleep_for(std::chrono::milliseconds{2});
  }
}

Task<void> fill_random(Log& log, const std::string& topic, int keys, int events) {
  TopicConfig config;
  config.partitions = kParts;
  value_or_throw(co_await log.create_topic(topic, config));
  const auto producer = log.producer(*Loop::current());
  std::mt19937_64 random{3};
  for (int from = 0; from < events; from += kBatch * kParts) {
    std::vector<OutBatch> batches;
    for (int p = 0; p < kParts; ++p) {
      auto& batch = batches.emplace_back(OutBatch{{topic, p}, {}});
      for (int i = 0; i < kBatch; ++i) {
        auto one = trade(i);
        one.symbol = text(random() % static_cast<unsigned>(keys / kParts) * kParts + static_cast<unsigned>(p));
        batch.records.add(one.symbol, to_json(one), Timestamp{});
      }
    }
    value_or_throw(co_await producer->append(batches));
  }
}

SharedRuns big(const std::function<int()>& keys) {
  return SharedRuns{[keys] {
    return figures_of("mephisto_bench",
                      {"--part", "big", std::to_string(keys()), std::to_string(std::max(scaled(400'000), 40'000))});
  }};
}

}  // namespace

int run_big_part(const std::vector<std::string>& words) {
  const auto keys = std::atoi(words[0].c_str());
  const auto events = std::atoi(words[1].c_str()) / (kBatch * kParts) * kBatch * kParts;
  const auto folder = fresh_folder(fmt::format("big{}", keys));
  const auto it = state_app("count", "big", "in", "out");
  it->app.settings().set("tabledir", folder + "/tables", "bench");
  it->app.settings().set("memory_budget", std::to_string(kBudget), "bench");
  preload(folder + "/tables", "big-counts-changelog", keys, kParts);
  log::configure({.level = log::Level::kWarn, .file = ""});
  Loop loop;
  loop.run([](WorkingApp& of, std::string url, int key_count, int count) -> Task<void> {
    const auto on = open_log(url);
    co_await fill_random(*on, "in", key_count, count);
    TopicConfig config;
    config.partitions = kParts;
    value_or_throw(co_await on->create_topic("out", config));
    double most = 0;
    auto watching = Loop::current()->spawn("memory", watch_memory(most));
    Worker worker{of.app, on};
    co_await worker.start();
    const auto per_second = co_await rate(of, worker, "in", static_cast<std::uint64_t>(count));
    co_await worker.stop();
    watching.cancel();
    co_await watching.finished();
    fmt::print("{:.3f} {:.1f}\n", 1e6 / per_second, most);
  }(*it, "local://" + folder + "/log", keys, events));
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return 0;
}

std::vector<Case> table_cases() {
  const auto ours = [](const std::string& store, const std::function<int()>& keys, bool update) {
    return [=] { return operations(store, keys(), update); };
  };
  const auto few = [] { return kFew; };
  const auto many_keys = big(many);
  return {
      {"table_get", "keys/s", "std::unordered_map, 10,000 keys", ours("memory://", few, false),
       [] { return hash_map(false); }, 0.5},
      {"table_update", "keys/s", "std::unordered_map, 10,000 keys", ours("memory://", few, true),
       [] { return hash_map(true); }, 0.5},
      {"table_get_rocksdb", "keys/s", "plain RocksDB, 10 M keys", ours("rocksdb://", many, false),
       [] { return plain_rocks(false); }, 0.8},
      {"table_update_rocksdb", "keys/s", "plain RocksDB, 10 M keys", ours("rocksdb://", many, true),
       [] { return plain_rocks(true); }, 0.8},
      {.name = "count_10m",
       .unit = "µs/record",
       .against = "10,000 keys",
       .ours = many_keys.figure(0),
       .limit = big(few).figure(0),
       .target = 3,
       .less_is_more = true,
       .also = {{"count_10m_mb", "MB", "the budget and 48 MB", many_keys.figure(1),
                 [] { return static_cast<double>(kBudget >> 20) + 48; }, 1, true}}},
  };
}

}  // namespace mephisto::bench
