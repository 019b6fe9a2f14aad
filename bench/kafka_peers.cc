// Compares ours with other frameworks that do the work of `kafka_pass` on the same broker (bench/peers/run).
#include <fmt/format.h>

#include <cstdio>

#include "bench.h"
#include "kafka_place.h"
#include "kafka_state.h"

namespace mephisto::bench {
namespace {

struct Peer {
  std::string name;
  std::string title;
  int count;              // fewer records for peers that would take minutes
  std::string guarantee;  // the guarantee of our run in the comparison
};

const std::vector<Peer>& peers() {
  static const std::vector<Peer> all{
      {"streams", "Kafka Streams 4.3.1, at least once", kMany, "at_least_once"},
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
  double rate() const { return median(rates); }
};

}  // namespace

int compare_with_peers(const std::string& servers, const std::vector<std::string>& only, int runs, bool as_json) {
  const auto script = peer_script();
  std::vector<Peer> chosen;
  std::vector<std::string> names;
  for (const auto& one : peers()) names.push_back(one.name);
  if (!all_known("peer", only, names)) return 2;
  for (const auto& one : peers()) {
    if (only.empty() || std::ranges::find(only, one.name) != only.end()) chosen.push_back(one);
  }
  KafkaPlace place{servers};
  const auto& in = place.filled();

  if (!as_json)
    fmt::print("| peer | records/s | ours | ours is … times | MB | ours, MB |\n|---|---|---|---|---|---|\n");
  std::string json;
  for (const auto& one : chosen) {
    Figures theirs;
    Figures ours;
    for (int i = 0; i < runs; ++i) {
      const auto out = place.fresh();
      theirs.add(figures_of(script, {one.name, servers, in, out.name(), std::to_string(one.count)}));
      ours.add(place.pass(one.guarantee));
    }
    const auto times = ours.rate() / theirs.rate();
    if (!as_json) {
      fmt::print("| {} | {:.0f} | {:.0f} | {:.1f} | {:.0f} | {:.0f} |\n", one.title, theirs.rate(), ours.rate(), times,
                 theirs.megabytes, ours.megabytes);
      std::fflush(stdout);
    }
    json += fmt::format(
        R"({}{{"name":"{}","records_per_second":{:.0f},"ours":{:.0f},"times":{:.2f},"megabytes":{:.1f},"our_megabytes":{:.1f}}})",
        json.empty() ? "" : ",", one.name, theirs.rate(), ours.rate(), times, theirs.megabytes, ours.megabytes);
  }
  if (as_json) fmt::print("{{\"peers\":[{}]}}\n", json);
  return 0;
}

}  // namespace mephisto::bench
