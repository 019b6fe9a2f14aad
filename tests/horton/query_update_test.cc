// Update operators on plain objects, as in MongoDB.
#include <gmock/gmock.h>

#include "horton/query.h"
#include "mephisto/error.h"

namespace horton::query {
namespace {

using mephisto::Failure;
using ::testing::HasSubstr;

Object object(std::string_view text) { return boost::json::parse(text).as_object(); }

Value updated(std::string_view document, std::string_view change, bool inserting = false) {
  auto changed = object(document);
  update(changed, object(change), inserting);
  return changed;
}

std::string refusal(std::string_view document, std::string_view change) {
  try {
    updated(document, change);
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), mephisto::ErrorKind::kInvalid);
    return failure.what();
  }
  ADD_FAILURE() << "accepted: " << change;
  return "";
}

struct Case {
  const char* name;
  const char* before;
  const char* change;
  const char* after;
};
class Update : public ::testing::TestWithParam<Case> {};

TEST_P(Update, Gives) {
  EXPECT_EQ(updated(GetParam().before, GetParam().change), boost::json::parse(GetParam().after)) << GetParam().change;
}

std::string name_of(const ::testing::TestParamInfo<Case>& one) { return one.param.name; }

INSTANTIATE_TEST_SUITE_P(
    Set, Update,
    ::testing::Values(
        Case{"Changes", R"({"a": 1, "b": 2})", R"({"$set": {"a": "x"}})", R"({"a": "x", "b": 2})"},
        Case{"Adds", R"({"a": 1})", R"({"$set": {"b": [1]}})", R"({"a": 1, "b": [1]})"},
        Case{"FollowsAPath", R"({"a": {"b": 1, "c": 2}})", R"({"$set": {"a.b": 5}})", R"({"a": {"b": 5, "c": 2}})"},
        Case{"MakesAPath", R"({})", R"({"$set": {"a.b.c": 5}})", R"({"a": {"b": {"c": 5}}})"},
        Case{"FollowsAPlaceInAnArray", R"({"a": [1, 2]})", R"({"$set": {"a.1": 5}})", R"({"a": [1, 5]})"},
        Case{"LengthensAnArray", R"({"a": [1]})", R"({"$set": {"a.2": 5}})", R"({"a": [1, null, 5]})"},
        Case{"FollowsAPathThroughAnArray", R"({"a": [{"b": 1}]})", R"({"$set": {"a.0.b": 2}})", R"({"a": [{"b": 2}]})"},
        Case{"OnlyWhenInsertedIsNotNow", R"({"a": 1})", R"({"$setOnInsert": {"b": 1}})", R"({"a": 1})"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Unset, Update,
    ::testing::Values(
        Case{"Removes", R"({"a": 1, "b": 2})", R"({"$unset": {"a": ""}})", R"({"b": 2})"},
        Case{"RemovesByPath", R"({"a": {"b": 1, "c": 2}})", R"({"$unset": {"a.b": 1}})", R"({"a": {"c": 2}})"},
        Case{"LeavesTheRest", R"({"a": 1})", R"({"$unset": {"z": 1}})", R"({"a": 1})"},
        Case{"MakesNoPath", R"({"a": 1})", R"({"$unset": {"z.y": 1}})", R"({"a": 1})"},
        Case{"KeepsThePlacesOfAnArray", R"({"a": [1, 2]})", R"({"$unset": {"a.0": 1}})", R"({"a": [null, 2]})"},
        Case{"DestroysNoTextOnThePath", R"({"a": "x"})", R"({"$unset": {"a.b": 1}})", R"({"a": "x"})"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Inc, Update,
    ::testing::Values(Case{"Adds", R"({"n": 40})", R"({"$inc": {"n": 2}})", R"({"n": 42})"},
                      Case{"Subtracts", R"({"n": 40})", R"({"$inc": {"n": -50}})", R"({"n": -10})"},
                      Case{"StartsAtNothing", R"({})", R"({"$inc": {"n": 2}})", R"({"n": 2})"},
                      Case{"AddsDecimals", R"({"n": 1})", R"({"$inc": {"n": 0.5}})", R"({"n": 1.5})"},
                      Case{"FollowsAPath", R"({"a": {"n": 1}})", R"({"$inc": {"a.n": 1}})", R"({"a": {"n": 2}})"},
                      Case{"KeepsBigNumbersExact", R"({"n": 9007199254740992})", R"({"$inc": {"n": 1}})",
                           R"({"n": 9007199254740993})"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Push, Update,
    ::testing::Values(Case{"Appends", R"({"t": ["a"]})", R"({"$push": {"t": "b"}})", R"({"t": ["a", "b"]})"},
                      Case{"StartsAnArray", R"({})", R"({"$push": {"t": 1}})", R"({"t": [1]})"},
                      Case{"AppendsAnArrayAsOne", R"({"t": []})", R"({"$push": {"t": [1, 2]}})", R"({"t": [[1, 2]]})"},
                      Case{"FollowsAPath", R"({"a": {"t": [1]}})", R"({"$push": {"a.t": 2}})",
                           R"({"a": {"t": [1, 2]}})"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(Replacement, Update,
                         ::testing::Values(Case{"KeepsOnlyTheId", R"({"_id": "1", "a": 1, "b": 2})", R"({"c": 3})",
                                                R"({"_id": "1", "c": 3})"},
                                           Case{"ByNothingKeepsOnlyTheId", R"({"_id": "1", "a": 1})", "{}",
                                                R"({"_id": "1"})"}),
                         name_of);

TEST(UpdateTogether, DoesAllOperators) {
  EXPECT_EQ(updated(R"({"a": 1, "b": 2, "n": 1})",
                    R"({"$set": {"a": 9}, "$unset": {"b": 1}, "$inc": {"n": 1}, "$push": {"t": "x"}})"),
            boost::json::parse(R"({"a": 9, "n": 2, "t": ["x"]})"));
}

TEST(UpdateTogether, SetsOnInsertWhenInserting) {
  EXPECT_EQ(updated("{}", R"({"$setOnInsert": {"a": 1}, "$set": {"b": 2}})", true),
            boost::json::parse(R"({"a": 1, "b": 2})"));
}

TEST(UpdateRefusals, NameTheUnknownOperator) {
  EXPECT_THAT(refusal("{}", R"({"$rename": {"a": "b"}})"), HasSubstr("$rename"));
  EXPECT_THAT(refusal("{}", R"({"$set": {"a": 1}, "$addToSet": {"t": 1}})"), HasSubstr("$addToSet"));
}

TEST(UpdateRefusals, NameTheUnknownOperatorAlsoOfNoFields) {
  EXPECT_THAT(refusal("{}", R"({"$rename": {}})"), HasSubstr("$rename"));
}

TEST(UpdateRefusals, NameAModifierOfPushThatIsNotKnown) {
  EXPECT_THAT(refusal("{}", R"({"$push": {"t": {"$each": [1, 2]}}})"), HasSubstr("$each"));
}

TEST(UpdateRefusals, SayThatFieldsAndOperatorsDoNotMix) {
  refusal("{}", R"({"$set": {"a": 1}, "b": 2})");
  refusal("{}", R"({"b": 2, "$set": {"a": 1}})");
}

TEST(UpdateRefusals, SayWhatAnOperatorWorksOn) {
  EXPECT_THAT(refusal(R"({"n": "x"})", R"({"$inc": {"n": 1}})"), HasSubstr("$inc"));
  EXPECT_THAT(refusal(R"({"n": 1})", R"({"$inc": {"n": "x"}})"), HasSubstr("$inc"));
  EXPECT_THAT(refusal(R"({"t": 1})", R"({"$push": {"t": 1}})"), HasSubstr("$push"));
  EXPECT_THAT(refusal("{}", R"({"$set": 1})"), HasSubstr("$set"));
}

TEST(UpdateRefusals, KeepAValueThatAPathWouldGoThrough) {
  EXPECT_THAT(refusal(R"({"a": "text"})", R"({"$set": {"a.b": 1}})"), HasSubstr("a"));
  EXPECT_THAT(refusal(R"({"a": 5})", R"({"$inc": {"a.b": 1}})"), HasSubstr("a"));
}

TEST(UpdateRefusals, SayThatAnArrayHasPlacesOnly) {
  EXPECT_THAT(refusal(R"({"a": [1]})", R"({"$set": {"a.b": 1}})"), HasSubstr("\"a.b\""));
  refusal(R"({"a": [1]})", R"({"$set": {"a.99999999": 1}})");
}

TEST(UpdateRefusals, SayThatOnePlaceIsChangedTwice) {
  EXPECT_THAT(refusal("{}", R"({"$set": {"a": 1}, "$inc": {"a": 1}})"), HasSubstr("\"a\""));
  EXPECT_THAT(refusal("{}", R"({"$set": {"a.b": 1, "a": 1}})"), HasSubstr("\"a.b\""));
}

TEST(UpdateRefusals, NameAStepThatIsNotKnown) {
  EXPECT_THAT(refusal(R"({"a": [1]})", R"({"$set": {"a.$[]": 1}})"), HasSubstr("$[]"));
}

TEST(UpdateRefusals, KeepNullForWhatHasNoNumberNorArray) {
  EXPECT_THAT(refusal(R"({"n": null})", R"({"$inc": {"n": 1}})"), HasSubstr("null"));
  EXPECT_THAT(refusal(R"({"n": null})", R"({"$push": {"n": 1}})"), HasSubstr("null"));
}

TEST(UpdateRefusals, KeepTheId) {
  for (const char* change : {R"({"$set": {"_id": "2"}})", R"({"$unset": {"_id": 1}})", R"({"_id": "2"})"})
    EXPECT_THAT(refusal(R"({"_id": "1"})", change), HasSubstr("_id")) << change;
}

TEST(UpdateRefusals, LeaveTheDocumentAsItWas) {
  auto document = object(R"({"a": 1, "b": "x"})");
  EXPECT_THROW(update(document, object(R"({"$set": {"a": 2}, "$inc": {"b": 1}})")), Failure);
  EXPECT_EQ(document, object(R"({"a": 1, "b": "x"})"));
}

TEST(UpdateTogether, TakesPathsThatOnlyBeginAlike) {
  EXPECT_EQ(updated("{}", R"({"$set": {"ab": 1, "a": 2, "a-b.c": 3}})"),
            boost::json::parse(R"({"ab": 1, "a": 2, "a-b": {"c": 3}})"));
}

TEST(UpdateRefusals, SayWhenASumIsTooLarge) { refusal(R"({"n": 9223372036854775807})", R"({"$inc": {"n": 1}})"); }

}  // namespace
}  // namespace horton::query
