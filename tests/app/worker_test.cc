// The app and its worker: names, tasks, timers, signals, topic creation, and how a worker ends.
#include <gmock/gmock.h>

#include <algorithm>

#include "support/metered_log.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Task<void> nothing(Stream<int> stream) {
  while (co_await stream.next()) {
  }
}

std::vector<std::string> topics(TestApp& world) {
  std::vector<std::string> names;
  for (const auto& info :
       world.run([&]() -> Task<std::vector<TopicInfo>> { co_return value_or_throw(co_await world.log->topics()); }))
    names.push_back(info.name);
  return names;
}

// Records how topics were to be created; creates none while it is unreachable. A topic can be `unseen` at the first
// look: then it is as if another program created it right afterwards.
class WatchedLog : public MeteredLog {
 public:
  using MeteredLog::MeteredLog;

  Task<Result<TopicInfo>> create_topic(std::string name, TopicConfig config, IfExists if_exists) override {
    wanted[name] = config;
    if (away > 0) {
      --away;
      co_return fail(ErrorKind::kUnavailable, "no broker answers");
    }
    co_return co_await MeteredLog::create_topic(std::move(name), config, if_exists);
  }

  Task<Result<TopicInfo>> topic(std::string name) override {
    if (unseen.erase(name) > 0) co_return fail(ErrorKind::kNotFound, "there is no topic " + name);
    co_return co_await MeteredLog::topic(std::move(name));
  }

  std::map<std::string, TopicConfig> wanted;
  std::set<std::string> unseen;
  int away = 0;
};

// Whole seconds since `start`.
std::vector<long> seconds(const std::vector<Loop::time_point>& times, Loop::time_point start) {
  std::vector<long> all;
  for (auto time : times) all.push_back(std::chrono::duration_cast<std::chrono::seconds>(time - start).count());
  return all;
}

TEST(Worker, ATaskComesToItsTurnWhileAnAgentIsBusyWithOneRecordAfterTheOther) {
  constexpr int kRecords = 400;
  int done = 0;
  int done_at_tick = 0;  // how far the agent was when the task ran
  App app{"busy"};
  auto& numbers = app.topic<int>("numbers", {.partitions = 1});
  app.agent("work", numbers, [&](Stream<int> stream) -> Task<void> {
    while (co_await stream.next()) {
      for (const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds{500};
           std::chrono::steady_clock::now() < until;)
        continue;
      ++done;
    }
  });
  Loop loop;
  loop.run([&]() -> Task<void> {
    auto log = open_log("memory://busy");
    Worker worker{app, log};
    co_await worker.start();
    for (int i = 0; i < kRecords; ++i) co_await numbers.cast(i);
    while (done == 0) co_await sleep_for(std::chrono::milliseconds{1});
    done_at_tick = done;
    while (done < kRecords) co_await sleep_for(std::chrono::milliseconds{1});
    co_await worker.stop();
  }());
  EXPECT_LT(done_at_tick, kRecords);
}

TEST(App, TheFirstVersionIsItsPlainId) { EXPECT_EQ(App{"shop"}.id(), "shop"); }

TEST(App, ALaterVersionIsInItsId) {
  AppOptions options;
  options.version = 3;
  EXPECT_EQ((App{"shop", options}.id()), "shop-v3");
}

TEST(App, AVersionHasItsOwnFolder) {
  AppOptions options;
  options.version = 2;
  App app{"shop", options};
  app.settings().set("datadir", "/tmp/shop", "test");
  EXPECT_EQ(app.datadir(), "/tmp/shop");
  EXPECT_EQ(app.appdir(), "/tmp/shop/v2");
}

TEST(App, AVersionsEnvironmentIsThatOfTheApp) {
  AppOptions options;
  options.version = 2;
  App app{"shop", options};
  EXPECT_EQ(app.settings().rows().front().environment, "SHOP_BROKER");
}

TEST(App, WithoutABrokerTheLogIsInItsFolder) {
  App app{"shop"};
  app.settings().set("datadir", "/tmp/shop", "test");
  EXPECT_EQ(app.log_url(), "local:///tmp/shop/log");
  app.settings().set("broker", "memory://x", "test");
  EXPECT_EQ(app.log_url(), "memory://x");
}

TEST(App, AnAgentWithoutATopicHasOneOfItsOwn) {
  App app{"shop"};
  EXPECT_EQ(app.agent("a", nothing).topic().name, "shop-a");
}

TEST(Worker, MakesTheInternalTopicsAndWhatItsAgentsConsume) {
  TestApp world;
  world.app.topic<int>("foreign");
  world.app.topic<int>("own", {.internal = true});
  world.app.agent("a", world.app.topic<int>("source"), nothing);
  world.work([](Worker&) -> Task<void> { co_return; });
  EXPECT_THAT(topics(world), AllOf(Contains("own"), Contains("source"), Contains("app-a-dlq"),
                                   Contains("app-__assignor-__leader"), Not(Contains("foreign"))));
}

TEST(Worker, MakesTopicsWithTheSettingsPartitionsAndReplicas) {
  TestApp world;
  auto log = std::make_shared<WatchedLog>(world.log);
  world.log = log;
  world.set("topic_partitions", "3").set("topic_replication_factor", "2");
  world.app.topic<int>("own", {.internal = true});
  world.app.agent("a", world.app.topic<int>("source"), nothing);
  world.work([](Worker&) -> Task<void> { co_return; });
  EXPECT_EQ(log->wanted.at("own").partitions, 3);
  EXPECT_EQ(log->wanted.at("source").partitions, 3);
  for (const auto* topic : {"own", "source", "app-a-dlq", "app-__assignor-__leader"})
    EXPECT_EQ(log->wanted.at(topic).replicas, 2) << topic;
}

TEST(Worker, ThatStartsWhileTheLogIsUnreachableWaitsForIt) {
  TestApp world;
  auto log = std::make_shared<WatchedLog>(world.log);
  world.log = log;
  log->away = 3;
  world.app.topic<int>("own", {.internal = true});
  world.work([](Worker&) -> Task<void> { co_return; });
  EXPECT_THAT(topics(world), Contains("own"));
}

TEST(Worker, TakesATopicAsItIsThatAnotherWorkerCreatesAtTheSameTime) {
  TestApp world;
  const auto inner = world.log;
  auto log = std::make_shared<WatchedLog>(inner);
  world.log = log;
  world.set("topic_partitions", "3");
  world.app.agent("a", world.app.topic<int>("in", {.partitions = 2}), nothing);
  world.app.topic<int>("own", {.internal = true});
  world.run([&]() -> Task<void> {
    for (const auto* name : {"in", "own", "app-a-dlq"}) {
      value_or_throw(co_await inner->create_topic(name, {.partitions = 5, .retention = 1h}));
      log->unseen.insert(name);
    }
  });
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.eventually([&] { return lanes(worker).size() == 5 + 1; });  // one is the leader's
    EXPECT_EQ(value_or_throw(co_await inner->topic("in")).config.retention, 1h);
    for (const auto* name : {"in", "own", "app-a-dlq"})
      EXPECT_EQ(value_or_throw(co_await inner->topic(name)).config.partitions, 5) << name;
  });
  EXPECT_THAT(log->unseen, IsEmpty());
}

TEST(Client, HearsThatTheLogIsUnreachable) {
  TestApp world;
  auto log = std::make_shared<WatchedLog>(world.log);
  world.log = log;
  log->away = 1;
  auto& out = world.app.topic<int>("out");
  EXPECT_THAT(world.run([&]() -> Task<std::string> {
    Client client{world.app, world.log};
    auto told = co_await failure_of(out.send(1));
    co_await client.close();
    co_return told;
  }),
              HasSubstr("no broker answers"));
}

TEST(Worker, WithoutLeaveToMakeTopicsItSaysAtTheStartWhichIsMissing) {
  TestApp world;
  world.set("topic_allow_declare", "false").set("topic_disable_leader", "true");
  AgentOptions options;
  options.on_error.then = ErrorPolicy::Then::kSkip;
  world.app.agent("a", world.app.topic<int>("in"), nothing, options);
  EXPECT_THAT(world.run([&]() -> Task<std::string> {
    Worker worker{world.app, world.log};
    co_return co_await failure_of(worker.start());
  }),
              AllOf(HasSubstr("no topic in,"), HasSubstr("topic_allow_declare is false")));
  EXPECT_THAT(topics(world), IsEmpty());
  world.run([&] { return world.create("in"); });
  world.work(
      [&](Worker& worker) -> Task<void> { co_await world.eventually([&] { return lanes(worker).size() == 1; }); });
}

TEST(Worker, WithoutLeaveToMakeTopicsSendingToOneThatIsMissingIsAnError) {
  TestApp world;
  world.set("topic_allow_declare", "false");
  auto& out = world.app.topic<int>("out");
  world.run([&]() -> Task<void> {
    Client client{world.app, world.log};
    EXPECT_THAT(co_await failure_of(out.send(1)),
                AllOf(HasSubstr("no topic out,"), HasSubstr("topic_allow_declare is false")));
    co_await world.create("out");
    EXPECT_EQ(co_await failure_of(out.send(2)), "");
    co_await client.close();
  });
  EXPECT_THAT(topics(world), ElementsAre("out"));
}

TEST(Worker, AClientOnItsLoopLeavesItsAgentsTheirTransactions) {
  TestApp world;
  Gate gate;
  world.set("processing_guarantee", "exactly_once").set("topic_disable_leader", "true");
  auto& out = world.app.topic<int>("out", {.partitions = 1});
  world.app.agent("copy", world.app.topic<int>("in", {.partitions = 1}), [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) {
      co_await out.cast(*event);
      co_await gate.pass();
    }
  });
  world.work([&](Worker&) -> Task<void> {
    Client client{world.app, world.log};
    co_await world.produce("in", numbered(1));
    co_await world.eventually([&] { return gate.waiting() == 1; });
    co_await out.cast(7);
    co_await client.close();
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("7"))
        << "durable when the client is closed, and the event's is not there before its event is done";
    gate.open();
    co_await world.eventually_committed("in", 1);
    EXPECT_THAT(co_await world.values_in("out"), ElementsAre("7", "0"));
  });
}

TEST(Worker, ATopicOfAnotherSizeIsAnErrorAtTheStart) {
  TestApp world;
  world.app.topic<int>("own", {.partitions = 4, .internal = true});
  world.run([&]() -> Task<void> {
    co_await world.create("own", 2);
    Worker worker{world.app, world.log};
    EXPECT_THAT(co_await failure_of(worker.start()), AllOf(HasSubstr("own"), HasSubstr("2")));
  });
}

// Nobody declared their numbers, and no author can change them.
TEST(Worker, TakesTopicsOfNoDeclaredSizeAsTheyAre) {
  TestApp world;
  world.set("topic_partitions", "4");
  world.app.topic<int>("own", {.internal = true});
  world.app.agent("a", world.app.topic<int>("in", {.partitions = 1}), [](Stream<int> stream) -> Task<void> {
    while (co_await stream.next()) throw std::runtime_error("broken");
  });
  world.run([&]() -> Task<void> {
    for (const auto* topic : {"own", "app-a-dlq", "app-__assignor-__leader"}) co_await world.create(topic, 3);
  });
  ::testing::internal::CaptureStderr();
  log::configure({.level = log::Level::kWarn, .file = "", .colour = false});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(2));
    co_await world.eventually_committed("in", 2);
    const auto letters = co_await world.records("app-a-dlq");
    EXPECT_EQ(letters.size(), 2);
    for (const auto& letter : letters) EXPECT_EQ(letter.partition, 0);
  });
  log::configure({.level = log::Level::kCrit, .file = ""});
  EXPECT_THAT(
      ::testing::internal::GetCapturedStderr(),
      AllOf(HasSubstr("Topic app-a-dlq has 3 partitions: dead letters go to partition 0"),
            HasSubstr("Topic app-__assignor-__leader has 3 partitions, and only the owner of partition 0 leads")));
}

TEST(Worker, AGroupOfALaterVersionBeginsAnew) {
  AppOptions options;
  options.version = 2;
  TestApp world{"app", options};
  world.app.agent("a", world.app.topic<int>("in", {.partitions = 1}), nothing);
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", numbered(2));
    co_await world.eventually_committed("in", 2);
  });
  EXPECT_THAT(topics(world), Contains("app-v2-a-dlq"));
}

TEST(Worker, FromLatestLeavesOutWhatWasThereBefore) {
  TestApp world;
  world.set("consumer_auto_offset_reset", "latest");
  std::vector<int> seen;
  world.app.agent("a", world.app.topic<int>("in", {.partitions = 1}), [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) seen.push_back(*event);
  });
  world.run([&]() -> Task<void> { co_await world.produce("in", numbered(3)); });
  world.work([&](Worker& worker) -> Task<void> {
    co_await world.eventually([&] { return lanes(worker).size() == 2; });
    co_await world.produce("in", numbered(1, 3));
    co_await world.eventually([&] { return !seen.empty(); });
  });
  EXPECT_THAT(seen, ElementsAre(3));
}

TEST(Worker, ATaskRunsOnceAfterTheStart) {
  TestApp world;
  int runs = 0;
  world.app.task("t", [&]() -> Task<void> {
    ++runs;
    co_return;
  });
  world.work([](Worker&) -> Task<void> { co_await sleep_for(1h); });
  EXPECT_EQ(runs, 1);
}

TEST(Worker, ATaskMayAskAnAgent) {
  TestApp world;
  int answer = 0;
  auto& square = world.app.agent("square", [](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) co_yield *event** event;
  });
  world.app.task("t", [&]() -> Task<void> { answer = co_await square.ask(5); });
  world.work([&](Worker&) -> Task<void> { co_await world.eventually([&] { return answer == 25; }); });
}

TEST(Worker, ATaskIsCancelledAtTheStop) {
  TestApp world;
  bool cancelled = false;
  world.app.task("t", [&]() -> Task<void> {
    try {
      co_await sleep_for(24h);
    } catch (const Cancelled&) {
      cancelled = true;
      throw;
    }
  });
  world.work([](Worker&) -> Task<void> { co_await sleep_for(1s); });
  EXPECT_TRUE(cancelled);
}

TEST(Worker, ATaskThatFailsEndsTheWorkerWithTheReason) {
  TestApp world;
  world.app.task("load", []() -> Task<void> {
    co_await sleep_for(1s);
    throw std::runtime_error("no file");
  });
  EXPECT_EQ(world.reason_of_end(), "task load failed: no file");
}

TEST(Worker, OnlyTheFirstShardRunsTasks) {
  TestApp world;
  int runs = 0;
  world.app.task("t", [&]() -> Task<void> {
    ++runs;
    co_return;
  });
  world.work([](Worker&) -> Task<void> { co_await sleep_for(1s); }, 3);
  EXPECT_EQ(runs, 1);
}

TEST(Worker, ATimerRunsEveryInterval) {
  TestApp world;
  std::vector<Loop::time_point> runs;
  Loop::time_point start;
  world.app.timer("t", 10s, [&]() -> Task<void> {
    runs.push_back(world.loop.now());
    co_return;
  });
  world.work([&](Worker&) -> Task<void> {
    start = world.loop.now();
    co_await sleep_for(45s);
  });
  EXPECT_THAT(seconds(runs, start), ElementsAre(10, 20, 30, 40));
}

TEST(Worker, ATimerDoesNotDriftByItsRuns) {
  TestApp world;
  std::vector<Loop::time_point> runs;
  Loop::time_point start;
  world.app.timer("t", 10s, [&]() -> Task<void> {
    runs.push_back(world.loop.now());
    co_await sleep_for(3s);
  });
  world.work([&](Worker&) -> Task<void> {
    start = world.loop.now();
    co_await sleep_for(45s);
  });
  EXPECT_THAT(seconds(runs, start), ElementsAre(10, 20, 30, 40));
}

TEST(Worker, ATimersRunsDoNotOverlap) {
  TestApp world;
  int running = 0;
  int most = 0;
  world.app.timer("t", 1s, [&]() -> Task<void> {
    most = std::max(most, ++running);
    co_await sleep_for(2500ms);
    --running;
  });
  world.work([](Worker&) -> Task<void> { co_await sleep_for(20s); });
  EXPECT_EQ(most, 1);
}

TEST(Worker, ATimerIsBackOnItsBeatAfterARunThatTookTooLong) {
  TestApp world;
  std::vector<Loop::time_point> runs;
  Loop::time_point start;
  world.app.timer("t", 10s, [&]() -> Task<void> {
    runs.push_back(world.loop.now());
    if (runs.size() == 1) co_await sleep_for(14s);
  });
  world.work([&](Worker&) -> Task<void> {
    start = world.loop.now();
    co_await sleep_for(55s);
  });
  EXPECT_THAT(seconds(runs, start), AllOf(Contains(40), Contains(50))) << "the beat moved";
}

TEST(Worker, ATimerThatFailsRunsAgain) {
  TestApp world;
  int runs = 0;
  world.app.timer("t", 1s, [&]() -> Task<void> {
    if (++runs == 1) throw std::runtime_error("once");
    co_return;
  });
  world.work([](Worker&) -> Task<void> { co_await sleep_for(3500ms); });
  EXPECT_EQ(runs, 3);
}

TEST(Worker, ReportsWhenItHasStartedAndWhenItStops) {
  TestApp world;
  std::vector<std::string> told;
  world.app.on_started = [&]() -> Task<void> {
    told.push_back("started");
    co_return;
  };
  world.app.on_stopping = [&]() -> Task<void> {
    told.push_back("stopping");
    co_return;
  };
  world.work([&](Worker&) -> Task<void> {
    co_await sleep_for(1s);
    EXPECT_THAT(told, ElementsAre("started"));
  });
  EXPECT_THAT(told, ElementsAre("started", "stopping"));
}

TEST(Worker, AStartThatFailedLeavesNothingBehind) {
  TestApp world;
  world.app.agent("a", nothing);
  world.app.task("t", []() -> Task<void> { co_await sleep_for(1h); });
  world.app.on_started = []() -> Task<void> {
    co_await sleep_for(1s);
    throw std::runtime_error("no key");
  };
  world.run([&]() -> Task<void> {
    {
      Worker worker{world.app, world.log};
      EXPECT_THROW(co_await worker.start(), std::runtime_error);
    }
    EXPECT_THAT(world.loop.describe_tasks(), ElementsAre(HasSubstr("main")));
    for (const auto& group : value_or_throw(co_await world.log->groups())) EXPECT_THAT(group.members, IsEmpty());
  });
}

TEST(Worker, MaySendWhenItStops) {
  TestApp world;
  auto& out = world.app.topic<int>("out", {.partitions = 1});
  world.app.on_stopping = [&]() -> Task<void> { co_await out.cast(1); };
  world.work([](Worker&) -> Task<void> { co_return; });
  EXPECT_THAT(world.run([&] { return world.values_in("out"); }), ElementsAre("1"));
}

TEST(Worker, AStopRightAfterTheStartIsFine) {
  TestApp world;
  world.app.agent("a", nothing);
  world.work([](Worker&) -> Task<void> { co_return; });
  EXPECT_THAT(world.loop.describe_tasks(), IsEmpty());
}

TEST(Worker, LeavesItsGroupAtTheStop) {
  TestApp world;
  world.app.agent("a", nothing);
  world.work([](Worker&) -> Task<void> { co_await sleep_for(1s); });
  world.run([&]() -> Task<void> {
    for (const auto& group : value_or_throw(co_await world.log->groups())) EXPECT_THAT(group.members, IsEmpty());
  });
}

TEST(Worker, AppliesRetentionFromTimeToTime) {
  TestApp world;
  world.app.topic<int>("short", {.partitions = 1, .retention = 1min, .internal = true});
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("short", numbered(3));
    co_await sleep_for(20min);
    auto marks = value_or_throw(co_await world.log->watermarks({"short", 0}));
    EXPECT_GT(marks.start, 0);
  });
}

}  // namespace
}  // namespace mephisto::tests
