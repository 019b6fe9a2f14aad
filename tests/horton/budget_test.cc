// How many requests may go, and when. The windows are short real ones, because the documents use threads of their own.
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

TEST(Rate, MayHaveOneTerm) {
  EXPECT_THAT(terms_of("75/min"), ::testing::ElementsAre(std::pair{75, milliseconds{1min}}));
}

TEST(Rate, MayHaveManyTermsTheShortestFirst) {
  EXPECT_THAT(terms_of("25/d,500/h,1/s"),
              ::testing::ElementsAre(std::pair{1, milliseconds{1s}}, std::pair{500, milliseconds{1h}},
                                     std::pair{25, milliseconds{24h}}));
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
                         ::testing::Values("", "5", "/s", "5/", "0/s", "-1/s", "1.5/s", "5/fortnight", "5/s,", ",5/s",
                                           "5/s;1/d", "unlimited,1/s", "99999999999/s", "five/s", "5s", "5 /s"));

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

  // Takes `count` requests and records when each was allowed.
  static Task<int> take(Budget& from, int count, std::vector<Timestamp>& times) {
    for (int i = 0; i < count; ++i) {
      co_await from.acquire();
      times.push_back(Loop::current()->timestamp());
    }
    co_return count;
  }
  // No window holds more than `count` requests. A request is recorded a little after it is granted, so the check allows
  // for a small difference.
  static void expect_no_more(std::vector<Timestamp> times, int count, milliseconds window) {
    std::ranges::sort(times);
    for (std::size_t i = static_cast<std::size_t>(count); i < times.size(); ++i) {
      EXPECT_GE(times[i] - times[i - static_cast<std::size_t>(count)], window - 60ms) << "request " << i;
    }
  }
  // The ticket of a request that is sent now.
  Budget::Ticket ticket(bool probe = false) {
    Budget::Ticket made{loop.wall_time(), loop.now()};
    made.probe = probe;
    return made;
  }
  void notice(Budget& one, std::optional<milliseconds> retry_after = std::nullopt) {
    loop.run(one.notice(ticket(), retry_after));
  }
  bool fail(Budget& one, const Budget::Ticket& of, std::optional<milliseconds> retry_after = std::nullopt) {
    return loop.run(one.failed(of, "status 503", retry_after));
  }
  // Changes the state as a worker would whose clock was `ahead`.
  void change_state(Object fields) {
    UpdateOptions upsert;
    upsert.upsert = true;
    fields["version"] = 1;
    loop.run(documents->collection("budget").update_one({{"_id", "service"}}, std::move(fields), upsert));
  }
  std::int64_t ms(std::chrono::hours ahead) { return (loop.timestamp() + ahead).time_since_epoch().count(); }
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

TEST_F(BudgetTest, ReportsHowMuchIsUsed) {
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
  const auto before = loop.timestamp();
  notice(one);
  EXPECT_GT(paused(two), 500ms);
  std::vector<Timestamp> times;
  loop.run(take(two, 1, times));
  EXPECT_GE(times.at(0) - before, 900ms);
  EXPECT_FALSE(loop.run(one.pause()));
}

TEST_F(BudgetTest, NoticesInARowPauseLongerUpToAMinute) {
  auto one = budget({});
  notice(one);
  EXPECT_LE(paused(one), 1s);
  notice(one);
  EXPECT_GT(paused(one), 1s);
  for (int i = 0; i < 40; ++i) notice(one);
  EXPECT_GT(paused(one), 50s);
  EXPECT_LE(paused(one), 60s);
}

TEST_F(BudgetTest, AnAnswerEndsTheRowOfNotices) {
  auto one = budget({});
  notice(one);
  notice(one);
  loop.run(one.answered(ticket()));
  loop.run(documents->collection("budget").delete_many({}));
  notice(one);
  EXPECT_LE(paused(one), 1s);
}

TEST_F(BudgetTest, NoticesWithTermsPauseFromTheShortestWindowToTheLongest) {
  auto one = budget({term(1, 2s), term(25, 24h)});
  notice(one);
  EXPECT_LE(paused(one), 2s);
  notice(one);
  EXPECT_GT(paused(one), 23h);
  notice(one);
  EXPECT_LE(paused(one), 24h);
}

TEST_F(BudgetTest, ALaterNoticeNeverShortensThePause) {
  auto one = budget({term(1, 2s), term(25, 24h)});
  auto two = budget({term(1, 2s), term(25, 24h)});
  notice(one);
  notice(one);
  notice(two);
  EXPECT_GT(paused(one), 23h);
}

// Eight requests are in flight at once: their notices are one event, not eight.
TEST_F(BudgetTest, NoticesAtTheSameTimeCountOnce) {
  auto one = budget({term(8, 2s), term(25, 24h)});
  std::vector<Task<void>> notices;
  for (int i = 0; i < 8; ++i) notices.push_back(one.notice(ticket()));
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
  notice(one);
  EXPECT_EQ(loop.run(one.use()).at(0).used, 3);
}

TEST_F(BudgetTest, ANoticeThatSaysHowLongIsBelieved) {
  auto one = budget({term(1, 2s), term(25, 24h)});
  notice(one, 40s);
  EXPECT_GT(paused(one), 39s);
  EXPECT_LE(paused(one), 40s);
}

TEST_F(BudgetTest, ARequestThatFailedCostsNothingOfADayAndAllWait) {
  auto one = budget({term(5, 1min), term(5, 24h)});
  loop.run(one.acquire());
  EXPECT_TRUE(fail(one, loop.run(one.acquire())));
  auto use = loop.run(one.use());
  EXPECT_EQ(use.at(0).used, 2) << "the service saw it";
  EXPECT_EQ(use.at(1).used, 1);
  EXPECT_EQ(loop.run(one.pause()).value().out_of_order, "status 503");
  EXPECT_GT(paused(one), 500ms);
  EXPECT_LE(paused(one), 1s);
}

TEST_F(BudgetTest, AnOutagePausesLongerUpToAMinuteWhateverTheTerms) {
  auto one = budget({term(1, 2s), term(25, 24h)});
  for (int i = 0; i < 40; ++i) fail(one, ticket(true));
  EXPECT_GT(paused(one), 50s);
  EXPECT_LE(paused(one), 60s);
  loop.run(one.answered(ticket(true)));
  EXPECT_FALSE(loop.run(one.pause()));
  fail(one, ticket());
  EXPECT_LE(paused(one), 1s);
}

TEST_F(BudgetTest, AnOutageIsAsLongAsTheServiceSays) {
  auto one = budget({term(25, 24h)});
  fail(one, ticket(), 300s);
  EXPECT_GT(paused(one), 299s);
  fail(one, ticket(true), 10s);
  EXPECT_LE(paused(one), 10s);
}

// All their requests are given back to the budget, and together they are one outage.
TEST_F(BudgetTest, AnOutageOfManyRequestsCountsOnce) {
  auto one = budget({term(8, 24h)});
  std::vector<Budget::Ticket> asked;
  for (int i = 0; i < 8; ++i) asked.push_back(loop.run(one.acquire()));
  for (const auto& each : asked) EXPECT_TRUE(fail(one, each));
  EXPECT_EQ(loop.run(one.use()).at(0).used, 0);
  EXPECT_LE(paused(one), 1s);
}

TEST_F(BudgetTest, AnOutageDoesNotShortenANoticesPause) {
  auto one = budget({term(25, 24h)});
  notice(one);
  fail(one, ticket());
  EXPECT_GT(paused(one), 23h);
}

TEST_F(BudgetTest, AfterAnOutageOneRequestAsksAndTheOthersWaitForItsAnswer) {
  auto one = budget({});
  fail(one, ticket());
  const auto probe = loop.run(one.acquire());
  EXPECT_TRUE(probe.probe);
  std::vector<Timestamp> times;
  EXPECT_THROW(loop.run(mephisto::timeout(1500ms, take(one, 1, times))), mephisto::Failure);
  loop.run(one.answered(probe));
  EXPECT_EQ(loop.run(mephisto::timeout(10s, take(one, 20, times))), 20);
  EXPECT_GT(loop.run(one.acquire()).answers, probe.answers);
}

TEST_F(BudgetTest, OfTwoOnTheSameDocumentsOneAsks) {
  SqliteDocuments others{folder + "/documents.db"};
  auto one = budget({});
  Budget two{others.collection("budget"), {}};
  fail(one, ticket());
  const auto probe = loop.run(two.acquire());
  EXPECT_TRUE(probe.probe);
  std::vector<Timestamp> times;
  EXPECT_THROW(loop.run(mephisto::timeout(1500ms, take(one, 1, times))), mephisto::Failure);
  EXPECT_TRUE(fail(two, probe));
  EXPECT_GT(paused(one), 1s) << "the second pause is longer, whoever makes it";
}

// Its worker was killed: the others do not wait for its answer for ever.
TEST_F(BudgetTest, AProbeWithoutAnAnswerIsFollowedByAnother) {
  Budget one{documents->collection("budget"), {}, 100ms};
  fail(one, ticket());
  EXPECT_TRUE(loop.run(one.acquire()).probe);
  EXPECT_TRUE(loop.run(mephisto::timeout(20s, one.acquire())).probe);
}

TEST_F(BudgetTest, ARequestThatFailsWhileOthersAreAnsweredWaitsAlone) {
  auto one = budget({term(5, 24h)});
  const auto failing = loop.run(one.acquire());
  loop.run(one.answered(loop.run(one.acquire())));
  EXPECT_FALSE(fail(one, failing));
  EXPECT_FALSE(loop.run(one.pause()));
  EXPECT_EQ(loop.run(one.use()).at(0).used, 1);
  // A retry-after of the service counts for all workers.
  EXPECT_TRUE(fail(one, failing, 30s));
}

// A clock was three days ahead for a moment.
TEST_F(BudgetTest, AFourthFailureInARowIsAnOutageHoweverLateTheLastAnswerWas) {
  auto one = budget({});
  loop.run(one.answered(loop.run(one.acquire())));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(fail(one, ticket()));
  EXPECT_TRUE(fail(one, ticket()));
  EXPECT_GT(paused(one), 0ms);
}

TEST_F(BudgetTest, RequestsOfTheFutureDoNotCount) {
  auto one = budget({term(2, 1s), term(2, 24h)});
  change_state({{"times", boost::json::array{ms(72h), ms(73h)}}});
  EXPECT_EQ(loop.run(one.use()).at(1).used, 0);
  std::vector<Timestamp> times;
  EXPECT_EQ(loop.run(mephisto::timeout(5s, take(one, 2, times))), 2);
  EXPECT_EQ(loop.run(one.use()).at(1).used, 2);
}

TEST_F(BudgetTest, APauseThatBeginsInTheFutureDoesNotCount) {
  auto one = budget({});
  for (const char* why : {"", "status 503"}) {
    change_state(
        {{"paused_until", ms(3h)}, {"paused_at", ms(2h)}, {"noticed_at", ms(2h) * 1000}, {"out_of_order", why}});
    EXPECT_NO_THROW(loop.run(mephisto::timeout(5s, one.acquire()))) << why;
    // Nor does it hide a current pause.
    fail(one, ticket(), 30s);
    EXPECT_GT(paused(one), 29s) << why;
  }
}

TEST_F(BudgetTest, NoPauseIsLongerThanADay) {
  auto one = budget({});
  change_state({{"paused_until", ms(72h)}});
  EXPECT_LE(paused(one), 24h);
}

// One document on virtual time: each call takes a while to be done, and a while until its answer arrives.
class SlowDocuments : public Documents {
 public:
  SlowDocuments(std::optional<Object>& document, milliseconds before, milliseconds after)
      : document_(document), before_(before), after_(after) {}

  Task<std::vector<Object>> find(const Collection&, Object, FindOptions) override {
    std::vector<Object> found;
    co_await mephisto::sleep_for(before_);
    if (document_) found.push_back(*document_);
    co_await mephisto::sleep_for(after_);
    co_return found;
  }
  Task<std::int64_t> count(const Collection&, Object) override { co_return document_ ? 1 : 0; }
  Task<std::vector<Object>> aggregate(const Collection&, boost::json::array) override {
    co_return std::vector<Object>{};
  }
  Task<void> insert(const Collection&, std::vector<Object> documents) override {
    co_await mephisto::sleep_for(before_);
    if (document_) throw mephisto::Failure(mephisto::ErrorKind::kInvalid, "it is there already");
    document_ = documents.at(0);
    co_await mephisto::sleep_for(after_);
  }
  Task<UpdateResult> update(const Collection&, std::vector<Change> changes, bool, Which) override {
    UpdateResult result;
    co_await mephisto::sleep_for(before_);
    const auto& wanted = changes.at(0).filter.at("version");
    if (document_ && document_->at("version") == wanted) {
      result.matched = 1;
      for (const auto& [name, value] : changes.at(0).payload.at("$set").as_object()) (*document_)[name] = value;
    }
    co_await mephisto::sleep_for(after_);
    co_return result;
  }
  Task<std::int64_t> remove(const Collection&, Object, Which) override { co_return 0; }

 private:
  std::optional<Object>& document_;
  milliseconds before_;
  milliseconds after_;
};

TEST(BudgetOnSlowDocuments, NoTwoRequestsGoWithinAWindowHoweverLateTheDocumentsAnswer) {
  for (auto [before, after] : {std::pair{0ms, 2000ms}, {2000ms, 0ms}, {400ms, 700ms}, {0ms, 60ms}, {0ms, 9000ms}}) {
    Loop loop{Loop::Clock::kVirtual};
    std::optional<Object> document;
    SlowDocuments slow{document, before, after};
    SlowDocuments quick{document, 1ms, 1ms};
    Budget one{slow.collection("budget"), {term(1, 1s), term(100, 24h)}};
    Budget two{quick.collection("budget"), {term(1, 1s), term(100, 24h)}};
    std::vector<Timestamp> times;
    auto taking = [&](Budget& from, int count) -> Task<void> {
      for (int i = 0; i < count; ++i) {
        co_await from.acquire();
        times.push_back(Loop::current()->timestamp());
        co_await mephisto::sleep_for(500ms);
      }
    };
    loop.run(mephisto::when_all(taking(one, 3), taking(two, 12)));
    ASSERT_EQ(times.size(), 15U);
    for (std::size_t i = 1; i < times.size(); ++i)
      EXPECT_GE(times[i] - times[i - 1], 950ms) << before.count() << " and " << after.count() << " ms, request " << i;
    EXPECT_EQ(loop.run(two.use()).at(1).used, 15) << "no time is noted twice";
  }
}

}  // namespace
}  // namespace horton
