// The traces of events: whose events are traced, what their records carry, and what a span tells.
#include <gmock/gmock.h>

#include "mephisto/stream/tracer.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using detail::Span;
using detail::TraceContext;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr TraceContext kSender{1, 2, 3, true};
constexpr TraceContext kUnsampled{1, 2, 3, false};

Row from(const TraceContext& sender, std::string value = "1") {
  return {"key", std::move(value), {{"traceparent", sender.str()}}};
}

class Tracing : public ::testing::TestWithParam<std::string> {
 protected:
  Tracing() {
    world.set("processing_guarantee", GetParam());
    options.on_error.retries = 0;
  }

  // Sends each value on; fails on negative ones.
  void declare() {
    world.app.agent(
        "work", in,
        [this](Stream<int> stream) -> Task<void> {
          while (auto event = co_await stream.next()) {
            if (*event == -2) throw std::runtime_error("no");
            if (*event < 0) throw Failure(ErrorKind::kInvalid, "below 0");
            SendOptions with;
            with.headers = headers;
            if (forwards) with.headers = event.headers().copy();
            co_await out.cast(*event, with);
          }
        },
        options);
  }
  // What the agent sends for these records. The spans are in `ended`.
  std::vector<Row> sent_for(std::vector<Row> rows, std::size_t count, const std::string& topic = "out") {
    std::vector<Row> sent;
    world.work([&](Worker& worker) -> Task<void> {
      const auto end = static_cast<std::int64_t>(rows.size());
      co_await world.produce("in", std::move(rows));
      co_await world.eventually_committed("in", end);
      if (count > 0) co_await world.eventually_in(topic, count);
      sent = co_await world.records(topic);
      if (auto* tracer = shard_of(worker).tracer()) ended = tracer->take();
    });
    EXPECT_EQ(sent.size(), count);
    return sent;
  }
  // The one context of a record.
  static TraceContext context_of(const Row& row) {
    EXPECT_EQ(std::ranges::count(row.headers, "traceparent", &Header::name), 1) << row;
    return TraceContext::parse(row.header("traceparent")).value_or(TraceContext{});
  }

  TestApp world;
  const Topic<int>& in = world.app.topic<int>("in", {.partitions = 1});
  const Topic<int>& out = world.app.topic<int>("out", {.partitions = 1});
  AgentOptions options;
  std::vector<Header> headers;
  bool forwards = false;
  detail::Tracer::Ended ended;
};

TEST_P(Tracing, WithoutTheSettingNoRecordHasAContext) {
  declare();
  EXPECT_THAT(sent_for({{"key", "1", {}}, from(kSender)}, 2),
              ElementsAre(::testing::Field(&Row::headers, IsEmpty()), ::testing::Field(&Row::headers, IsEmpty())));
}

TEST_P(Tracing, ATraceBeginsWhereARecordHasNone) {
  world.set("trace_sample", "1");
  declare();
  const auto sent = sent_for({{"key", "17", {}}}, 1);
  ASSERT_THAT(ended.spans, SizeIs(1));
  const auto& span = ended.spans[0];
  EXPECT_EQ(context_of(sent[0]), span.context);
  EXPECT_TRUE(span.context.sampled);
  EXPECT_EQ(span.parent, 0U);
  EXPECT_EQ(span.agent, "work");
  EXPECT_EQ(span.partition, (TopicPartition{"in", 0}));
  EXPECT_EQ(span.offset, 0);
  EXPECT_EQ(span.key_bytes, 3U);
  EXPECT_EQ(span.value_bytes, 2U);
  EXPECT_EQ(span.events, 1U);
  EXPECT_EQ(span.error, "");
  EXPECT_LE(span.begun, span.ended);
}

TEST_P(Tracing, ASampledSenderIsFollowed) {
  world.set("trace_sample", "0");
  declare();
  auto row = from(kSender);
  row.headers.push_back({"tracestate", "vendor=1,other=2"});
  const auto sent = sent_for({row}, 1);
  ASSERT_THAT(ended.spans, SizeIs(1));
  const auto& span = ended.spans[0];
  EXPECT_EQ(span.parent, kSender.span);
  EXPECT_EQ(span.context.trace_id(), kSender.trace_id());
  EXPECT_NE(span.context.span, kSender.span);
  EXPECT_EQ(context_of(sent[0]), span.context);
  EXPECT_EQ(sent[0].header("tracestate"), "vendor=1,other=2");
  EXPECT_EQ(span.state, "vendor=1,other=2");
}

TEST_P(Tracing, SoIsOneThatIsNotSampled) {
  world.set("trace_sample", "1");
  declare();
  const auto sent = sent_for({from(kUnsampled)}, 1);
  EXPECT_EQ(context_of(sent[0]), kUnsampled);
  EXPECT_THAT(ended.spans, IsEmpty());
}

TEST_P(Tracing, AnEventThatIsNotChosenStaysSoOnItsWholeWay) {
  world.set("trace_sample", "0");
  declare();
  const auto sent = sent_for({{"key", "1", {}}}, 1);
  const auto context = context_of(sent[0]);
  EXPECT_FALSE(context.sampled);
  EXPECT_TRUE(TraceContext::parse(context.str())) << "it is a context, so that nobody begins a trace";
  EXPECT_THAT(ended.spans, IsEmpty());
}

TEST_P(Tracing, AnInvalidContextIsNone) {
  world.set("trace_sample", "1");
  declare();
  const auto bad = "ff" + kUnsampled.str().substr(2);
  const auto sent = sent_for({{"key", "1", {{"traceparent", bad}}}, {"key", "1", {{"traceparent", std::nullopt}}}}, 2);
  ASSERT_THAT(ended.spans, SizeIs(2));
  for (const auto& span : ended.spans) EXPECT_EQ(span.parent, 0U);
  EXPECT_NE(ended.spans[0].context.trace_id(), ended.spans[1].context.trace_id());
}

TEST_P(Tracing, OfSeveralContextsTheLastCounts) {
  world.set("trace_sample", "0");
  declare();
  const auto sent = sent_for(
      {{"key", "1", {{"traceparent", kUnsampled.str()}, {"traceparent", TraceContext{7, 8, 9, true}.str()}}}}, 1);
  ASSERT_THAT(ended.spans, SizeIs(1));
  EXPECT_EQ(ended.spans[0].parent, 9U);
  EXPECT_EQ(context_of(sent[0]), ended.spans[0].context);
}

TEST_P(Tracing, AnInvalidStateIsLeftOut) {
  world.set("trace_sample", "0");
  declare();
  std::vector<Row> rows;
  for (const auto& state : {std::string{"a=\xff"}, std::string{"a=1\nb=2"}, std::string(513, 'a')}) {
    rows.push_back(from(kSender));
    rows.back().headers.push_back({"tracestate", state});
  }
  const auto sent = sent_for(rows, 3);
  for (const auto& row : sent) EXPECT_THAT(row.headers, SizeIs(1));
}

TEST_P(Tracing, ForwardedHeadersGetTheNewContext) {
  world.set("trace_sample", "0");
  forwards = true;
  declare();
  auto row = from(kSender);
  row.headers.push_back({"tracestate", "a=1"});
  row.headers.push_back({"x", "y"});
  const auto sent = sent_for({row}, 1);
  ASSERT_THAT(ended.spans, SizeIs(1));
  EXPECT_EQ(context_of(sent[0]), ended.spans[0].context);
  EXPECT_EQ(sent[0].header("x"), "y");
  EXPECT_THAT(sent[0].headers, SizeIs(3));
}

TEST_P(Tracing, AContextOfTheAppsOwnIsKept) {
  world.set("trace_sample", "1");
  headers = {{"traceparent", TraceContext{7, 8, 9, true}.str()}};
  declare();
  const auto sent = sent_for({from(kSender), {"key", "1", {}}}, 2);
  for (const auto& row : sent) EXPECT_EQ(context_of(row), (TraceContext{7, 8, 9, true}));
}

TEST_P(Tracing, HeadersThatLeaveNoRoomStayAsTheyAre) {
  world.set("trace_sample", "1");
  headers = {{"x", std::string(kMaxHeaderBytes - 10, 'x')}};
  declare();
  const auto sent = sent_for({{"key", "1", {}}}, 1);
  EXPECT_THAT(sent[0].headers, SizeIs(1));
}

TEST_P(Tracing, AFailureIsToldAndItsDeadLetterIsAPartOfTheTrace) {
  world.set("trace_sample", "0");
  declare();
  const auto dead = sent_for({from(kSender, "-1"), from(kSender, "text")}, 2, "app-work-dlq");
  ASSERT_THAT(ended.spans, SizeIs(2));
  EXPECT_EQ(ended.spans[0].error, "invalid");
  EXPECT_EQ(ended.spans[1].error, "decode");
  EXPECT_EQ(context_of(dead[0]), ended.spans[0].context);
  EXPECT_EQ(context_of(dead[1]), ended.spans[1].context);
}

TEST_P(Tracing, EachAttemptHasASpan) {
  world.set("trace_sample", "1");
  options.on_error.retries = 2;
  declare();
  sent_for({from(kSender, "-2")}, 1, "app-work-dlq");
  ASSERT_THAT(ended.spans, SizeIs(3));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(ended.spans[static_cast<std::size_t>(i)].attempt, i);
    EXPECT_EQ(ended.spans[static_cast<std::size_t>(i)].error, "handler");
    EXPECT_EQ(ended.spans[static_cast<std::size_t>(i)].parent, kSender.span);
  }
}

TEST_P(Tracing, ABatchIsLinkedToItsEvents) {
  world.set("trace_sample", "0");
  world.app.agent("gather", in, [this](Stream<int> stream) -> Task<void> {
    while (auto batch = co_await stream.batch(4, 1s)) co_await out.cast(static_cast<int>(batch.size()));
  });
  const auto sent = sent_for({from(kSender),
                              {"key", "1", {}},
                              from(kUnsampled),
                              from({7, 8, 9, true}),  //
                              {"key", "1", {}},
                              {"key", "1", {}},
                              from(kUnsampled),
                              from(kUnsampled),  //
                              from(kSender)},
                             3);
  ASSERT_THAT(ended.spans, SizeIs(2));
  EXPECT_THAT(ended.spans[0].links, ElementsAre(kSender, TraceContext{7, 8, 9, true}));
  EXPECT_EQ(ended.spans[0].events, 4U);
  EXPECT_EQ(ended.spans[0].parent, 0U);
  EXPECT_EQ(ended.spans[0].offset, 3);
  EXPECT_NE(ended.spans[0].context.trace_id(), kSender.trace_id());
  EXPECT_EQ(context_of(sent[0]), ended.spans[0].context);
  EXPECT_FALSE(context_of(sent[1]).sampled) << "none of its events is";
  EXPECT_EQ(ended.spans[1].parent, kSender.span) << "one event alone is no batch";
  EXPECT_THAT(ended.spans[1].links, IsEmpty());
  EXPECT_EQ(context_of(sent[2]), ended.spans[1].context);
}

TEST_P(Tracing, OfManyEventsTheSharePartIsTraced) {
  world.set("trace_sample", "0.1");
  declare();
  const auto sent = sent_for(numbered(10'000), 10'000);
  EXPECT_GT(ended.spans.size(), 800U);
  EXPECT_LT(ended.spans.size(), 1200U);
  EXPECT_EQ(std::ranges::count_if(sent, [](const Row& row) { return context_of(row).sampled; }),
            static_cast<std::ptrdiff_t>(ended.spans.size()));
}

TEST_P(Tracing, SpansThatNobodyTakesAreDroppedAndCounted) {
  world.set("trace_sample", "1");
  declare();
  sent_for(numbered(5000), 5000);
  EXPECT_EQ(ended.spans.size(), 4096U);
  EXPECT_EQ(ended.dropped, 5000U - 4096U);
}

TEST_P(Tracing, ARequestIsAPartOfTheTrace) {
  world.set("trace_sample", "1");
  std::vector<std::string> seen;
  auto& square = world.app.agent("square", world.app.topic<int>("numbers", {.partitions = 1}),
                                 [&](Stream<int> stream) -> Results<int> {
                                   while (auto event = co_await stream.next()) {
                                     seen.emplace_back(event.headers().find("traceparent")->value);
                                     co_yield *event** event;
                                   }
                                 });
  world.app.agent("work", in, [&](Stream<int> stream) -> Task<void> {
    while (auto event = co_await stream.next()) co_await out.cast(co_await square.ask(*event));
  });
  sent_for({{"key", "3", {}}}, 1);
  ASSERT_THAT(ended.spans, SizeIs(2));
  ASSERT_THAT(seen, SizeIs(1));
  const auto& asked = ended.spans[0];
  const auto& asking = ended.spans[1];
  EXPECT_EQ(asking.agent, "work");
  EXPECT_EQ(asked.parent, asking.context.span);
  EXPECT_EQ(seen[0], asking.context.str());
}

INSTANTIATE_TEST_SUITE_P(Guarantees, Tracing, ::testing::Values("at_least_once", "exactly_once"),
                         [](const auto& with) { return with.param; });

}  // namespace
}  // namespace mephisto::tests
