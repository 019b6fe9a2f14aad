// Measures ours and the raw limit alternately in one run, and prints medians, ratios and spread. `dev/bench` runs it.
#include <fmt/format.h>
#include <malloc.h>

#include <cstdio>
#include <cstdlib>

#include "bench.h"

using namespace mephisto::bench;

namespace {

double spread(const std::vector<double>& values) {
  const auto [least, most] = std::ranges::minmax(values);
  return median(values) == 0 ? 0 : (most - least) / median(values);
}

std::string figure(double value) {
  if (value >= 1e5) return fmt::format("{:.2f} M", value / 1e6);
  return value >= 1000 ? fmt::format("{:.0f}", value) : fmt::format("{:.3g}", value);
}

struct Options {
  bool as_json = false;
  int runs = 0;       // 0: 5 for a case, 1 for a peer
  std::string kafka;  // the brokers; if set, only the cases on Kafka run
  bool peers = false;
  std::vector<std::string> only;
};

int run(const Options& options) {
  if (options.peers) return compare_with_peers(options.kafka, options.only, std::max(1, options.runs), options.as_json);
  const auto runs = options.runs == 0 ? 5 : options.runs;
  std::vector<Case> cases;
  if (!options.kafka.empty()) {
    cases = kafka_cases(options.kafka);
  } else {
    for (auto some : {json_cases(), log_cases(), store_cases(), process_cases()})
      cases.insert(cases.end(), some.begin(), some.end());
  }
  std::vector<std::string> names;
  for (const auto& one : cases) names.push_back(one.name);
  if (!all_known("case", options.only, names)) return 2;
  if (!options.as_json)
    fmt::print(
        "| case | ours | limit | unit | ratio | wanted | spread | against |\n|---|---|---|---|---|---|---|---|\n");
  std::string json;
  for (const auto& one : cases) {
    if (!options.only.empty() && std::ranges::find(options.only, one.name) == options.only.end()) continue;
    std::vector<double> ours;
    std::vector<double> limit;
    for (int i = 0; i < runs; ++i) {
      ours.push_back(one.ours());
      limit.push_back(one.limit());
    }
    const auto ratio = median(ours) / median(limit);
    if (!options.as_json) {
      fmt::print("| `{}` | {} | {} | {} | {:.2f} | {} {} | {:.0f} % | {} |\n", one.name, figure(median(ours)),
                 figure(median(limit)), one.unit, ratio, one.less_is_more ? "≤" : "≥", one.target, spread(ours) * 100,
                 one.against);
      std::fflush(stdout);
    }
    json += fmt::format(R"({}{{"name":"{}","ours":{:.4f},"limit":{:.4f},"ratio":{:.3f},"unit":"{}","spread":{:.3f}}})",
                        json.empty() ? "" : ",", one.name, median(ours), median(limit), ratio, one.unit, spread(ours));
  }
  if (options.as_json) fmt::print("{{\"cases\":[{}]}}\n", json);
  std::error_code ignored;
  std::filesystem::remove_all(std::filesystem::current_path() / "build" / "bench", ignored);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (!words.empty() && words[0] == "--part") return run_part({words.begin() + 1, words.end()});
  // The process keeps its memory between runs. So the cases compare a worker's steady state, not the kernel's first
  // touch of a page. (A part has only one run, and neither it nor its limit keeps memory.)
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  Options options;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--json") {
      options.as_json = true;
    } else if (words[i] == "--runs" && i + 1 < words.size()) {
      options.runs = std::max(1, std::atoi(words[++i].c_str()));
    } else if (words[i] == "--kafka" && i + 1 < words.size()) {
      options.kafka = words[++i];
    } else if (words[i] == "--peers") {
      options.peers = true;
    } else if (!words[i].starts_with('-')) {
      options.only.push_back(words[i]);
    } else {
      fmt::print(stderr,
                 "Error: there is no option {}; there are --json, --runs N, --kafka SERVERS, --peers, and names of "
                 "cases or peers\n",
                 words[i]);
      return 2;
    }
  }
  if (options.peers && options.kafka.empty()) {
    fmt::print(stderr, "Error: --peers goes with --kafka\n");
    return 2;
  }
  return run(options);
}
