// TableJoin and StreamTableJoin: what the oracle's cases do not reach, and random cases against models
// that remember everything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "mephisto/base/ids.h"
#include "mephisto/error.h"
#include "mephisto/table/join_tables.h"
#include "table/join_support.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;

using detail::LeftOut;
using detail::Side;
using detail::StreamTableJoin;
using detail::StreamTableJoinOptions;
using detail::TableJoin;
using detail::TableOptions;
using testing::ElementsAre;
using testing::IsEmpty;

class TableJoinTest : public testing::Test {
 protected:
  std::vector<JoinResult> left(const Text& key, const Text& value, std::int64_t time) {
    return take(Side::kLeft, key, value, time);
  }
  std::vector<JoinResult> right(const Text& key, const Text& value, std::int64_t time) {
    return take(Side::kRight, key, value, time);
  }
  std::vector<JoinResult> take(Side side, const Text& key, const Text& value, std::int64_t time) {
    TableJoin{{kind_, table_, table_}}.take(side, {key, value, time}, state_, out_);
    return out_.take();
  }
  LeftOut last_left_out() const { return std::get<LeftOut>(out_.left_outs.back()); }

  Join kind_ = Join::kLeft;
  TableOptions table_;
  MapState state_;
  Collected out_;
};

// Kafka Streams repeats (2,null) @12, and lets the older 2 @3 replace the row.
TEST_F(TableJoinTest, AnUpdateThatChangesNothingGivesNothing) {
  EXPECT_THAT(right("a", {}, 1), IsEmpty());
  EXPECT_THAT(left("b", {}, 2), IsEmpty());
  EXPECT_THAT(left("a", "1", 10), ElementsAre(JoinResult{"a", "1", {}, 10}));
  EXPECT_THAT(right("a", "x", 5), ElementsAre(JoinResult{"a", "1", "x", 10}));
  EXPECT_THAT(left("a", "2", 3), IsEmpty());
  EXPECT_THAT(left("a", "2", 10), ElementsAre(JoinResult{"a", "2", "x", 10}));
  EXPECT_THAT(right("a", {}, 11), ElementsAre(JoinResult{"a", "2", {}, 11}));
  EXPECT_THAT(right("a", {}, 12), IsEmpty());
  EXPECT_THAT(left("a", "2", 12), IsEmpty());
  EXPECT_THAT(left("a", {}, 13), ElementsAre(JoinResult{"a", {}, {}, 13}));
  EXPECT_THAT(left("a", {}, 14), IsEmpty());
}

TEST_F(TableJoinTest, ARowWithANewTimeAndTheSameValueGivesItsTimeToTheNextResult) {
  left("a", "1", 10);
  EXPECT_THAT(left("a", "1", 20), IsEmpty());
  EXPECT_THAT(right("a", "x", 15), ElementsAre(JoinResult{"a", "1", "x", 20}));
}

TEST_F(TableJoinTest, AnOlderRecordIsToldAndReplacesNothing) {
  left("a", "1", 10);
  EXPECT_THAT(left("a", "0", 9), IsEmpty());
  EXPECT_THAT(out_.left_outs, ElementsAre(std::tuple{Side::kLeft, "0", LeftOut::kOlder}));
  EXPECT_THAT(left("a", "2", 10), ElementsAre(JoinResult{"a", "2", {}, 10}));
}

TEST_F(TableJoinTest, AnOlderRecordReplacesTheRowWhereTheTableSaysSo) {
  table_.on_older = OnOlder::kOverwrite;
  left("a", "1", 10);
  EXPECT_THAT(left("a", "0", 9), ElementsAre(JoinResult{"a", "0", {}, 9}));
  EXPECT_THAT(left("a", {}, 3), ElementsAre(JoinResult{"a", {}, {}, 3}));
  EXPECT_THAT(left("a", "5", 1), ElementsAre(JoinResult{"a", "5", {}, 1}));
}

TEST_F(TableJoinTest, ADeletedRowDoesNotComeBackByAnOlderRecord) {
  left("a", "1", 10);
  left("a", {}, 20);
  EXPECT_THAT(left("a", "0", 19), IsEmpty());
  EXPECT_EQ(last_left_out(), LeftOut::kOlder);
  EXPECT_THAT(left("a", "2", 20), ElementsAre(JoinResult{"a", "2", {}, 20}));
}

TEST_F(TableJoinTest, DeletionsAreForgottenAfterTheirTime) {
  table_.deletions_kept = 100ms;
  for (int i = 0; i < 50; ++i) left("k" + std::to_string(i), {}, i);
  const auto with_deletions = state_.entries().size();
  EXPECT_GT(with_deletions, 50);
  left("z", "1", 149);
  EXPECT_THAT(left("k49", "0", 48), IsEmpty());
  left("z", "1", 150);
  EXPECT_EQ(state_.entries().size(), 2);
  EXPECT_THAT(left("k49", "0", 48), ElementsAre(JoinResult{"k49", "0", {}, 48}));
}

TEST_F(TableJoinTest, ARowThatCameAfterADeletionIsNotForgottenWithIt) {
  table_.deletions_kept = 100ms;
  left("a", {}, 1);
  left("a", "1", 2);
  left("z", "1", 1000);
  EXPECT_THAT(right("a", "x", 3), ElementsAre(JoinResult{"a", "1", "x", 3}));
}

TEST_F(TableJoinTest, ARecordWithoutKeyIsTold) {
  EXPECT_THAT(left({}, "1", 1), IsEmpty());
  EXPECT_EQ(last_left_out(), LeftOut::kNoKey);
}

TEST_F(TableJoinTest, EmptyValuesAndKeysAreValuesAndKeys) {
  kind_ = Join::kInner;
  left("", "", 1);
  EXPECT_THAT(right("", "", 2), ElementsAre(JoinResult{"", "", "", 2}));
  EXPECT_THAT(left("", {}, 3), ElementsAre(JoinResult{"", {}, {}, 3}));
}

// The last result of each key is always the join of the rows, and no result repeats the one before.
TEST_F(TableJoinTest, RandomCasesEqualTheModel) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Random random{seed};
    kind_ = static_cast<Join>(random.below(3));
    table_ = {.on_older = static_cast<OnOlder>(random.below(2))};
    state_ = {};
    std::map<std::string, std::pair<Text, std::int64_t>> rows[2];
    std::map<std::string, std::pair<Text, Text>> last;
    for (int i = 0; i < 80; ++i) {
      const auto side = static_cast<std::size_t>(random.below(2));
      const auto key = "k" + std::to_string(random.below(3));
      const auto value = random.below(3) == 0 ? Text{} : Text{std::to_string(random.below(3))};
      const auto time = i - static_cast<std::int64_t>(random.below(5));
      const auto results = take(side == 0 ? Side::kLeft : Side::kRight, key, value, time);

      if (auto& row = rows[side].try_emplace(key, Text{}, -100).first->second;
          table_.on_older == OnOlder::kOverwrite || time >= row.second)
        row = {value, time};
      const auto& l = rows[0].try_emplace(key, Text{}, -100).first->second;
      const auto& r = rows[1].try_emplace(key, Text{}, -100).first->second;
      std::pair<Text, Text> wanted{l.first, r.first};
      if ((kind_ != Join::kOuter && !l.first) || (kind_ == Join::kInner && !r.first)) wanted = {};
      if (std::exchange(last[key], wanted) == wanted) {
        ASSERT_THAT(results, IsEmpty()) << i;
      } else {
        const auto& other = side == 0 ? r : l;
        const auto newest = other.first ? std::max(time, other.second) : time;
        ASSERT_THAT(results, ElementsAre(JoinResult{key, wanted.first, wanted.second, newest})) << i;
      }
    }
  }
}

class StreamTableJoinTest : public testing::Test {
 protected:
  std::vector<JoinResult> event(const Text& key, const Text& value, std::int64_t time) {
    return take(Side::kLeft, key, value, time);
  }
  std::vector<JoinResult> row(const Text& key, const Text& value, std::int64_t time) {
    return take(Side::kRight, key, value, time);
  }
  std::vector<JoinResult> take(Side side, const Text& key, const Text& value, std::int64_t time) {
    StreamTableJoin{options_}.take(side, {key, value, time}, state_, out_);
    return out_.take();
  }
  std::vector<JoinResult> advance(std::int64_t time) {
    StreamTableJoin{options_}.advance(time, state_, out_);
    return out_.take();
  }
  LeftOut last_left_out() const { return std::get<LeftOut>(out_.left_outs.back()); }
  void version(std::int64_t history, std::int64_t grace = 0) {
    options_.table.history = std::chrono::milliseconds{history};
    options_.grace = std::chrono::milliseconds{grace};
  }

  StreamTableJoinOptions options_{.kind = Join::kLeft};
  MapState state_;
  Collected out_;
};

TEST_F(StreamTableJoinTest, AnOrdinaryTableIsSeenAsItIs) {
  row("k", "1", 100);
  EXPECT_THAT(event("k", "E", 1), ElementsAre(JoinResult{"k", "E", "1", 1}));
  row("k", {}, 100);
  EXPECT_THAT(event("k", "E", 200), ElementsAre(JoinResult{"k", "E", {}, 200}));
  row("k", "0", 99);
  EXPECT_EQ(last_left_out(), LeftOut::kOlder);
}

TEST_F(StreamTableJoinTest, AVersionedTableIsSeenAsItWas) {
  version(100);
  row("k", "1", 10);
  row("k", {}, 20);
  row("k", "3", 30);
  EXPECT_THAT(event("k", "E", 9), ElementsAre(JoinResult{"k", "E", {}, 9}));
  EXPECT_THAT(event("k", "E", 19), ElementsAre(JoinResult{"k", "E", "1", 19}));
  EXPECT_THAT(event("k", "E", 20), ElementsAre(JoinResult{"k", "E", {}, 20}));
  EXPECT_THAT(event("k", "E", 30), ElementsAre(JoinResult{"k", "E", "3", 30}));
}

// Kafka Streams brings the row back: C from 18 on.
TEST_F(StreamTableJoinTest, ADeletionIsAVersionLikeAnyOther) {
  version(100);
  row("k", "A", 21);
  row("k", {}, 21);
  row("k", "C", 18);
  EXPECT_THAT(event("k", "E", 20), ElementsAre(JoinResult{"k", "E", "C", 20}));
  EXPECT_THAT(event("k", "E", 21), ElementsAre(JoinResult{"k", "E", {}, 21}));
  EXPECT_THAT(event("k", "E", 22), ElementsAre(JoinResult{"k", "E", {}, 22}));
}

TEST_F(StreamTableJoinTest, ADeletedRowLeavesNothingAfterTheHistory) {
  version(100);
  for (int i = 0; i < 50; ++i) {
    row("k" + std::to_string(i), "1", i);
    row("k" + std::to_string(i), {}, i + 1);
  }
  row("z", "1", 1000);
  row("z", "2", 1100);
  EXPECT_EQ(state_.entries().size(), 4);  // both versions of z, the place of one in the index, and the clock
}

TEST_F(StreamTableJoinTest, AVersionOlderThanTheHistoryIsTold) {
  version(100);
  row("z", "1", 200);
  row("k", "1", 99);
  EXPECT_EQ(last_left_out(), LeftOut::kLate);
  EXPECT_THAT(event("k", "E", 300), ElementsAre(JoinResult{"k", "E", {}, 300}));
  row("k", "2", 100);
  EXPECT_THAT(event("k", "E", 300), ElementsAre(JoinResult{"k", "E", "2", 300}));
}

TEST_F(StreamTableJoinTest, WithGraceTheStreamWaitsForItsOwnTime) {
  version(100, 10);
  row("k", "1", 1);
  EXPECT_THAT(event("k", "E", 5), IsEmpty());
  row("k", "4", 4);
  EXPECT_THAT(row("k", "50", 50), IsEmpty());
  EXPECT_THAT(event("z", "E", 14), IsEmpty());
  EXPECT_THAT(event("z", "E", 15), ElementsAre(JoinResult{"k", "E", "4", 5}));
  EXPECT_THAT(event("k", "older", 4), ElementsAre(JoinResult{"k", "older", "4", 4}));
}

// The time of a quiet stream moves with the partition's watermark.
TEST_F(StreamTableJoinTest, AdvancingAnswersWhatWaits) {
  version(100, 10);
  event("k", "E", 5);
  EXPECT_THAT(advance(14), IsEmpty());
  EXPECT_THAT(advance(15), ElementsAre(JoinResult{"k", "E", {}, 5}));
  EXPECT_THAT(advance(1), IsEmpty());
  EXPECT_THAT(event("k", "E2", 4), ElementsAre(JoinResult{"k", "E2", {}, 4}));
}

TEST_F(StreamTableJoinTest, RecordsThatCannotMatchAreTold) {
  EXPECT_THAT(event({}, "E", 1), ElementsAre(JoinResult{{}, "E", {}, 1}));
  event("k", {}, 1);
  EXPECT_EQ(last_left_out(), LeftOut::kNoValue);
  row({}, "1", 1);
  EXPECT_EQ(last_left_out(), LeftOut::kNoKey);
  options_.kind = Join::kInner;
  EXPECT_THAT(event({}, "E", 1), IsEmpty());
  EXPECT_EQ(last_left_out(), LeftOut::kNoKey);
  EXPECT_THAT(event("k", "E", 1), IsEmpty());
}

TEST_F(StreamTableJoinTest, OptionsThatCannotWorkAreRefused) {
  EXPECT_THROW(StreamTableJoin({.kind = Join::kOuter}), Failure);
  EXPECT_THROW(StreamTableJoin({.grace = 1ms}), Failure);
  EXPECT_THROW(StreamTableJoin({.table = {.history = 9ms}, .grace = 10ms}), Failure);
  EXPECT_THROW(StreamTableJoin({.grace = -1ms}), Failure);
  EXPECT_THROW(StreamTableJoin({.table = {.history = -1ms}}), Failure);
}

TEST_F(StreamTableJoinTest, RandomVersionsEqualTheModel) {
  struct Version {
    std::int64_t time;
    Text value;
  };
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Random random{seed};
    const auto history = static_cast<std::int64_t>(random.below(30));
    version(history);
    state_ = {};
    std::map<std::string, std::vector<Version>> versions;
    std::int64_t newest = -1000;
    std::int64_t now = 0;
    for (int i = 0; i < 100; ++i) {
      now += static_cast<std::int64_t>(random.below(10) == 0 ? random.below(30) : random.below(3));
      const auto key = "k" + std::to_string(random.below(3));
      const auto time = now - static_cast<std::int64_t>(random.below(random.below(3) == 0 ? 50 : 5));
      if (random.below(2) == 0) {
        const auto value = random.below(3) == 0 ? Text{} : Text{std::to_string(i)};
        row(key, value, time);
        newest = std::max(newest, time);
        if (time < newest - history) continue;
        std::erase_if(versions[key], [&](const Version& one) { return one.time == time; });
        versions[key].push_back({time, value});
        std::ranges::sort(versions[key], {}, &Version::time);
      } else {
        Text wanted;
        if (const auto& all = versions[key]; time < newest - history) {
          if (!all.empty() && all.back().time <= time) wanted = all.back().value;
        } else {
          for (const auto& one : all) {
            if (one.time <= time) wanted = one.value;
          }
        }
        ASSERT_THAT(event(key, "E", time), ElementsAre(JoinResult{key, "E", wanted, time})) << i;
      }
      // A version and its place in the index for those in the history, one before it for each key, and the clock.
      std::size_t bound = 1;
      for (const auto& [one_key, all] : versions) {
        bound += 1 + 2 * static_cast<std::size_t>(std::ranges::count_if(
                             all, [&](const Version& one) { return one.time > newest - history; }));
      }
      ASSERT_LE(state_.entries().size(), bound) << i;
    }
  }
}

}  // namespace
}  // namespace mephisto
