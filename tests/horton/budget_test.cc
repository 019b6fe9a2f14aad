// How many requests may go, and when. Windows are short real ones: documents live on threads of their own.
#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>

#include "horton/budget.h"
#include "horton/sqlite_documents.h"

namespace horton {
namespace {

using namespace std::chrono_literals;
using mephisto::Loop;
using mephisto::Task;
using mephisto::Timestamp;
using std::chrono::milliseconds;

std::vector<std::pair<int, milliseconds>> terms_of(std::string_view rate) {
  auto terms = parse_rate(rate);
  EXPECT_TRUE(terms) << terms.error().message;
  std::vector<std::pair<int, milliseconds>> all;
  if (terms) {
    for (const auto& term : *terms) all.emplace_back(term.count, term.window);
  }
  return all;
}

TEST(Rate, MayHaveOneTerm) { EXPECT_THAT(terms_of("75/min"), ::testing::ElementsAre(std::pair{75, milliseconds{1min}})); }

TEST(Rate, MayHaveManyTermsTheShortestFirst) {
  EXPECT_THAT(terms_of("25/d,500/h,1/s"), ::testing::ElementsAre(std::pair{1, milliseconds{1s}}, std::pair{500, milliseconds{1h}}, std::pair{25, milliseconds{24h}}));
}

TEST(Rate, KeepsATermsText) { EXPECT_EQ(parse_rate("1/s,25/d").value().at(1).text, "25/d"); }

TEST(Rate, MayBeUnlimited) { EXPECT_TRUE(terms_of("unlimited").empty()); }

class BadRate : public ::testing::TestWithParam<const char*> {};

TEST_P(BadRate, IsRefusedWithItsTextAndAnExample) {
  auto terms = parse_rate(GetParam());
  ASSERT_FALSE(terms);
  EXPECT_EQ(terms.error().kind, mephisto::ErrorKind::kInvalid);
  EXPECT_THAT(terms.error().message, ::testing::HasSubstr("\"" + std::string{GetParam()} + "\""));
  EXPECT_THAT(terms.error().message, ::testing::HasSubstr("1/s,25/d"));
}

INSTANTIATE_TEST_SUITE_P(All, BadRate,
                         ::testing::Values("", "5", "/s", "5/", "0/s", "-1/s", "1.5/s", "5/fortnight", "5/s,", ",5/s", "5/s;1/d", "unlimited,1/s", "99999999999/s", "five/s", "5s",
                                           "5 /s"));

RateTerm term(int count, milliseconds window) {
  RateTerm one;
  one.count = count;
  one.window = window;
  one.text = "test";
  return one;
}

class BudgetTest : public ::testing::Test {
 protected:
  BudgetTest() {
    std::string pattern = "/tmp/horton_budget_XXXXXX";
    folder = mkdtemp(pattern.data());
    documents = std::make_unique<SqliteDocuments>(folder + "/documents.db");
  }
  ~BudgetTest() override {
    documents.reset();
    std::filesystem::remove_all(folder);
  }
  Budget budget(std::vector<RateTerm> terms) { return Budget{documents->collection("budget"), std::move(terms)}; }

  // Takes `count` requests and notes when each might go.
  static Task<int> take(Budget& from, int count, std::vector<Timestamp>& times) {
    for (int i = 0; i < count; ++i) {
      co_await from.acquire();
      times.push_back(Loop::current()->timestamp());
    }
    co_return count;
  }
  // No window holds more than `count`; what was granted in one is noted a little later, so a little is forgiven.
  static void expect_no_more(std::vector<Timestamp> times, int count, milliseconds window) {
    std::ranges::sort(times);
    for (std::size_t i = static_cast<std::size_t>(count); i < times.size(); ++i) {
      EXPECT_GE(times[i] - times[i - static_cast<std::size_t>(count)], window - 60ms) << "request " << i;
    }
  }
  milliseconds paused(Budget& one) {
    auto pause = loop.run(one.pause());
    return pause ? pause->until - loop.timestamp() : 0ms;
  }

  Loop loop;
  std::string folder;
  std::unique_ptr<Documents> documents;
};

TEST_F(BudgetTest, LetsRequestsGoAtOnceWithinItsTerms) {
  auto one = budget({term(5, 1h)});
  std::vector<Timestamp> times;
  EXPECT_EQ(loop.run(mephisto::timeout(10s, take(one, 5, times))), 5);
}

TEST_F(BudgetTest, HoldsTheNextOneBackUntilTheWindowIsOver) {
  auto one = budget({term(3, 300ms)});
  std::vector<Timestamp> times;
  loop.run(take(one, 9, times));
  expect_no_more(times, 3, 300ms);
  EXPECT_GE(times.back() - times.front(), 540ms);
}

TEST_F(BudgetTest, HoldsToAllItsTerms) {
  auto one = budget({term(1, 50ms), term(4, 600ms)});
  std::vector<Timestamp> times;
  loop.run(take(one, 9, times));
  expect_no_more(times, 4, 600ms);
  EXPECT_GE(times.back() - times.front(), 1140ms);
}

TEST_F(BudgetTest, UnlimitedNeverWaitsNorCounts) {
  auto one = budget({});
  std::vector<Timestamp> times;
  EXPECT_EQ(loop.run(mephisto::timeout(20s, take(one, 200, times))), 200);
  EXPECT_TRUE(loop.run(one.use()).empty());
}

TEST_F(BudgetTest, IsSharedByManyTasks) {
  auto one = budget({term(4, 300ms)});
  std::vector<Timestamp> times;
  std::vector<Task<int>> tasks;
  for (int i = 0; i < 6; ++i) tasks.push_back(take(one, 2, times));
  loop.run(mephisto::when_all(std::move(tasks)));
  EXPECT_EQ(times.size(), 12U);
  expect_no_more(times, 4, 300ms);
}

TEST_F(BudgetTest, IsSharedByTwoOnTheSameDocuments) {
  SqliteDocuments others{folder + "/documents.db"};
  auto one = budget({term(4, 300ms)});
  Budget two{others.collection("budget"), {term(4, 300ms)}};
  std::vector<Timestamp> times;
  loop.run(mephisto::when_all(take(one, 6, times), take(two, 6, times)));
  EXPECT_EQ(times.size(), 12U);
  expect_no_more(times, 4, 300ms);
}

TEST_F(BudgetTest, RemembersAfterReopening) {
  std::vector<Timestamp> times;
  {
    auto one = budget({term(2, 1h)});
    loop.run(take(one, 2, times));
  }
  documents.reset();
  documents = std::make_unique<SqliteDocuments>(folder + "/documents.db");
  auto again = budget({term(2, 1h)});
  EXPECT_THROW(loop.run(mephisto::timeout(200ms, take(again, 1, times))), mephisto::Failure);
  auto use = loop.run(again.use());
  ASSERT_EQ(use.size(), 1U);
  EXPECT_EQ(use[0].used, 2);
  ASSERT_TRUE(use[0].free_at);
  EXPECT_GT(*use[0].free_at - loop.timestamp(), 59min);
}

TEST_F(BudgetTest, TellsHowMuchIsUsed) {
  auto one = budget({term(5, 1h)});
  std::vector<Timestamp> times;
  loop.run(take(one, 3, times));
  auto use = loop.run(one.use());
  ASSERT_EQ(use.size(), 1U);
  EXPECT_EQ(use[0].used, 3);
  EXPECT_FALSE(use[0].free_at);
}

TEST_F(BudgetTest, TakesNothingWhenItIsCancelledWhileWaiting) {
  auto one = budget({term(1, 1h)});
  std::vector<Timestamp> times;
  loop.run(take(one, 1, times));
  EXPECT_THROW(loop.run(mephisto::timeout(50ms, take(one, 1, times))), mephisto::Failure);
  EXPECT_EQ(times.size(), 1U);
}

TEST_F(BudgetTest, ANoticePausesEverybody) {
  SqliteDocuments others{folder + "/documents.db"};
  auto one = budget({});
  Budget two{others.collection("budget"), {}};
  loop.run(one.notice());
  const auto noticed = loop.timestamp();
  EXPECT_GT(paused(two), 500ms);
  std::vector<Timestamp> times;
  loop.run(take(two, 1, times));
  EXPECT_GE(times.at(0) - noticed, 900ms);
  EXPECT_FALSE(loop.run(one.pause()));
}

TEST_F(BudgetTest, NoticesInARowPauseLongerUpToAMinute) {
  auto one = budget({});
  loop.run(one.notice());
  EXPECT_LE(paused(one), 1s);
  loop.run(one.notice());
  EXPECT_GT(paused(one), 1s);
  for (int i = 0; i < 40; ++i) loop.run(one.notice());
  EXPECT_GT(paused(one), 50s);
  EXPECT_LE(paused(one), 60s);
}

TEST_F(BudgetTest, AnAnswerEndsTheRowOfNotices) {
  auto one = budget({});
  loop.run(one.notice());
  loop.run(one.notice());
  one.answered();
  loop.run(documents->collection("budget").delete_many({}));
  loop.run(one.notice());
  EXPECT_LE(paused(one), 1s);
}

TEST_F(BudgetTest, NoticesWithTermsPauseFromTheShortestWindowToTheLongest) {
  auto one = budget({term(1, 2s), term(25, 24h)});
  loop.run(one.notice());
  EXPECT_LE(paused(one), 2s);
  loop.run(one.notice());
  EXPECT_GT(paused(one), 23h);
  loop.run(one.notice());
  EXPECT_LE(paused(one), 24h);
}

TEST_F(BudgetTest, ALaterNoticeNeverShortensThePause) {
  auto one = budget({term(1, 2s), term(25, 24h)});
  auto two = budget({term(1, 2s), term(25, 24h)});
  loop.run(one.notice());
  loop.run(one.notice());
  loop.run(two.notice());
  EXPECT_GT(paused(one), 23h);
}

// Eight requests are under way at once: their notices are one event, not eight.
TEST_F(BudgetTest, NoticesAtTheSameTimeCountOnce) {
  auto one = budget({term(8, 2s), term(25, 24h)});
  std::vector<Task<void>> notices;
  for (int i = 0; i < 8; ++i) notices.push_back(one.notice());
  loop.run(mephisto::when_all(std::move(notices)));
  EXPECT_LE(paused(one), 2s);
}

TEST_F(BudgetTest, ANoticeToARequestFromBeforeThePauseIsOneWithIt) {
  auto one = budget({term(8, 2s), term(25, 24h)});
  auto first = loop.run(one.acquire());
  auto second = loop.run(one.acquire());
  loop.run(one.notice(first));
  loop.run(one.notice(second));
  EXPECT_LE(paused(one), 2s);
}

TEST_F(BudgetTest, ANoticeDoesNotForgetWhatWasUsed) {
  auto one = budget({term(5, 1h)});
  std::vector<Timestamp> times;
  loop.run(take(one, 3, times));
  loop.run(one.notice());
  EXPECT_EQ(loop.run(one.use()).at(0).used, 3);
}

TEST_F(BudgetTest, ARequestThatNeverReachedTheServiceIsGivenBackAndAllWait) {
  auto one = budget({term(5, 24h)});
  loop.run(one.acquire());
  loop.run(one.unreachable(loop.run(one.acquire()), "refused"));
  EXPECT_EQ(loop.run(one.use()).at(0).used, 1);
  EXPECT_TRUE(loop.run(one.pause()).value().unreachable);
  EXPECT_GT(paused(one), 500ms);
  EXPECT_LE(paused(one), 1s);
}

TEST_F(BudgetTest, AnOutagePausesLongerUpToAMinuteWhateverTheTerms) {
  auto one = budget({term(1, 2s), term(25, 24h)});
  for (int i = 0; i < 40; ++i) loop.run(one.unreachable(loop.wall_time(), "refused"));
  EXPECT_GT(paused(one), 50s);
  EXPECT_LE(paused(one), 60s);
  one.answered();
  loop.run(documents->collection("budget").delete_many({}));
  loop.run(one.unreachable(loop.wall_time(), "refused"));
  EXPECT_LE(paused(one), 1s);
}

// All are given back, and it is one outage.
TEST_F(BudgetTest, AnOutageOfManyRequestsCountsOnce) {
  auto one = budget({term(8, 24h)});
  std::vector<mephisto::Microtime> asked;
  for (int i = 0; i < 8; ++i) asked.push_back(loop.run(one.acquire()));
  for (auto time : asked) loop.run(one.unreachable(time, "refused"));
  EXPECT_EQ(loop.run(one.use()).at(0).used, 0);
  EXPECT_LE(paused(one), 1s);
}

TEST_F(BudgetTest, AnOutageDoesNotShortenANoticesPause) {
  auto one = budget({term(25, 24h)});
  loop.run(one.notice());
  loop.run(one.unreachable(loop.wall_time(), "refused"));
  EXPECT_GT(paused(one), 23h);
  EXPECT_FALSE(loop.run(one.pause()).value().unreachable);
}

}  // namespace
}  // namespace horton
