// Our windows against Apache Kafka Streams 4.3.1. data/CREDITS.md says where the cases come from, decision 0029 where
// we differ on purpose.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "table/window_driver.h"

namespace mephisto {
namespace {

using oracle::Output;

std::vector<oracle::Line> lines_of(const std::string& kind, const std::string& emit) {
  auto lines = oracle::read("window_cases.jsonl", "window_expected.jsonl");
  std::erase_if(lines, [&](const auto& line) { return line.given.kind != kind || line.given.emit != emit; });
  EXPECT_EQ(lines.size(), 15);
  return lines;
}

struct Run {
  std::vector<Output> outputs;
  std::int64_t dropped;
};

Run run(const oracle::Case& given, bool restart) {
  oracle::Driver driver{oracle::spec_of(given)};
  for (const auto& record : given.records) {
    if (restart) driver.restart();
    driver.add(record.key, record.value, record.ts);
  }
  const auto progress = driver.progress();
  return {driver.take(), progress.late + progress.skipped};
}

// Every line of a kind is equal in every output, in their order, and in the number of late records.
void expect_equal_lines(const std::string& kind, const std::string& emit) {
  for (const bool restart : {false, true}) {
    for (const auto& [given, expected] : lines_of(kind, emit)) {
      ASSERT_TRUE(expected.quirks.empty());
      const auto ours = run(given, restart);
      EXPECT_THAT(ours.outputs, testing::ElementsAreArray(expected.outputs)) << given.id;
      EXPECT_EQ(ours.dropped, expected.dropped) << given.id;
    }
  }
}

TEST(WindowOracle, TumblingOnUpdate) { expect_equal_lines("tumbling", "update"); }
TEST(WindowOracle, TumblingOnClose) { expect_equal_lines("tumbling", "close"); }
TEST(WindowOracle, HoppingOnUpdate) { expect_equal_lines("hopping", "update"); }
TEST(WindowOracle, HoppingOnClose) { expect_equal_lines("hopping", "close"); }
TEST(WindowOracle, SessionOnUpdate) { expect_equal_lines("session", "update"); }

TEST(WindowOracle, NothingOfTheseCasesIsLeftOut) {
  EXPECT_EQ(oracle::read("window_cases.jsonl", "window_expected.jsonl").size(), 120);
}

// The rules by which a line is compared that is not equal as it is; each says what ours does instead.
// Ours sends each sliding window of one record once.
std::vector<Output> without_repeats(std::vector<Output> outputs) {
  const auto repeats = std::ranges::unique(outputs);
  outputs.erase(repeats.begin(), repeats.end());
  return outputs;
}

// No second final result of a sliding window. The results of one record are ordered by end, key and start, also those
// of windows that begin and close at the same time.
std::vector<Output> each_window_once(const std::vector<Output>& outputs) {
  std::vector<Output> kept;
  std::set<std::tuple<std::string, std::int64_t, std::int64_t>> windows;
  for (const auto& output : outputs)
    if (windows.insert({output.key, *output.start, *output.end}).second) kept.push_back(output);
  std::ranges::stable_sort(
      kept, {}, [](const Output& output) { return std::tuple{output.after, output.end, output.key, output.start}; });
  return kept;
}

// Instead of a final result of a session of which a part was final before: the session without that part, if it has a
// record after that part's end, otherwise nothing.
std::vector<Output> each_record_once(const std::vector<Output>& outputs, const std::vector<Output>& ours) {
  std::vector<Output> kept;
  for (const auto& output : outputs) {
    std::int64_t final_until = INT64_MIN;
    for (const auto& before : kept)
      if (before.key == output.key && *before.end >= *output.start) final_until = std::max(final_until, *before.end);
    if (final_until == INT64_MIN) {
      kept.push_back(output);
      continue;
    }
    const auto rest = std::ranges::find_if(ours, [&](const Output& own) {
      return own.after == output.after && own.key == output.key && own.end == output.end && own.ts == output.ts &&
             *own.start > final_until;
    });
    if (rest != ours.end()) kept.push_back(*rest);
  }
  return kept;
}

std::int64_t count_of(const Output& output) { return std::stoll(output.value.text.substr(sizeof("{\"count\":") - 1)); }

// Without the windows in which Kafka Streams misses a record: ours have more records.
void leave_out_windows_that_miss_records(std::vector<Output>& kafka, std::vector<Output>& ours) {
  const auto same_window = [](const Output& one, const Output& other) {
    return std::tie(one.after, one.key, one.start) == std::tie(other.after, other.key, other.start);
  };
  const auto all = kafka;
  std::erase_if(kafka, [&](const Output& output) {
    return std::ranges::any_of(
        ours, [&](const Output& own) { return same_window(own, output) && count_of(own) > count_of(output); });
  });
  std::erase_if(ours, [&](const Output& own) {
    const auto output = std::ranges::find_if(all, [&](const Output& other) { return same_window(own, other); });
    return output != all.end() && count_of(own) > count_of(*output);
  });
}

// How many lines were compared in which way, and in which lines the numbers of late records differ by how much.
struct Compared {
  int as_they_are = 0;
  int by_a_rule = 0;
  std::map<std::string, std::int64_t> late{};
  bool operator==(const Compared&) const = default;
};

void PrintTo(const Compared& compared, std::ostream* out) {
  *out << compared.as_they_are << ", " << compared.by_a_rule << ", " << testing::PrintToString(compared.late);
}

Compared compare(const std::string& kind, const std::string& emit) {
  Compared compared;
  for (const auto& [given, expected] : lines_of(kind, emit)) {
    auto ours = run(given, false);
    EXPECT_EQ(run(given, true).outputs, ours.outputs) << "restarted after each record: " << given.id;
    if (ours.dropped != expected.dropped) compared.late[given.id] = ours.dropped - expected.dropped;
    ++(expected.quirks.empty() ? compared.as_they_are : compared.by_a_rule);
    auto kafka = expected.outputs;
    if (expected.has("repeated_result")) kafka = without_repeats(kafka);
    if (expected.has("final_twice"))
      kafka = kind == "sliding" ? each_window_once(kafka) : each_record_once(kafka, ours.outputs);
    if (expected.has("window_misses_record")) leave_out_windows_that_miss_records(kafka, ours.outputs);
    EXPECT_THAT(ours.outputs, testing::ElementsAreArray(kafka)) << given.id;
  }
  return compared;
}

TEST(WindowOracle, SlidingOnUpdate) { EXPECT_EQ(compare("sliding", "update"), (Compared{10, 5})); }

// More records are late than in Kafka Streams: a window takes none once it is final.
TEST(WindowOracle, SlidingOnClose) {
  const std::map<std::string, std::int64_t> late{
      {"sliding-close-045", 5}, {"sliding-close-145", 1}, {"sliding-close-225", 1}, {"sliding-close-245", 1}};
  EXPECT_EQ(compare("sliding", "close"), (Compared{11, 4, late}));
}

TEST(WindowOracle, SessionOnClose) {
  EXPECT_EQ(compare("session", "close"), (Compared{10, 5, {{"session-close-147", 3}, {"session-close-167", 1}}}));
}

}  // namespace
}  // namespace mephisto
