// AsOfJoin: a trade and the quote that held at its time, also in random cases against a model that remembers
// everything.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "mephisto/base/ids.h"
#include "mephisto/error.h"
#include "mephisto/table/join_as_of.h"
#include "table/join_support.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;
using ms = std::chrono::milliseconds;

using detail::AsOf;
using detail::AsOfJoin;
using detail::AsOfJoinOptions;
using detail::LeftOut;
using detail::Side;
using testing::ElementsAre;
using testing::IsEmpty;

class AsOfJoinTest : public testing::Test {
 protected:
  std::vector<JoinResult> trade(const Text& key, const Text& value, std::int64_t time) {
    return take(Side::kLeft, key, value, time);
  }
  std::vector<JoinResult> quote(const Text& key, const Text& value, std::int64_t time) {
    return take(Side::kRight, key, value, time);
  }
  std::vector<JoinResult> take(Side side, const Text& key, const Text& value, std::int64_t time) {
    AsOfJoin{options_}.take(side, {key, value, time}, state_, out_);
    return out_.take();
  }
  std::vector<JoinResult> advance(std::int64_t time) {
    AsOfJoin{options_}.advance(time, state_, out_);
    return out_.take();
  }
  LeftOut last_left_out() const { return std::get<LeftOut>(out_.left_outs.back()); }

  AsOfJoinOptions options_{.kind = Join::kLeft};
  MapState state_;
  Collected out_;
};

TEST_F(AsOfJoinTest, ATradeHasTheQuoteThatHeldThen) {
  quote("k", "Q10", 10);
  quote("k", "Q20", 20);
  quote("other", "X", 20);
  EXPECT_THAT(trade("k", "T", 20), ElementsAre(JoinResult{"k", "T", "Q20", 20}));
  quote("k", "Q30", 30);
  EXPECT_THAT(trade("k", "T", 30), ElementsAre(JoinResult{"k", "T", "Q30", 30}));
  EXPECT_THAT(trade("none", "T", 31), ElementsAre(JoinResult{"none", "T", {}, 31}));
}

TEST_F(AsOfJoinTest, AQuoteHoldsUntilTheNextOneHoweverLong) {
  quote("k", "Q", 1);
  EXPECT_THAT(trade("k", "T", 1'000'000'000), ElementsAre(JoinResult{"k", "T", "Q", 1'000'000'000}));
}

TEST_F(AsOfJoinTest, AQuoteBeyondTheToleranceDoesNotHold) {
  options_.tolerance = 10ms;
  quote("k", "Q", 1);
  EXPECT_THAT(trade("k", "T", 11), ElementsAre(JoinResult{"k", "T", "Q", 11}));
  EXPECT_THAT(trade("k", "T", 12), ElementsAre(JoinResult{"k", "T", {}, 12}));
}

TEST_F(AsOfJoinTest, AnInnerJoinGivesNothingWithoutAQuote) {
  options_.kind = Join::kInner;
  EXPECT_THAT(trade("k", "T", 1), IsEmpty());
  EXPECT_THAT(out_.left_outs, IsEmpty());
}

TEST_F(AsOfJoinTest, WithGraceATradeWaitsForQuotesThatComeLater) {
  options_.grace = 10ms;
  quote("k", "Q1", 1);
  EXPECT_THAT(trade("k", "T", 5), IsEmpty());
  EXPECT_THAT(quote("k", "Q7", 7), IsEmpty());
  EXPECT_THAT(quote("k", "Q4", 4), IsEmpty());
  EXPECT_THAT(trade("z", "T", 14), IsEmpty());
  EXPECT_THAT(quote("z", "Q", 15), ElementsAre(JoinResult{"k", "T", "Q4", 5}));
}

TEST_F(AsOfJoinTest, WhatWaitedComesByTimeThenByKeyThenByArrivalBeforeTheTradeThatEndsTheWait) {
  options_.grace = 10ms;
  for (const auto* key : {"b", "a", "a"}) trade(key, std::string{"T"} + key, 5);
  trade("c", "Tc", 4);
  EXPECT_THAT(trade("d", "Td", 15), ElementsAre(JoinResult{"c", "Tc", {}, 4}, JoinResult{"a", "Ta", {}, 5},
                                                JoinResult{"a", "Ta", {}, 5}, JoinResult{"b", "Tb", {}, 5}));
}

TEST_F(AsOfJoinTest, ForwardTakesTheFirstQuoteFromThenOn) {
  options_ = {Join::kLeft, AsOf::kForward, 10ms, 0ms};
  EXPECT_THAT(trade("k", "T1", 5), IsEmpty());
  EXPECT_THAT(quote("k", "Q", 8), ElementsAre(JoinResult{"k", "T1", "Q", 5}));
  EXPECT_THAT(trade("k", "T2", 8), ElementsAre(JoinResult{"k", "T2", "Q", 8}));
  trade("k", "T3", 9);
  EXPECT_THAT(quote("z", "Q", 19), IsEmpty());
  EXPECT_THAT(quote("k", "Q", 19), ElementsAre(JoinResult{"k", "T3", "Q", 9}));
  trade("k", "T4", 20);
  EXPECT_THAT(quote("z", "Q", 31), ElementsAre(JoinResult{"k", "T4", {}, 20}));
}

TEST_F(AsOfJoinTest, ForwardWithGraceWaitsForAnEarlierQuote) {
  options_ = {Join::kLeft, AsOf::kForward, 100ms, 5ms};
  trade("k", "T", 5);
  EXPECT_THAT(quote("k", "Q9", 9), IsEmpty());
  EXPECT_THAT(quote("k", "Q7", 7), IsEmpty());
  EXPECT_THAT(quote("z", "Q", 12), ElementsAre(JoinResult{"k", "T", "Q7", 5}));
}

TEST_F(AsOfJoinTest, NearestTakesTheNearerQuoteAndOfTwoTheEarlier) {
  options_ = {Join::kLeft, AsOf::kNearest, 10ms, 0ms};
  quote("k", "Q0", 0);
  EXPECT_THAT(trade("k", "T4", 4), IsEmpty());
  EXPECT_THAT(trade("k", "T5", 5), IsEmpty());
  EXPECT_THAT(trade("k", "T6", 6), IsEmpty());
  EXPECT_THAT(quote("z", "Q", 8), ElementsAre(JoinResult{"k", "T4", "Q0", 4}));
  EXPECT_THAT(quote("k", "Q10", 10), ElementsAre(JoinResult{"k", "T5", "Q0", 5}, JoinResult{"k", "T6", "Q10", 6}));
  EXPECT_THAT(trade("k", "T10", 10), ElementsAre(JoinResult{"k", "T10", "Q10", 10}));
}

TEST_F(AsOfJoinTest, LateRecordsAreTold) {
  options_.grace = 10ms;
  quote("k", "Q50", 50);
  quote("z", "Q", 100);
  EXPECT_THAT(trade("k", "T", 89), IsEmpty());
  EXPECT_EQ(last_left_out(), LeftOut::kLate);
  EXPECT_THAT(trade("k", "T", 90), ElementsAre(JoinResult{"k", "T", "Q50", 90}));
  EXPECT_EQ(out_.left_outs.size(), 1);
  quote("k", "Q49", 49);
  EXPECT_EQ(out_.left_outs.size(), 2);
  EXPECT_EQ(last_left_out(), LeftOut::kLate);
  // It holds from then on: no newer one does.
  quote("k", "Q51", 51);
  EXPECT_EQ(out_.left_outs.size(), 2);
  EXPECT_THAT(trade("k", "T", 90), ElementsAre(JoinResult{"k", "T", "Q51", 90}));
}

TEST_F(AsOfJoinTest, RecordsThatCannotMatchAreTold) {
  EXPECT_THAT(trade({}, "T", 1), ElementsAre(JoinResult{{}, "T", {}, 1}));
  trade("k", {}, 1);
  EXPECT_EQ(last_left_out(), LeftOut::kNoValue);
  quote({}, "Q", 1);
  EXPECT_EQ(last_left_out(), LeftOut::kNoKey);
  quote("k", {}, 1);
  EXPECT_EQ(last_left_out(), LeftOut::kNoValue);
  options_.kind = Join::kInner;
  EXPECT_THAT(trade({}, "T", 1), IsEmpty());
  EXPECT_EQ(last_left_out(), LeftOut::kNoKey);
}

TEST_F(AsOfJoinTest, OptionsThatCannotWorkAreRefused) {
  EXPECT_THROW(AsOfJoin({.kind = Join::kOuter}), Failure);
  EXPECT_THROW(AsOfJoin({.grace = -1ms}), Failure);
  EXPECT_THROW(AsOfJoin({.tolerance = -1ms}), Failure);
  EXPECT_THROW(AsOfJoin({.direction = AsOf::kForward}), Failure);
  EXPECT_THROW(AsOfJoin({.direction = AsOf::kNearest}), Failure);
}

TEST_F(AsOfJoinTest, AQuoteLooksOnlyAtTradesNearIt) {
  options_ = {Join::kLeft, AsOf::kNearest, 10ms, 1000s};
  for (int i = 0; i < 10'000; ++i) trade("k", "T", i * 100);
  const auto before = state_.scanned();
  quote("k", "Q", 500'005);
  EXPECT_LT(state_.scanned() - before, 10);
}

// The same rules, computed from all that came.
class Model {
 public:
  Model(const AsOfJoinOptions& options, Collected& out) : options_(options), out_(out) {}

  void trade(const std::string& key, const std::string& value, std::int64_t time) {
    now_ = std::max(now_, time);
    send();
    if (time + options_.grace.count() < now_) return out_.left_out(Side::kLeft, {key, value, time}, LeftOut::kLate);
    trades_.push_back({key, value, time});
    if (due(trades_.back()) <= now_) {
      answer(trades_.back());
      trades_.pop_back();
    }
  }
  void quote(const std::string& key, const std::string& value, std::int64_t time) {
    now_ = std::max(now_, time);
    if (is_late(key, time)) {
      out_.left_out(Side::kRight, {key, value, time}, LeftOut::kLate);
    } else {
      std::erase_if(quotes_, [&](const Seen& one) { return one.key == key && one.time == time; });
      quotes_.push_back({key, value, time});
    }
    send();
  }
  std::size_t waiting() const { return trades_.size(); }
  // How many quotes a trade that waits or is still to come can take, at most.
  std::size_t useful_quotes() const {
    return static_cast<std::size_t>(std::ranges::count_if(quotes_, [&](const Seen& quote) {
      if (options_.direction == AsOf::kForward) return quote.time + options_.grace.count() >= now_;
      if (options_.tolerance) {
        const auto wait = options_.direction == AsOf::kNearest ? options_.tolerance->count() : 0;
        return quote.time + options_.tolerance->count() + wait + options_.grace.count() >= now_;
      }
      return !replaced(quote.key, quote.time);
    }));
  }

 private:
  struct Seen {
    std::string key;
    std::string value;
    std::int64_t time;
  };

  bool replaced(const std::string& key, std::int64_t time) const {
    return std::ranges::any_of(quotes_, [&](const Seen& one) {
      return one.key == key && one.time > time && one.time <= now_ - options_.grace.count();
    });
  }
  bool is_late(const std::string& key, std::int64_t time) const {
    const auto tolerance = options_.tolerance.value_or(std::chrono::milliseconds{0}).count();
    if (options_.direction == AsOf::kForward) return time + options_.grace.count() < now_;
    if (options_.direction == AsOf::kNearest) return time + 2 * tolerance + options_.grace.count() < now_;
    if (options_.tolerance) return time + tolerance + options_.grace.count() < now_;
    return time < now_ - options_.grace.count() && replaced(key, time);
  }
  const Seen* best(const Seen& trade) const {
    const Seen* best = nullptr;
    for (const auto& quote : quotes_) {
      if (quote.key != trade.key ||
          std::abs(quote.time - trade.time) > options_.tolerance.value_or(std::chrono::milliseconds{1'000'000}).count())
        continue;
      if (options_.direction == AsOf::kBackward && quote.time > trade.time) continue;
      if (options_.direction == AsOf::kForward && quote.time < trade.time) continue;
      const auto rank = [&](const Seen& one) { return std::pair{std::abs(one.time - trade.time), one.time}; };
      if (best == nullptr || rank(quote) < rank(*best)) best = &quote;
    }
    return best;
  }
  // The first stream time at which no quote that may still come would be better.
  std::int64_t due(const Seen& trade) const {
    const auto* found = best(trade);
    auto due = options_.direction == AsOf::kForward ? trade.time : trade.time + options_.grace.count();
    if (options_.direction == AsOf::kBackward) return due;
    if (found != nullptr && found->time >= trade.time) return std::max(due, found->time + options_.grace.count());
    const auto ahead = found == nullptr ? options_.tolerance->count() : trade.time - found->time - 1;
    return std::max(due, trade.time + ahead + options_.grace.count() + 1);
  }
  void answer(const Seen& trade) {
    const auto* found = best(trade);
    if (found != nullptr || options_.kind == Join::kLeft)
      out_.joined(
          {trade.key, trade.value, found == nullptr ? std::optional<std::string_view>{} : found->value, trade.time});
  }
  void send() {
    std::vector<std::pair<std::int64_t, const Seen*>> all;
    for (const auto& trade : trades_) {
      if (due(trade) <= now_) all.emplace_back(due(trade), &trade);
    }
    std::ranges::sort(
        all, {}, [](const auto& one) { return std::tuple{one.first, one.second->time, one.second->key, one.second}; });
    for (const auto& [when, trade] : all) answer(*trade);
    std::erase_if(trades_, [&](const Seen& trade) { return due(trade) <= now_; });
  }

  AsOfJoinOptions options_;
  Collected& out_;
  std::int64_t now_ = -1'000'000;
  std::vector<Seen> trades_;
  std::vector<Seen> quotes_;
};

TEST_F(AsOfJoinTest, RandomCasesEqualTheModel) {
  for (std::uint64_t seed = 0; seed < 600; ++seed) {
    SCOPED_TRACE(seed);
    Random random{seed};
    const auto upto = [&](std::uint64_t most) { return static_cast<std::int64_t>(random.below(most + 1)); };
    options_ = {static_cast<Join>(random.below(2)), static_cast<AsOf>(random.below(3)), ms(upto(12)), ms(upto(8))};
    if (options_.direction == AsOf::kBackward && random.below(2) == 0) options_.tolerance.reset();
    state_ = {};
    out_ = {};
    Collected wanted;
    Model model{options_, wanted};
    std::int64_t now = 0;
    for (int i = 0; i < 80; ++i) {
      now += random.below(12) == 0 ? upto(40) : upto(2);
      const auto key = "k" + std::to_string(random.below(3));
      const auto value = std::to_string(i);
      const auto time = now - upto(random.below(4) == 0 ? 30 : 4);
      if (random.below(2) == 0) {
        AsOfJoin{options_}.take(Side::kLeft, {key, value, time}, state_, out_);
        model.trade(key, value, time);
      } else {
        AsOfJoin{options_}.take(Side::kRight, {key, value, time}, state_, out_);
        model.quote(key, value, time);
      }
      ASSERT_EQ(out_.take(), wanted.take()) << i;
      ASSERT_EQ(out_.left_outs, wanted.left_outs) << i;
      ASSERT_LE(state_.entries().size(), 2 * model.waiting() + 3 * model.useful_quotes() + 1) << i;
    }
    advance(now + 1000);
    trade("k", {}, now + 1000);
    if (options_.tolerance) EXPECT_EQ(state_.entries().size(), 1);
  }
}

}  // namespace
}  // namespace mephisto
