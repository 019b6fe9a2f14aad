// The stages of aggregate.
#include <gmock/gmock.h>

#include "horton/query.h"
#include "mephisto/error.h"

namespace horton::query {
namespace {

using mephisto::Failure;
using ::testing::HasSubstr;

const char* const kBars = R"([
  {"s": "A", "year": 2017, "close": 10, "tags": ["x"]},
  {"s": "A", "year": 2018, "close": 30},
  {"s": "B", "year": 2017, "close": 5.5},
  {"s": "B", "year": 2018, "close": null},
  {"s": "B", "year": 2018}
])";

Value aggregated(std::string_view pipeline) {
  std::vector<Object> documents;
  for (const auto& one : boost::json::parse(kBars).as_array()) documents.push_back(one.as_object());
  boost::json::array results;
  for (auto& one : aggregate(std::move(documents), boost::json::parse(pipeline).as_array()))
    results.push_back(std::move(one));
  return results;
}

std::string refusal(std::string_view pipeline) {
  try {
    auto result = aggregated(pipeline);
    ADD_FAILURE() << "accepted: " << pipeline << " giving " << result;
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), mephisto::ErrorKind::kInvalid);
    return failure.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << pipeline << ": no Failure but " << error.what();
  }
  return "";
}

struct Case {
  const char* name;
  const char* pipeline;
  const char* result;
};
class Aggregate : public ::testing::TestWithParam<Case> {};

TEST_P(Aggregate, Gives) {
  EXPECT_EQ(aggregated(GetParam().pipeline), boost::json::parse(GetParam().result)) << GetParam().pipeline;
}

std::string name_of(const ::testing::TestParamInfo<Case>& one) { return one.param.name; }

INSTANTIATE_TEST_SUITE_P(
    Accumulator, Aggregate,
    ::testing::Values(Case{"Sum", R"([{"$group": {"_id": "$s", "x": {"$sum": "$close"}}}])",
                           R"([{"_id": "A", "x": 40}, {"_id": "B", "x": 5.5}])"},
                      Case{"SumOfOnesCounts", R"([{"$group": {"_id": "$s", "n": {"$sum": 1}}}])",
                           R"([{"_id": "A", "n": 2}, {"_id": "B", "n": 3}])"},
                      Case{"AvgOfNumbersOnly", R"([{"$group": {"_id": "$s", "x": {"$avg": "$close"}}}])",
                           R"([{"_id": "A", "x": 20.0}, {"_id": "B", "x": 5.5}])"},
                      Case{"Min", R"([{"$group": {"_id": "$s", "x": {"$min": "$close"}}}])",
                           R"([{"_id": "A", "x": 10}, {"_id": "B", "x": 5.5}])"},
                      Case{"Max", R"([{"$group": {"_id": "$s", "x": {"$max": "$close"}}}])",
                           R"([{"_id": "A", "x": 30}, {"_id": "B", "x": 5.5}])"},
                      Case{"First", R"([{"$group": {"_id": "$s", "x": {"$first": "$year"}}}])",
                           R"([{"_id": "A", "x": 2017}, {"_id": "B", "x": 2017}])"},
                      Case{"Push", R"([{"$group": {"_id": "$s", "x": {"$push": "$year"}}}])",
                           R"([{"_id": "A", "x": [2017, 2018]}, {"_id": "B", "x": [2017, 2018, 2018]}])"},
                      Case{"Count", R"([{"$group": {"_id": "$s", "x": {"$count": {}}}}])",
                           R"([{"_id": "A", "x": 2}, {"_id": "B", "x": 3}])"},
                      Case{"PushOfMissingIsLeftOut",
                           R"([{"$match": {"s": "B"}}, {"$group": {"_id": "$s", "x": {"$push": "$close"}}}])",
                           R"([{"_id": "B", "x": [5.5, null]}])"},
                      Case{"FirstOfMissingIsNull", R"([{"$group": {"_id": null, "x": {"$first": "$nowhere"}}}])",
                           R"([{"_id": null, "x": null}])"},
                      Case{"PushOfObjects",
                           R"([{"$match": {"s": "A"}}, {"$group": {"_id": null, "x": {"$push": {"y": "$year"}}}}])",
                           R"([{"_id": null, "x": [{"y": 2017}, {"y": 2018}]}])"},
                      Case{"AvgOfNothingIsNull",
                           R"([{"$match": {"close": null}}, {"$group": {"_id": null, "x": {"$avg": "$close"}}}])",
                           R"([{"_id": null, "x": null}])"},
                      Case{"SumOfNothingIsZero",
                           R"([{"$match": {"close": null}}, {"$group": {"_id": null, "x": {"$sum": "$close"}}}])",
                           R"([{"_id": null, "x": 0}])"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    GroupKey, Aggregate,
    ::testing::Values(
        Case{"NullIsOneGroup", R"([{"$group": {"_id": null, "n": {"$sum": 1}}}])", R"([{"_id": null, "n": 5}])"},
        Case{"ManyFields",
             R"([{"$match": {"s": "A"}}, {"$group": {"_id": {"s": "$s", "y": "$year"}, "n": {"$sum": 1}}}])",
             R"([{"_id": {"s": "A", "y": 2017}, "n": 1}, {"_id": {"s": "A", "y": 2018}, "n": 1}])"},
        Case{"MissingIsNull", R"([{"$group": {"_id": "$nowhere", "n": {"$sum": 1}}}])", R"([{"_id": null, "n": 5}])"},
        Case{"WholeAndDecimalAreOneGroup",
             R"([{"$match": {"s": "A"}}, {"$group": {"_id": {"x": 1.0}, "n": {"$sum": 1}}}])",
             R"([{"_id": {"x": 1.0}, "n": 2}])"},
        Case{"MissingPartsAreLeftOut", R"([{"$limit": 1}, {"$group": {"_id": {"s": "$s", "z": "$nowhere"}}}])",
             R"([{"_id": {"s": "A"}}])"},
        Case{"WithoutAccumulators", R"([{"$group": {"_id": "$s"}}])", R"([{"_id": "A"}, {"_id": "B"}])"}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Stage, Aggregate,
    ::testing::Values(
        Case{"Match", R"([{"$match": {"close": {"$gt": 6}, "year": 2018}}, {"$project": {"_id": 0, "s": 1}}])",
             R"([{"s": "A"}])"},
        Case{"Sort", R"([{"$match": {"close": {"$gt": 0}}}, {"$sort": {"close": -1}}, {"$project": {"close": 1}}])",
             R"([{"close": 30}, {"close": 10}, {"close": 5.5}])"},
        Case{"Limit", R"([{"$limit": 1}, {"$project": {"s": 1, "year": 1}}])", R"([{"s": "A", "year": 2017}])"},
        Case{"LimitBeyondTheEnd", R"([{"$limit": 99}, {"$count": "n"}])", R"([{"n": 5}])"},
        Case{"Skip", R"([{"$skip": 3}, {"$count": "n"}])", R"([{"n": 2}])"},
        Case{"SkipBeyondTheEnd", R"([{"$skip": 99}])", R"([])"},
        Case{"Count", R"([{"$match": {"s": "B"}}, {"$count": "bars"}])", R"([{"bars": 3}])"},
        Case{"CountOfNothingIsNothing", R"([{"$match": {"s": "Z"}}, {"$count": "bars"}])", R"([])"},
        Case{"ProjectLeavesOut", R"([{"$limit": 1}, {"$project": {"tags": 0, "close": 0}}])",
             R"([{"s": "A", "year": 2017}])"},
        Case{"ManyInTheirOrder",
             R"([{"$group": {"_id": "$year", "n": {"$sum": 1}}}, {"$sort": {"n": -1}}, {"$limit": 1}])",
             R"([{"_id": 2018, "n": 3}])"},
        Case{"None", R"([{"$match": {"year": 2017, "s": "B"}}])", R"([{"s": "B", "year": 2017, "close": 5.5}])"}),
    name_of);

TEST(AggregateSum, KeepsBigWholeNumbersExact) {
  std::vector<Object> documents{{{"n", 9007199254740992}}, {{"n", 1}}};
  auto result =
      aggregate(documents, boost::json::parse(R"([{"$group": {"_id": null, "n": {"$sum": "$n"}}}])").as_array());
  EXPECT_EQ(result.at(0).at("n"), Value(9007199254740993));
}

TEST(AggregateSum, IsDecimalWhereAWholeNumberDoesNotFit) {
  std::vector<Object> documents{{{"n", 9223372036854775807}}, {{"n", 9223372036854775807}}};
  auto result =
      aggregate(documents, boost::json::parse(R"([{"$group": {"_id": null, "n": {"$sum": "$n"}}}])").as_array());
  EXPECT_EQ(result.at(0).at("n"), Value(18446744073709551614.0));
}

TEST(AggregateGroup, TakesWholeAndDecimalKeysForOne) {
  std::vector<Object> documents{{{"n", 1}}, {{"n", 1.0}}, {{"n", 1.5}}};
  EXPECT_EQ(aggregate(documents, boost::json::parse(R"([{"$group": {"_id": "$n"}}])").as_array()).size(), 2U);
}

TEST(AggregateExpression, GivesTheArrayOfAFieldOfObjectsInAnArray) {
  std::vector<Object> documents{boost::json::parse(R"({"rows": [{"y": 2017}, {}, 5, {"y": 2018}]})").as_object()};
  auto result = aggregate(documents, boost::json::parse(R"([{"$group": {"_id": "$rows.y"}}])").as_array());
  EXPECT_EQ(result.at(0).at("_id"), boost::json::parse("[2017, 2018]"));
}

TEST(AggregateRefusals, NameTheUnknownAlsoWithoutDocuments) {
  for (const char* pipeline : {R"([{"$group": {"_id": null, "x": {"$median": "$n"}}}])",
                               R"([{"$match": {"n": {"$near": 1}}}])", R"([{"$project": {"n": "$m"}}])"})
    EXPECT_THROW(aggregate({}, boost::json::parse(pipeline).as_array()), Failure) << pipeline;
}

TEST(AggregateRefusals, NameTheUnknownVariable) {
  EXPECT_THAT(refusal(R"([{"$group": {"_id": "$$ROOT"}}])"), HasSubstr("$$ROOT"));
}

TEST(AggregateRefusals, NameTheUnknownStage) {
  EXPECT_THAT(refusal(R"([{"$lookup": {"from": "x"}}])"), HasSubstr("$lookup"));
}

TEST(AggregateRefusals, NameTheUnknownAccumulator) {
  EXPECT_THAT(refusal(R"([{"$group": {"_id": null, "x": {"$stdDevPop": "$close"}}}])"), HasSubstr("$stdDevPop"));
}

TEST(AggregateRefusals, NameTheUnknownExpression) {
  EXPECT_THAT(refusal(R"([{"$group": {"_id": null, "x": {"$sum": {"$multiply": ["$close", 2]}}}}])"),
              HasSubstr("$multiply"));
  EXPECT_THAT(refusal(R"([{"$group": {"_id": {"$toLower": "$s"}}}])"), HasSubstr("$toLower"));
}

TEST(AggregateRefusals, SayThatAGroupNeedsAnIdAndAccumulators) {
  EXPECT_THAT(refusal(R"([{"$group": {"n": {"$sum": 1}}}])"), HasSubstr("_id"));
  EXPECT_THAT(refusal(R"([{"$group": {"_id": null, "n": 1}}])"), HasSubstr("accumulator"));
}

TEST(AggregateRefusals, SayThatAStageHasOneOperator) {
  refusal(R"([{"$limit": 1, "$skip": 1}])");
  refusal(R"(["$limit"])");
}

TEST(AggregateRefusals, NameTheStageWithABadArgument) {
  for (const char* stage : {"$limit", "$skip", "$count", "$match", "$sort", "$project", "$group"}) {
    EXPECT_THAT(refusal(std::string{R"([{")"} + stage + R"(": true}])"), HasSubstr(stage));
  }
}

TEST(AggregateRefusals, NameTheStageWithANegativeNumber) {
  EXPECT_THAT(refusal(R"([{"$limit": -1}])"), HasSubstr("$limit"));
  EXPECT_THAT(refusal(R"([{"$skip": -1}])"), HasSubstr("$skip"));
}

}  // namespace
}  // namespace horton::query
