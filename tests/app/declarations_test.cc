// Mistakes of an app's author. Each is reported with file and line, and ends the command line with exit code 2 before
// anything else happens.
#include <alloca.h>
#include <gmock/gmock.h>

#include <thread>

#include "support/run_app.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::SizeIs;

Task<void> nothing(Stream<int> stream) {
  while (co_await stream.next()) {
  }
}
Task<void> done() { co_return; }

// A variable of a function that has returned. It must not be in AddressSanitizer's separate stack.
#define ON_THE_STACK(name) int& name = *new (alloca(sizeof(int))) int(1)

class Declarations : public ::testing::Test {
 protected:
  static std::string at(int line, std::source_location where = std::source_location::current()) {
    return fmt::format("{}:{}", where.file_name(), line);
  }
  std::vector<std::string> mistakes() const { return app.mistakes(); }

  App app{"shop"};
};

TEST_F(Declarations, RightOnesHaveNoMistake) {
  auto& orders = app.topic<int>("orders", {.partitions = 4, .compacting = true, .help = "what was ordered"});
  app.topic<int>("orders", {.partitions = 4, .compacting = true});
  app.agent("a", orders, nothing);
  app.agent("b", orders, nothing);
  app.task("a", done);
  app.timer("a", 1s, done);
  app.command("a", "", done);
  EXPECT_THAT(mistakes(), IsEmpty());
}

TEST_F(Declarations, ATopicIsDeclaredTheSameEachTime) {
  const int first = __LINE__ + 1;
  app.topic<int>("orders", {.partitions = 4});
  app.topic<int>("orders", {.partitions = 8});
  EXPECT_THAT(
      mistakes(),
      ElementsAre(at(first + 1) + ": topic orders is declared at " + at(first) +
                  " already, and here differently (partitions): declare it once and use the reference that it gives"));
}

TEST_F(Declarations, EveryOptionOfATopicIsCompared) {
  app.topic<int>("orders");
  const TopicOptions others[] = {{.partitions = 8},    {.retention = 1h},  {.retention_bytes = 1},
                                 {.compacting = true}, {.internal = true}, {.serializer = "raw"}};
  for (const auto& other : others) app.topic<int>("orders", other, std::source_location::current());
  EXPECT_THAT(mistakes(), SizeIs(std::size(others)));
  EXPECT_THAT(mistakes(),
              ElementsAre(HasSubstr("(partitions)"), HasSubstr("(retention)"), HasSubstr("(retention_bytes)"),
                          HasSubstr("(compacting)"), HasSubstr("(internal)"), HasSubstr("(serializer)")));
}

TEST_F(Declarations, ATopicHasOneType) {
  const int first = __LINE__ + 1;
  app.topic<int>("orders");
  app.topic<std::string>("orders");
  EXPECT_THAT(mistakes(), ElementsAre(AllOf(HasSubstr(at(first + 1) + ": topic orders is declared at " + at(first)),
                                            HasSubstr("(the type of its values)"))));
}

TEST_F(Declarations, ABadTopicIsReportedWithItsLine) {
  const int first = __LINE__ + 1;
  app.topic<int>("a b");
  app.topic<int>(std::string(300, 'a'));
  app.topic<int>("sound", {.serializer = "jso"});
  app.topic<int>("many", {.partitions = 1'000'000});
  app.topic<int>("few", {.partitions = -1});
  EXPECT_THAT(mistakes(), ElementsAre(HasSubstr(at(first) + ": \"a b\" cannot be a topic's name"),
                                      HasSubstr(at(first + 1) + ": a topic's name has at most"),
                                      AllOf(HasSubstr(at(first + 2) + ": topic sound:"), HasSubstr("json")),
                                      HasSubstr(at(first + 3) + ": topic many cannot have 1000000 partitions"),
                                      HasSubstr(at(first + 4) + ": topic few cannot have -1 partitions")));
}

TEST_F(Declarations, NamesAreGivenOnce) {
  const int first = __LINE__ + 1;
  app.agent("x", nothing);
  app.agent("x", nothing);
  app.command("x", "", done);
  app.command("x", "", done);
  app.timer("x", 1s, done);
  app.timer("x", 1s, done);
  app.task("x", done);
  app.task("x", done);
  const auto twice = [](const char* kind) {
    return MatchesRegex(fmt::format(
        ".*declarations_test.cc:[0-9]+: there is {} x already, declared at .*declarations_test.cc:[0-9]+: give one.*",
        kind));
  };
  EXPECT_THAT(mistakes(), ElementsAre(twice("agent"), twice("command"), twice("timer"), twice("task")));
  EXPECT_THAT(mistakes().front(),
              AllOf(HasSubstr(at(first + 1) + ": there is"), HasSubstr("declared at " + at(first))));
}

TEST_F(Declarations, AnAgentsNameCanBeATopics) {
  const int first = __LINE__ + 1;
  app.agent("a b", app.topic<int>("orders"), nothing);
  app.agent("a:1-2", app.topic<int>("orders"), nothing);
  EXPECT_THAT(mistakes(),
              ElementsAre(HasSubstr(at(first) + ": agent a b"), HasSubstr(at(first + 1) + ": agent a:1-2")));
}

TEST_F(Declarations, AnAgentsOptionsAreChecked) {
  const int first = __LINE__ + 1;
  app.agent("a", nothing, {.concurrency = 0});
  app.agent("b", nothing, {.concurrency = 2, .isolated_partitions = true});
  app.agent("c", nothing, {.concurrency_setting = "no.such"});
  EXPECT_THAT(mistakes(),
              ElementsAre(HasSubstr(at(first) + ": agent a has concurrency 0"),
                          HasSubstr(at(first + 1) + ": agent b has isolated partitions"),
                          HasSubstr(at(first + 2) + ": agent c takes its concurrency from setting no.such")));
}

TEST_F(Declarations, AListOfTopicsHasEachOnce) {
  using Topics = std::vector<const Topic<int>*>;
  auto& orders = app.topic<int>("orders");
  const int first = __LINE__ + 1;
  app.agent("a", Topics{&orders, &orders}, nothing);
  app.agent("b", Topics{}, nothing);
  app.agent("c", Topics{&orders, nullptr}, nothing);
  EXPECT_THAT(mistakes(), ElementsAre(HasSubstr(at(first) + ": agent a has the topic orders twice"),
                                      HasSubstr(at(first + 1) + ": agent b has a list of topics without"),
                                      HasSubstr(at(first + 2) + ": agent c: a topic of its list is null")));
}

TEST_F(Declarations, NothingIsPassedOnInACircle) {
  auto& orders = app.topic<int>("orders");
  const int first = __LINE__ + 1;
  app.through("round", orders, orders);
  EXPECT_THAT(mistakes(), ElementsAre(HasSubstr(at(first) + ": round forwards topic orders to itself")));
}

TEST_F(Declarations, ATimersIntervalIsAboveZero) {
  const int first = __LINE__ + 1;
  app.timer("t", 0s, done);
  EXPECT_THAT(mistakes(), ElementsAre(HasSubstr(at(first) + ": timer t needs an interval above 0")));
}

TEST_F(Declarations, ACommandsNameIsAWord) {
  app.command("", "", done);
  app.command("--quiet", "", done);
  app.command("two words", "", done);
  app.command("a\x1b[2Jb", "", done);
  app.command("déjà-vu_2", "", done);
  EXPECT_THAT(mistakes(), SizeIs(4));
  for (const auto& one : mistakes())
    EXPECT_THAT(one, AllOf(HasSubstr("cannot be a command's name"), ::testing::Not(HasSubstr("\x1b"))));
}

TEST(App, AnIdThatCannotBeATopicsNameIsAMistake) {
  for (const char* id : {"", "my shop", "a/b"})
    EXPECT_THAT(App{id}.mistakes(), ElementsAre(HasSubstr("an app's id follows the rules of topic names"))) << id;
}

// An app may capture what has the same lifetime.
TEST_F(Declarations, CapturesOfLivingFunctionsAreRight) {
  ON_THE_STACK(counted);
  app.agent("a", [&counted](Stream<int> stream) -> Task<void> {
    while (co_await stream.next()) ++counted;
  });
  EXPECT_EQ(run_app(app, {"shop", "agents"}).err, "");
}

App& static_app() {
  static App app{"static"};
  return app;
}

struct Adds {
  int* to;
  Task<void> operator()(Stream<int> stream) const {
    while (auto event = co_await stream.next()) *to += *event;
  }
};

[[gnu::noinline]] void capture_locals() {
  auto& app = static_app();
  ON_THE_STACK(local);
  auto& topic = app.topic<int>("topic");
  static int lasting = 0;
  std::string text = "short";
  std::optional<std::string> nothing_in_it;
  app.agent("by_reference", topic, [&local](Stream<int> stream) -> Task<void> {
    while (co_await stream.next()) ++local;
  });
  app.agent("by_pointer", topic, Adds{&local});
  app.agent("by_value", topic, [local, text, nothing_in_it, &topic, at = &lasting](Stream<int> stream) -> Task<void> {
    while (co_await stream.next())
      *at += local + static_cast<int>(text.size() + topic.name().size() + nothing_in_it.has_value());
  });
  app.task("task", [&local]() -> Task<void> {
    ++local;
    co_return;
  });
  app.timer("timer", 1s, [&local]() -> Task<void> {
    ++local;
    co_return;
  });
  app.command("command", "", [&local]() -> Task<void> {
    ++local;
    co_return;
  });
}

TEST(Captures, OfAFunctionsVariablesByReferenceAreReported) {
  capture_locals();
  const auto told = [](const char* what) {
    return HasSubstr(fmt::format(": {} captures a variable of a function by reference", what));
  };
  EXPECT_THAT(static_app().mistakes(), ElementsAre(told("agent by_reference"), told("agent by_pointer"),
                                                   told("task task"), told("timer timer"), told("command command")));
}

[[gnu::noinline]] void declare_in_a_function(App& app) {
  ON_THE_STACK(local);
  app.agent("gone", [&local](Stream<int> stream) -> Task<void> {
    while (co_await stream.next()) ++local;
  });
}

TEST_F(Declarations, ACaptureOfAFunctionThatHasReturnedIsReported) {
#ifndef __OPTIMIZE__
  GTEST_SKIP()
      << "without optimisation the frames of the check lie over the variable of the function that has returned";
#endif
  App on_stack{"shop"};
  declare_in_a_function(on_stack);
  EXPECT_THAT(on_stack.mistakes(), IsEmpty());  // the function that declares may also be the one that runs the app
  const auto got = run_app(on_stack, {"shop", "agents"});
  EXPECT_EQ(got.code, 2);
  EXPECT_THAT(got.err, HasSubstr("agent gone captures a variable"));
}

TEST_F(Declarations, TheCommandLineReportsAllMistakesAndEndsWith2) {
  app.topic<int>("a b");
  app.topic<int>("c d");
  for (const char* word : {"agents", "--help", "worker", "no-such-command"}) {
    const auto got = run_app(app, {"shop", word});
    EXPECT_EQ(got.code, 2) << word;
    EXPECT_EQ(got.out, "") << word;
    EXPECT_THAT(got.err, MatchesRegex("Error: [^\n]*\"a b\"[^\n]*\nError: [^\n]*\"c d\"[^\n]*\n")) << word;
  }
}

struct Taken {
  static constexpr bool kWithoutLog = true;
  bool json = false;
  bool quieter = false;
  static std::vector<OptionHelp> help() { return {{"quieter", "", "-q"}}; }
};

TEST_F(Declarations, ACommandTakesNothingThatEveryAppHas) {
  const int first = __LINE__ + 1;
  for (const char* name : {"worker", "completion", "man", "dlq", "config"}) app.command(name, "", done);
  app.command<Taken>("taken", "", [](Taken) -> Task<void> { co_return; });
  const auto got = run_app(app, {"shop", "agents"});
  EXPECT_EQ(got.code, 2);
  for (const char* name : {"worker", "completion", "man", "dlq", "config"})
    EXPECT_THAT(got.err, HasSubstr(fmt::format("every app has a command {}:", name)));
  EXPECT_THAT(got.err, AllOf(HasSubstr(at(first) + ": every app has a command"),
                             HasSubstr(at(first + 1) + ": command taken has an option --json"),
                             HasSubstr("command taken has an option -q")));
}

template <class Made>
Task<void> make(TestApp& world) {
  Made made{world.app, world.log};
  co_return;
}

TEST(Worker, RefusesAWrongApp) {
  TestApp world;
  world.app.topic<int>("a b");
  for (auto* attempt : {make<Worker>, make<Client>}) {
    EXPECT_THAT(world.run([&] { return failure_of(attempt(world)); }),
                AllOf(HasSubstr("declarations_test.cc:"), HasSubstr("\"a b\" cannot be a topic's name")));
  }
}

TEST_F(Declarations, NothingIsDeclaredWhileTheAppRuns) {
  TestApp world;
  auto& topic = world.app.topic<int>("orders");
  auto& agent = world.app.agent("a", [](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) co_yield *event;
  });
  std::vector<std::string> said;
  const auto attempt = [&](std::function<void()> declaration) {
    try {
      declaration();
      said.emplace_back("taken");
    } catch (const Failure& failure) {
      said.emplace_back(failure.what());
    }
  };
  world.work([&](Worker&) -> Task<void> {
    attempt([&] { world.app.topic<int>("late"); });
    attempt([&] { world.app.agent("late", topic, nothing); });
    attempt([&] { world.app.command("late", "", done); });
    attempt([&] { world.app.task("late", done); });
    attempt([&] { world.app.timer("late", 1s, done); });
    attempt([&] { world.app.through("late", topic, topic); });
    attempt([&] { agent.sink(topic); });
    co_return;
  });
  EXPECT_THAT(said, SizeIs(7));
  for (const auto& one : said) EXPECT_THAT(one, HasSubstr("while the app runs"));
  EXPECT_THAT(said.front(), HasSubstr("declarations_test.cc:"));
  EXPECT_THAT(world.app.agents(), SizeIs(1));
  attempt([&] { world.app.agent("later", topic, nothing); });
  EXPECT_EQ(said.back(), "taken");  // it no longer runs
}

struct Look {
  static constexpr bool kWithoutLog = true;
  std::string at = "all";
};

TEST_F(Declarations, ACommandDeclaresNothing) {
  app.command<Look>("look", "", [](Look, CommandContext context) -> Task<void> {
    context.app.topic<int>("late");
    co_return;
  });
  const auto got = run_app(app, {"shop", "look"});
  EXPECT_EQ(got.code, 1);
  EXPECT_THAT(got.err, HasSubstr("topic late is declared while the app runs"));
}

// Sending from a context that cannot send.

Task<void> cast(const Topic<int>& topic, int value) { co_await topic.cast(value); }

TEST(Sending, OutsideOfAnAppNamesTheTopic) {
  App app{"shop"};
  auto& orders = app.topic<int>("orders");
  try {
    (void)orders.cast(1);
    FAIL() << "sent";
  } catch (const Failure& failure) {
    EXPECT_STREQ(
        failure.what(),
        "sending to topic orders works in an agent, task, timer or command of an app that runs, and on its thread");
  }
}

TEST(SendingDeathTest, OutsideOfAnAppEndsTheProgramWith2AndWithoutACore) {
  EXPECT_EXIT(
      {
        App app{"shop"};
        auto& orders = app.topic<int>("orders");
        std::thread([&] { (void)orders.cast(1); }).join();
      },
      ::testing::ExitedWithCode(2), "^Error: sending to topic orders works in");
}

TEST(DeclarationsDeathTest, ASettingThatIsDeclaredTwiceEndsTheProgramWith2AndWithoutACore) {
  EXPECT_EXIT(
      {
        App app{"shop"};
        std::thread([&] { app.settings().add({.name = "shards"}); }).join();
      },
      ::testing::ExitedWithCode(2),
      "^Error: .*declarations_test.cc:[0-9]+: setting shards is declared twice: every app has it");
}

TEST(Sending, AfterTheStopIsRefusedAtOnce) {
  for (const char* guarantee : {"at_least_once", "exactly_once"}) {
    TestApp world;
    world.set("processing_guarantee", guarantee);
    auto& orders = world.app.topic<int>("orders");
    auto& square = world.app.agent("square", [](Stream<int> stream) -> Results<int> {
      while (auto event = co_await stream.next()) co_yield *event** event;
    });
    world.run([&]() -> Task<void> {
      Worker worker{world.app, world.log};
      co_await worker.start();
      EXPECT_EQ(co_await square.ask(3), 9);
      (void)co_await orders.send(1);
      co_await worker.stop();
      const auto before = world.loop.now();
      EXPECT_THAT(co_await failure_of(orders.send(2)), HasSubstr("has stopped"));
      EXPECT_THAT(co_await failure_of(orders.send_raw("2")), HasSubstr("has stopped"));
      EXPECT_THAT(co_await failure_of(cast(orders, 2)), HasSubstr("has stopped"));
      EXPECT_THAT(co_await failure_of(square.ask(2)), HasSubstr("has stopped"));
      EXPECT_EQ(world.loop.now(), before);
    });
    EXPECT_THAT(world.run([&] { return world.values_in("orders"); }), ElementsAre("1")) << guarantee;
  }
}

TEST(Sending, AfterAClientsEndIsRefusedAtOnce) {
  TestApp world;
  auto& orders = world.app.topic<int>("orders");
  world.run([&]() -> Task<void> {
    Client client{world.app, world.log};
    (void)co_await orders.send(1);
    co_await client.close();
    EXPECT_THAT(co_await failure_of(orders.send(2)), HasSubstr("has stopped"));
  });
}

// What an agent sends goes out with its own worker's transactions, whatever other workers the loop has.
TEST(Worker, TwoLiveOnOneLoop) {
  for (const auto* guarantee : {"at_least_once", "exactly_once"}) {
    TestApp one{"one"};
    TestApp two{"two"};
    two.log = one.log;
    for (auto* app : {&one, &two}) {
      app->set("processing_guarantee", guarantee);
      auto& out = app->app.topic<int>("out-" + app->app.id(), {.partitions = 1});
      app->app.agent("copy", app->app.topic<int>("in", {.partitions = 2}), [&out](Stream<int> stream) -> Task<void> {
        while (auto event = co_await stream.next()) co_await out.cast(*event);
      });
    }
    one.run([&]() -> Task<void> {
      Worker first{one.app, one.log};
      auto second = std::make_unique<Worker>(two.app, one.log);
      co_await first.start();
      co_await second->start();
      for (int i = 0; i < 100; ++i) co_await one.produce("in", {{std::nullopt, std::to_string(i), {}, i % 2}});
      co_await one.eventually_in("out-one", 100);
      co_await one.eventually_in("out-two", 100);
      co_await second->stop();
      second.reset();
      co_await one.produce("in", {{std::nullopt, "100", {}, 0}});
      co_await one.eventually_in("out-one", 101);
      co_await first.stop();
      EXPECT_THAT(co_await one.records("out-one"), ::testing::SizeIs(101)) << guarantee;
      EXPECT_THAT(co_await one.records("out-two"), ::testing::SizeIs(100)) << guarantee;
    });
  }
}

TEST(Worker, BelongsToALoop) {
  TestApp world;
  EXPECT_THROW((Worker{world.app, world.log}), Failure);
  EXPECT_THROW((Client{world.app, world.log}), Failure);
}

}  // namespace
}  // namespace mephisto::tests
