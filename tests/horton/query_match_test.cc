// Filters, sort and projection on plain objects, as in MongoDB.
#include <gmock/gmock.h>

#include "horton/query.h"
#include "mephisto/error.h"

namespace horton::query {
namespace {

using mephisto::ErrorKind;
using mephisto::Failure;
using ::testing::HasSubstr;

Object object(std::string_view text) { return boost::json::parse(text).as_object(); }

const char* const kApple =
    R"({"_id": "1", "symbol": "AAPL", "price": 113.5, "volume": 500, "tags": ["tech", "phones"], "scores": [1, 9], "none": null, "listed": true, "lines": "a\nb",
                              "address": {"city": "Cupertino", "zip": {"code": 95014}}, "rows": [{"year": 2017, "close": 42}, {"year": 2018, "close": 39}]})";

bool fits(std::string_view filter) { return matches(object(kApple), object(filter)); }

// The message with which `filter` is refused.
std::string refusal(std::string_view filter) {
  try {
    fits(filter);
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), ErrorKind::kInvalid);
    return failure.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "no Failure but: " << error.what();
    return "";
  }
  ADD_FAILURE() << "accepted: " << filter;
  return "";
}

struct Case {
  const char* name;
  const char* filter;
  bool fits;
};
std::string name_of(const ::testing::TestParamInfo<Case>& one) { return one.param.name; }

class Filter : public ::testing::TestWithParam<Case> {};

TEST_P(Filter, Decides) { EXPECT_EQ(fits(GetParam().filter), GetParam().fits) << GetParam().filter; }

INSTANTIATE_TEST_SUITE_P(
    Equality, Filter,
    ::testing::Values(
        Case{"EmptyFitsAll", "{}", true}, Case{"Text", R"({"symbol": "AAPL"})", true},
        Case{"OtherText", R"({"symbol": "aapl"})", false}, Case{"WholeAgainstDecimal", R"({"volume": 500.0})", true},
        Case{"Bool", R"({"listed": true})", true}, Case{"BoolIsNoNumber", R"({"listed": 1})", false},
        Case{"TextIsNoNumber", R"({"volume": "500"})", false}, Case{"NullFitsNull", R"({"none": null})", true},
        Case{"NullFitsMissing", R"({"nowhere": null})", true}, Case{"NullFitsNoValue", R"({"symbol": null})", false},
        Case{"WholeObject", R"({"address": {"city": "Cupertino", "zip": {"code": 95014}}})", true},
        Case{"PartOfAnObject", R"({"address": {"city": "Cupertino"}})", false},
        Case{"AllFields", R"({"symbol": "AAPL", "volume": 501})", false},
        Case{"Eq", R"({"symbol": {"$eq": "AAPL"}})", true}, Case{"Ne", R"({"symbol": {"$ne": "AAPL"}})", false},
        Case{"NeOfMissing", R"({"nowhere": {"$ne": 1}})", true}),
    name_of);

INSTANTIATE_TEST_SUITE_P(Order, Filter,
                         ::testing::Values(Case{"Gt", R"({"volume": {"$gt": 499}})", true},
                                           Case{"GtOfEqual", R"({"volume": {"$gt": 500}})", false},
                                           Case{"Gte", R"({"volume": {"$gte": 500}})", true},
                                           Case{"Lt", R"({"price": {"$lt": 114}})", true},
                                           Case{"LtOfEqual", R"({"price": {"$lt": 113.5}})", false},
                                           Case{"Lte", R"({"price": {"$lte": 113.5}})", true},
                                           Case{"Both", R"({"price": {"$gt": 100, "$lt": 110}})", false},
                                           Case{"Texts", R"({"symbol": {"$gt": "AAL"}})", true},
                                           Case{"OtherKinds", R"({"symbol": {"$gt": 1}})", false},
                                           Case{"Missing", R"({"nowhere": {"$lt": 5}})", false},
                                           Case{"Null", R"({"none": {"$lt": 5}})", false},
                                           Case{"GteOfNull", R"({"none": {"$gte": null}})", true},
                                           Case{"WholeAgainstNearDecimal", R"({"volume": {"$gt": 499.99}})", true}),
                         name_of);

INSTANTIATE_TEST_SUITE_P(Sets, Filter,
                         ::testing::Values(Case{"In", R"({"symbol": {"$in": ["IBM", "AAPL"]}})", true},
                                           Case{"InNot", R"({"symbol": {"$in": ["IBM"]}})", false},
                                           Case{"InNothing", R"({"symbol": {"$in": []}})", false},
                                           Case{"InNullFitsMissing", R"({"nowhere": {"$in": [null]}})", true},
                                           Case{"Nin", R"({"symbol": {"$nin": ["IBM"]}})", true},
                                           Case{"NinNot", R"({"symbol": {"$nin": ["AAPL"]}})", false},
                                           Case{"NinOfMissing", R"({"nowhere": {"$nin": [1]}})", true},
                                           Case{"Exists", R"({"none": {"$exists": true}})", true},
                                           Case{"ExistsNot", R"({"nowhere": {"$exists": false}})", true},
                                           Case{"ExistsAsNumber", R"({"nowhere": {"$exists": 1}})", false}),
                         name_of);

INSTANTIATE_TEST_SUITE_P(Arrays, Filter,
                         ::testing::Values(Case{"OneOf", R"({"tags": "phones"})", true},
                                           Case{"NoneOf", R"({"tags": "cars"})", false},
                                           Case{"Whole", R"({"tags": ["tech", "phones"]})", true},
                                           Case{"OtherOrder", R"({"tags": ["phones", "tech"]})", false},
                                           Case{"NeOneOf", R"({"tags": {"$ne": "tech"}})", false},
                                           Case{"In", R"({"tags": {"$in": ["cars", "tech"]}})", true},
                                           Case{"Nin", R"({"tags": {"$nin": ["tech"]}})", false},
                                           Case{"GtOfAnyOne", R"({"scores": {"$gt": 5}})", true},
                                           Case{"LteOfAnyOne", R"({"scores": {"$lte": 1}})", true},
                                           Case{"GtOfNone", R"({"scores": {"$gt": 9}})", false},
                                           Case{"RegexOfAnyOne", R"({"tags": {"$regex": "^pho"}})", true},
                                           Case{"NotGtOfAnyOne", R"({"scores": {"$not": {"$gt": 5}}})", false},
                                           Case{"Element", R"({"rows": {"year": 2017, "close": 42}})", true},
                                           Case{"BoundsOfDifferentOnes", R"({"scores": {"$gt": 5, "$lt": 3}})", true}),
                         name_of);

INSTANTIATE_TEST_SUITE_P(Paths, Filter,
                         ::testing::Values(Case{"Inner", R"({"address.city": "Cupertino"})", true},
                                           Case{"Deep", R"({"address.zip.code": {"$gte": 95000}})", true},
                                           Case{"ThroughAText", R"({"symbol.city": "x"})", false},
                                           Case{"Missing", R"({"address.street": {"$exists": false}})", true},
                                           Case{"PlaceInAnArray", R"({"tags.1": "phones"})", true},
                                           Case{"FieldOfObjectsInAnArray", R"({"rows.year": 2018})", true},
                                           Case{"FieldOfPlaceInAnArray", R"({"rows.0.close": 42})", true},
                                           Case{"FieldOfNoneInAnArray", R"({"rows.year": 1999})", false},
                                           Case{"NullFitsWhereThePathLeadsNowhere", R"({"symbol.city": null})", true},
                                           Case{"FieldThatOneObjectLacks", R"({"rows.open": null})", true},
                                           Case{"PlaceBehindTheEnd", R"({"tags.7": {"$exists": true}})", false},
                                           Case{"ExistsInAnyOne", R"({"rows.close": {"$exists": true}})", true}),
                         name_of);

INSTANTIATE_TEST_SUITE_P(
    Regex, Filter,
    ::testing::Values(Case{"Part", R"({"symbol": {"$regex": "AP"}})", true},
                      Case{"Anchored", R"({"symbol": {"$regex": "^PL"}})", false},
                      Case{"CaseCounts", R"({"symbol": {"$regex": "aapl"}})", false},
                      Case{"CaseIgnored", R"({"symbol": {"$regex": "aapl", "$options": "i"}})", true},
                      Case{"OptionsFirst", R"({"symbol": {"$options": "i", "$regex": "aapl"}})", true},
                      Case{"ADotIsNoLineBreak", R"({"lines": {"$regex": "a.b"}})", false},
                      Case{"ADotIsALineBreak", R"({"lines": {"$regex": "a.b", "$options": "s"}})", true},
                      Case{"TheStartIsOfTheText", R"({"lines": {"$regex": "^b"}})", false},
                      Case{"TheStartIsOfEachLine", R"({"lines": {"$regex": "^b", "$options": "m"}})", true},
                      Case{"SpacesDoNotCount", R"({"symbol": {"$regex": "A A P", "$options": "x"}})", true},
                      Case{"OfANumber", R"({"volume": {"$regex": "5"}})", false},
                      Case{"OfMissing", R"({"nowhere": {"$regex": ""}})", false}),
    name_of);

INSTANTIATE_TEST_SUITE_P(
    Logic, Filter,
    ::testing::Values(Case{"And", R"({"$and": [{"symbol": "AAPL"}, {"volume": 500}]})", true},
                      Case{"AndNot", R"({"$and": [{"symbol": "AAPL"}, {"volume": 1}]})", false},
                      Case{"Or", R"({"$or": [{"symbol": "IBM"}, {"volume": 500}]})", true},
                      Case{"OrNot", R"({"$or": [{"symbol": "IBM"}, {"volume": 1}]})", false},
                      Case{"Nor", R"({"$nor": [{"symbol": "IBM"}, {"volume": 1}]})", true},
                      Case{"NorNot", R"({"$nor": [{"symbol": "IBM"}, {"volume": 500}]})", false},
                      Case{"OrBesideAField", R"({"listed": false, "$or": [{"symbol": "AAPL"}]})", false},
                      Case{"Nested", R"({"$or": [{"$and": [{"volume": 500}, {"price": {"$gt": 1}}]}]})", true},
                      Case{"Not", R"({"price": {"$not": {"$gt": 200}}})", true},
                      Case{"NotNot", R"({"price": {"$not": {"$gt": 100}}})", false},
                      Case{"NotOfMissing", R"({"nowhere": {"$not": {"$gt": 100}}})", true},
                      Case{"NotRegex", R"({"symbol": {"$not": {"$regex": "^I"}}})", true}),
    name_of);

TEST(FilterRefusals, NameTheUnknownOperator) {
  EXPECT_THAT(refusal(R"({"symbol": {"$near": 1}})"), HasSubstr("$near"));
  EXPECT_THAT(refusal(R"({"$where": "1"})"), HasSubstr("$where"));
  EXPECT_THAT(refusal(R"({"tags": {"$elemMatch": {"$eq": "tech"}}})"), HasSubstr("$elemMatch"));
  EXPECT_THAT(refusal(R"({"price": {"$not": {"$mod": [2, 0]}}})"), HasSubstr("$mod"));
}

TEST(FilterRefusals, SayWhatAnOperatorTakes) {
  EXPECT_THAT(refusal(R"({"symbol": {"$in": "AAPL"}})"), HasSubstr("$in"));
  EXPECT_THAT(refusal(R"({"$or": {"a": 1}})"), HasSubstr("$or"));
  EXPECT_THAT(refusal(R"({"$and": [1]})"), HasSubstr("$and"));
  EXPECT_THAT(refusal(R"({"symbol": {"$not": 1}})"), HasSubstr("$not"));
}

TEST(FilterRefusals, ShowTheBadRegularExpression) {
  EXPECT_THAT(refusal(R"({"symbol": {"$regex": "("}})"), HasSubstr("\"(\""));
  EXPECT_THAT(refusal(R"({"symbol": {"$regex": 5}})"), HasSubstr("$regex"));
}

TEST(FilterRefusals, NameAnOptionOfRegexThatIsNotKnown) {
  EXPECT_THAT(refusal(R"({"symbol": {"$regex": "A", "$options": "iu"}})"), HasSubstr("u"));
  EXPECT_THAT(refusal(R"({"symbol": {"$options": "i"}})"), HasSubstr("$regex"));
}

// An error in a filter is found whatever documents there are.
TEST(FilterRefusals, DoNotDependOnTheDocuments) {
  EXPECT_THAT(refusal(R"({"symbol": "other", "price": {"$near": 1}})"), HasSubstr("$near"));
  EXPECT_THAT(refusal(R"({"$or": [{"symbol": "AAPL"}, {"$where": 1}]})"), HasSubstr("$where"));
}

TEST(FilterRefusals, SayThatAPathHasAnEmptyStep) { EXPECT_THAT(refusal(R"({"a..b": 1})"), HasSubstr("\"a..b\"")); }

TEST(FilterRegex, GivesUpOnWhatTakesForever) {
  Object document{{"text", std::string(100'000, 'a')}};
  EXPECT_THROW(matches(document, object(R"({"text": {"$regex": "(a+)+b"}})")), Failure);
}

TEST(FilterRegex, ReadsLongTexts) {
  EXPECT_TRUE(matches({{"text", std::string(1'000'000, 'a') + "b"}}, object(R"({"text": {"$regex": "^a*b$"}})")));
}

TEST(Compare, OrdersKindsAsMongoDbDoes) {
  auto all = boost::json::parse(R"([null, -1, "a", {"a": 1}, [1], false])").as_array();
  for (std::size_t i = 0; i + 1 < all.size(); ++i)
    EXPECT_LT(compare(all[i], all[i + 1]), 0) << all[i] << " " << all[i + 1];
}

TEST(Compare, DistinguishesBigWholeNumbers) { EXPECT_LT(compare(Value(9007199254740992), Value(9007199254740993)), 0); }

TEST(Compare, DistinguishesAWholeNumberFromTheNearestDecimal) {
  EXPECT_GT(compare(Value(9007199254740993), Value(9007199254740992.0)), 0);
}

TEST(Compare, OrdersArraysByTheirFirstDifference) {
  EXPECT_LT(compare(boost::json::parse("[1, 9]"), boost::json::parse("[2]")), 0);
  EXPECT_LT(compare(boost::json::parse("[1]"), boost::json::parse("[1, 0]")), 0);
}

TEST(Compare, DistinguishesObjectsByTheOrderOfTheirFields) {
  EXPECT_NE(compare(boost::json::parse(R"({"a": 1, "b": 2})"), boost::json::parse(R"({"b": 2, "a": 1})")), 0);
}

TEST(Compare, TakesWholeAndDecimalForEqualAlsoInside) {
  EXPECT_EQ(compare(boost::json::parse("[1]"), boost::json::parse("[1.0]")), 0);
}

std::vector<std::string> sorted(std::string_view documents, std::string_view order) {
  std::vector<Object> all;
  for (const auto& one : boost::json::parse(documents).as_array()) all.push_back(one.as_object());
  sort(all, object(order));
  std::vector<std::string> ids;
  for (const auto& one : all) ids.emplace_back(one.at("id").as_string());
  return ids;
}

TEST(Sort, GoesUpAndDown) {
  const char* documents = R"([{"id": "b", "n": 2}, {"id": "a", "n": 1}, {"id": "c", "n": 3}])";
  EXPECT_THAT(sorted(documents, R"({"n": 1})"), ::testing::ElementsAre("a", "b", "c"));
  EXPECT_THAT(sorted(documents, R"({"n": -1})"), ::testing::ElementsAre("c", "b", "a"));
}

TEST(Sort, DecidesByTheNextFieldWhereTheFirstIsEqual) {
  EXPECT_THAT(sorted(R"([{"id": "a", "n": 1, "m": 1}, {"id": "b", "n": 1, "m": 2}, {"id": "c", "n": 0, "m": 0}])",
                     R"({"n": 1, "m": -1})"),
              ::testing::ElementsAre("c", "b", "a"));
}

TEST(Sort, PutsMissingFirstAndKeepsTheOrderOfEquals) {
  EXPECT_THAT(
      sorted(R"([{"id": "a", "n": 1}, {"id": "b"}, {"id": "c", "n": null}, {"id": "d", "n": 1}])", R"({"n": 1})"),
      ::testing::ElementsAre("b", "c", "a", "d"));
}

TEST(Sort, FollowsPaths) {
  EXPECT_THAT(sorted(R"([{"id": "a", "x": {"n": 2}}, {"id": "b", "x": {"n": 1}}])", R"({"x.n": 1})"),
              ::testing::ElementsAre("b", "a"));
}

TEST(Sort, TakesTheLeastOfAnArrayUpAndTheGreatestDown) {
  const char* documents = R"([{"id": "a", "n": [5, 1]}, {"id": "b", "n": 3}, {"id": "c", "n": []}])";
  EXPECT_THAT(sorted(documents, R"({"n": 1})"), ::testing::ElementsAre("c", "a", "b"));
  EXPECT_THAT(sorted(documents, R"({"n": -1})"), ::testing::ElementsAre("a", "b", "c"));
}

TEST(SortRefusals, SayWhatADirectionIs) {
  std::vector<Object> none;
  for (const char* order : {R"({"n": 2})", R"({"n": "up"})", R"({"n": {"$meta": "x"}})"})
    EXPECT_THROW(sort(none, object(order)), Failure) << order;
}

Value projected(std::string_view document, std::string_view fields) {
  return project(object(document), object(fields));
}

struct Projection {
  const char* name;
  const char* fields;
  const char* result;
};
class Project : public ::testing::TestWithParam<Projection> {};

TEST_P(Project, Gives) {
  EXPECT_EQ(projected(R"({"_id": "1", "a": 1, "b": {"c": 2, "d": 3}, "e": "x"})", GetParam().fields),
            boost::json::parse(GetParam().result));
}

INSTANTIATE_TEST_SUITE_P(
    All, Project,
    ::testing::Values(Projection{"NothingGivesAll", "{}", R"({"_id": "1", "a": 1, "b": {"c": 2, "d": 3}, "e": "x"})"},
                      Projection{"KeepsWithTheId", R"({"a": 1})", R"({"_id": "1", "a": 1})"},
                      Projection{"KeepsWithoutTheId", R"({"a": 1, "_id": 0})", R"({"a": 1})"},
                      Projection{"KeepsWithTheIdAsked", R"({"a": true, "_id": true})", R"({"_id": "1", "a": 1})"},
                      Projection{"KeepsAPath", R"({"b.c": 1, "_id": 0})", R"({"b": {"c": 2}})"},
                      Projection{"KeepsNothingMissing", R"({"z": 1})", R"({"_id": "1"})"},
                      Projection{"LeavesOut", R"({"a": 0, "e": 0})", R"({"_id": "1", "b": {"c": 2, "d": 3}})"},
                      Projection{"LeavesOutAPath", R"({"b.c": 0, "e": 0})", R"({"_id": "1", "a": 1, "b": {"d": 3}})"},
                      Projection{"LeavesOutNothingMissing", R"({"z.y": 0})",
                                 R"({"_id": "1", "a": 1, "b": {"c": 2, "d": 3}, "e": "x"})"},
                      Projection{"LeavesTextsWholeThatHaveNoFields", R"({"e.y": 0})",
                                 R"({"_id": "1", "a": 1, "b": {"c": 2, "d": 3}, "e": "x"})"},
                      Projection{"OnlyTheId", R"({"_id": 1})", R"({"_id": "1"})"},
                      Projection{"AllButTheId", R"({"_id": 0})", R"({"a": 1, "b": {"c": 2, "d": 3}, "e": "x"})"}),
    [](const auto& one) { return one.param.name; });

TEST(ProjectArrays, KeepAndLeaveOutInEachElement) {
  const char* document = R"({"rows": [{"a": 1, "b": 2}, 5, {"b": 3}]})";
  EXPECT_EQ(projected(document, R"({"rows.a": 1})"), boost::json::parse(R"({"rows": [{"a": 1}, {}]})"));
  EXPECT_EQ(projected(document, R"({"rows.a": 0})"), boost::json::parse(R"({"rows": [{"b": 2}, 5, {"b": 3}]})"));
}

TEST(ProjectRefusals, SayThatAFieldAndAPartOfItAreBothNamed) {
  EXPECT_THROW(projected(R"({"a": 1})", R"({"a": 1, "a.b": 1})"), Failure);
}

TEST(ProjectRefusals, SayThatExpressionsAreNotKnown) {
  EXPECT_THROW(projected(R"({"a": 1})", R"({"b": "$a"})"), Failure);
  EXPECT_THROW(projected(R"({"a": 1})", R"({"b": {"$concat": ["$a", "x"]}})"), Failure);
}

TEST(ProjectRefusals, SayThatKeepingAndLeavingOutDoNotMix) {
  EXPECT_THROW(projected(R"({"a": 1, "b": 2})", R"({"a": 1, "b": 0})"), Failure);
}

}  // namespace
}  // namespace horton::query
