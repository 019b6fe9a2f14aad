// Rows that expire: never served, erased by the index, and erased in the changelog.
#include <gmock/gmock.h>

#include "mephisto/table/timed_rows.h"
#include "support/test_app.h"
#include "table/options.h"

namespace mephisto::tests {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

// Words are counted; one that starts with '?' only looks.
struct Seen {
  explicit Seen(const std::string& store = "memory://", bool log_every_update = false)
      : counts(app.table<std::string, int>(
            "counts", {.partitions = 1, .log_every_update = log_every_update, .ttl = 10s, .store = store})) {
    app.agent("count", words, [this](Stream<std::string> stream) -> Task<void> {
      while (auto word = co_await stream.next()) {
        if (word->starts_with('?')) {
          looked.push_back(counts.find(word->substr(1)).value_or(-1));
          listed = counts.items().size();
        } else {
          counts[*word] += 1;
        }
      }
    });
  }
  App app{"seen"};
  Topic<std::string>& words = app.topic<std::string>("words", partitions(1));
  Table<std::string, int>& counts;
  std::vector<int> looked;
  std::size_t listed = 0;
};

// The last value of each key in the changelog, and the number of tombstones.
std::pair<std::map<std::string, std::string>, int> changelog(TestDriver& driver, const std::string& topic) {
  std::map<std::string, std::string> rows;
  int tombstones = 0;
  for (const auto& record : driver.records(topic)) {
    if (record.value) {
      rows[*record.key] = *record.value;
    } else {
      rows.erase(*record.key);
      ++tombstones;
    }
  }
  return {rows, tombstones};
}

TEST(Expiry, ARowIsServedUntilItsTimeIsOver) {
  for (const bool log_every_update : {false, true}) {
    Seen seen{"memory://", log_every_update};
    TestDriver driver{seen.app};
    driver.run(seen.words.send("a", at(100s)));
    driver.run(seen.words.send("b", at(105s)));
    driver.run(seen.words.send("?a", at(109s)));
    driver.run(seen.words.send("?a", at(110s)));
    driver.run(seen.words.send("?b", at(110s)));
    driver.settle();
    EXPECT_THAT(seen.looked, ElementsAre(1, -1, 1));
    EXPECT_EQ(seen.listed, 1U);
    driver.run(seen.words.send("a", at(111s)));
    driver.run(seen.words.send("?a", at(111s)));
    driver.settle();
    EXPECT_EQ(seen.looked.back(), 1) << "it begins anew";
    driver.advance(10s);
    EXPECT_THAT(driver.table(seen.counts).items(), ElementsAre(Pair("a", 1), Pair("b", 1)));
  }
}

TEST(Expiry, AChangeRenewsARowAndAReadDoesNot) {
  Seen seen;
  TestDriver driver{seen.app};
  driver.run(seen.words.send("a", at(100s)));
  driver.run(seen.words.send("b", at(100s)));
  driver.run(seen.words.send("a", at(108s)));
  driver.run(seen.words.send("?b", at(108s)));
  driver.run(seen.words.send("?a", at(115s)));
  driver.run(seen.words.send("?b", at(115s)));
  driver.settle();
  EXPECT_THAT(seen.looked, ElementsAre(1, 2, -1));
}

TEST(Expiry, WhatHasExpiredIsErasedInTheChangelogAndTheStore) {
  Seen seen;
  TestDriver driver{seen.app};
  for (int i = 0; i < 50; ++i) driver.run(seen.words.send("w" + std::to_string(i), at(std::chrono::seconds{100 + i})));
  driver.settle();
  driver.advance(10s);
  driver.run(seen.words.send("?w0", at(149s)));
  driver.settle();
  driver.advance(10s);
  auto [rows, tombstones] = changelog(driver, "seen-counts-changelog");
  EXPECT_EQ(rows.size(), 10U);
  EXPECT_EQ(rows.begin()->first, "\"w40\"");
  EXPECT_EQ(driver.table(seen.counts).size(), 10U);
  // A restart serves the same, and goes on erasing.
  driver.restart();
  driver.run(seen.words.send("?w40", at(149s)));
  driver.run(seen.words.send("?w49", at(149s)));
  driver.settle();
  EXPECT_THAT(std::vector(seen.looked.end() - 2, seen.looked.end()), ElementsAre(1, 1));
  driver.run(seen.words.send("x", at(1000s)));
  driver.settle();
  driver.advance(10s);
  std::tie(rows, tombstones) = changelog(driver, "seen-counts-changelog");
  EXPECT_THAT(rows, ElementsAre(Pair("\"x\"", "1")));
  EXPECT_EQ(tombstones, 50);
  EXPECT_THAT(driver.table(seen.counts).items(), ElementsAre(Pair("x", 1)));
}

// The store's entries are its rows, an entry of the index for each, and the time.
TEST(Expiry, TheIndexHasOneEntryForARowHoweverOftenItChanges) {
  const auto stores = detail::open_stores("memory://", "", 1 << 20);
  const auto store = stores->open("t", 0);
  const detail::Expiry rule{.timed = true, .after = 10ms};
  detail::TimedRows rows{rule};
  rows.open(*store);
  const auto set = [&](const std::string& key, std::int64_t time) {
    detail::TimedRows::Changes changes;
    rows.saw(time);
    rows.change(changes, key, time, "v", rows.get(*store, key).has_value());
    changes.set_time(rows.time());
    changes.apply(*store, time);
  };
  for (int time = 0; time < 9; ++time) {
    set("a", time);
    set("b", time);
  }
  EXPECT_EQ(store->size(), 2U + 2U + 1U);
  EXPECT_FALSE(rows.due());
  rows.saw(10);
  EXPECT_TRUE(rows.due());
  const auto due = rows.take_due(*store);
  ASSERT_EQ(due.size(), 2U);
  EXPECT_EQ(due[0].key, "a");
  EXPECT_EQ(due[0].due, 10);
  EXPECT_EQ(due[0].time, 8);
  EXPECT_FALSE(rows.expired("a", 8));
  rows.saw(18);
  EXPECT_TRUE(rows.expired("a", 8));
}

TEST(Expiry, AFailedCommitErasesNothing) {
  Seen seen;
  TestDriver driver{seen.app};
  driver.run(seen.words.send("a", at(100s)));
  driver.run(seen.words.send("b", at(105s)));
  driver.settle();
  driver.advance(10s);
  memory_faults(driver.log()).lose_commit_replies = 1;
  driver.run(seen.words.send("?a", at(112s)));
  driver.settle();
  driver.advance(30s);
  EXPECT_THAT(driver.table(seen.counts).items(), ElementsAre(Pair("b", 1)));
  EXPECT_THAT(changelog(driver, "seen-counts-changelog").first, ElementsAre(Pair("\"b\"", "1")));
}

TEST(Expiry, ANegativeTtlIsAMistake) {
  App app{"wrong"};
  app.table<std::string, int>("counts", {.ttl = -1s});
  ASSERT_EQ(app.mistakes().size(), 1U);
  EXPECT_THAT(app.mistakes()[0], testing::HasSubstr("table counts has a negative ttl"));
}

}  // namespace
}  // namespace mephisto::tests
