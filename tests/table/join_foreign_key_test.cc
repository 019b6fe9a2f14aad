// ForeignKeyJoin: what the oracle's cases do not reach, and its halves in several partitions with messages that are
// under way for a while.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "mephisto/base/ids.h"
#include "mephisto/error.h"
#include "mephisto/table/join_foreign_key.h"
#include "table/join_support.h"

namespace mephisto {
namespace {

using detail::ForeignKeyJoin;
using detail::ForeignKeyLeft;
using detail::ForeignKeyRight;
using detail::KeyAnswer;
using detail::KeySubscription;
using detail::LeftOut;
using detail::Side;
using detail::TableOptions;
using testing::ElementsAre;
using testing::IsEmpty;

class ForeignKeyJoinTest : public testing::Test {
 protected:
  // A left value `F|x` refers to F, and `|x` to nothing.
  std::vector<JoinResult> left(const Text& key, const Text& value, std::int64_t time) {
    Text foreign_key;
    if (value && !value->starts_with('|')) foreign_key = value->substr(0, value->find('|'));
    ForeignKeyJoin{kind_, {}, {}}.left({key, value, time}, foreign_key, state_, out_);
    return out_.take();
  }
  std::vector<JoinResult> right(const Text& key, const Text& value, std::int64_t time) {
    ForeignKeyJoin{kind_, {}, {}}.right({key, value, time}, state_, out_);
    return out_.take();
  }

  Join kind_ = Join::kLeft;
  MapState state_;
  Collected out_;
};

TEST_F(ForeignKeyJoinTest, Left) {
  EXPECT_THAT(left("1", "A|x", 1), ElementsAre(JoinResult{"1", "A|x", {}, 1}));
  EXPECT_THAT(right("A", "ra", 2), ElementsAre(JoinResult{"1", "A|x", "ra", 2}));
  EXPECT_THAT(left("1", "|x", 3), ElementsAre(JoinResult{"1", "|x", {}, 3}));
  EXPECT_THAT(left("1", "B|x", 4), ElementsAre(JoinResult{"1", "B|x", {}, 4}));
  EXPECT_THAT(right("A", {}, 5), IsEmpty());
  EXPECT_THAT(right("B", "rb", 1), ElementsAre(JoinResult{"1", "B|x", "rb", 4}));
  EXPECT_THAT(left("1", {}, 6), ElementsAre(JoinResult{"1", {}, {}, 6}));
  EXPECT_THAT(left("2", {}, 7), IsEmpty());
  EXPECT_THAT(out_.left_outs, IsEmpty());
}

TEST_F(ForeignKeyJoinTest, Inner) {
  kind_ = Join::kInner;
  EXPECT_THAT(left("1", "A|x", 1), IsEmpty());
  EXPECT_THAT(right("A", "ra", 2), ElementsAre(JoinResult{"1", "A|x", "ra", 2}));
  EXPECT_THAT(left("1", "|x", 3), ElementsAre(JoinResult{"1", {}, {}, 3}));
  EXPECT_THAT(out_.left_outs, ElementsAre(std::tuple{Side::kLeft, "|x", LeftOut::kNoForeignKey}));
  EXPECT_THAT(left("1", "B|x", 4), IsEmpty());
  EXPECT_THAT(right("A", {}, 5), IsEmpty());
  EXPECT_THAT(right("B", "rb", 1), ElementsAre(JoinResult{"1", "B|x", "rb", 4}));
  EXPECT_THAT(left("1", {}, 6), ElementsAre(JoinResult{"1", {}, {}, 6}));
  EXPECT_THAT(left("2", {}, 7), IsEmpty());
}

TEST_F(ForeignKeyJoinTest, AResultsTimeIsTheLargerOneOfItsRows) {
  left("1", "A|1", 1);
  right("A", "ra", 20);
  EXPECT_THAT(left("1", "A|2", 15), ElementsAre(JoinResult{"1", "A|2", "ra", 20}));
  EXPECT_THAT(left("2", "A|3", 30), ElementsAre(JoinResult{"2", "A|3", "ra", 30}));
  EXPECT_THAT(right("A", "rb", 25), ElementsAre(JoinResult{"1", "A|2", "rb", 25}, JoinResult{"2", "A|3", "rb", 30}));
}

TEST_F(ForeignKeyJoinTest, WhatChangesNothingGivesNothing) {
  left("1", "A|x", 1);
  right("A", "ra", 2);
  EXPECT_THAT(left("1", "A|x", 3), IsEmpty());
  EXPECT_THAT(right("A", "ra", 4), IsEmpty());
  EXPECT_THAT(right("A", {}, 5), ElementsAre(JoinResult{"1", "A|x", {}, 5}));
  EXPECT_THAT(right("A", {}, 6), IsEmpty());
  left("2", "|x", 7);
  EXPECT_THAT(left("2", "|x", 8), IsEmpty());
}

TEST_F(ForeignKeyJoinTest, OlderRecordsAndRecordsWithoutKeyAreTold) {
  left("1", "A|x", 5);
  right("A", "ra", 5);
  EXPECT_THAT(left("1", "B|x", 4), IsEmpty());
  EXPECT_THAT(right("A", "old", 4), IsEmpty());
  EXPECT_THAT(left({}, "A|x", 6), IsEmpty());
  EXPECT_THAT(right({}, "r", 6), IsEmpty());
  EXPECT_THAT(
      out_.left_outs,
      ElementsAre(std::tuple{Side::kLeft, "B|x", LeftOut::kOlder}, std::tuple{Side::kRight, "old", LeftOut::kOlder},
                  std::tuple{Side::kLeft, "A|x", LeftOut::kNoKey}, std::tuple{Side::kRight, "r", LeftOut::kNoKey}));
  EXPECT_THAT(right("A", "new", 7), ElementsAre(JoinResult{"1", "A|x", "new", 7}));
}

TEST_F(ForeignKeyJoinTest, ManySubscribersAreAllAnsweredInTheOrderOfTheirKeys) {
  for (int i = 0; i < 1000; ++i) left(std::to_string(i), "A|x", i);
  const auto scanned = state_.scanned();
  left("1", "B|x", 2000);
  right("B", "rb", 2000);
  EXPECT_LT(state_.scanned() - scanned, 10);
  const auto results = right("A", "ra", 3000);
  EXPECT_EQ(results.size(), 999);
  EXPECT_TRUE(std::ranges::is_sorted(results, {}, &JoinResult::key));
}

TEST_F(ForeignKeyJoinTest, AForeignKeyIsNotMistakenForAnotherThatItBegins) {
  left("1", "A|x", 1);
  left("x", std::string{"A\0y|x", 5}, 1);
  EXPECT_THAT(right("A", "ra", 2), ElementsAre(JoinResult{"1", "A|x", "ra", 2}));
}

TEST_F(ForeignKeyJoinTest, AnOuterJoinIsRefused) { EXPECT_THROW(ForeignKeyLeft(Join::kOuter, {}), Failure); }

TEST(ForeignKeyMessages, AreReadAsTheyWereWritten) {
  for (const auto number : {std::optional<std::int64_t>{}, std::optional<std::int64_t>{7}}) {
    const auto bytes = message_of(KeySubscription{"F", std::string_view{"k\0", 2}, number, 3});
    const auto read = detail::read_subscription("F", bytes);
    ASSERT_TRUE(read);
    EXPECT_EQ(std::tie(read->foreign_key, read->left_key, read->number, read->left_partition),
              std::tuple("F", std::string_view("k\0", 2), number, 3));
  }
  const std::pair<std::optional<std::string_view>, std::optional<std::int64_t>> rights[] = {
      {"right", 5}, {"", -1}, {std::nullopt, 5}, {std::nullopt, std::nullopt}};
  for (const auto& [right, time] : rights) {
    const auto bytes = message_of(KeyAnswer{"k", 9, right, time, 3});
    const auto read = detail::read_answer("k", bytes);
    ASSERT_TRUE(read);
    EXPECT_EQ(std::tie(read->left_key, read->number, read->right, read->right_timestamp_ms, read->left_partition),
              std::tuple("k", 9, right, time, 3));
  }
}

TEST(ForeignKeyMessages, OtherBytesAreNotRead) {
  const auto subscription = message_of(KeySubscription{"F", "", 7, 3});
  const auto answer = message_of(KeyAnswer{"k", 9, "", 5, 3});
  for (std::size_t size = 0; size < subscription.size(); ++size)
    EXPECT_FALSE(detail::read_subscription("F", std::string_view{subscription}.substr(0, size)));
  for (std::size_t size = 0; size < answer.size(); ++size)
    EXPECT_FALSE(detail::read_answer("k", std::string_view{answer}.substr(0, size)));
  EXPECT_FALSE(detail::read_subscription("F", answer));
  EXPECT_FALSE(detail::read_answer("k", subscription));
}

// Two left and three right partitions, each with its own state. Messages between two partitions keep their order, and
// are otherwise as late as they like.
class Partitions {
 public:
  explicit Partitions(Join kind) : left_{kind, {}}, right_{{}} {}

  void left(const std::string& key, const Text& value, std::int64_t time) {
    Text foreign_key;
    if (value && !value->starts_with('|')) foreign_key = value->substr(0, value->find('|'));
    const auto from = static_cast<std::size_t>(key.back() % 2);
    left_.take({key, value, time}, foreign_key, left_states_[from], out, [&](KeySubscription sent) {
      sent.left_partition = static_cast<int>(from);
      const auto to = static_cast<std::size_t>(sent.foreign_key.front() - 'A');
      messages_[{from, to, true}].push_back(
          [this, to, foreign_key = std::string{sent.foreign_key}, message = message_of(sent)] {
            right_.subscribed(detail::read_subscription(foreign_key, message).value(), right_states_[to],
                              [&](const KeyAnswer& answer) { send_answer(to, answer); });
          });
    });
  }
  void right(const std::string& key, const Text& value, std::int64_t time) {
    const auto from = static_cast<std::size_t>(key.front() - 'A');
    right_.take({key, value, time}, right_states_[from], out,
                [&](const KeyAnswer& answer) { send_answer(from, answer); });
  }
  // Delivers one message. False if there is none.
  bool deliver(Random& random) {
    std::erase_if(messages_, [](const auto& queue) { return queue.second.empty(); });
    if (messages_.empty()) return false;
    auto queue = std::next(messages_.begin(), static_cast<std::ptrdiff_t>(random.below(messages_.size())));
    const auto message = std::move(queue->second.front());
    queue->second.pop_front();
    message();
    return true;
  }

  Collected out;

 private:
  void send_answer(std::size_t from, const KeyAnswer& answer) {
    const auto to = static_cast<std::size_t>(answer.left_partition);
    messages_[{from, to, false}].push_back(
        [this, to, left_key = std::string{answer.left_key}, message = message_of(answer)] {
          left_.answered(detail::read_answer(left_key, message).value(), left_states_[to], out);
        });
  }

  ForeignKeyLeft left_;
  ForeignKeyRight right_;
  std::array<MapState, 2> left_states_;
  std::array<MapState, 3> right_states_;
  std::map<std::tuple<std::size_t, std::size_t, bool>, std::deque<std::function<void()>>> messages_;
};

TEST(ForeignKeyPartitions, TheLastResultsAreTheJoinHoweverMessagesAreDelayed) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    Random random{seed};
    const auto kind = seed % 2 == 0 ? Join::kInner : Join::kLeft;
    Partitions partitions{kind};
    std::map<std::string, Text> lefts;
    std::map<std::string, Text> rights;
    for (int i = 0; i < 100; ++i) {
      const auto none = random.below(4) == 0;
      const std::string letter(1, static_cast<char>('A' + random.below(3)));
      if (random.below(2) == 0) {
        const auto key = "k" + std::to_string(random.below(4));
        lefts[key] = none ? Text{} : Text{(random.below(5) == 0 ? "" : letter) + "|" + std::to_string(i)};
        partitions.left(key, lefts[key], i);
      } else {
        rights[letter] = none ? Text{} : Text{std::to_string(i)};
        partitions.right(letter, rights[letter], i);
      }
      for (auto count = random.below(4); count > 0; --count) partitions.deliver(random);
    }
    while (partitions.deliver(random)) {
    }
    std::map<std::string, std::pair<Text, Text>> last;
    for (const auto& result : partitions.out.results) last[*result.key] = {result.left, result.right};
    for (const auto& [key, value] : lefts) {
      std::pair<Text, Text> wanted{value, {}};
      if (value && !value->starts_with('|')) wanted.second = rights[value->substr(0, 1)];
      if (kind == Join::kInner && !wanted.second) wanted = {};
      EXPECT_EQ(last[key], wanted) << key;
    }
  }
}

}  // namespace
}  // namespace mephisto
