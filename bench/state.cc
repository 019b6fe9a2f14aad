// Counts by key on memory:// and local://, compared with the same work without state.
#include <fmt/format.h>

#include <map>

#include "bench.h"
#include "work.h"

namespace mephisto::bench {
namespace {

constexpr int kPartitions = 8;

// Counts all trades of the topic `in` of a log that all runs use.
double count_on(const std::string& url, const std::string& kind) {
  static int run = 0;
  static std::map<std::string, std::shared_ptr<Log>> kept;
  Loop loop;
  auto& log = kept[url];
  if (!log) log = open_log(url);
  const auto id = fmt::format("count{}", run++);
  const auto it = state_app(kind, id, "in", id + "-out");
  const auto folder = fresh_folder(id);
  it->app.settings().set("datadir", folder, "bench");
  double found = 0;
  loop.run([](WorkingApp& of, std::shared_ptr<Log> on, std::string id, double& per_second) -> Task<void> {
    if (!co_await on->topic("in")) co_await fill(*on, "in", kPartitions);
    TopicConfig config;
    config.partitions = kPartitions;
    value_or_throw(co_await on->create_topic(id + "-out", config));
    Worker worker{of.app, on};
    co_await worker.start();
    per_second = co_await rate(of, worker, "in", kRecords);
    co_await worker.stop();
    for (const auto* topic : {"-out", "-counts-changelog"}) value_or_throw(co_await on->delete_topic(id + topic));
  }(*it, log, id, found));
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return found;
}

std::string local_url() {
  static const std::string url = "local://" + fresh_folder("count_log");
  return url;
}

double with(const std::vector<Case>& cases, const std::string& name) {
  return std::ranges::find(cases, name, &Case::name)->ours();
}

}  // namespace

std::vector<Case> state_cases() {
  const auto pipeline = [](const std::string& name) { return [=] { return with(log_cases(), name); }; };
  const auto on_memory = [](const std::string& kind) { return [=] { return count_on("memory://count", kind); }; };
  const auto on_disk = [](const std::string& kind) { return [=] { return count_on(local_url(), kind); }; };
  return {
      {"memory_count", "records/s", "memory_pipeline", on_memory("count_in_memory"), pipeline("memory_pipeline"), 0.6},
      {"memory_count_rocksdb", "records/s", "memory_pipeline", on_memory("count"), pipeline("memory_pipeline"), 0.5},
      {"local_count_memory", "records/s", "local_pipeline", on_disk("count_in_memory"), pipeline("local_pipeline"),
       0.6},
      {"local_count", "records/s", "local_pipeline", on_disk("count"), pipeline("local_pipeline"), 0.6},
  };
}

}  // namespace mephisto::bench
