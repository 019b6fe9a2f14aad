// StreamJoin: what the oracle's cases do not reach, and random cases against a model that remembers everything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "mephisto/base/ids.h"
#include "mephisto/error.h"
#include "mephisto/table/join_streams.h"
#include "table/join_support.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;
using ms = std::chrono::milliseconds;

using detail::JoinRecord;
using detail::LeftOut;
using detail::Side;
using detail::StreamJoin;
using detail::StreamJoinOptions;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr auto kL = Side::kLeft;
constexpr auto kR = Side::kRight;

class StreamJoinTest : public testing::Test {
 protected:
  std::vector<JoinResult> take(Side side, const Text& key, const Text& value, std::int64_t time) {
    StreamJoin{options_}.take(side, {key, value, time}, state_, out_);
    return out_.take();
  }
  std::vector<JoinResult> advance(std::int64_t time) {
    StreamJoin{options_}.advance(time, state_, out_);
    return out_.take();
  }

  std::pair<std::optional<std::int64_t>, std::int64_t> times() {
    const auto times = StreamJoin{options_}.times(state_);
    return {times.stream, times.next};
  }

  StreamJoinOptions options_{Join::kOuter, 5ms, 5ms, 2ms};
  MapState state_;
  Collected out_;
};

TEST_F(StreamJoinTest, RecordsMatchFromBeforeToAfterInclusive) {
  options_ = {Join::kInner, 3ms, 10ms, 100ms};
  take(kL, "k", "L", 50);
  EXPECT_THAT(take(kR, "k", "1", 46), IsEmpty());
  EXPECT_THAT(take(kR, "k", "2", 47), ElementsAre(JoinResult{"k", "L", "2", 50}));
  EXPECT_THAT(take(kR, "k", "3", 60), ElementsAre(JoinResult{"k", "L", "3", 60}));
  EXPECT_THAT(take(kR, "k", "4", 61), IsEmpty());
  EXPECT_THAT(take(kR, "other", "5", 50), IsEmpty());
}

TEST_F(StreamJoinTest, UnmatchedResultsComeByTimeThenRightBeforeLeftThenByKeyThenByArrival) {
  take(kR, "b", "R1", 10);
  take(kL, "a", "L1", 10);
  take(kL, "a", "L2", 10);
  take(kR, "a2", "R2", 10);
  take(kL, "c", "L3", 9);
  EXPECT_THAT(take(kR, "m", "M", 17), ElementsAre(JoinResult{"c", "L3", {}, 9}));
  EXPECT_THAT(take(kL, "m", "M2", 18),
              ElementsAre(JoinResult{"a2", {}, "R2", 10}, JoinResult{"b", {}, "R1", 10}, JoinResult{"a", "L1", {}, 10},
                          JoinResult{"a", "L2", {}, 10}, JoinResult{"m", "M2", "M", 18}));
}

// A key with a zero byte, or that another key begins with, is in its place.
TEST_F(StreamJoinTest, KeysOfAnyBytesAreOrdered) {
  const std::string zero{"a\0", 2};
  const std::string zero_one{"a\0\1", 3};
  const std::string high{"a\xff", 2};
  for (const auto& key : {high, zero_one, std::string{"a"}, std::string{}, zero}) take(kL, key, "v", 1);
  EXPECT_THAT(take(kL, "z", "z", 100),
              ElementsAre(JoinResult{"", "v", {}, 1}, JoinResult{"a", "v", {}, 1}, JoinResult{zero, "v", {}, 1},
                          JoinResult{zero_one, "v", {}, 1}, JoinResult{high, "v", {}, 1}));
  EXPECT_THAT(take(kR, "a", "R", 100), IsEmpty());
  EXPECT_THAT(take(kR, zero, "R", 100), IsEmpty());
}

// Kafka Streams gives both: the unmatched result at once and the match.
TEST_F(StreamJoinTest, ARecordOutOfOrderWaitsForItsMatch) {
  take(kR, "z", "z", 100);
  EXPECT_THAT(take(kL, "k", "L", 93), IsEmpty());
  EXPECT_THAT(take(kR, "k", "R", 93), ElementsAre(JoinResult{"k", "L", "R", 93}));
  EXPECT_THAT(take(kR, "z", "z", 200), ElementsAre(JoinResult{"z", {}, "z", 100}));
}

TEST_F(StreamJoinTest, ARecordOutOfOrderIsAnsweredAtOnceWhereTheJoinSaysSo) {
  options_.out_of_order = OutOfOrder::kAtOnce;
  take(kR, "z", "z", 100);
  EXPECT_THAT(take(kL, "k", "wait", 95), IsEmpty());
  EXPECT_THAT(take(kL, "k", "L", 94), ElementsAre(JoinResult{"k", "L", {}, 94}));
  EXPECT_THAT(take(kR, "k", "R", 94), ElementsAre(JoinResult{"k", "wait", "R", 95}));
}

TEST_F(StreamJoinTest, ALateRecordIsToldAndGivesNothing) {
  take(kR, "z", "z", 100);
  take(kR, "k", "R", 93);
  EXPECT_THAT(take(kL, "k", "L", 92), IsEmpty());
  EXPECT_THAT(out_.left_outs, ElementsAre(std::tuple{kL, "L", LeftOut::kLate}));
  EXPECT_THAT(advance(1000), ElementsAre(JoinResult{"k", {}, "R", 93}, JoinResult{"z", {}, "z", 100}));
}

TEST_F(StreamJoinTest, ALateRecordIsFoundByOneThatIsNotLate) {
  take(kR, "z", "z", 100);
  take(kR, "k", "R", 92);
  EXPECT_THAT(out_.left_outs, ElementsAre(std::tuple{kR, "R", LeftOut::kLate}));
  EXPECT_THAT(take(kL, "k", "L", 93), ElementsAre(JoinResult{"k", "L", "R", 93}));
}

TEST_F(StreamJoinTest, AnUnmatchedResultIsFinal) {
  take(kL, "k", "L", 10);
  EXPECT_THAT(take(kR, "z", "z", 18), ElementsAre(JoinResult{"k", "L", {}, 10}));
  EXPECT_THAT(take(kR, "k", "R", 12), IsEmpty());
  EXPECT_THAT(advance(1000), ElementsAre(JoinResult{"k", {}, "R", 12}, JoinResult{"z", {}, "z", 18}));
}

TEST_F(StreamJoinTest, OnlyTheSidesThatTheKindNamesGiveUnmatchedResults) {
  options_.kind = Join::kLeft;
  take(kL, "a", "L", 1);
  take(kR, "b", "R", 1);
  EXPECT_THAT(advance(100), ElementsAre(JoinResult{"a", "L", {}, 1}));
  options_.kind = Join::kInner;
  take(kL, "a", "L", 101);
  EXPECT_THAT(advance(200), IsEmpty());
}

TEST_F(StreamJoinTest, ARecordWithoutKeyIsUnmatchedAtOnce) {
  options_.kind = Join::kLeft;
  EXPECT_THAT(take(kL, {}, "L", 1), ElementsAre(JoinResult{{}, "L", {}, 1}));
  EXPECT_THAT(take(kR, {}, "R", 1), IsEmpty());
  EXPECT_THAT(out_.left_outs, ElementsAre(std::tuple{kR, "R", LeftOut::kNoKey}));
}

TEST_F(StreamJoinTest, ARecordWithoutValueMovesTheTimeOnly) {
  take(kL, "k", "L", 1);
  EXPECT_THAT(take(kR, "k", {}, 100), IsEmpty());
  EXPECT_THAT(out_.left_outs, ElementsAre(std::tuple{kR, "null", LeftOut::kNoValue}));
  EXPECT_THAT(take(kR, "k", "R", 2), IsEmpty());
  EXPECT_EQ(std::get<2>(out_.left_outs[1]), LeftOut::kLate);
  EXPECT_THAT(take(kR, "z", "z", 100), ElementsAre(JoinResult{"k", "L", {}, 1}));
}

// A record that is a little behind the clock is not late because the clock has moved the time.
TEST_F(StreamJoinTest, AdvancingMovesTheTimeNoFurtherThanItsResultsNeed) {
  take(kL, "k", "L", 10);
  EXPECT_THAT(advance(1000), ElementsAre(JoinResult{"k", "L", {}, 10}));
  EXPECT_EQ(times().first, 18);
  EXPECT_THAT(take(kL, "k", "L2", 11), IsEmpty());
  EXPECT_THAT(take(kR, "k", "R", 11), ElementsAre(JoinResult{"k", "L2", "R", 11}));
  EXPECT_THAT(out_.left_outs, IsEmpty());
}

TEST_F(StreamJoinTest, AdvancingSendsWhatIsDueAndNeverGoesBack) {
  take(kL, "k", "L", 10);
  EXPECT_EQ(times(), (std::pair<std::optional<std::int64_t>, std::int64_t>{10, 18}));
  EXPECT_THAT(advance(17), IsEmpty());
  EXPECT_THAT(advance(18), ElementsAre(JoinResult{"k", "L", {}, 10}));
  EXPECT_THAT(advance(3), IsEmpty());
  EXPECT_EQ(times().second, INT64_MAX);
  EXPECT_THAT(take(kL, "k", "L", 10), IsEmpty());
  EXPECT_EQ(out_.left_outs.size(), 1);
}

TEST_F(StreamJoinTest, TimesAndDurationsMayBeAsLargeAsTheirType) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  options_ = {Join::kOuter, ms(kMax), ms(kMax), ms(kMax)};
  take(kL, "k", "L", 0);
  EXPECT_THAT(take(kR, "k", "R", kMax), ElementsAre(JoinResult{"k", "L", "R", kMax}));
  EXPECT_THAT(out_.left_outs, IsEmpty());
}

TEST_F(StreamJoinTest, NegativeDurationsAreRefused) {
  EXPECT_THROW(StreamJoin({Join::kInner, -1ms, 0ms, 5ms}), Failure);
  EXPECT_THROW(StreamJoin({Join::kInner, 0ms, -1ms, 5ms}), Failure);
  EXPECT_THROW(StreamJoin({Join::kInner, 5ms, 0ms, -1ms}), Failure);
}

// Each record looks only at entries that it answers, matches or forgets, and the next one of each index.
TEST_F(StreamJoinTest, NothingIsFoundByAScanOfEverything) {
  options_ = {Join::kOuter, 10ms, 10'000s, 0ms};
  for (int i = 0; i < 10'000; ++i) take(kL, "k" + std::to_string(i), "v", i);
  EXPECT_LT(state_.scanned(), 100);
  take(kR, "k77", "R", 10'000);
  EXPECT_LT(state_.scanned(), 110);
}

// The same rules without an index and without forgetting.
class Model {
 public:
  explicit Model(const StreamJoinOptions& options) : options_(options) {}

  std::vector<JoinResult> take(Side side, const std::string& key, const Text& value, std::int64_t time) {
    std::vector<JoinResult> results;
    time_ = std::max(time_, time);
    if (!value) return results;
    if (time == time_) send(results);
    Seen seen{side, key, *value, time, time + reach(side) + options_.grace.count() < time_};
    if (!seen.late) {
      std::vector<Seen*> partners;
      for (auto& one : seen_) {
        const auto left = side == kL ? time : one.time;
        const auto right = side == kL ? one.time : time;
        if (one.side != side && one.key == key && !one.answered && left - options_.before.count() <= right &&
            right <= left + options_.after.count() && one.time > newest(one.side) - kept())
          partners.push_back(&one);
      }
      std::ranges::sort(partners, {}, [](const Seen* one) { return std::tuple{one->time, one}; });
      for (auto* one : partners) {
        one->matched = seen.matched = true;
        results.push_back(side == kL ? JoinResult{key, value, one->value, std::max(time, one->time)}
                                     : JoinResult{key, one->value, value, std::max(time, one->time)});
      }
    }
    seen_.push_back(seen);
    return results;
  }
  // How many records the join may remember.
  std::size_t alive() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        seen_, [&](const Seen& one) { return !one.answered && (one.time + kept() >= time_ || waits(one)); }));
  }

 private:
  struct Seen {
    Side side;
    std::string key;
    std::string value;
    std::int64_t time;
    bool late;
    bool matched = false;
    bool answered = false;
  };

  std::int64_t kept() const { return options_.before.count() + options_.after.count() + options_.grace.count(); }
  std::int64_t reach(Side side) const { return side == kL ? options_.after.count() : options_.before.count(); }
  std::int64_t newest(Side side) const {
    std::int64_t newest = -1'000'000;
    for (const auto& one : seen_) {
      if (one.side == side) newest = std::max(newest, one.time);
    }
    return newest;
  }
  bool waits(const Seen& one) const {
    const bool sends = options_.kind == Join::kOuter || (options_.kind == Join::kLeft && one.side == kL);
    return sends && !one.late && !one.matched && !one.answered;
  }
  void send(std::vector<JoinResult>& results) {
    std::vector<Seen*> due;
    for (auto& one : seen_) {
      if (waits(one) && one.time + reach(one.side) + options_.grace.count() < time_) due.push_back(&one);
    }
    std::ranges::sort(due, {}, [](const Seen* one) { return std::tuple{one->time, one->side == kL, one->key, one}; });
    for (auto* one : due) {
      one->answered = true;
      results.push_back(one->side == kL ? JoinResult{one->key, one->value, {}, one->time}
                                        : JoinResult{one->key, {}, one->value, one->time});
    }
  }

  StreamJoinOptions options_;
  std::int64_t time_ = -1'000'000;
  std::vector<Seen> seen_;
};

TEST_F(StreamJoinTest, RandomCasesEqualTheModel) {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    SCOPED_TRACE(seed);
    Random random{seed};
    const auto upto = [&](std::uint64_t most) { return static_cast<std::int64_t>(random.below(most + 1)); };
    options_ = {static_cast<Join>(random.below(3)), ms(upto(12)), ms(upto(12)), ms(1 + upto(5))};
    state_ = {};
    Model model{options_};
    std::int64_t now = 0;
    for (int i = 0; i < 60; ++i) {
      now += random.below(12) == 0 ? upto(40) : upto(2);
      const auto side = random.below(2) == 0 ? kL : kR;
      const auto key = "k" + std::to_string(random.below(3));
      const auto value = random.below(15) == 0 ? Text{} : Text{std::to_string(i)};
      const auto time = now - upto(random.below(4) == 0 ? 30 : 3);
      ASSERT_EQ(take(side, key, value, time), model.take(side, key, value, time)) << i;
      // An entry of the buffer and one of an index for each record, and the clock.
      ASSERT_LE(state_.entries().size(), 2 * model.alive() + 1) << i;
    }
    advance(now + 1000);
    take(kL, "k", {}, now + 1000);
    EXPECT_EQ(state_.entries().size(), 1);
  }
}

}  // namespace
}  // namespace mephisto
