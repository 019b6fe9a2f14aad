// The windows of Faust's tables against real Faust (data/make_faust_windows.py).
#include "mephisto/table/window_faust.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/text.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

std::int64_t number(const std::string& text) { return std::stoll(text); }

TEST(FaustWindows, AreThoseOfFaust) {
  std::ifstream file{MEPHISTO_SOURCE_DIR "/tests/table/data/faust_windows.tsv", std::ios::binary};
  int lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    SCOPED_TRACE(line);
    const auto columns = split(line, '\t');
    ASSERT_EQ(columns.size(), 12);
    const auto windows = FaustWindows::hopping(milliseconds{number(columns[0])}, milliseconds{number(columns[1])},
                                               milliseconds{number(columns[2])});
    const auto time = number(columns[3]);
    const milliseconds delta{number(columns[4])};
    std::vector<std::string> starts;
    for (const auto& window : windows.ranges(time)) starts.push_back(std::to_string(window.start));
    EXPECT_EQ(starts, split(columns[5], ' '));
    EXPECT_EQ(windows.earliest(time).start, number(columns[6]));
    EXPECT_EQ(windows.current(time).start, number(columns[7]));
    EXPECT_EQ(windows.delta(time, delta).start, number(columns[8]));
    EXPECT_EQ(windows.stale(windows.current(time), time + delta.count()), columns[9] == "1");
    const FaustWindowKey key{"\"k\"", windows.earliest(time)};
    EXPECT_EQ(write_faust_window_key(key), columns[10]);
    EXPECT_EQ(write_faust_window_key(key, Dialect::kStdlib), columns[11]);
    EXPECT_EQ(value_or_throw(read_faust_window_key(columns[10])), key);
  }
  EXPECT_EQ(lines, 400);
}

TEST(FaustWindows, WorkBelowASecond) {
  const auto windows = FaustWindows::hopping(1500ms, 500ms);
  EXPECT_THAT(windows.ranges(1'600'000'003'250), ElementsAre(WindowBounds{1'600'000'002'000, 1'600'000'003'500},
                                                             WindowBounds{1'600'000'002'500, 1'600'000'004'000},
                                                             WindowBounds{1'600'000'003'000, 1'600'000'004'500}));
  for (const auto& window : windows.ranges(1'600'000'003'250)) {
    const FaustWindowKey key{"1", window};
    EXPECT_EQ(value_or_throw(read_faust_window_key(write_faust_window_key(key))), key);
  }
}

TEST(FaustWindows, KeysWithSpacesAndOfAnyTypeAreRead) {
  const WindowBounds window{1'600'000'000'000, 1'600'000'010'000};
  for (const auto* key : {"\"k\"", "1", "{\"x\":1}", "[\"a\",2]"}) {
    const auto text = fmt::format(R"([{}, [1600000000.0, 1600000009.9]])", key);
    EXPECT_EQ(value_or_throw(read_faust_window_key(text)), (FaustWindowKey{key, window}));
  }
  for (const auto* wrong :
       {"\"k\"", "[\"k\"]", "[\"k\",[1.0]]", "[\"k\",[1,2],3]", "[\"k\",[\"1\",\"2\"]]", "", "[\"k\",[1e300,2]]"})
    EXPECT_EQ(read_faust_window_key(wrong).error().kind, ErrorKind::kDecode) << wrong;
}

TEST(FaustWindows, AStepThatIsLargerThanTheSizeIsRefused) {
  EXPECT_THROW(FaustWindows::hopping(1s, 2s), Failure);
  EXPECT_THROW(FaustWindows::tumbling(0s), Failure);
  EXPECT_THROW(FaustWindows::tumbling(1s, -1s), Failure);
}

TEST(FaustWindows, TheIndexOfKeysHasFaustsName) { EXPECT_EQ(faust_key_index("hits"), "hits-key_index"); }

}  // namespace
}  // namespace mephisto
