// Calls to agents: cast, send, ask, join, map, and what happens if no answer arrives.
#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

struct Order {
  std::string id;
  double price = 0;
  bool operator==(const Order&) const = default;
};

// An app with the agent `square`. It fails for negative numbers, and for 0 it waits at the gate.
class Asking : public ::testing::Test {
 protected:
  static AgentOptions no_retries() {
    AgentOptions options;
    options.on_error.retries = 0;
    return options;
  }
  std::vector<std::string> topics() {
    std::vector<std::string> names;
    for (const auto& info :
         world.run([&]() -> Task<std::vector<TopicInfo>> { co_return value_or_throw(co_await world.log->topics()); }))
      names.push_back(info.name);
    return names;
  }

  TestApp world;
  Gate gate;
  std::vector<int> handled;
  const Agent<int, int>& square = world.app.agent(
      "square",
      [this](Stream<int> stream) -> Results<int> {
        while (auto event = co_await stream.next()) {
          handled.push_back(*event);
          if (*event < 0) throw std::runtime_error(fmt::format("{} is negative", *event));
          if (*event == 0) co_await gate.pass();
          co_yield *event** event;
        }
      },
      no_retries());
};

TEST_F(Asking, AskGivesTheResult) {
  world.work([&](Worker&) -> Task<void> { EXPECT_EQ(co_await square.ask(3), 9); });
}

TEST_F(Asking, AnAnswerThatIsRefusedIsTheFailureOfItsEvent) {
  const auto& root = world.app.agent(
      "root",
      [](Stream<double> stream) -> Results<double> {
        while (auto event = co_await stream.next()) co_yield std::sqrt(*event);
      },
      no_retries());
  world.work([&](Worker&) -> Task<void> {
    EXPECT_EQ(co_await root.ask(4), 2);
    EXPECT_THAT(co_await failure_of(root.ask(-1)), HasSubstr("NaN is not a number in JSON"));
    EXPECT_THAT(co_await failure_of(root.ask(std::nan(""))), HasSubstr("NaN is not a number in JSON"));
  });
}

TEST_F(Asking, AskWorksFromAClientWhileAWorkerRuns) {
  world.work([&](Worker&) -> Task<void> {
    co_await sleep_for(1s);
    Client client{world.app, world.log};
    EXPECT_EQ(co_await square.ask(4), 16);
    co_await client.close();
  });
}

TEST_F(Asking, RecordsGoThereAndBack) {
  auto& raise = world.app.agent("raise", [](Stream<Order> stream) -> Results<Order> {
    while (auto event = co_await stream.next()) co_yield Order{event->id, event->price * 2};
  });
  world.work([&](Worker&) -> Task<void> { EXPECT_EQ(co_await raise.ask({"x", 1.5}), (Order{"x", 3.0})); });
}

TEST_F(Asking, TheAskersKeyReachesTheAgent) {
  auto& who = world.app.agent("who", [](Stream<int> stream) -> Results<std::string> {
    while (auto event = co_await stream.next()) co_yield std::string{event.key()};
  });
  world.work([&](Worker&) -> Task<void> { EXPECT_EQ(co_await who.ask(1, {.key = "me"}), "me"); });
}

TEST_F(Asking, AnAgentWithoutResultsAnswersWhenItIsDone) {
  int done = 0;
  auto& quiet = world.app.agent("quiet", [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) ++done;
  });
  world.work([&](Worker&) -> Task<void> {
    co_await quiet.ask(1);
    EXPECT_EQ(done, 1);
  });
}

TEST_F(Asking, OnlyTheFirstResultAnswers) {
  auto& twice = world.app.agent("twice", [](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) {
      co_yield 1;
      co_yield 2;
    }
  });
  world.work([&](Worker&) -> Task<void> {
    EXPECT_EQ(co_await twice.ask(0), 1);
    EXPECT_EQ(co_await twice.ask(0), 1);
  });
}

TEST_F(Asking, WithoutAnAnswerTheDeadlineIsAnError) {
  world.work([&](Worker&) -> Task<void> {
    const auto start = world.loop.now();
    EXPECT_THAT(co_await failure_of(square.ask(0, {.timeout = 5s})),
                AllOf(HasSubstr("no answer on app-square within 5"), HasSubstr("is a worker running?")));
    EXPECT_EQ(world.loop.now() - start, 5s);
    gate.open();
  });
}

TEST_F(Asking, AskWithoutAWorkerEndsAtTheDeadline) {
  world.run([&]() -> Task<void> {
    Client client{world.app, world.log};
    EXPECT_THAT(co_await failure_of(square.ask(1, {.timeout = 1s})), HasSubstr("is a worker running?"));
    co_await client.close();
  });
}

TEST_F(Asking, AnErrorOfTheHandlerReachesTheAsker) {
  world.work([&](Worker&) -> Task<void> { EXPECT_EQ(co_await failure_of(square.ask(-2)), "-2 is negative"); });
}

TEST_F(Asking, TheAskerHearsOfAnErrorOnlyAfterTheLastRetry) {
  AgentOptions options;
  options.on_error.retries = 2;
  auto& third = world.app.agent(
      "third",
      [](Stream<int> stream) -> Results<int> {
        while (auto event = co_await stream.next()) {
          if (event.attempt() < 2) throw std::runtime_error("not yet");
          co_yield event.attempt();
        }
      },
      options);
  world.work([&](Worker&) -> Task<void> { EXPECT_EQ(co_await third.ask(0), 2); });
}

TEST_F(Asking, AValueThatCannotBeDecodedIsAnErrorForTheAsker) {
  world.work([&](Worker&) -> Task<void> {
    Agent<std::string, int> wrong{"square", detail::make_spec("app-square", {.internal = true}), {}, nullptr};
    EXPECT_THAT(co_await failure_of(wrong.ask("text", {.timeout = 5s})), HasSubstr("expected"));
  });
}

TEST_F(Asking, AValueThatCannotBeSentSaysSoAtOnce) {
  auto& length = world.app.agent("length", [](Stream<std::string> stream) -> Results<std::size_t> {
    while (auto event = co_await stream.next()) co_yield event->size();
  });
  world.run([&]() -> Task<void> {
    Client client{world.app, world.log};
    EXPECT_THAT(co_await failure_of(length.ask(std::string(kMaxRecordBytes + 1, 'x'), {.timeout = 5s})),
                HasSubstr("too large"));
    (void)co_await failure_of(client.close());
  });
}

TEST_F(Asking, ACancelledAskLeavesNothingBehind) {
  world.work([&](Worker& worker) -> Task<void> {
    (void)co_await square.ask(1);
    const auto before = world.loop.describe_tasks().size();
    auto asking = world.loop.spawn(
        "ask", [](const Agent<int, int>& agent) -> Task<void> { (void)co_await agent.ask(0); }(square));
    co_await world.eventually([&] { return gate.waiting() == 1; });
    asking.cancel();
    co_await asking.finished();
    gate.open();
    co_await world.eventually([&] { return account(worker, "square").acked == 2; });
    EXPECT_EQ(world.loop.describe_tasks().size(), before);
    EXPECT_EQ(co_await square.ask(2), 4) << "an answer that nobody waited for came to the next one";
  });
}

TEST_F(Asking, ALateAnswerIsNotTakenForTheNextOne) {
  world.work([&](Worker&) -> Task<void> {
    EXPECT_NE(co_await failure_of(square.ask(0, {.timeout = 1s})), "");
    gate.open();
    EXPECT_EQ(co_await square.ask(5), 25);
  });
}

TEST_F(Asking, TheReplyTopicIsGoneWithItsAsker) {
  world.work([&](Worker&) -> Task<void> {
    co_await sleep_for(1s);
    Client client{world.app, world.log};
    (void)co_await square.ask(1);
    co_await client.close();
  });
  EXPECT_THAT(topics(), ::testing::Each(::testing::Not(HasSubstr("f-reply-"))));
}

TEST_F(Asking, AnAskerThatWasIdleForDaysStillGetsAnswers) {
  world.set("maintenance_interval", "1h");
  world.work([&](Worker&) -> Task<void> {
    EXPECT_EQ(co_await square.ask(2), 4);
    co_await sleep_for(49h);
    EXPECT_EQ(co_await square.ask(3), 9);
  });
}

TEST_F(Asking, AnAskerWhoseReplyTopicWasDeletedOpensAnother) {
  world.work([&](Worker&) -> Task<void> {
    EXPECT_EQ(co_await square.ask(2), 4);
    for (const auto& info : value_or_throw(co_await world.log->topics())) {
      if (info.name.starts_with("f-reply-")) value_or_throw(co_await world.log->delete_topic(info.name));
    }
    co_await sleep_for(13h);
    EXPECT_EQ(co_await square.ask(3), 9);
  });
  EXPECT_THAT(topics(), ::testing::Each(::testing::Not(HasSubstr("f-reply-"))));
}

TEST_F(Asking, AnAnswerToAnAskerThatIsGoneDisturbsNobody) {
  world.work([&](Worker&) -> Task<void> {
    co_await sleep_for(1s);
    {
      Client client{world.app, world.log};
      (void)co_await failure_of(square.ask(0, {.timeout = 1s}));
      co_await client.close();
    }
    gate.open();
    co_await sleep_for(10s);
    EXPECT_EQ(co_await square.ask(6), 36);
  });
}

TEST_F(Asking, ManyAsksAtOnceGetTheirOwnAnswers) {
  world.work([&](Worker&) -> Task<void> {
    std::vector<Task<int>> asks;
    for (int i = 1; i <= 200; ++i) asks.push_back(square.ask(i));
    auto answers = co_await when_all(std::move(asks));
    for (int i = 1; i <= 200; ++i) EXPECT_EQ(answers[static_cast<std::size_t>(i - 1)], i * i);
  });
}

TEST_F(Asking, JoinGivesTheResultsInTheOrderOfTheValues) {
  world.work([&](Worker&) -> Task<void> { EXPECT_THAT(co_await square.join({3, 1, 2}), ElementsAre(9, 1, 4)); });
}

TEST_F(Asking, JoinOfNothingIsNothing) {
  world.work([&](Worker&) -> Task<void> { EXPECT_THAT(co_await square.join({}), IsEmpty()); });
}

TEST_F(Asking, JoinThrowsWhatOneOfThemFailedWith) {
  world.work([&](Worker&) -> Task<void> { EXPECT_EQ(co_await failure_of(square.join({3, -1, 2})), "-1 is negative"); });
}

TEST_F(Asking, MapGivesEachResultAsItComes) {
  std::vector<int> results;
  world.work([&](Worker&) -> Task<void> {
    co_await square.map({1, 2, 3}, [&](int result) -> Task<void> {
      results.push_back(result);
      co_return;
    });
  });
  EXPECT_THAT(results, UnorderedElementsAre(1, 4, 9));
}

TEST_F(Asking, CastDoesNotWaitForTheResult) {
  world.work([&](Worker&) -> Task<void> {
    co_await square.cast(0);
    EXPECT_EQ(gate.waiting(), 0);
    co_await world.eventually([&] { return gate.waiting() == 1; });
    gate.open();
  });
}

TEST_F(Asking, SendGivesThePlaceOfTheRequest) {
  world.work([&](Worker&) -> Task<void> {
    auto place = co_await square.send(1, {.partition = 2});
    EXPECT_EQ(fmt::format("{}/{}@{}", place.topic, place.partition, place.offset), "app-square/2@0");
  });
}

TEST_F(Asking, SendLetsTheResultGoToATopicOfTheApp) {
  world.app.topic<Json>("answers");
  world.work([&](Worker&) -> Task<void> {
    co_await world.create("answers");
    co_await square.send(7, {}, "answers", "c-1");
    co_await world.eventually_in("answers", 1);
    EXPECT_THAT(co_await world.values_in("answers"),
                ElementsAre(R"({"key":null,"value":49,"correlation_id":"c-1","__faust":{"ns":"@ReqRepResponse"}})"));
  });
}

TEST_F(Asking, AnAgentMayAskAnotherAgent) {
  auto& fourth = world.app.agent("fourth", [this](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) co_yield co_await square.ask(co_await square.ask(*event));
  });
  world.work([&](Worker&) -> Task<void> { EXPECT_EQ(co_await fourth.ask(3), 81); });
}

// An app with the agent `outer`, which asks `inner` for each event. Each retries a failed event `retries` times.
class AskingAnother : public ::testing::Test {
 protected:
  void declare(Loop::duration patience, std::function<Task<int>(int)> answer) {
    AgentOptions options;
    options.on_error.retries = 2;
    auto& inner = world.app.agent(
        "inner",
        [this, answer](Stream<int> stream) -> Results<int> {
          while (auto event = co_await stream.next()) {
            ++asked;
            co_yield co_await answer(*event);
          }
        },
        options);
    world.app.agent(
        "outer", world.app.topic<int>("in", {.partitions = 1}),
        [this, &inner, patience](Stream<int> stream) -> Task<void> {
          while (auto event = co_await stream.next()) {
            ++tried;
            co_await inner.ask(*event, {.timeout = patience});
          }
        },
        options);
  }
  // Runs until the event of `outer` is a dead letter, and returns its reason.
  std::string reason() {
    std::vector<Row> dead;
    world.work([&](Worker&) -> Task<void> {
      co_await world.produce("in", numbered(1));
      co_await world.eventually_in("app-outer-dlq", 1, 1h);
      dead = co_await world.records("app-outer-dlq");
      gate.open();
    });
    return dead.at(0).header("x-error");
  }

  TestApp world;
  Gate gate;
  int asked = 0;
  int tried = 0;
};

TEST_F(AskingAnother, AnAnswerThatIsAnErrorIsNotAskedForAgain) {
  declare(30s, [](int) -> Task<int> { throw std::runtime_error("out of order"); });
  EXPECT_EQ(reason(), "out of order");
  EXPECT_EQ(asked, 3);
  EXPECT_EQ(tried, 1);
}

TEST_F(AskingAnother, WithoutAnAnswerItIsAskedAgain) {
  declare(5s, [this](int) -> Task<int> {
    co_await gate.pass();
    co_return 0;
  });
  EXPECT_THAT(reason(), HasSubstr("no answer on app-inner within 5"));
  EXPECT_EQ(tried, 3);
}

TEST_F(Asking, AnEventThatMovedToAnotherWorkerIsNotAnsweredWithAnError) {
  auto& fragile = world.app.agent(
      "fragile",
      [this](Stream<int> stream) -> Results<int> {
        while (auto event = co_await stream.next()) {
          handled.push_back(*event);
          if (handled.size() == 1) {
            co_await gate.pass();
            throw std::runtime_error("of the old stay");
          }
          co_yield 1;
        }
      },
      no_retries());
  world.work([&](Worker& worker) -> Task<void> {
    auto asking = world.loop.spawn("ask", [](const Agent<int, int>& agent) -> Task<void> {
      EXPECT_EQ(co_await failure_of(agent.ask(1, {.timeout = 1h})), "");
    }(fragile));
    co_await world.eventually([&] { return gate.waiting() == 1; });
    memory_faults(*world.log).expire("");
    auto competitor = world.competing_member({"app-fragile"});
    (void)co_await competitor->poll(0, 0ms);
    co_await world.eventually([&] { return account(worker, "fragile").consumed == 0; });
    gate.open();
    co_await sleep_for(1s);
    co_await competitor->close();
    co_await asking.join();
  });
}

}  // namespace
}  // namespace mephisto::tests
