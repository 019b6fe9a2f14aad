// Windows at their edges, one behaviour each.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "table/window_driver.h"

namespace mephisto {
namespace {

using namespace std::chrono_literals;
using oracle::Driver;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

// `k[0,10]=2 @9`, or `k[0,10]=null @9`: the count of the window only.
std::vector<std::string> shown(const std::vector<oracle::Output>& outputs) {
  std::vector<std::string> all;
  for (const auto& output : outputs) {
    const auto& text = output.value.text;
    const auto count = text == "null" ? text : text.substr(9, text.find(',') - 9);
    all.push_back(fmt::format("{}[{},{}]={} @{}", output.key, *output.start, *output.end, count, output.ts));
  }
  return all;
}

// What comes out after a record with value 1.
std::vector<std::string> after(Driver& driver, std::string_view key, std::int64_t time) {
  driver.add(key, 1, time);
  return shown(driver.take());
}

void expect_refused(const std::function<void()>& make, const std::string& why) {
  try {
    make();
    ADD_FAILURE() << "not refused: " << why;
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), ErrorKind::kInvalid);
    EXPECT_THAT(failure.what(), HasSubstr(why));
  }
}

TEST(Window, TakesRecordsUntilItsEndAndGrace) {
  Driver driver{WindowSpec::tumbling(10ms, {.grace = 5ms})};
  EXPECT_THAT(after(driver, "k", 0), ElementsAre("k[0,10]=1 @0"));
  EXPECT_THAT(after(driver, "k", 9), ElementsAre("k[0,10]=2 @9"));
  EXPECT_THAT(after(driver, "k", 14), ElementsAre("k[10,20]=1 @14"));
  EXPECT_THAT(after(driver, "k", 8), ElementsAre("k[0,10]=3 @9"));
  EXPECT_THAT(after(driver, "k", 15), ElementsAre("k[10,20]=2 @15"));
  EXPECT_THAT(after(driver, "k", 9), IsEmpty());
  EXPECT_THAT(driver.take_late(), ElementsAre(Pair(9, WindowBounds{0, 10})));
  EXPECT_EQ(driver.progress().late, 1);
  EXPECT_EQ(driver.progress().stream_time, 15);
}

// Its handler may go on. Then the window is as if the record had not come.
TEST(Window, AnAggregatorThatThrowsLeavesNoHalfOfAWindow) {
  auto picky = oracle::count_and_sum();
  picky.add = [add = picky.add](std::string& aggregate, const WindowRecord& record) {
    if (record.value == "-1") throw std::runtime_error("below 0");
    add(aggregate, record);
  };
  for (const auto& spec : {WindowSpec::tumbling(10ms), WindowSpec::count(2)}) {
    Driver driver{spec, picky};
    EXPECT_THROW(driver.add("k", -1, 3), std::runtime_error);
    driver.windows().read_all(driver.state(), [](std::string_view, WindowBounds, std::string_view) {
      ADD_FAILURE() << "there is no window yet";
      return true;
    });
    driver.add("k", 5, 4);
    EXPECT_THROW(driver.add("k", -1, 5), std::runtime_error);
    driver.add("k", 6, 6);
    const auto outputs = shown(driver.take());
    ASSERT_EQ(outputs.size(), 2U);
    EXPECT_THAT(outputs.back(), HasSubstr("=2 "));
  }
}

TEST(Window, FinalResultsComeByEndKeyAndStart) {
  Driver driver{WindowSpec::hopping(10ms, 5ms, {.emit = Emit::kOnClose})};
  for (const auto* key : {"b", "a", "a"}) EXPECT_THAT(after(driver, key, 7), IsEmpty());
  EXPECT_THAT(after(driver, "z", 1000), ElementsAre("a[0,10]=2 @7", "b[0,10]=1 @7", "a[5,15]=2 @7", "b[5,15]=1 @7"));
}

TEST(Window, KeysMayHaveAnyBytes) {
  Driver driver{WindowSpec::tumbling(10ms, {.emit = Emit::kOnClose})};
  const std::string keys[] = {std::string("a\0b", 3),  "a", std::string("a\0", 2), "", "\xff\xff",
                              std::string("\0\xff", 2)};
  for (const auto& key : keys) driver.add(key, 1, 5);
  driver.add("z", 1, 10);
  std::vector<std::string> got;
  for (const auto& output : driver.take()) got.push_back(output.key);
  EXPECT_THAT(got, ElementsAre("", keys[5], "a", keys[2], keys[0], "\xff\xff"));
}

TEST(Window, TimeZeroAndTimesBeforeItAreApart) {
  Driver tumbling{WindowSpec::tumbling(10ms)};
  EXPECT_THAT(after(tumbling, "k", -10), ElementsAre("k[-10,0]=1 @-10"));
  EXPECT_THAT(after(tumbling, "k", -1), ElementsAre("k[-10,0]=2 @-1"));
  EXPECT_THAT(after(tumbling, "k", 0), ElementsAre("k[0,10]=1 @0"));

  Driver hopping{WindowSpec::hopping(10ms, 5ms)};
  EXPECT_THAT(after(hopping, "k", -3), ElementsAre("k[-10,0]=1 @-3", "k[-5,5]=1 @-3"));
  EXPECT_THAT(after(hopping, "k", 3), ElementsAre("k[0,10]=1 @3"));

  Driver sliding{WindowSpec::sliding(10ms, {.grace = 50ms})};
  EXPECT_THAT(after(sliding, "k", -3), ElementsAre("k[-13,-3]=1 @-3"));
  EXPECT_THAT(after(sliding, "k", 3), ElementsAre("k[0,10]=1 @3"));
  EXPECT_THAT(after(sliding, "k", -5), ElementsAre("k[-13,-3]=2 @-3", "k[-15,-5]=1 @-5", "k[-4,6]=1 @-3"));

  Driver session{WindowSpec::session(10ms, {.grace = 50ms})};
  EXPECT_THAT(after(session, "k", -3), ElementsAre("k[-3,-3]=1 @-3"));
  EXPECT_THAT(after(session, "k", 3), ElementsAre("k[-3,-3]=null @-3", "k[-3,3]=2 @3"));
}

TEST(Window, OfOneMillisecond) {
  Driver driver{WindowSpec::tumbling(1ms, {.emit = Emit::kOnClose})};
  EXPECT_THAT(after(driver, "k", 0), IsEmpty());
  EXPECT_THAT(after(driver, "k", 0), IsEmpty());
  EXPECT_THAT(after(driver, "k", 1), ElementsAre("k[0,1]=2 @0"));
}

TEST(Window, TimesBeyondAllCalendarsAreRefused) {
  for (const auto& spec : {WindowSpec::tumbling(10ms), WindowSpec::sliding(10ms), WindowSpec::session(10ms)}) {
    Driver driver{spec};
    for (const auto time : {INT64_MAX, INT64_MIN})
      expect_refused([&] { driver.add("k", 1, time); }, "millions of years");
    EXPECT_THAT(after(driver, "k", INT64_MAX / 2), testing::SizeIs(1));
    driver.close_idle(INT64_MAX);
  }
}

TEST(Window, AJumpOfTimeClosesAnyNumberOfWindowsInOrder) {
  Driver driver{WindowSpec::tumbling(10ms, {.grace = 1h, .emit = Emit::kOnClose})};
  for (int i = 0; i < 2000; ++i) EXPECT_THAT(after(driver, "k", i * 10), IsEmpty());
  EXPECT_THAT(after(driver, "k", 1'000'000'000'000), testing::SizeIs(2000));
  EXPECT_THAT(after(driver, "k", 1'000'000'000'000'000),
              ElementsAre("k[1000000000000,1000000000010]=1 @1000000000000"));
}

// 10,000 windows are open; the cost of a record is that of the windows which it closes.
TEST(Window, WhatClosesIsFoundWithoutASearchOfAllWindows) {
  for (const auto& spec : {WindowSpec::tumbling(10ms, {.grace = 1h, .emit = Emit::kOnClose}),
                           WindowSpec::session(1ms, {.grace = 1h, .emit = Emit::kOnClose}),
                           WindowSpec::sliding(1ms, {.grace = 1h, .emit = Emit::kOnClose})}) {
    Driver driver{spec};
    for (int i = 0; i < 10'000; ++i) driver.add(std::to_string(i), 1, i * 100);
    driver.add("one", 1, 3'600'000);
    driver.take();
    const auto before = driver.state().scanned();
    driver.add("one", 1, 3'600'001);
    EXPECT_LE(driver.state().scanned() - before, 4);
    driver.add("one", 1, 3'600'230);
    EXPECT_EQ(driver.take().size(), 3);
    EXPECT_LE(driver.state().scanned() - before, 16);
  }
}

TEST(Window, ResultsFromTimeToTimeCountFromTheFirstChangeThatWasNotSent) {
  Driver driver{WindowSpec::tumbling(100ms, {.emit = Emit::kEvery, .every = 10ms})};
  EXPECT_THAT(after(driver, "a", 1), IsEmpty());
  EXPECT_THAT(after(driver, "b", 1), IsEmpty());
  EXPECT_THAT(after(driver, "a", 8), IsEmpty());
  EXPECT_THAT(after(driver, "b", 11), ElementsAre("a[0,100]=2 @8", "b[0,100]=2 @11"));
  EXPECT_THAT(after(driver, "a", 20), IsEmpty());
  EXPECT_THAT(after(driver, "z", 29), IsEmpty());
  EXPECT_THAT(after(driver, "z", 30), ElementsAre("a[0,100]=3 @20"));
  EXPECT_THAT(after(driver, "z", 95), ElementsAre("z[0,100]=3 @95"));
  EXPECT_THAT(after(driver, "a", 99), IsEmpty());
  EXPECT_THAT(after(driver, "z", 100), ElementsAre("a[0,100]=4 @99"));
}

TEST(Window, AStopSendsWhatWaits) {
  Driver driver{WindowSpec::tumbling(100ms, {.emit = Emit::kEvery, .every = 10ms})};
  after(driver, "a", 1);
  driver.flush();
  EXPECT_THAT(shown(driver.take()), ElementsAre("a[0,100]=1 @1"));
  driver.flush();
  EXPECT_THAT(driver.take(), IsEmpty());
}

TEST(Window, SessionsFromTimeToTimeRetractOnlyWhatWasSent) {
  Driver driver{WindowSpec::session(5ms, {.grace = 50ms, .emit = Emit::kEvery, .every = 10ms})};
  after(driver, "k", 0);
  EXPECT_THAT(after(driver, "k", 10), ElementsAre("k[0,0]=1 @0"));
  EXPECT_THAT(after(driver, "k", 5), IsEmpty());
  EXPECT_THAT(after(driver, "z", 20), ElementsAre("k[0,0]=null @0", "k[0,10]=3 @10"));
}

TEST(Window, CountWindowsCloseWhenTheyAreFull) {
  Driver updates{WindowSpec::count(2)};
  EXPECT_THAT(after(updates, "a", 5), ElementsAre("a[0,2]=1 @5"));
  EXPECT_THAT(after(updates, "b", 6), ElementsAre("b[0,2]=1 @6"));
  EXPECT_THAT(after(updates, "a", 3), ElementsAre("a[0,2]=2 @5"));
  EXPECT_THAT(after(updates, "a", 4), ElementsAre("a[2,4]=1 @4"));

  Driver finals{WindowSpec::count(2, {.emit = Emit::kOnClose})};
  EXPECT_THAT(after(finals, "a", 5), IsEmpty());
  EXPECT_THAT(after(finals, "a", 3), ElementsAre("a[0,2]=2 @5"));
  EXPECT_THAT(after(finals, "a", 3), IsEmpty());
  EXPECT_THAT(after(finals, "a", 9), ElementsAre("a[2,4]=2 @9"));
  EXPECT_EQ(finals.progress().late, 0);

  Driver every{WindowSpec::count(2, {.emit = Emit::kEvery, .every = 10ms})};
  EXPECT_THAT(after(every, "a", 5), IsEmpty());
  EXPECT_THAT(after(every, "b", 15), ElementsAre("a[0,2]=1 @5"));
  EXPECT_THAT(after(every, "a", 16), ElementsAre("a[0,2]=2 @16"));
}

TEST(Window, AnIdlePartitionIsClosedByTheClock) {
  Driver driver{WindowSpec::tumbling(10ms, {.grace = 5ms, .emit = Emit::kOnClose})};
  after(driver, "k", 3);
  after(driver, "k", 12);
  driver.close_idle(14);
  EXPECT_THAT(driver.take(), IsEmpty());
  driver.close_idle(24);
  EXPECT_THAT(shown(driver.take()), ElementsAre("k[0,10]=1 @3"));
  EXPECT_EQ(driver.progress().stream_time, 15) << "only as far as a window closed";
  driver.close_idle(1'000'000);
  EXPECT_THAT(shown(driver.take()), ElementsAre("k[10,20]=1 @12"));
  after(driver, "k", 18);
  EXPECT_THAT(driver.take_late(), ElementsAre(Pair(18, WindowBounds{10, 20})));
  after(driver, "k", 22);
  driver.close_idle(1'000'000);
  EXPECT_THAT(shown(driver.take()), ElementsAre("k[20,30]=1 @22"));
}

TEST(Window, AnIdlePartitionWithoutWindowsKeepsItsTime) {
  Driver driver{WindowSpec::tumbling(10ms)};
  driver.close_idle(1'000'000);
  EXPECT_EQ(driver.progress().stream_time, std::nullopt);
  EXPECT_THAT(driver.state().entries(), IsEmpty());
  EXPECT_THAT(after(driver, "k", 5), ElementsAre("k[0,10]=1 @5"));
}

// Kafka Streams loses this record in all later windows, because its own left window is closed.
TEST(Window, ASlidingWindowHoldsARecordWhoseOwnWindowWasClosed) {
  Driver driver{WindowSpec::sliding(10ms)};
  after(driver, "k", 10);
  after(driver, "z", 15);
  EXPECT_THAT(after(driver, "k", 12), ElementsAre("k[11,21]=1 @12"));
  EXPECT_THAT(driver.take_late(), ElementsAre(Pair(12, WindowBounds{2, 12})));
  EXPECT_THAT(after(driver, "k", 18), ElementsAre("k[11,21]=2 @18", "k[8,18]=3 @18"));
}

// Kafka Streams makes [24,29] from the value of [23,28], with the record at 23.
TEST(Window, ASlidingWindowHoldsNoRecordOutsideOfIt) {
  Driver driver{WindowSpec::sliding(5ms, {.grace = 2ms})};
  after(driver, "k", 22);
  after(driver, "k", 30);
  EXPECT_THAT(after(driver, "k", 23), ElementsAre("k[23,28]=1 @23"));
  EXPECT_THAT(after(driver, "k", 24), ElementsAre("k[23,28]=2 @24"));
  EXPECT_THAT(after(driver, "k", 23), ElementsAre("k[23,28]=3 @24", "k[24,29]=1 @24"));
}

TEST(Window, SlidingWindowsLeaveOutRecordsWithoutAValue) {
  Driver driver{WindowSpec::sliding(10ms)};
  driver.add("k", std::nullopt, 1000);
  EXPECT_THAT(driver.take(), IsEmpty());
  EXPECT_EQ(driver.progress().skipped, 1);
  EXPECT_EQ(driver.progress().stream_time, std::nullopt);
}

// Kafka Streams hides [0,0] as soon as another key has moved stream time, unless its cache holds it.
TEST(Window, ASessionIsJoinedForAsLongAsRecordsAreNotLate) {
  Driver driver{WindowSpec::session(5ms)};
  after(driver, "a", 0);
  after(driver, "b", 5);
  EXPECT_THAT(after(driver, "a", 5), ElementsAre("a[0,0]=null @0", "a[0,5]=2 @5"));
  after(driver, "b", 11);
  EXPECT_THAT(after(driver, "a", 6), ElementsAre("a[0,5]=null @5", "a[0,6]=3 @6"));
  EXPECT_THAT(driver.take_late(), IsEmpty());
}

TEST(Window, ASessionThatIsFinalTakesNoMoreRecords) {
  Driver driver{WindowSpec::session(5ms, {.emit = Emit::kOnClose})};
  after(driver, "a", 0);
  EXPECT_THAT(after(driver, "b", 5), ElementsAre("a[0,0]=1 @0"));
  EXPECT_THAT(after(driver, "a", 0), IsEmpty());
  EXPECT_THAT(driver.take_late(), ElementsAre(Pair(0, WindowBounds{0, 0})));
  EXPECT_THAT(after(driver, "a", 5), IsEmpty());
  EXPECT_THAT(after(driver, "x", 100), ElementsAre("a[5,5]=1 @5", "b[5,5]=1 @5"));
}

std::vector<std::string> read(Driver& driver, std::string_view key) {
  std::vector<std::string> got;
  driver.windows().read(driver.state(), key, [&](WindowBounds window, std::string_view value) {
    got.push_back(fmt::format("[{},{}]={}", window.start, window.end, oracle::CountAndSum::of(value).count));
    return true;
  });
  return got;
}

TEST(Window, OpenWindowsOfAKeyCanBeRead) {
  Driver tumbling{WindowSpec::tumbling(10ms, {.grace = 5ms})};
  for (const auto time : {5, 12, 13}) tumbling.add("k", 1, time);
  tumbling.add("kk", 1, 14);
  EXPECT_THAT(read(tumbling, "k"), ElementsAre("[0,10]=1", "[10,20]=2"));
  EXPECT_THAT(read(tumbling, "kk"), ElementsAre("[10,20]=1"));
  tumbling.add("kk", 1, 15);
  EXPECT_THAT(read(tumbling, "k"), ElementsAre("[10,20]=2"));

  for (const auto emit : {Emit::kOnUpdate, Emit::kOnClose}) {
    Driver sliding{WindowSpec::sliding(10ms, {.emit = emit})};
    for (const auto time : {20, 25}) sliding.add("k", 1, time);
    auto open = std::vector<std::string>{"[15,25]=2", "[21,31]=1"};
    if (emit == Emit::kOnClose) open.erase(open.begin());  // it is final
    EXPECT_EQ(read(sliding, "k"), open);

    Driver session{WindowSpec::session(10ms, {.emit = emit})};
    for (const auto time : {20, 25, 36}) session.add("k", 1, time);
    EXPECT_THAT(read(session, "k"), ElementsAre("[36,36]=1"));
  }

  Driver count{WindowSpec::count(2)};
  count.add("k", 1, 1);
  EXPECT_THAT(read(count, "k"), ElementsAre("[0,2]=1"));
  count.add("k", 1, 1);
  EXPECT_THAT(read(count, "k"), IsEmpty());
}

TEST(Window, ParametersWithoutSenseAreRefused) {
  expect_refused([] { WindowSpec::hopping(10ms, 11ms); }, "advance of 11 ms is larger than the size of 10 ms");
  expect_refused([] { WindowSpec::hopping(10ms, 0ms); }, "advance is 0 ms");
  expect_refused([] { WindowSpec::tumbling(0ms); }, "size is 0 ms");
  expect_refused([] { WindowSpec::tumbling(-10ms); }, "size is -10 ms");
  expect_refused([] { WindowSpec::tumbling(10ms, {.grace = -1ms}); }, "grace is -1 ms");
  expect_refused([] { WindowSpec::sliding(-1ms); }, "difference is -1 ms");
  expect_refused([] { WindowSpec::session(std::chrono::milliseconds::max()); }, "to 1000 years");
  expect_refused([] { WindowSpec::count(0); }, "at least 1");
  expect_refused([] { WindowSpec::count(5, {.grace = 1ms}); }, "no grace");
  expect_refused([] { WindowSpec::tumbling(10ms, {.emit = Emit::kEvery}); }, "every is 0 ms");
  expect_refused([] { WindowSpec::tumbling(10ms, {.every = 1ms}); }, "only for Emit::kEvery");
  expect_refused([] { Windows(WindowSpec::session(1ms), {[] { return ""; }, [](auto&, auto&) {}}); }, "no merge");
}

}  // namespace
}  // namespace mephisto
