// A later version of an app on the state of the one before: what it can read, and what it is told.
#include <gmock/gmock.h>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Totals {
  std::int64_t orders = 0;
  std::string last;
};
struct TotalsWithMore {
  std::int64_t orders = 0;
  std::string last;
  std::int64_t spent = 7;
  std::optional<std::string> note;
};
struct TotalsWithLess {
  std::int64_t orders = 0;
};
struct TotalsOfText {
  std::string orders;
  std::string last;
};

template <class V>
detail::TableForm form(const std::string& serializer = "json") {
  return detail::form_of("a table", json::shape_of<std::string>(), json::shape_of<V>(), serializer);
}

std::vector<std::string> told(const detail::TableForm& before, const detail::TableForm& now) {
  std::vector<std::string> all;
  for (const auto& one : detail::compare(before, now))
    all.push_back(fmt::format("{}: {}", detail::to_string(one.change), one.what));
  return all;
}

TEST(TableForm, SaysWhatDiffers) {
  EXPECT_THAT(told(form<Totals>(), form<Totals>()), IsEmpty());
  EXPECT_THAT(told(form<Totals>(), form<TotalsWithMore>()),
              ElementsAre("compatible: the field spent is new; old values get its default",
                          "compatible: the field note is new; old values get its default"));
  EXPECT_THAT(told(form<Totals>(), form<TotalsWithLess>()),
              ElementsAre("compatible: the field last is gone; it is lost when a value is written"));
  EXPECT_THAT(told(form<Totals>(), form<TotalsOfText>()),
              ElementsAre("needs reset: the field orders was of type int, and is of type str"));
  EXPECT_THAT(told(form<Totals>(), form<Totals>("json|binary")),
              ElementsAre("needs migration: its serializer was json, and is json|binary"));
  EXPECT_THAT(told(form<std::int64_t>(), form<std::string>()),
              ElementsAre("needs reset: its values were of type int, and are of type str"));
  EXPECT_THAT(told(form<std::int64_t>(), form<std::int32_t>()), IsEmpty());
  const auto integers = detail::form_of("a table", json::shape_of<int>(), json::shape_of<Totals>(), "json");
  EXPECT_THAT(told(integers, form<Totals>()),
              ElementsAre("needs reset: its keys were of type int, and are of type str"));
  auto lacks = form<Totals>();
  lacks.fields.push_back({"city", "str", true});
  EXPECT_THAT(
      told(form<Totals>(), lacks),
      ElementsAre("needs reset: the field city is new, and old values lack it: give it a default initialiser, or "
                  "make it optional"));
}

// Runs one version of the app, which counts `events` orders.
template <class V>
std::string run_version(TestApp& world, int events, std::map<std::string, V>& rows,
                        const std::string& serializer = "json") {
  App app{"app"};
  TopicOptions one;
  one.partitions = 1;
  auto& topic = app.topic<std::string>("orders", one);
  auto& table = app.table<std::string, V>("totals", {.partitions = 1, .serializer = serializer});
  app.agent("count", topic, [&](Stream<std::string> stream) -> Task<void> {
    while (auto customer = co_await stream.next()) {
      auto& total = table[*customer];
      if constexpr (std::is_same_v<decltype(total.orders), std::int64_t>) total.orders += 1;
      rows[*customer] = total;
    }
  });
  return world.loop.run([](TestApp& at, App& of, const Topic<std::string>& to, int sent) -> Task<std::string> {
    Worker worker{of, at.log};
    auto why = co_await failure_of(worker.start());
    if (why.empty()) {
      const auto begin = value_or_throw(co_await at.log->watermarks({"orders", 0})).end;
      for (int i = 0; i < sent; ++i) co_await to.send("ann");
      co_await at.eventually_committed("orders", begin + sent);
    }
    try {
      co_await worker.stop();
    } catch (const Failure&) {
    }
    co_return why;
  }(world, app, topic, events));
}

TEST(TableForm, OldValuesGetTheDefaultsOfNewFields) {
  TestApp world;
  std::map<std::string, Totals> before;
  EXPECT_EQ(run_version(world, 3, before), "");
  std::map<std::string, TotalsWithMore> after;
  EXPECT_EQ(run_version(world, 1, after), "");
  EXPECT_EQ(after["ann"].orders, 4);
  EXPECT_EQ(after["ann"].spent, 7);
  EXPECT_EQ(after["ann"].note, std::nullopt);
}

TEST(TableForm, AVersionThatCannotReadTheStateDoesNotStart) {
  TestApp world;
  std::map<std::string, Totals> before;
  EXPECT_EQ(run_version(world, 3, before), "");
  std::map<std::string, TotalsOfText> after;
  EXPECT_THAT(run_version(world, 1, after),
              AllOf(HasSubstr("table totals needs reset: the field orders was of type int, and is of type str"),
                    HasSubstr("migrate with --dry-run")));
  EXPECT_THAT(run_version(world, 1, before, "json|binary"), HasSubstr("table totals needs migration"));
  EXPECT_EQ(run_version(world, 1, before), "") << "nothing has changed";
  EXPECT_EQ(before["ann"].orders, 4);
}

TEST(TableForm, WhatTheLogSaysIsShownWithoutItsControlCharacters) {
  TestApp world;
  std::map<std::string, Totals> rows;
  EXPECT_EQ(run_version(world, 1, rows), "");
  world.loop.run([](TestApp& at) -> Task<void> {
    std::vector<OutBatch> batches(1);
    batches.front().partition = {"app-__tables", 0};
    batches.front().records.add("totals", to_json(detail::TableForm{.kind = "\x1b[2Ja set"}), at.loop.timestamp());
    value_or_throw(co_await at.log->producer(at.loop)->append(batches));
  }(world));
  EXPECT_THAT(run_version(world, 1, rows), AllOf(HasSubstr("it was \\x1b[2Ja set"), Not(HasSubstr("\x1b"))));
}

}  // namespace
}  // namespace mephisto::tests
