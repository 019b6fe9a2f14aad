// Our windows against Apache Kafka Streams 4.3.1. data/CREDITS.md says where the cases come from, decision 0029 where
// we differ on purpose.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

// Kafka Streams sends the results of one record by falling start mostly. Ours come by rising start.
std::vector<Output> by_rising_start(std::vector<Output> outputs) {
  std::ranges::stable_sort(outputs, {}, [](const Output& output) { return std::pair{output.after, output.start}; });
  return outputs;
}

TEST(WindowOracle, Try) {
  for (auto emit : {"update", "close"})
    for (auto kind : {"sliding", "session"}) {
      for (const auto& [given, expected] : lines_of(kind, emit)) {
        const auto ours = run(given, false);
        auto want = expected.outputs;
        if (kind == std::string{"sliding"} && emit == std::string{"update"}) want = by_rising_start(want);
        const bool same = want == ours.outputs;
        fmt::print("{} {} same={} late {} {} \n", given.id, fmt::join(expected.quirks, ","), same, expected.dropped,
                   ours.dropped);
        if (!same) {
          for (auto& o : want)
            if (std::ranges::find(ours.outputs, o) == ours.outputs.end())
              fmt::print("   kafka only {}\n", testing::PrintToString(o));
          for (auto& o : ours.outputs)
            if (std::ranges::find(want, o) == want.end()) fmt::print("   ours only {}\n", testing::PrintToString(o));
        }
      }
    }
}

}  // namespace
}  // namespace mephisto
