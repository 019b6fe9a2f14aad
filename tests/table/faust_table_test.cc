// Windowed tables in Faust's form.
#include <gmock/gmock.h>

#include "support/test_app.h"
#include "table/options.h"

namespace mephisto::tests {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

struct Reads {
  int now = 0;
  int current = 0;
  int delta = 0;
  bool operator==(const Reads&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Reads& reads) {
  return out << reads.now << " " << reads.current << " " << reads.delta;
}

struct Views {
  explicit Views(FaustWindows windows)
      : views(app.faust_table<std::string, int>("views", windows, {.partitions = 1, .key_index = true})) {
    app.agent("count", pages, [this](Stream<std::string> stream) -> Task<void> {
      while (auto page = co_await stream.next()) {
        if (page->starts_with('?')) {
          const auto windows = views[page->substr(1)];
          reads.push_back({windows.now(), windows.current(), windows.delta(10s)});
          keys = views.items_current();
        } else if (page->starts_with('-')) {
          views[page->substr(1)].erase();
        } else {
          views[*page] += 1;
        }
      }
    });
  }
  std::map<std::string, std::string> rows(TestDriver& driver, const std::string& table) {
    driver.advance(10s);
    std::map<std::string, std::string> rows;
    for (const auto& record : driver.records("pages-" + table + "-changelog")) {
      if (record.value)
        rows[*record.key] = *record.value;
      else
        rows.erase(*record.key);
    }
    return rows;
  }
  App app{"pages"};
  Topic<std::string>& pages = app.topic<std::string>("pages", partitions(1));
  FaustTable<std::string, int>& views;
  std::vector<Reads> reads;
  std::vector<std::pair<std::string, int>> keys;
};

TEST(FaustTable, CountsInAllWindowsOfATime) {
  Views of{FaustWindows::hopping(10s, 5s)};
  TestDriver driver{of.app};
  driver.run(of.pages.send("a", at(12s)));
  driver.run(of.pages.send("a", at(16s)));
  driver.run(of.pages.send("b", at(16s)));
  driver.run(of.pages.send("?a", at(16s)));
  driver.run(of.pages.send("?a", at(25s)));
  driver.settle();
  EXPECT_THAT(of.reads, ElementsAre(Reads{2, 1, 1}, Reads{0, 0, 1}));
  EXPECT_THAT(of.rows(driver, "views"),
              ElementsAre(Pair(R"(["a",[10.0,19.9]])", "2"), Pair(R"(["a",[15.0,24.9]])", "1"),
                          Pair(R"(["a",[5.0,14.9]])", "1"), Pair(R"(["b",[10.0,19.9]])", "1"),
                          Pair(R"(["b",[15.0,24.9]])", "1")));
  EXPECT_THAT(of.rows(driver, "views-key_index"), ElementsAre(Pair("\"a\"", "1"), Pair("\"b\"", "1")));
  driver.restart();
  driver.run(of.pages.send("-a", at(12s)));
  driver.run(of.pages.send("?a", at(16s)));
  driver.settle();
  EXPECT_EQ(of.reads.back(), (Reads{0, 1, 0}))
      << "now() goes by the latest time of the partition, 15 after the restart";
  EXPECT_THAT(of.keys, ElementsAre(Pair("a", 1), Pair("b", 1)));
}

TEST(FaustTable, WhatHasExpiredIsNeitherServedNorKept) {
  Views of{FaustWindows::tumbling(10s, 30s)};
  TestDriver driver{of.app};
  for (int i = 0; i < 6; ++i) driver.run(of.pages.send("a", at(std::chrono::seconds{10 * i})));
  driver.settle();
  EXPECT_THAT(of.rows(driver, "views"),
              ElementsAre(Pair(R"(["a",[20.0,29.9]])", "1"), Pair(R"(["a",[30.0,39.9]])", "1"),
                          Pair(R"(["a",[40.0,49.9]])", "1"), Pair(R"(["a",[50.0,59.9]])", "1")));
  driver.run(of.pages.send("a", at(5s)));
  driver.run(of.pages.send("a", at(25s)));
  driver.settle();
  driver.restart();
  driver.run(of.pages.send("?a", at(25s)));
  driver.settle();
  EXPECT_EQ(of.reads.back().current, 2);
  EXPECT_EQ(of.rows(driver, "views").count(R"(["a",[0.0,9.9]])"), 0U) << "a record for a window that has expired";
  driver.run(of.pages.send("a", at(1000s)));
  driver.settle();
  EXPECT_THAT(of.rows(driver, "views"), ElementsAre(Pair(R"(["a",[1000.0,1009.9]])", "1")));
}

TEST(FaustTable, AFieldOfTheValueCanBeTheTime) {
  App app{"fields"};
  auto& times = app.topic<std::int64_t>("times", partitions(1));
  auto& counts = app.faust_table<int, int>("counts", FaustWindows::tumbling(10s), {.initial = 100, .partitions = 1});
  int latest = 0;
  app.agent("count", times, [&](Stream<std::int64_t> stream) -> Task<void> {
    while (auto time = co_await stream.next()) {
      const auto windows = counts.relative_to(Timestamp{std::chrono::milliseconds{*time}})[-3];
      windows += 1;
      latest = windows.current();
    }
  });
  TestDriver driver{app};
  driver.run(times.send(15'000));
  driver.run(times.send(19'999));
  driver.settle();
  EXPECT_EQ(latest, 102);
  const auto items = driver.table(counts).items();
  ASSERT_EQ(items.size(), 1U);
  EXPECT_EQ(items[0].first.key, -3);
  EXPECT_EQ(items[0].first.window, (WindowBounds{10'000, 20'000}));
}

}  // namespace
}  // namespace mephisto::tests
