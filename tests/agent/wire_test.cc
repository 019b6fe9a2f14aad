// Requests and replies on Faust's wire, to the byte (faust-behaviour.md 1.8, 1.9 and 1.15).
#include <gmock/gmock.h>

#include "support/world.h"

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
  // What the reply topic `r` holds after `request` came to an agent that gives back what it gets.
  std::vector<Row> reply_to(Row request) {
    world.work([&](Worker&) -> Task<void> {
      co_await world.create("r");
      co_await world.produce("in", {request});
      co_await world.eventually_committed("in", 1);
      co_await sleep_for(1s);
    });
    return world.run([&] { return world.records("r"); });
  }
  void declare() {
    world.app.agent("echo", in, [this](Stream<int> stream) -> Results<int> {
      while (auto event = co_await stream.next()) {
        seen.push_back(*event);
        co_yield *event;
      }
    });
  }
  static std::vector<Header> reply_headers() { return {{"Faust-Ag-ReplyTo", "r"}, {"Faust-Ag-CorrelationId", "c"}}; }

  World world;
  std::vector<int> seen;
  const Topic<int>& in = world.app.topic<int>("in", {.partitions = 1});
};

TEST_F(Wire, ARequestCarriesTheTwoHeadersAndThePlainValue) {
  auto& echo = world.app.agent("echo", in, [](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) co_yield *event;
  });
  world.work([&](Worker&) -> Task<void> { (void)co_await echo.ask(3); });
  auto request = world.run([&] { return world.records("in"); }).at(0);
  EXPECT_EQ(request.value, "3");
  EXPECT_EQ(request.key, std::nullopt);
  EXPECT_THAT(request.header("Faust-Ag-ReplyTo"), MatchesRegex("f-reply-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_THAT(request.header("Faust-Ag-CorrelationId"), MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_EQ(request.headers.size(), 2u);
}

TEST_F(Wire, AReplyIsFaustsToTheByteWithANullKey) {
  declare();
  auto replies = reply_to({std::nullopt, "3", reply_headers()});
  EXPECT_THAT(values(replies), ElementsAre(R"({"key":null,"value":3,"correlation_id":"c","__faust":{"ns":"@ReqRepResponse"}})"));
  EXPECT_EQ(replies.at(0).key, std::nullopt);
  EXPECT_THAT(replies.at(0).headers, IsEmpty());
}

TEST_F(Wire, AnEnvelopeIsUnderstoodAndAnsweredAsFaustDoes) {
  declare();
  auto replies = reply_to({std::nullopt, R"({"value":3,"reply_to":"r","correlation_id":"c","__faust":{"ns":"@ReqRepRequest"}})", {}});
  EXPECT_THAT(values(replies), ElementsAre(R"({"key":null,"value":3,"correlation_id":"c","__faust":{"ns":"@ReqRepResponse"}})"));
  EXPECT_THAT(seen, ElementsAre(3));
}

TEST_F(Wire, AnEnvelopeWithOtherSpacingAndOrderIsUnderstood) {
  declare();
  auto replies = reply_to({std::nullopt, R"({"__faust": {"ns": "@ReqRepRequest"}, "correlation_id": "c", "reply_to": "r", "value": 3})", {}});
  EXPECT_THAT(values(replies), ElementsAre(R"({"key":null,"value":3,"correlation_id":"c","__faust":{"ns":"@ReqRepResponse"}})"));
}

TEST_F(Wire, AnEnvelopeThatPythonsJsonWroteIsUnderstood) {
  declare();
  auto replies = reply_to({std::nullopt, R"({"value": 3, "reply_to": "r", "correlation_id": "c", "__faust": {"ns": "@ReqRepRequest"}})", {}});
  EXPECT_THAT(values(replies), ElementsAre(R"({"key":null,"value":3,"correlation_id":"c","__faust":{"ns":"@ReqRepResponse"}})"));
}

TEST_F(Wire, AnEnvelopeAroundARecordIsUnderstood) {
  world.app.agent("echo", world.app.topic<Point>("in", {.partitions = 1}), [](Stream<Point> stream) -> Results<int> {
    while (auto event = co_await stream.next()) co_yield event->x;
  });
  auto replies = reply_to(
      {std::nullopt, R"({"value":{"x":4,"__faust":{"ns":"geo.Point"}},"reply_to":"r","correlation_id":"c","__faust":{"ns":"faust.agents.models.ModelReqRepRequest"}})", {}});
  EXPECT_THAT(values(replies), ElementsAre(R"({"key":null,"value":4,"correlation_id":"c","__faust":{"ns":"@ReqRepResponse"}})"));
}

TEST_F(Wire, ARecordWithANamespaceAnswersAsAModel) {
  world.app.agent("echo", in, [](Stream<int> stream) -> Results<Point> {
    while (auto event = co_await stream.next()) co_yield Point{*event};
  });
  auto replies = reply_to({std::nullopt, "3", reply_headers()});
  EXPECT_THAT(values(replies),
              ElementsAre(R"({"key":null,"value":{"x":3,"__faust":{"ns":"geo.Point"}},"correlation_id":"c","__faust":{"ns":"faust.agents.models.ModelReqRepResponse"}})"));
}

TEST_F(Wire, WithoutAnAddressNothingIsAnswered) {
  declare();
  EXPECT_THAT(reply_to({std::nullopt, "3", {}}), IsEmpty());
  EXPECT_THAT(seen, ElementsAre(3));
}

TEST_F(Wire, ARecordThatOnlyLooksLikeAnEnvelopeIsAValue) {
  std::vector<std::string> got;
  world.app.agent("any", world.app.topic<Json>("in", {.partitions = 1}), [&](Stream<Json> stream) -> Task<void> {
    while (auto event = co_await stream.next()) got.push_back(event->text);
  });
  reply_to({std::nullopt, R"({"value":3,"note":"ReqRepRequest"})", {}});
  EXPECT_THAT(got, ElementsAre(R"({"value":3,"note":"ReqRepRequest"})"));
}

TEST_F(Wire, AReplyTopicIsNotMadeForAnAskerThatIsGone) {
  declare();
  world.work([&](Worker&) -> Task<void> {
    co_await world.produce("in", {{std::nullopt, "3", {{"Faust-Ag-ReplyTo", "gone"}, {"Faust-Ag-CorrelationId", "c"}}}});
    co_await world.eventually_committed("in", 1);
    EXPECT_FALSE(co_await world.log->topic("gone"));
  });
}

TEST_F(Wire, AnAnswerFromFaustIsUnderstood) {
  auto& echo = world.app.agent("echo", in, [](Stream<int> stream) -> Results<int> {
    while (auto event = co_await stream.next()) co_yield *event;
  });
  world.run([&]() -> Task<void> {
    Client client{world.app, world.log};
    auto answer = world.loop.spawn("faust", [](World& self) -> Task<void> {
      co_await self.eventually_in("in", 1);
      auto request = (co_await self.records("in")).at(0);
      co_await self.produce(
          request.header("Faust-Ag-ReplyTo"),
          {{std::nullopt,
            fmt::format(R"({{"key": "b'k'", "value": 11, "correlation_id": "{}", "__faust": {{"ns": "@ReqRepResponse"}}}})", request.header("Faust-Ag-CorrelationId")),
            {}}});
    }(world));
    EXPECT_EQ(co_await echo.ask(3), 11);
    co_await answer.join();
    co_await client.close();
  });
}

TEST_F(Wire, AnErrorTellsFaustSomethingItCanRead) {
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
  EXPECT_THAT(values(replies), ElementsAre(R"({"key":null,"value":null,"correlation_id":"c","error":"no \"threes\"","__faust":{"ns":"@ReqRepResponse"}})"));
}

}  // namespace
}  // namespace mephisto::tests
