// Live checks: what tests end as, and that they survive what happens to their worker.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/live_check_shop.h"
#include "mephisto/sync.h"

namespace mephisto::tests {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

class Guarantee : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(LiveCheck, Guarantee, testing::Values("at_least_once", "exactly_once"));

TEST_P(Guarantee, ATestPasses) {
  Shop shop{{.probability = 1}, GetParam()};
  Running both{shop};
  both.order({"1"});
  EXPECT_THAT(both.reports(), ElementsAre("1 PASS"));
  EXPECT_EQ(both.report().error, std::nullopt);
  EXPECT_EQ(both.status().state, LiveState::kPass);
  EXPECT_EQ(both.status().tests, (std::map<LiveState, std::uint64_t>{{LiveState::kPass, 1}}));
}

TEST(LiveCheck, AnExpectationThatDoesNotHoldIsAFailure) {
  Shop shop;
  shop.change = [](Order& order) { order.side = "buy"; };
  Running both{shop};
  both.order({"1"});
  EXPECT_THAT(both.reports(), ElementsAre("1 FAIL"));
  EXPECT_EQ(both.report().error, "an order keeps its side");
  EXPECT_THAT(*both.report().traceback, HasSubstr("live_check_shop.h:"));
  EXPECT_EQ(both.status().state, LiveState::kFail);
  EXPECT_EQ(both.status().consecutive_failures, 1);
}

TEST(LiveCheck, AnotherExceptionIsAnError) {
  Shop shop;
  Running both{shop};
  shop.order_test.then = [](const Order&) { throw std::runtime_error("no database"); };
  both.order({"1"});
  shop.order_test.then = [](const Order&) { throw 7; };
  both.order({"2"});
  EXPECT_THAT(both.reports(), ElementsAre("1 ERROR", "2 ERROR"));
  EXPECT_THAT(both.status().tests, ElementsAre(std::pair{LiveState::kError, 2}));
}

TEST(LiveCheck, ASignalThatDoesNotComeIsATimeout) {
  Shop shop;
  shop.executes = false;
  Running both{shop};
  both.order({"1"});
  EXPECT_THAT(both.reports(), ElementsAre("1 TIMEOUT"));
  EXPECT_THAT(*both.report().error, HasSubstr("signal executed has not come within 10.0 s"));
  EXPECT_GE(both.report().runtime, 10);
  EXPECT_THAT(both.report().signal_latency, ElementsAre(testing::Key("stored")));
}

TEST(LiveCheck, ATimeoutOfTheTestsOwnIsATimeoutToo) {
  Shop shop;
  shop.order_test.before = []() -> Task<void> { co_await timeout(1s, sleep_or_give_back(1min)); };
  Running both{shop};
  both.order({"1"});
  EXPECT_THAT(both.reports(), ElementsAre("1 TIMEOUT"));
}

struct Patient : LiveCase<Patient> {
  Signal<> never{*this, "never"};
  Task<void> run() { co_await never.wait(); }
};

TEST(LiveCheck, WithoutALimitATestWaitsUntilItExpires) {
  Shop shop;
  auto& patient = shop.live.add<Patient>("shop.Patient", {.test_expires = 5min});
  Running both{shop};
  both.driver.run([](Patient& of) -> Task<void> { (void)co_await of.trigger("p"); }(patient));
  both.checks.settle();
  EXPECT_THAT(both.reports(), ElementsAre("p TIMEOUT"));
  EXPECT_NEAR(*both.report().runtime, 300, 1);
}

TEST(LiveCheck, TestsThatAreTooOldOrNotWantedAreSkipped) {
  Shop shop{{.probability = 1, .test_expires = 1min}};
  {
    TestDriver driver{shop.app};
    driver.send(shop.requests, {.id = "1"});
    driver.advance(2min);
    TestDriver checks{shop.live.app(), driver};
    checks.settle();
    const auto report = checks.values(shop.live.reports()).at(0);
    EXPECT_EQ(report.state, "SKIP");
    EXPECT_EQ(report.error, "the test has expired");
    EXPECT_EQ(report.runtime, std::nullopt);
  }
  Running both{shop};
  shop.order_test.then = [](const Order&) { OrderTest::skip_it("the market is closed"); };
  both.order({"2"});
  EXPECT_THAT(both.reports(), ElementsAre("2 SKIP"));
  EXPECT_EQ(both.report().error, "the market is closed");
  EXPECT_EQ(both.status().state, LiveState::kInit);
}

TEST(LiveCheck, ACaseThatIsNotActiveBeginsNoTestsAndSkipsThoseOfOthers) {
  Shop shop{{.probability = 1, .active = false}};
  Running both{shop};
  both.order({"1"});
  EXPECT_THAT(both.reports(), IsEmpty());
  both.driver.run([](OrderTest& of) -> Task<void> { (void)co_await of.trigger("2", "sell"); }(shop.order_test));
  both.checks.settle();
  EXPECT_THAT(both.reports(), ElementsAre("2 SKIP"));
}

TEST(LiveCheck, SeveralTestsRunAtOnceAndEachGetsItsOwnSignals) {
  Shop shop;
  Running both{shop};
  std::vector<std::string> ids;
  std::vector<std::string> passed;
  for (int i = 0; i < 40; ++i) ids.push_back(std::to_string(i)), passed.push_back(ids.back() + " PASS");
  both.order(ids);
  EXPECT_THAT(both.reports(), testing::UnorderedElementsAreArray(passed));
}

TEST(LiveCheck, ASignalMayComeBeforeItsTest) {
  Shop shop;
  TestDriver driver{shop.app};
  driver.send(shop.requests, {.id = "1"});
  driver.advance(20min);  // longer than all waits
  TestDriver checks{shop.live.app(), driver};
  checks.settle();
  EXPECT_EQ(checks.values(shop.live.reports()).at(0).state, "PASS");
}

// What happens to the worker of the live check while a test waits.
class Meanwhile : public testing::TestWithParam<std::pair<const char*, void (*)(TestDriver&)>> {};
INSTANTIATE_TEST_SUITE_P(LiveCheck, Meanwhile,
                         testing::Values(std::pair{"restart", +[](TestDriver& of) { of.restart(); }},
                                         std::pair{"crash", +[](TestDriver& of) { of.crash(); }},
                                         std::pair{"rebalance", +[](TestDriver& of) { of.rebalance(); }}),
                         [](const auto& info) { return info.param.first; });

TEST_P(Meanwhile, ATestGoesOnElsewhereAndFindsTheSignalsThatHaveCome) {
  Shop shop;
  shop.executes = false;
  int runs = 0;
  shop.order_test.before = [&]() -> Task<void> {
    ++runs;
    co_return;
  };
  TestDriver driver{shop.app};
  TestDriver checks{shop.live.app(), driver};
  driver.send(shop.requests, {.id = "1"});
  checks.run([]() -> Task<void> { co_await sleep_for(4s); }());  // `stored` has come, and the test waits for `executed`
  EXPECT_EQ(runs, 1);
  EXPECT_THAT(checks.records("livecheck-report"), IsEmpty());
  driver.loop().spawn("later", [](OrderTest& of) -> Task<void> {
    co_await sleep_for(5s);
    co_await of.executed.send("x", {.key = "1", .force = true});
  }(shop.order_test));
  GetParam().second(checks);
  EXPECT_EQ(runs, 2);
  EXPECT_THAT(checks.values(shop.live.reports()), SizeIs(1));
  EXPECT_EQ(checks.values(shop.live.reports()).at(0).state, "PASS");
}

TEST(LiveCheck, SeveralShardsShareTheTestsAndEachKnowsAllSignals) {
  Shop shop;
  TestDriver driver{shop.app, 2};
  TestDriver checks{shop.live.app(), driver, 3};
  for (const auto* id : {"1", "2", "3", "4", "5", "6"}) driver.send(shop.requests, {.id = id}, {.key = id});
  checks.settle();
  EXPECT_THAT(checks.values(shop.live.reports()), SizeIs(6));
  EXPECT_THAT(checks.values(shop.live.reports()), Each(testing::Field(&LiveReport::state, "PASS")));
}

struct ByKey : LiveCase<ByKey> {
  Signal<int> counted{*this, "counted"};
  Task<void> run(std::string symbol) { got = co_await counted.wait(10s, symbol); }
  int got = 0;
};

TEST(LiveCheck, ASignalCanHaveAKeyOfItsOwn) {
  Shop shop;
  auto& by_key = shop.live.add<ByKey>("shop.ByKey");
  Running both{shop};
  both.driver.run([](ByKey& of) -> Task<void> {
    co_await of.counted.send(6, {.key = "IBM"});  // no current test: nothing is sent
    co_await of.counted.send(7, {.key = "IBM", .force = true});
    (void)co_await of.trigger("", "IBM");
  }(by_key));
  both.checks.settle();
  EXPECT_EQ(both.report().state, "PASS");
  EXPECT_EQ(by_key.got, 7);
  EXPECT_TRUE(Uuid::parse(both.report().test->id)) << both.report().test->id;
  EXPECT_THAT(both.driver.records("livecheck-bus"), SizeIs(1));
}

TEST(LiveCheck, AStallIsReportedOnceInAWhileAndEndsWithTheNextTest) {
  Shop shop{{.probability = 1, .warn_stalled_after = 5min}};
  Running both{shop};
  both.checks.advance(4min + 50s);
  EXPECT_THAT(both.reports(), IsEmpty());
  both.checks.advance(20s);
  EXPECT_THAT(both.reports(), ElementsAre("- STALL"));
  EXPECT_EQ(both.report().error, "no test has come for 5 min 0 s (warn_stalled_after)");
  EXPECT_EQ(both.status().state, LiveState::kStall);
  both.checks.advance(5min);
  EXPECT_THAT(both.reports(), ElementsAre("- STALL", "- STALL"));
  both.order({"1"});
  EXPECT_EQ(both.status().state, LiveState::kStall) << "a state of failure is held for a minute";
  both.checks.advance(2min);
  EXPECT_EQ(both.status().state, LiveState::kPass);
  both.checks.advance(2min);
  EXPECT_THAT(both.reports(), ElementsAre("- STALL", "- STALL", "1 PASS"));
}

TEST(LiveCheck, ATestThatAnotherWorkerRunsIsNoStall) {
  Shop shop{{.probability = 1, .warn_stalled_after = 5min}};
  TestDriver driver{shop.app};
  TestDriver checks{shop.live.app(), driver, 4};  // one of them leads, and others run the tests
  for (int minute = 0; minute < 12; minute += 3) {
    const auto id = std::to_string(minute);
    driver.send(shop.requests, {.id = id}, {.key = id});
    checks.advance(3min);
  }
  EXPECT_THAT(checks.values(shop.live.reports()), Each(testing::Field(&LiveReport::state, "PASS")));
}

TEST(LiveCheck, AfterTooManyFailuresTestsAreSkippedForAMinuteAndThenTriedAgain) {
  Shop shop{{.probability = 1, .max_consecutive_failures = 3}};
  Running both{shop};
  shop.change = [](Order& order) { order.side = "buy"; };
  for (const auto* id : {"1", "2", "3", "4"}) both.order({id});
  EXPECT_THAT(both.reports(), UnorderedElementsAre("1 FAIL", "2 FAIL", "3 FAIL", "- FAIL", "4 SKIP"));
  EXPECT_TRUE(both.status().suspended);
  both.checks.advance(61s);
  EXPECT_FALSE(both.status().suspended);
  both.order({"5"});  // is tried, and fails: skipped again
  both.order({"6"});
  EXPECT_EQ(both.status().tests[LiveState::kSkip], 2U);
  EXPECT_EQ(both.status().consecutive_failures, 4);
  both.checks.advance(61s);
  shop.change = {};
  both.order({"7"});
  EXPECT_EQ(both.status().consecutive_failures, 0);
  EXPECT_EQ(both.reports().back(), "7 PASS");
  both.checks.advance(61s);
  EXPECT_EQ(both.status().state, LiveState::kPass);
}

TEST(LiveCheck, AFakeRequestIsMadeAsOftenAsItSays) {
  Shop shop{{.probability = 1, .frequency = 1min}};
  Running both{shop};
  int made = 0;
  shop.order_test.fake = [&]() -> Task<void> {
    if (++made == 3) throw std::runtime_error("the service is down");
    const auto id = "fake-" + std::to_string(made);
    co_await shop.requests.cast({.id = id}, {.key = id});
  };
  both.checks.advance(2min + 30s);
  both.driver.settle();
  both.checks.settle();
  EXPECT_THAT(both.reports(), UnorderedElementsAre("fake-1 PASS", "fake-2 PASS"));
  both.checks.advance(1min);
  EXPECT_THAT(both.reports(), testing::Contains("- FAIL"));
  EXPECT_EQ(both.status().state, LiveState::kFail);
}

// The tests that a share of the traffic begins, with a seed.
std::vector<std::string> begun(std::uint64_t seed, double probability) {
  static int number = 0;
  Shop shop{{.probability = probability}};
  Simulation simulation{seed};
  Loop loop{simulation};
  const auto log = open_log("memory://live-check-" + std::to_string(++number));
  std::vector<std::string> ids;
  loop.run([](Shop& of, std::shared_ptr<Log> on, std::vector<std::string>& all) -> Task<void> {
    Worker worker{of.app, on};
    co_await worker.start();
    for (int i = 0; i < 400; ++i) co_await of.requests.send({.id = std::to_string(i)}, {.partition = 0});
    while (of.accepted < 400) co_await sleep_for(10ms);
    co_await worker.stop();
    for (int partition = 0; partition < 4; ++partition) {
      co_await read_to_end(*on, {"livecheck", partition}, -1, "test",
                           [&](const RecordView& record) { all.emplace_back(record.key); });
    }
  }(shop, log, ids));
  EXPECT_EQ(ids.size(), static_cast<std::size_t>(shop.began));
  return ids;
}

TEST(LiveCheck, TheProbabilitySaysHowManyTestsBegin) {
  const auto some = begun(7, 0.25);
  EXPECT_GT(some.size(), 60U);
  EXPECT_LT(some.size(), 140U);
  EXPECT_EQ(begun(7, 0.25), some);
  EXPECT_NE(begun(8, 0.25), some);
  EXPECT_THAT(begun(7, 0), IsEmpty());
  EXPECT_THAT(begun(7, 1), SizeIs(400));
}

TEST(LiveCheck, ReportsCanBeLeftOut) {
  App app{"quiet"};
  auto& live = app.live_check({.report_topic_name = "quiet-report", .send_reports = false});
  auto& by_key = live.add<ByKey>("quiet.ByKey");
  TestDriver driver{app};
  TestDriver checks{live.app(), driver};
  driver.run([](ByKey& of) -> Task<void> {
    co_await of.counted.send(7, {.key = "IBM", .force = true});
    (void)co_await of.trigger("1", "IBM");
  }(by_key));
  checks.settle();
  EXPECT_EQ(by_key.got, 7);
  EXPECT_THAT(checks.records("quiet-report"), IsEmpty());
}

TEST(LiveCheck, MistakesAreTold) {
  App app{"shop"};
  auto& live = app.live_check({.test_concurrency = 0});
  live.add<Patient>("a");
  live.add<Patient>("a");
  live.add<Patient>("");
  live.add<Patient>("b", {.probability = 1.5});
  live.add<Patient>("c", {.warn_stalled_after = -1s});
  live.add<Patient>("d", {.test_expires = 0s});
  live.add<Patient>("e", {.frequency = 0s});
  live.add<Patient>("f", {.max_consecutive_failures = 0});
  app.live_check({.bus_topic_name = "other"});
  const auto mistakes = app.mistakes();
  EXPECT_THAT(mistakes, SizeIs(9));
  EXPECT_THAT(mistakes, Each(HasSubstr("live_check_test.cc:")));
  EXPECT_THAT(App{"two"}.live_check({.test_topic_name = "a b"}).app().id(), "livecheck-two");
}

TEST(LiveCheck, ItsAppIsNamedAsFaustNamesIt) {
  App app{"shop", {.version = 3}};
  app.settings().set("broker", "kafka://localhost:9092", "test");
  auto& checks = app.live_check().app();
  EXPECT_EQ(checks.id(), "livecheck-shop-v3");
  EXPECT_EQ(checks.log_url(), "kafka://localhost:9092");
  EXPECT_EQ(checks.settings().integer("web_port"), 9999);
  EXPECT_NE(checks.datadir(), app.datadir());
}

}  // namespace
}  // namespace mephisto::tests
