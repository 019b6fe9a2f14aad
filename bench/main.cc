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
  bool state = false;  // only the cases with state
  std::vector<std::string> only;
};

int run(const Options& options) {
  if (options.peers) return compare_with_peers(options.kafka, options.only, std::max(1, options.runs), options.as_json);
  const auto runs = options.runs != 0 ? options.runs : quick ? 1 : 5;
  std::vector<Case> cases;
  const auto add = [&](const std::vector<Case>& some) { cases.insert(cases.end(), some.begin(), some.end()); };
  if (!options.kafka.empty()) {
    add(kafka_cases(options.kafka, options.state));
  } else {
    for (const auto& some : {state_cases(), table_cases()}) add(some);
    if (!options.state) {
      for (const auto& some : {json_cases(), log_cases(), store_cases(), process_cases(), web_cases()}) add(some);
    }
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
    auto compared = one.also;
    compared.insert(compared.begin(), one);
    std::vector<std::vector<double>> ours(compared.size());
    std::vector<std::vector<double>> limit(compared.size());
    for (int run = 0; run < runs; ++run) {
      for (std::size_t i = 0; i < compared.size(); ++i) {
        ours[i].push_back(compared[i].ours());
        limit[i].push_back(compared[i].limit());
      }
    }
    for (std::size_t i = 0; i < compared.size(); ++i) {
      const auto& of = compared[i];
      const auto ratio = median(ours[i]) / median(limit[i]);
      if (!options.as_json) {
        fmt::print("| `{}` | {} | {} | {} | {:.2f} | {} {} | {:.0f} % | {} |\n", of.name, figure(median(ours[i])),
                   figure(median(limit[i])), of.unit, ratio, of.less_is_more ? "≤" : "≥", of.target,
                   spread(ours[i]) * 100, of.against);
        std::fflush(stdout);
      }
      json += fmt::format(
          R"({}{{"name":"{}","ours":{:.4f},"limit":{:.4f},"ratio":{:.3f},"unit":"{}","spread":{:.3f}}})",
          json.empty() ? "" : ",", of.name, median(ours[i]), median(limit[i]), ratio, of.unit, spread(ours[i]));
    }
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
    } else if (words[i] == "--quick") {
      quick = true;
    } else if (words[i] == "--state") {
      options.state = true;
    } else if (words[i] == "--peers") {
      options.peers = true;
    } else if (!words[i].starts_with('-')) {
      options.only.push_back(words[i]);
    } else {
      fmt::print(
          stderr,
          "Error: there is no option {}; there are --json, --runs N, --quick, --state, --kafka SERVERS, --peers, and "
          "names of cases or peers\n",
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
