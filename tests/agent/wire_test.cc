// Requests and replies in Faust's wire format, byte by byte (faust-behaviour.md 1.8, 1.9 and 1.15).
#include <gmock/gmock.h>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;

struct Point {
  static constexpr const char* kNamespace = "geo.Point";
  int x = 0;
};

class Wire : public ::testing::Test {
 protected:
  // The records of the reply topic `r` after `request` has arrived at an agent that returns what it gets.
  std::vector<Row> reply_to(Row request, std::string topic = "in") {
    return replies_on("r", std::move(request), std::move(topic));
  }
  std::vector<Row> replies_on(const std::string& replies, Row request, std::string topic = "in") {
    world.work([&](Worker&) -> Task<void> {
      co_await world.create(replies);
      co_await world.produce(topic, {request});
      co_await world.eventually_committed(topic, 1);
      co_await sleep_for(1s);
    });
    return world.run([&] { return world.records(replies); });
  }
  void declare() {
    world.app.agent("echo", in, [this](Stream<int> stream) -> Results<int> {
      while (auto event = co_await stream.next()) {
        seen.push_back(*event);
        co_yield *event;
      }
    });
  }
  static std::vector<Header> reply_headers(std::string topic = "r") {
    return {{"Faust-Ag-ReplyTo", std::move(topic)}, {"Faust-Ag-CorrelationId", "c"}};
  }

  TestApp world;
  std::vector<int> seen;
  const Topic<int>& in = world.app.topic<int>("in", {.partitions = 1});
  const Topic<Json>& r = world.app.topic<Json>("r");
};

TEST_F(Wire, ARequestCarriesTheTwoHeadersAndThePlainValue) {
  auto& echo = world.app.agent("echo", in, [](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) co_yield *event;
  });
  world.work([&](Worker&) -> Task<void> { (void)co_await echo.ask(3); });
  auto request = world.run([&] { return world.records("in"); }).at(0);
  EXPECT_EQ(request.value, "3");
  EXPECT_EQ(request.key, std::nullopt);
  EXPECT_THAT(request.header("Faust-Ag-ReplyTo"),
              MatchesRegex("f-reply-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_THAT(request.header("Faust-Ag-CorrelationId"),
              MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_EQ(request.headers.size(), 2u);
}

TEST_F(Wire, AReplyIsFaustsToTheByteWithANullKey) {
  declare();
  auto replies = reply_to({std::nullopt, "3", reply_headers()});
  EXPECT_THAT(values(replies),
              ElementsAre(R"({"key":null,"value":3,"correlation_id":"c","__faust":{"ns":"@ReqRepResponse"}})"));
  EXPECT_EQ(replies.at(0).key, std::nullopt);
  EXPECT_THAT(replies.at(0).headers, IsEmpty());
}

TEST_F(Wire, AnEnvelopeIsUnderstoodAndAnsweredAsFaustDoes) {
  declare();
  auto replies = reply_to(
      {std::nullopt, R"({"value":3,"reply_to":"r","correlation_id":"c","__faust":{"ns":"@ReqRepRequest"}})", {}});
  EXPECT_THAT(values(replies),
              ElementsAre(R"({"key":null,"value":3,"correlation_id":"c","__faust":{"ns":"@ReqRepResponse"}})"));
  EXPECT_THAT(seen, ElementsAre(3));
}

TEST_F(Wire, AnEnvelopeWithOtherSpacingAndOrderIsUnderstood) {
  declare();
  auto replies =
      reply_to({std::nullopt,
                R"({"__faust": {"ns": "@ReqRepRequest"}, "correlation_id": "c", "reply_to": "r", "value": 3})",
                {}});
  EXPECT_THAT(values(replies),
              ElementsAre(R"({"key":null,"value":3,"correlation_id":"c","__faust":{"ns":"@ReqRepResponse"}})"));
}

TEST_F(Wire, AnEnvelopeThatPythonsJsonWroteIsUnderstood) {
  declare();
  auto replies =
      reply_to({std::nullopt,
                R"({"value": 3, "reply_to": "r", "correlation_id": "c", "__faust": {"ns": "@ReqRepRequest"}})",
                {}});
  EXPECT_THAT(values(replies),
              ElementsAre(R"({"key":null,"value":3,"correlation_id":"c","__faust":{"ns":"@ReqRepResponse"}})"));
}

TEST_F(Wire, AnEnvelopeAroundARecordIsUnderstood) {
  world.app.agent("echo", world.app.topic<Point>("points", {.partitions = 1}),
                  [](Stream<Point> stream) -> Results<int> {
                    while (auto event = co_await stream.next()) co_yield event->x;
                  });
  auto replies = reply_to(
      {std::nullopt,
       R"({"value":{"x":4,"__faust":{"ns":"geo.Point"}},"reply_to":"r","correlation_id":"c","__faust":{"ns":"faust.agents.models.ModelReqRepRequest"}})",
       {}},
      "points");
  EXPECT_THAT(values(replies),
              ElementsAre(R"({"key":null,"value":4,"correlation_id":"c","__faust":{"ns":"@ReqRepResponse"}})"));
}

TEST_F(Wire, ARecordWithANamespaceAnswersAsAModel) {
  world.app.agent("echo", in, [](Stream<int> stream) -> Results<Point> {
    while (auto event = co_await stream.next()) co_yield Point{*event};
  });
  auto replies = reply_to({std::nullopt, "3", reply_headers()});
  EXPECT_THAT(
      values(replies),
      ElementsAre(
          R"({"key":null,"value":{"x":3,"__faust":{"ns":"geo.Point"}},"correlation_id":"c","__faust":{"ns":"faust.agents.models.ModelReqRepResponse"}})"));
}

TEST_F(Wire, WithoutAnAddressNothingIsAnswered) {
  declare();
  EXPECT_THAT(reply_to({std::nullopt, "3", {}}), IsEmpty());
  EXPECT_THAT(seen, ElementsAre(3));
}

TEST_F(Wire, ARecordThatOnlyLooksLikeAnEnvelopeIsAValue) {
  std::vector<std::string> got;
  world.app.agent("any", world.app.topic<Json>("values", {.partitions = 1}), [&](Stream<Json> stream) -> Task<void> {
    while (auto event = co_await stream.next()) got.push_back(event->text);
  });
  reply_to({std::nullopt, R"({"value":3,"note":"ReqRepRequest"})", {}}, "values");
  EXPECT_THAT(got, ElementsAre(R"({"value":3,"note":"ReqRepRequest"})"));
}

TEST_F(Wire, AReplyTopicIsNotMadeForAnAskerThatIsGone) {
  declare();
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{std::nullopt, "3", reply_headers("f-reply-gone")}});
    co_await world.eventually_committed("in", 1);
    EXPECT_FALSE(co_await world.log->topic("f-reply-gone"));
  });
}

TEST_F(Wire, AnAnswerFromFaustIsUnderstood) {
  auto& echo = world.app.agent("echo", in, [](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) co_yield *event;
  });
  world.run([&]() -> Task<void> {
    Client client{world.app, world.log};
    auto answer = world.loop.spawn("faust", [](TestApp& self) -> Task<void> {
      co_await self.eventually_in("in", 1);
      auto request = (co_await self.records("in")).at(0);
      co_await self.produce(
          request.header("Faust-Ag-ReplyTo"),
          {{std::nullopt,
            fmt::format(
                R"({{"key": "b'k'", "value": 11, "correlation_id": "{}", "__faust": {{"ns": "@ReqRepResponse"}}}})",
                request.header("Faust-Ag-CorrelationId")),
            {}}});
    }(world));
    EXPECT_EQ(co_await echo.ask(3), 11);
    co_await answer.join();
    co_await client.close();
  });
}

TEST_F(Wire, AnErrorHasAFormThatFaustCanRead) {
  AgentOptions options;
  options.on_error.retries = 0;
  world.app.agent(
      "echo", in,
      [](Stream<int> stream) -> Results<int> {
        while (auto event = co_await stream.next()) {
          if (*event == 3) throw std::runtime_error("no \"threes\"");
          co_yield 1;
        }
      },
      options);
  auto replies = reply_to({std::nullopt, "3", reply_headers()});
  EXPECT_THAT(
      values(replies),
      ElementsAre(
          R"({"key":null,"value":null,"correlation_id":"c","error":"no \"threes\"","__faust":{"ns":"@ReqRepResponse"}})"));
}

// A request may come from a stranger, so it must not decide freely which topic the worker writes to.

constexpr const char* kAnswer = R"({"key":null,"value":3,"correlation_id":"c","__faust":{"ns":"@ReqRepResponse"}})";

TEST_F(Wire, AnAnswerGoesToAReplyTopic) {
  declare();
  EXPECT_THAT(values(replies_on("f-reply-1", {std::nullopt, "3", reply_headers("f-reply-1")})), ElementsAre(kAnswer));
  EXPECT_EQ(world.app.refused_replies, 0u);
}

TEST_F(Wire, AnAnswerToAForeignTopicIsNotSentAndCounted) {
  declare();
  EXPECT_THAT(replies_on("accounts", {std::nullopt, "3", reply_headers("accounts")}), IsEmpty());
  EXPECT_THAT(seen, ElementsAre(3));
  EXPECT_EQ(world.app.refused_replies, 1u);
}

TEST_F(Wire, AnAnswerToAForeignTopicOfAnEnvelopeIsNotSentAndCounted) {
  declare();
  EXPECT_THAT(replies_on("accounts",
                         {std::nullopt,
                          R"({"value":3,"reply_to":"accounts","correlation_id":"c","__faust":{"ns":"@ReqRepRequest"}})",
                          {}}),
              IsEmpty());
  EXPECT_EQ(world.app.refused_replies, 1u);
}

TEST_F(Wire, AnErrorForAForeignTopicIsNotSentAndCounted) {
  declare();
  EXPECT_THAT(replies_on("accounts", {std::nullopt, "\"no number\"", reply_headers("accounts")}), IsEmpty());
  EXPECT_EQ(world.app.refused_replies, 1u);
}

TEST_F(Wire, AnEmptyAnswerToAForeignTopicIsNotSentAndCounted) {
  world.app.agent("silent", in, [](Stream<int> stream) -> Task<void> {
    while (co_await stream.next()) {
    }
  });
  EXPECT_THAT(replies_on("accounts", {std::nullopt, "3", reply_headers("accounts")}), IsEmpty());
  EXPECT_EQ(world.app.refused_replies, 1u);
}

TEST_F(Wire, NamesThatOnlyResembleAReplyTopicAreForeign) {
  declare();
  for (const char* topic :
       {"f-reply", "F-REPLY-1", "x-f-reply-1", "in2", "app-echo-dlq", "app-__assignor-__leader", "R"}) {
    world.work([&](Worker&) -> Task<void> {
      (void)co_await failure_of(world.create(topic));
      co_await world.produce("in", {{std::nullopt, "3", reply_headers(topic)}});
      co_await sleep_for(5s);
    });
    EXPECT_THAT(world.run([&] { return world.records(topic); }), IsEmpty()) << topic;
  }
  EXPECT_EQ(world.app.refused_replies, 7u);
}

TEST_F(Wire, ASettingNamesOtherTopicsForAnswers) {
  declare();
  world.set("reply_to_topics", "accounts;audit.*");
  EXPECT_THAT(values(replies_on("accounts", {std::nullopt, "3", reply_headers("accounts")})), ElementsAre(kAnswer));
}

TEST_F(Wire, ASettingNamesTheBeginningOfTopicsForAnswers) {
  declare();
  world.set("reply_to_topics", "accounts;audit.*");
  EXPECT_THAT(values(replies_on("audit.2026", {std::nullopt, "3", reply_headers("audit.2026")})), ElementsAre(kAnswer));
  EXPECT_EQ(world.app.refused_replies, 0u);
}

TEST_F(Wire, ASettingAllowsNoMoreThanItNames) {
  declare();
  world.set("reply_to_topics", "accounts;audit.*");
  EXPECT_THAT(replies_on("accounts2", {std::nullopt, "3", reply_headers("accounts2")}), IsEmpty());
  EXPECT_EQ(world.app.refused_replies, 1u);
}

// The answers of one app's agent go to another app's agent. Both apps declare its topic.
TEST_F(Wire, AnAnswerGoesToATopicThatBothAppsDeclare) {
  declare();
  App other{"other"};
  other.settings().set("topic_disable_leader", "true", "test");
  auto& answers = other.topic<Json>("r", {.partitions = 1});
  std::vector<std::string> got;
  other.agent("answers", answers, [&](Stream<Json> stream) -> Task<void> {
    while (auto answer = co_await stream.next()) got.push_back(answer->text);
  });
  App remote{"app"};  // what the other app knows of this one
  auto& echo =
      remote.agent("echo", remote.topic<int>("in", {.partitions = 1}), [](Stream<int>) -> Results<int> { co_return; });
  world.run([&]() -> Task<void> {
    Client client{other, world.log};
    (void)co_await answers.send_raw("0");
    (void)co_await echo.send(3, {}, answers.name(), "c");
    co_await client.close();
  });
  world.work([&](Worker&) -> Task<void> { co_await world.eventually_committed("in", 1); });
  world.run([&]() -> Task<void> {
    Worker worker{other, world.log};
    co_await worker.start();
    co_await world.eventually([&] { return got.size() == 2; });
    co_await worker.stop();
  });
  EXPECT_THAT(got, ElementsAre("0", kAnswer));
}

}  // namespace
}  // namespace mephisto::tests
