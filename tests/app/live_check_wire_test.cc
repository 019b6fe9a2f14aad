// The records and headers of live checks, to the byte as Faust's; and those that others send.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/live_check_shop.h"

namespace mephisto::tests {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::vector<std::string> names(const TestRecord& record) {
  std::vector<std::string> all;
  for (const auto& header : record.headers) all.push_back(header.name);
  return all;
}

// As Python's datetime.isoformat().
std::string iso(Microtime time) {
  auto text = format_iso8601(time);
  return text.substr(0, text.size() - 1) + "+00:00";
}

// What faust-streaming 0.15.3 makes of these values (faust/livecheck/models.py): Record.dumps(serializer="json").
std::string execution(const LiveExecution& test) {
  return fmt::format(R"({{"id":"{}","case_name":"shop.OrderTest","timestamp":"{}","test_args":["sell"],)"
                     R"("test_kwargs":{{}},"expires":"{}",)"
                     R"("__faust":{{"ns":"faust.livecheck.models.TestExecution"}}}})",
                     test.id, format_iso8601(test.timestamp), format_iso8601(test.expires));
}

// What faust-streaming 0.15.3 with orjson gives for these values, by Record.dumps(serializer="json").
TEST(LiveCheckWire, TheRecordsAreFaustsToTheByte) {
  const LiveExecution test{.id = "1",
                           .case_name = "shop.OrderTest",
                           .timestamp = *parse_iso8601("2026-01-01T00:00:00.000123Z"),
                           .test_args = {Json{R"("sell")"}},
                           .expires = *parse_iso8601("2026-01-01T03:00:00Z")};
  const std::string execution =
      R"({"id":"1","case_name":"shop.OrderTest","timestamp":"2026-01-01T00:00:00.000123Z","test_args":["sell"],)"
      R"("test_kwargs":{},"expires":"2026-01-01T03:00:00Z",)"
      R"("__faust":{"ns":"faust.livecheck.models.TestExecution"}})";
  EXPECT_EQ(to_json(test), execution);
  EXPECT_EQ(to_json(LiveSignal{"stored", "shop.OrderTest", Json{R"("1")"}, Json{R"("x-1")"}}),
            R"({"signal_name":"stored","case_name":"shop.OrderTest","key":"1","value":"x-1",)"
            R"("__faust":{"ns":"faust.livecheck.models.SignalEvent"}})");
  EXPECT_EQ(to_json(LiveReport{"shop.OrderTest", "FAIL", test, 0.5, {{"stored", 0.25}}, "e"}),
            R"({"case_name":"shop.OrderTest","state":"FAIL","test":)" + execution +
                R"(,"runtime":0.5,"signal_latency":{"stored":0.25},"error":"e","traceback":null,)"
                R"("__faust":{"ns":"faust.livecheck.models.TestReport"}})");
}

TEST(LiveCheckWire, ATestItsHeadersSignalsAndReportAreAsFaustWritesThem) {
  Shop shop;
  Running both{shop};
  both.order({"1"});

  const auto begun = both.driver.records("livecheck").at(0);
  const auto test = value_or_throw(from_json<LiveExecution>(*begun.value));
  EXPECT_EQ(begun.key, "1");
  EXPECT_EQ(begun.value, execution(test));
  EXPECT_EQ(test.expires - test.timestamp, 3h);
  EXPECT_THAT(begun.headers, IsEmpty()) << "the test begins before it is the current one";

  const std::vector<Header> headers{{"LiveCheck-Test-Id", "1"},
                                    {"LiveCheck-Test-Name", "shop.OrderTest"},
                                    {"LiveCheck-Test-Timestamp", iso(test.timestamp)},
                                    {"LiveCheck-Test-Expires", iso(test.expires)}};
  EXPECT_EQ(both.driver.records("orders").at(0).headers, headers);
  EXPECT_EQ(both.driver.records("executions").at(0).headers, headers) << "they go on with what an event sends";

  std::map<std::string, TestRecord> bus;
  for (auto& record : both.driver.records("livecheck-bus"))
    bus[value_or_throw(from_json<LiveSignal>(*record.value)).signal_name] = std::move(record);
  EXPECT_EQ(bus["stored"].key, "1");
  EXPECT_EQ(bus["stored"].headers, headers);
  EXPECT_EQ(bus["stored"].value, R"({"signal_name":"stored","case_name":"shop.OrderTest","key":"1",)"
                                 R"("value":{"id":"1","side":"sell","price":1.5,"__faust":{"ns":"shop.Order"}},)"
                                 R"("__faust":{"ns":"faust.livecheck.models.SignalEvent"}})");
  EXPECT_EQ(bus["executed"].value, R"({"signal_name":"executed","case_name":"shop.OrderTest","key":"1","value":"x-1",)"
                                   R"("__faust":{"ns":"faust.livecheck.models.SignalEvent"}})");

  const auto report = both.checks.records("livecheck-report").at(0);
  EXPECT_EQ(report.key, "1");
  EXPECT_EQ(report.headers, headers);
  const auto read = both.report();
  EXPECT_EQ(report.value,
            fmt::format(R"({{"case_name":"shop.OrderTest","state":"PASS","test":{},"runtime":{},)"
                        R"("signal_latency":{{"executed":{},"stored":{}}},"error":null,"traceback":null,)"
                        R"("__faust":{{"ns":"faust.livecheck.models.TestReport"}}}})",
                        execution(test), to_json(*read.runtime), to_json(read.signal_latency.at("executed")),
                        to_json(read.signal_latency.at("stored"))));
}

TEST(LiveCheckWire, AReportOnACaseHasNoKeyAndNoTest) {
  Shop shop{{.warn_stalled_after = 1min}};
  Running both{shop};
  both.checks.advance(61s);
  const auto report = both.checks.records("livecheck-report").at(0);
  EXPECT_EQ(report.key, std::nullopt);
  EXPECT_EQ(report.value,
            R"({"case_name":"shop.OrderTest","state":"STALL","test":null,"runtime":null,"signal_latency":{},)"
            R"x("error":"no test has come for 1 min 0 s (warn_stalled_after)","traceback":null,)x"
            R"("__faust":{"ns":"faust.livecheck.models.TestReport"}})");
}

TEST(LiveCheckWire, OutsideOfTheScopeAndWithoutALiveCheckNothingIsAdded) {
  Shop shop;
  TestDriver driver{shop.app};
  driver.run([](Shop& of) -> Task<void> {
    {
      const auto outer = co_await of.order_test.trigger("outer", "sell");
      co_await of.executions.cast({.id = "in"});
      {
        const auto inner = co_await of.order_test.trigger("inner", "sell");
        EXPECT_EQ(inner->id, "inner");
        EXPECT_EQ(LiveCheck::current_test()->id, "inner");
        EXPECT_EQ(LiveCheck::headers().at(0), (Header{"LiveCheck-Test-Id", "inner"}));
      }
      EXPECT_EQ(LiveCheck::current_test()->id, "outer");
      co_await of.executions.send({.id = "own"}, {.headers = {{"LiveCheck-Test-Id", "mine"}}});
    }
    EXPECT_EQ(LiveCheck::current_test(), std::nullopt);
    EXPECT_THAT(LiveCheck::headers(), IsEmpty());
    co_await of.executions.cast({.id = "out"});
  }(shop));
  driver.settle();
  std::map<std::string, TestRecord> records;
  for (auto& record : driver.records("executions"))
    records[value_or_throw(from_json<Order>(*record.value)).id] = std::move(record);
  EXPECT_EQ(records["in"].header("LiveCheck-Test-Id"), "outer");
  EXPECT_EQ(records["own"].headers, (std::vector<Header>{{"LiveCheck-Test-Id", "mine"}}));
  EXPECT_THAT(records["out"].headers, IsEmpty());

  App plain{"plain"};
  auto& in = plain.topic<std::string>("in", {.partitions = 1});
  auto& out = plain.topic<std::string>("out", {.partitions = 1});
  plain.agent("forward", in, [&](Stream<std::string> stream) -> Task<void> {
    while (auto text = co_await stream.next()) co_await out.cast(*text);
  });
  TestDriver other{plain};
  other.send(in, "x", {.headers = records["in"].headers});
  EXPECT_THAT(other.records("out").at(0).headers, IsEmpty());
}

std::vector<Header> test_headers(std::optional<std::string> id, std::optional<std::string> name,
                                 std::optional<std::string> timestamp, std::optional<std::string> expires) {
  return {{"LiveCheck-Test-Id", std::move(id)},
          {"LiveCheck-Test-Name", std::move(name)},
          {"LiveCheck-Test-Timestamp", std::move(timestamp)},
          {"LiveCheck-Test-Expires", std::move(expires)}};
}

TEST(LiveCheckWire, HeadersThatFaustWritesAreUnderstood) {
  Shop shop;
  Running both{shop};
  both.produce("orders", R"({"id":"1","side":"sell","price":1.0})",
               test_headers("1", "shop.OrderTest", "2026-01-01T00:00:00.000123+00:00", "2026-01-01T03:00:00+00:00"));
  EXPECT_THAT(both.driver.records("livecheck-bus"), SizeIs(2));
  EXPECT_EQ(both.driver.records("executions").at(0).header("LiveCheck-Test-Timestamp"),
            "2026-01-01T00:00:00.000123+00:00");
}

TEST(LiveCheckWire, HostileHeadersAreNoTestAndDisturbNobody) {
  Shop shop;
  Running both{shop};
  const std::string in_time = "2026-01-01T03:00:00+00:00";
  const std::string now = "2026-01-01T00:00:00+00:00";
  const std::vector<std::vector<Header>> all{
      {{"LiveCheck-Test-Id", "1"}},
      test_headers(std::nullopt, "shop.OrderTest", now, in_time),
      test_headers("", "shop.OrderTest", now, in_time),
      test_headers("1", std::nullopt, now, in_time),
      test_headers("1", "", now, in_time),
      test_headers("1", "shop.OrderTest", std::nullopt, in_time),
      test_headers("1", "shop.OrderTest", now, "soon"),
      test_headers("1", "shop.OrderTest", "2026-13-01T00:00:00+00:00", in_time),
      test_headers("1", "shop.OrderTest", now, std::string(5000, '9')),
      test_headers("1", "shop.OrderTest", now, "2025-12-31T23:59:59+00:00"),
      test_headers("\xff\xfe", "shop.OrderTest", now, in_time),
      test_headers("1\r\nX-Evil: 1", "shop.OrderTest", now, in_time),
      test_headers(std::string("1\0", 2), "shop.OrderTest", now, in_time),
      test_headers(std::string(1025, 'i'), "shop.OrderTest", now, in_time),
      test_headers("1", std::string(1025, 'n'), now, in_time),
  };
  for (const auto& headers : all) both.produce("orders", R"({"id":"1","side":"sell","price":1.0})", headers);
  EXPECT_THAT(both.driver.records("livecheck-bus"), IsEmpty());
  ASSERT_THAT(both.driver.records("executions"), SizeIs(all.size()));
  for (const auto& record : both.driver.records("executions")) EXPECT_THAT(names(record), IsEmpty());
  // The last of equal headers counts, as in Faust's dict.
  auto twice = test_headers("no", "shop.OrderTest", now, in_time);
  std::ranges::move(test_headers("yes", "shop.OrderTest", now, in_time), std::back_inserter(twice));
  both.produce("orders", R"({"id":"1","side":"sell","price":1.0})", twice);
  EXPECT_EQ(both.driver.records("livecheck-bus").at(0).key, "yes");
}

TEST(LiveCheckWire, RecordsThatAreNoTestsAndSignalsAreLeftOut) {
  Shop shop;
  Running both{shop};
  for (const auto* value : {"", "x", "[]", "{}", R"({"id":"1"})", "null", "\xff"}) {
    both.produce("livecheck", value);
    both.produce("livecheck-bus", value);
  }
  const std::string times = R"("timestamp":"2026-01-01T00:00:00Z","expires":"2026-01-01T03:00:00Z")";
  both.produce("livecheck", R"({"id":"1","case_name":"another.App","test_args":[],"test_kwargs":{},)" + times + "}");
  both.produce("livecheck-bus", R"({"signal_name":"stored","case_name":"another.App","key":"1","value":1})");
  both.produce("livecheck-bus", R"({"signal_name":"nobody","case_name":"shop.OrderTest","key":"1","value":1})");
  both.produce("livecheck-bus",
               R"({"signal_name":"stored","case_name":"shop.OrderTest","key":{"a":[1]},"value":null})");
  EXPECT_THAT(both.reports(), IsEmpty());
  both.order({"2"});
  EXPECT_THAT(both.reports(), ElementsAre("2 PASS"));
}

struct Side {
  std::string side;
};
struct ByName : LiveCase<ByName> {
  Task<void> run(Side given) {
    expect(given.side == "sell", "it is sold");
    co_return;
  }
};
struct Two : LiveCase<Two> {
  Task<void> run(int number, const Order& order) const {
    expect(number == 7 && order.id == "o", "both come");
    co_return;
  }
};

TEST(LiveCheckWire, ArgumentsAreReadByPositionOrByName) {
  Shop shop;
  shop.live.add<ByName>("shop.ByName");
  auto& two = shop.live.add<Two>("shop.Two");
  Running both{shop};
  const auto send = [&](const char* id, const char* name, const char* args, const char* kwargs) {
    both.produce("livecheck", fmt::format(R"({{"id":"{}","case_name":"{}","timestamp":"2026-01-01T00:00:00Z",)"
                                          R"("test_args":{},"test_kwargs":{},"expires":"2026-01-01T03:00:00Z",)"
                                          R"("__faust":{{"ns":"faust.livecheck.models.TestExecution"}}}})",
                                          id, name, args, kwargs));
  };
  send("named", "shop.ByName", "[]", R"({"side":"sell"})");
  send("unnamed", "shop.ByName", R"([{"side":"sell"}])", "{}");
  send("other", "shop.ByName", "[]", R"({"side":"buy"})");
  send("missing", "shop.ByName", "[]", "{}");
  send("too-many", "shop.OrderTest", R"(["sell","buy"])", "{}");
  send("keyword", "shop.OrderTest", "[]", R"({"side":"sell"})");
  send("wrong-type", "shop.OrderTest", "[5]", "{}");
  both.driver.run([](Two& of) -> Task<void> { (void)co_await of.trigger("two", 7, Order{.id = "o"}); }(two));
  both.checks.settle();
  EXPECT_THAT(both.reports(),
              testing::UnorderedElementsAre("named PASS", "unnamed PASS", "other FAIL", "missing ERROR",
                                            "too-many ERROR", "keyword ERROR", "wrong-type ERROR", "two PASS"));
}

TEST(LiveCheckWire, ATestComesAndGoesWithTheHeadersOfARequest) {
  Shop shop;
  TestDriver driver{shop.app};
  driver.run([](Shop& of) -> Task<void> {
    std::map<std::string, std::string, std::less<>> request;
    {
      const auto test = co_await of.order_test.trigger("1", "sell");
      for (const auto& header : LiveCheck::headers()) request[header.name] = *header.value;
    }
    const auto test = LiveCheck::from_headers([&](std::string_view name) -> std::optional<std::string> {
      const auto found = request.find(name);
      return found == request.end() ? std::nullopt : std::optional{found->second};
    });
    EXPECT_EQ(test->id, "1");
    EXPECT_EQ(LiveCheck::current_test()->case_name, "shop.OrderTest");
    EXPECT_FALSE(LiveCheck::from_headers([](std::string_view) { return std::nullopt; }));
  }(shop));
}

TEST(LiveCheckWire, AnIdThatCannotBeAHeaderBeginsNoTest) {
  Shop shop;
  TestDriver driver{shop.app};
  driver.send(shop.requests, {.id = "a\nb"}, {.key = "a"});
  driver.send(shop.requests, {.id = std::string(2000, 'x')}, {.key = "b"});
  EXPECT_EQ(shop.began, 0);
  EXPECT_THAT(driver.records("orders"), SizeIs(2));
  EXPECT_THAT(driver.records("livecheck"), IsEmpty());
}

}  // namespace
}  // namespace mephisto::tests
