// Options of joins that are refused where the join is declared, with what to
// write instead.
#include <gmock/gmock.h>

#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

template <class Options>
std::vector<std::string> mistakes(Options how, JoinOptions options = {}) {
  App app{"shop"};
  auto& a = app.topic<int>("a");
  auto& b = app.topic<int>("b");
  app.join("pairs", a, b, std::move(how), std::move(options));
  return app.mistakes();
}

auto told(const char* what, const char* instead) {
  return ElementsAre(
      AllOf(HasSubstr("join_mistakes_test.cc:"), HasSubstr("join pairs: "), HasSubstr(what), HasSubstr(instead)));
}

std::optional<std::string> any_key(const int&) { return "key"; }

TEST(JoinMistakes, StreamsOfWhichNothingMatches) {
  EXPECT_THAT(mistakes(StreamJoinOptions{}), told("nothing matches", ".after = 5min"));
  EXPECT_THAT(mistakes(StreamJoinOptions{.kind = Join::kOuter}), told("nothing matches", ".grace = 10s"));
  EXPECT_THAT(mistakes(StreamJoinOptions{.before = 1ms}), IsEmpty());
  EXPECT_THAT(mistakes(StreamJoinOptions{.after = 1ms}), IsEmpty());
  EXPECT_THAT(mistakes(StreamJoinOptions{.grace = 1ms}), IsEmpty());
  EXPECT_THAT(mistakes(StreamJoinOptions{.out_of_order = OutOfOrder::kAtOnce}), IsEmpty());
}

TEST(JoinMistakes, NegativeDurations) {
  const auto negative = [](const char* option) { return told(option, "a duration is at least 0"); };
  EXPECT_THAT(mistakes(StreamJoinOptions{.before = -5ms, .after = 9ms}), negative(".before is -5 ms"));
  EXPECT_THAT(mistakes(StreamJoinOptions{.before = 9ms, .after = -1ms}), negative(".after is -1 ms"));
  EXPECT_THAT(mistakes(StreamJoinOptions{.after = 9ms, .grace = -1ms}), negative(".grace is -1 ms"));
  EXPECT_THAT(mistakes(AsOfJoinOptions{.grace = -1ms}), negative(".grace is -1 ms"));
  EXPECT_THAT(mistakes(AsOfJoinOptions{.tolerance = -1ms}), negative(".tolerance is -1 ms"));
  EXPECT_THAT(mistakes(StreamTableJoinOptions{.grace = -1ms}), negative(".grace is -1 ms"));
  EXPECT_THAT(mistakes(StreamTableJoinOptions{.table = {.history = -1ms}}), negative(".table.history is -1 ms"));
  EXPECT_THAT(mistakes(TableJoinOptions{.right = {.deletions_kept = -1ms}}),
              negative(".right.deletions_kept is -1 ms"));
  EXPECT_THAT(mistakes(ForeignKeyJoinOptions<int>{.key = any_key, .left = {.deletions_kept = -1ms}}),
              negative(".left.deletions_kept is -1 ms"));
  EXPECT_THAT(mistakes(TableJoinOptions{}, {.wait_for_records = -1ms}), negative(".wait_for_records is -1 ms"));
  EXPECT_THAT(mistakes(TableJoinOptions{}, {.close_idle = -1ms}), negative(".close_idle is -1 ms"));
}

TEST(JoinMistakes, AsOfThatWaitsForEver) {
  EXPECT_THAT(mistakes(AsOfJoinOptions{.direction = AsOf::kForward}),
              told("AsOf::kForward waits for ever", ".tolerance = 1min"));
  EXPECT_THAT(mistakes(AsOfJoinOptions{.direction = AsOf::kNearest}),
              told("AsOf::kNearest waits for ever", ".tolerance = 1min"));
  EXPECT_THAT(mistakes(AsOfJoinOptions{.direction = AsOf::kNearest, .tolerance = 1s}), IsEmpty());
}

TEST(JoinMistakes, OuterJoinsThatDoNotExist) {
  const char* instead = ".kind = Join::kLeft";
  EXPECT_THAT(mistakes(AsOfJoinOptions{.kind = Join::kOuter}), told("an as-of join is", instead));
  EXPECT_THAT(mistakes(StreamTableJoinOptions{.kind = Join::kOuter}),
              told("a join of a stream with a table is", instead));
  EXPECT_THAT(mistakes(ForeignKeyJoinOptions<int>{.kind = Join::kOuter, .key = any_key}),
              told("a join by a foreign key is", instead));
}

TEST(JoinMistakes, TablesThatForgetTooSoonOrRememberForNobody) {
  EXPECT_THAT(mistakes(StreamTableJoinOptions{.grace = 10s}),
              told("only knows its newest rows", ".table = {.history = 10000ms}"));
  EXPECT_THAT(mistakes(StreamTableJoinOptions{.table = {.history = 1s}, .grace = 10s}),
              told("has forgotten", ".table = {.history = 10000ms}"));
  EXPECT_THAT(mistakes(TableJoinOptions{.left = {.history = 1s}}), told(".left.history has no effect", "remove it"));
  EXPECT_THAT(mistakes(ForeignKeyJoinOptions<int>{.key = any_key, .right = {.history = 1s}}),
              told(".right.history has no effect", "remove it"));
}

TEST(JoinMistakes, AWaitWithoutEffect) {
  EXPECT_THAT(mistakes(ForeignKeyJoinOptions<int>{.key = any_key}, {.wait_for_records = 1s}),
              told(".wait_for_records has no effect", "remove it"));
  EXPECT_THAT(mistakes(ForeignKeyJoinOptions<int>{.key = any_key}, {.close_idle = 1s}),
              told(".close_idle has no effect", "remove it"));
}

// All are told, and the join is not there.
TEST(JoinMistakes, AreToldTogether) {
  App app{"shop"};
  auto& a = app.topic<int>("a");
  auto& b = app.topic<int>("b");
  app.join("pairs", a, b, AsOfJoinOptions{.kind = Join::kOuter, .direction = AsOf::kForward, .grace = -1ms});
  EXPECT_THAT(app.mistakes(), testing::SizeIs(3));
  EXPECT_THAT(app.agents(), IsEmpty());
}

}  // namespace
}  // namespace mephisto::tests
