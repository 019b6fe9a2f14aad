// The benchmarks' shared parts: the record, the cases, and the hand-written work that ours is compared with.
#pragma once

#include <fmt/ranges.h>
#include <lmdb.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/mephisto.h"
#include "mephisto/worker.h"

namespace mephisto::bench {

struct Trade {
  std::string symbol;
  double price = 0;
  std::int64_t volume = 0;
  std::int64_t time = 0;
  std::string venue;
};

inline constexpr int kRecords = 200'000;
inline constexpr int kKeys = 10'000;
inline constexpr int kBatch = 1000;  // records per durable commit

// Ours and the limit. Each function does the same work and returns its figure in `unit`.
struct Case {
  std::string name;
  std::string unit;
  std::string against;
  std::function<double()> ours;
  std::function<double()> limit;
  double target = 0;          // the least ratio wanted; with less_is_more, the most
  bool less_is_more = false;  // for seconds and megabytes
  // Further comparisons of the same runs: in each run they come after this one.
  std::vector<Case> also{};
};

// What a run gives at once is shared by several cases. Each gets a function that gives its figure of the next run; the
// first that asks for a run makes it.
class SharedRuns {
 public:
  explicit SharedRuns(std::function<std::vector<double>()> run) : run_(std::move(run)) {}
  std::function<double()> figure(std::size_t which) const {
    return [run = run_, all = all_, which, next = std::size_t{0}]() mutable {
      if (next == all->size()) all->push_back(run());
      return (*all)[next++][which];
    };
  }

 private:
  std::function<std::vector<double>()> run_;
  std::shared_ptr<std::vector<std::vector<double>>> all_ = std::make_shared<std::vector<std::vector<double>>>();
};

// Set by --quick: the cases with state have a hundredth of the work, as a check that they run.
inline bool quick = false;
inline int scaled(int count) { return quick ? count / 100 : count; }

std::vector<Case> json_cases();
std::vector<Case> log_cases();
std::vector<Case> store_cases();
std::vector<Case> state_cases();
std::vector<Case> table_cases();
std::vector<Case> process_cases();
std::vector<Case> web_cases();
// Run on the brokers at `servers`; all of them, or those with state.
std::vector<Case> kafka_cases(const std::string& servers, bool only_state);
// Measures the other frameworks there, or only those named in `only`, and prints the table. Returns 2 if a name is
// unknown.
int compare_with_peers(const std::string& servers, const std::vector<std::string>& only, int runs, bool as_json);

// Runs a part of a benchmark that is a separate process: `words` are its name and its arguments. Returns 2 if there is
// no such part.
int run_part(const std::vector<std::string>& words);
int run_kafka_part(const std::vector<std::string>& words);
int run_store_part();
int run_web_part(const std::vector<std::string>& words);
// KEYS EVENTS: counts events of so many keys in RocksDB; prints microseconds for each, and the most megabytes.
int run_big_part(const std::vector<std::string>& words);

inline double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

inline std::string key_of(int i) { return fmt::format("SYM{:05}", i % kKeys); }
inline Trade trade(int i) { return {key_of(i), 100 + (i % 977) * 0.25, 100 + i % 5000, 1'600'000'000'000 + i, "XNAS"}; }

inline double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

// Whether all of `wanted` are in `names`; otherwise prints the known names.
inline bool all_known(const char* what, const std::vector<std::string>& wanted, const std::vector<std::string>& names) {
  for (const auto& one : wanted) {
    if (std::ranges::find(names, one) != names.end()) continue;
    fmt::print(stderr, "Error: there is no {} {}; there are: {}\n", what, one, fmt::join(names, " "));
    return false;
  }
  return true;
}

// The JSON of all records, made once.
const std::vector<std::string>& texts();

// Makes an empty folder below build/bench.
std::string fresh_folder(const std::string& name);

// Makes `topic` and fills it with all records, with a durable batch of kBatch records per partition at a time.
Task<void> fill(Log& log, const std::string& topic, int partitions);

// --- by hand ---

inline void decode_by_hand(simdjson::ondemand::parser& parser, std::string_view text, Trade& out) {
  auto document = parser.iterate(text.data(), text.size(), text.size() + kJsonPadding);
  simdjson::ondemand::object object = document.get_object();
  out.symbol = std::string_view{object.find_field("symbol")};
  out.price = double{object.find_field("price")};
  out.volume = std::int64_t{object.find_field("volume")};
  out.time = std::int64_t{object.find_field("time")};
  out.venue = std::string_view{object.find_field("venue")};
}

// Writes to `at`, which has enough room.
char* encode_by_hand(char* at, const Trade& value);

struct Lmdb {
  MDB_env* env = nullptr;
  MDB_dbi dbi = 0;
  explicit Lmdb(const std::string& folder);
  ~Lmdb() { mdb_env_close(env); }
  Lmdb(const Lmdb&) = delete;
  Lmdb& operator=(const Lmdb&) = delete;

  // Makes one durable commit of one value.
  void commit(std::uint64_t key, std::string_view value);
};

}  // namespace mephisto::bench
