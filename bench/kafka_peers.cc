// Other frameworks that do the work of `kafka_pass` on the same broker (bench/peers/run), and ours beside them.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "bench.h"
#include "part.h"

namespace mephisto::bench {
namespace {

constexpr int kMany = 2'000'000;
constexpr int kWarmUps = 3;
const std::string kPartitions = "8";

struct Peer {
  std::string name;
  std::string title;
  int count;              // fewer records for those that would take minutes
  std::string guarantee;  // that ours gives beside it
};

const std::vector<Peer>& peers() {
  static const std::vector<Peer> all{{"streams", "Kafka Streams 4.3.1, at least once", kMany, "at_least_once"},
                                     {"streams_exactly_once", "Kafka Streams 4.3.1, exactly once", kMany, "exactly_once"},
                                     {"goka", "goka 1.1.15", kMany, "at_least_once"},
                                     {"quix", "quix-streams 3.28.1", 300'000, "at_least_once"},
                                     {"faust", "faust-streaming 0.15.3", 100'000, "at_least_once"}};
  return all;
}

struct Figures {
  std::vector<double> rates;
  double megabytes = 0;

  void add(const std::vector<double>& rate_and_megabytes) {
    rates.push_back(rate_and_megabytes[0]);
    megabytes = std::max(megabytes, rate_and_megabytes[1]);
  }
  double rate() {
    std::ranges::sort(rates);
    return rates[rates.size() / 2];
  }
};

}  // namespace

int compare_with_peers(const std::string& servers, const std::vector<std::string>& only, int runs, bool as_json) {
  const auto script = (std::filesystem::current_path() / "bench" / "peers" / "run").string();
  std::vector<Peer> chosen;
  for (const auto& name : only) {
    if (std::ranges::find(peers(), name, &Peer::name) != peers().end()) continue;
    fmt::print(stderr, "Error: there is no peer {}; there are:", name);
    for (const auto& one : peers()) fmt::print(stderr, " {}", one.name);
    fmt::print(stderr, "\n");
    return 2;
  }
  for (const auto& one : peers()) {
    if (only.empty() || std::ranges::find(only, one.name) != only.end()) chosen.push_back(one);
  }
  const auto once = std::to_string(getpid());  // topics of earlier runs may be there
  int made = 0;
  const auto topic = [&](const std::string& name) {
    figures_of("raw_kafka", {"create", servers, name, kPartitions});
    return name;
  };
  const auto fresh = [&] { return topic(fmt::format("peer-{}-{}", once, made++)); };
  const auto in = topic("peers-in-" + once);
  figures_of("raw_kafka", {"fill", servers, in, kPartitions, std::to_string(kMany)});
  // A broker just started is slow until Java has compiled it: not at the expense of who comes first.
  for (int i = 0; i < kWarmUps; ++i) figures_of("raw_kafka", {"pass", servers, in, fresh(), kPartitions, std::to_string(kMany)});

  if (!as_json) fmt::print("| peer | records/s | ours | ours is … times | MB | ours, MB |\n|---|---|---|---|---|---|\n");
  std::string json;
  for (const auto& one : chosen) {
    Figures theirs;
    Figures ours;
    for (int i = 0; i < runs; ++i) {
      theirs.add(figures_of(script, {one.name, servers, in, fresh(), std::to_string(one.count)}));
      const auto out = fresh();
      ours.add(figures_of("mephisto_bench", {"--part", "kafka", "pass", servers, out, in, out, std::to_string(kMany), "1", one.guarantee}));
    }
    const auto times = ours.rate() / theirs.rate();
    if (!as_json) {
      fmt::print("| {} | {:.0f} | {:.0f} | {:.1f} | {:.0f} | {:.0f} |\n", one.title, theirs.rate(), ours.rate(), times, theirs.megabytes, ours.megabytes);
      std::fflush(stdout);
    }
    json += fmt::format(R"({}{{"name":"{}","records_per_second":{:.0f},"ours":{:.0f},"times":{:.2f},"megabytes":{:.1f},"our_megabytes":{:.1f}}})", json.empty() ? "" : ",",
                        one.name, theirs.rate(), ours.rate(), times, theirs.megabytes, ours.megabytes);
  }
  if (as_json) fmt::print("{{\"peers\":[{}]}}\n", json);
  return 0;
}

}  // namespace mephisto::bench
