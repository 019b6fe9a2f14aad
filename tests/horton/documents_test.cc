// The CRUD operations of a collection, in each kind of store.
#include <gmock/gmock.h>

#include "documents_place.h"

namespace horton {
namespace {

using mephisto::ErrorKind;
using mephisto::Failure;
using mephisto::Task;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
namespace json = boost::json;

class DocumentsTest : public ::testing::TestWithParam<std::string>, public OnDocuments {
 protected:
  DocumentsTest() : OnDocuments(GetParam()) {}
  json::value only(std::string_view filter) {
    auto found = now(people().find_many(object(filter)));
    EXPECT_EQ(found.size(), 1U);
    if (found.size() != 1) return nullptr;
    found[0].erase("_id");
    return found[0];
  }
};

HORTON_ON_EVERY_KIND_OF_DOCUMENTS(DocumentsTest);

TEST_P(DocumentsTest, InsertOneGivesTheIdUnderWhichItIsFound) {
  auto id = now(people().insert_one({{"name", "Ann"}}));
  auto found = now(people().find_one({{"_id", id}}));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->at("name"), json::value("Ann"));
}

TEST_P(DocumentsTest, InsertOneKeepsAnIdThatItIsGiven) {
  EXPECT_EQ(now(people().insert_one({{"_id", "ann"}, {"name", "Ann"}})), "ann");
}

TEST_P(DocumentsTest, InsertOneRefusesAnIdThatIsThere) {
  now(people().insert_one({{"_id", "ann"}}));
  EXPECT_EQ(failure_of(people().insert_one({{"_id", "ann"}})).kind(), ErrorKind::kInvalid);
}

TEST_P(DocumentsTest, InsertOneRefusesAnIdThatIsNoText) {
  EXPECT_THAT(failure_of(people().insert_one({{"_id", 5}})).what(), HasSubstr("_id"));
}

TEST_P(DocumentsTest, InsertManyGivesTheIdsInOrder) {
  std::vector<Object> two{{{"_id", "z"}}, {{"_id", "b"}}};
  EXPECT_THAT(now(people().insert_many(two)), ElementsAre("z", "b"));
}

// One bad text must not make the others unreadable.
TEST_P(DocumentsTest, InsertOneRefusesTextThatIsNotUtf8) {
  insert(kThree);
  EXPECT_EQ(failure_of(people().insert_one({{"name", "Nestl\xe9"}})).kind(), ErrorKind::kInvalid);
  EXPECT_THAT(names("{}"), ElementsAre("Ann", "Bob", "Cid"));
}

TEST_P(DocumentsTest, ADocumentComesBackAsItWas) {
  auto document = object(
      R"({"_id": "x", "text": "é \" \\ \u0001", "whole": 9007199254740993, "decimal": 0.1, "null": null, "yes": true, "list": [1, {"a": []}], "52_week_high": 1.5})");
  now(people().insert_one(document));
  EXPECT_EQ(json::value(now(people().find_one({})).value()), json::value(document));
}

TEST_P(DocumentsTest, FindOneOfNothingIsNothing) {
  EXPECT_FALSE(now(people().find_one({})));
  insert(kThree);
  EXPECT_FALSE(now(people().find_one({{"name", "Zoe"}})));
}

TEST_P(DocumentsTest, FindManyFindsByEquality) {
  insert(kThree);
  EXPECT_THAT(names(R"({"name": "Bob"})"), ElementsAre("Bob"));
  EXPECT_THAT(names(R"({"age": 40, "name": "Bob"})"), ElementsAre("Bob"));
  EXPECT_THAT(names(R"({"age": 40.0})"), ElementsAre("Bob"));
}

TEST_P(DocumentsTest, FindManyFindsByOperators) {
  insert(kThree);
  EXPECT_THAT(names(R"({"age": {"$gte": 40}})"), ElementsAre("Bob", "Cid"));
  EXPECT_THAT(names(R"({"$or": [{"name": "Ann"}, {"at.city": "Rome"}]})"), ElementsAre("Ann", "Cid"));
  EXPECT_THAT(names(R"({"name": {"$in": ["Ann", "Zoe"]}, "age": {"$lt": 99}})"), ElementsAre("Ann"));
}

TEST_P(DocumentsTest, FindManyFindsTextsInArrays) {
  insert(kThree);
  EXPECT_THAT(names(R"({"tags": "a"})"), ElementsAre("Ann"));
  EXPECT_THAT(names(R"({"tags": "b"})"), ElementsAre("Ann", "Bob"));
}

TEST_P(DocumentsTest, FindManyFindsNumbersInArrays) {
  insert(R"([{"name": "Ann", "n": [1, 2]}, {"name": "Bob", "n": 2}])");
  EXPECT_THAT(names(R"({"n": 2})"), ElementsAre("Ann", "Bob"));
}

TEST_P(DocumentsTest, FindManyFindsNullAndMissing) {
  insert(R"([{"name": "Ann", "n": null}, {"name": "Bob"}, {"name": "Cid", "n": 0}])");
  EXPECT_THAT(names(R"({"n": null})"), ElementsAre("Ann", "Bob"));
}

TEST_P(DocumentsTest, FindManyFindsByFieldsWithStrangeNames) {
  for (const char* field : {"52_week_high", "a b", "it's", "say \"hi\"", "back\\slash", "[0]", "größe"}) {
    now(people().delete_many({}));
    now(people().insert_one({{field, "x"}, {"name", "Ann"}}));
    EXPECT_EQ(now(people().find_many({{field, "x"}})).size(), 1U) << field;
  }
}

// Cases in which SQLite alone would find other documents than the matcher.
TEST_P(DocumentsTest, FindManyDistinguishesKinds) {
  insert(
      R"([{"name": "Ann", "x": true}, {"name": "Bob", "x": 1}, {"name": "Cid", "x": "1"}, {"name": "Dan", "x": 1.0}, {"name": "Eve", "x": [[1], "1"]}, {"name": "Fay", "x": "[1]"}])");
  EXPECT_THAT(names(R"({"x": 1})"), ElementsAre("Bob", "Dan"));
  EXPECT_THAT(names(R"({"x": "1"})"), ElementsAre("Cid", "Eve"));
  EXPECT_THAT(names(R"({"x": true})"), ElementsAre("Ann"));
  EXPECT_THAT(names(R"({"x": "[1]"})"), ElementsAre("Fay"));
}

TEST_P(DocumentsTest, FindManyFindsTextsWithAZeroByte) {
  insert(R"([{"name": "Ann", "x": "a\u0000b"}, {"name": "Bob", "x": "a"}])");
  EXPECT_THAT(names(R"({"x": "a\u0000b"})"), ElementsAre("Ann"));
  EXPECT_THAT(names(R"({"x": "a"})"), ElementsAre("Bob"));
}

TEST_P(DocumentsTest, FindManySortsSkipsLimitsAndProjects) {
  insert(kThree);
  FindOptions options;
  options.sort = {{"age", -1}};
  options.skip = 1;
  options.limit = 1;
  options.projection = {{"_id", 0}, {"name", 1}};
  EXPECT_THAT(now(people().find_many({}, options)), ElementsAre(object(R"({"name": "Bob"})")));
  options.skip = 99;
  EXPECT_THAT(now(people().find_many({}, options)), IsEmpty());
}

// The store leaves out what is beyond the limit while it reads.
TEST_P(DocumentsTest, TheFirstOfALongOrderAreThoseOfTheWholeOrder) {
  std::vector<Object> all;
  for (int i = 0; i < 3000; ++i) {
    Object one{{"_id", std::to_string(10'000 + i)}, {"name", std::to_string(i * 7919 % 3000)}, {"group", i % 7}};
    if (i % 5 == 0) one["group"] = nullptr;
    one["long"] = json::array{i, Object{{"deep", i % 3}}};
    all.push_back(std::move(one));
  }
  now(people().insert_many(all));
  for (const char* order : {R"({"group": 1, "name": 1})", R"({"group": -1, "name": 1})", R"({"name": -1})",
                            R"({"long.1.deep": 1, "_id": -1})"}) {
    FindOptions options;
    options.sort = object(order);
    const auto whole = names("{}", options);
    for (const auto skip : {0, 1, 1490, 2990, 3000}) {
      options.skip = skip;
      options.limit = 20;
      const auto end = std::min<std::ptrdiff_t>(skip + 20, 3000);
      EXPECT_EQ(names("{}", options), std::vector(whole.begin() + skip, whole.begin() + end)) << order << skip;
      options.projection = {{"_id", 0}, {"name", 1}};  // without the fields of the order
      EXPECT_EQ(names("{}", options), std::vector(whole.begin() + skip, whole.begin() + end)) << order << skip;
      for (const auto& one : now(people().find_many({}, options))) EXPECT_EQ(one.size(), 1U);
      options.projection = {};
    }
    options.skip = options.limit = 0;
  }
}

TEST_P(DocumentsTest, CountCountsWhatFindManyFinds) {
  EXPECT_EQ(now(people().count({})), 0);
  insert(kThree);
  EXPECT_EQ(now(people().count({})), 3);
  EXPECT_EQ(now(people().count(object(R"({"age": {"$gte": 40}})"))), 2);
  EXPECT_EQ(now(people().count(object(R"({"name": {"$regex": "^b", "$options": "i"}})"))), 1);
  EXPECT_EQ(failure_of(people().count(object(R"({"$near": 1})"))).kind(), ErrorKind::kInvalid);
}

TEST_P(DocumentsTest, FindOneTakesTheFirstOfTheOrder) {
  insert(kThree);
  FindOptions options;
  options.sort = {{"age", -1}};
  EXPECT_EQ(now(people().find_one({}, options)).value().at("name"), json::value("Cid"));
}

TEST_P(DocumentsTest, UpdateOneSetsFieldsAndKeepsTheOthers) {
  insert(kThree);
  auto result = now(people().update_one({{"name", "Bob"}}, {{"age", 41}}));
  EXPECT_EQ(result.matched, 1);
  EXPECT_EQ(result.modified, 1);
  EXPECT_FALSE(result.inserted);
  EXPECT_EQ(only(R"({"name": "Bob"})"), json::parse(R"({"name": "Bob", "age": 41, "tags": ["b"]})"));
}

TEST_P(DocumentsTest, UpdateOneChangesOnlyOne) {
  insert(kThree);
  EXPECT_EQ(now(people().update_one({{"age", object(R"({"$gt": 0})")}}, {{"seen", true}})).matched, 1);
  EXPECT_EQ(names(R"({"seen": true})").size(), 1U);
}

TEST_P(DocumentsTest, UpdateOneTakesOperators) {
  insert(kThree);
  now(people().update_one({{"name", "Ann"}}, object(R"({"$inc": {"age": 1}, "$push": {"tags": "c"}})")));
  EXPECT_EQ(only(R"({"name": "Ann"})"), json::parse(R"({"name": "Ann", "age": 31, "tags": ["a", "b", "c"]})"));
}

TEST_P(DocumentsTest, UpdateOneReplacesWithoutTheSetOption) {
  now(people().insert_one({{"_id", "ann"}, {"name", "Ann"}, {"age", 30}}));
  UpdateOptions options;
  options.with_set_option = false;
  now(people().update_one({{"name", "Ann"}}, {{"name", "Anna"}}, options));
  EXPECT_EQ(json::value(now(people().find_one({})).value()), json::parse(R"({"_id": "ann", "name": "Anna"})"));
}

TEST_P(DocumentsTest, UpdateOneReportsThatNothingChanged) {
  insert(kThree);
  auto result = now(people().update_one({{"name", "Bob"}}, {{"age", 40}}));
  EXPECT_EQ(result.matched, 1);
  EXPECT_EQ(result.modified, 0);
}

TEST_P(DocumentsTest, UpdateOneInsertsNothingUnlessAsked) {
  EXPECT_EQ(now(people().update_one({{"name", "Zoe"}}, {{"age", 1}})).matched, 0);
  EXPECT_THAT(now(people().find_many({})), IsEmpty());
}

TEST_P(DocumentsTest, UpdateOneUpsertsWhatTheFilterAndThePayloadSay) {
  UpdateOptions options;
  options.upsert = true;
  EXPECT_TRUE(
      now(people().update_one(object(R"({"name": "Zoe", "age": {"$gt": 5}})"), {{"city", "Rome"}}, options)).inserted);
  EXPECT_EQ(only("{}"), json::parse(R"({"name": "Zoe", "city": "Rome"})"));
}

TEST_P(DocumentsTest, UpdateOneUpsertsPathsOfTheFilterAsObjects) {
  UpdateOptions options;
  options.upsert = true;
  now(people().update_one(object(R"({"at.city": "Rome"})"), {{"name", "Zoe"}}, options));
  EXPECT_EQ(only("{}"), json::parse(R"({"at": {"city": "Rome"}, "name": "Zoe"})"));
  EXPECT_EQ(now(people().update_one(object(R"({"at.city": "Rome"})"), {{"name", "Zoe"}}, options)).matched, 1);
}

TEST_P(DocumentsTest, UpdateOneUpsertsEqualitiesOfOperators) {
  UpdateOptions options;
  options.upsert = true;
  now(people().update_one(
      object(
          R"({"$and": [{"name": {"$eq": "Zoe"}}, {"age": {"$gt": 1}}], "$or": [{"city": "Rome"}, {"city": "Oslo"}]})"),
      object(R"({"$setOnInsert": {"new": true}})"), options));
  EXPECT_EQ(only("{}"), json::parse(R"({"name": "Zoe", "new": true})"));
}

TEST_P(DocumentsTest, UpdateOneRefusesFieldsBesideOperators) {
  insert(kThree);
  failure_of(people().update_one({{"name", "Ann"}}, object(R"({"age": 1, "$inc": {"n": 1}})")));
  EXPECT_THAT(names(R"({"age": 30})"), ElementsAre("Ann"));
}

TEST_P(DocumentsTest, UpdateOneRefusesToChangeAnId) {
  now(people().insert_one({{"_id", "ann"}, {"name", "Ann"}}));
  EXPECT_THAT(failure_of(people().update_one({{"name", "Ann"}}, object(R"({"$set": {"_id": "bob"}})"))).what(),
              HasSubstr("_id"));
}

TEST_P(DocumentsTest, UpdateManyChangesAll) {
  insert(kThree);
  auto result = now(people().update_many(object(R"({"age": {"$gte": 40}})"), object(R"({"$inc": {"age": 1}})")));
  EXPECT_EQ(result.matched, 2);
  EXPECT_EQ(result.modified, 2);
  EXPECT_THAT(names(R"({"age": {"$in": [41, 51]}})"), ElementsAre("Bob", "Cid"));
}

TEST_P(DocumentsTest, DeleteOneDeletesOne) {
  insert(kThree);
  EXPECT_EQ(now(people().delete_one({{"tags", object(R"({"$exists": true})")}})), 1);
  EXPECT_EQ(names("{}").size(), 2U);
  EXPECT_EQ(now(people().delete_one({{"name", "Zoe"}})), 0);
}

TEST_P(DocumentsTest, DeleteManyDeletesAllThatMatch) {
  insert(kThree);
  EXPECT_EQ(now(people().delete_many(object(R"({"age": {"$lt": 50}})"))), 2);
  EXPECT_THAT(names("{}"), ElementsAre("Cid"));
}

TEST_P(DocumentsTest, AggregateWorksOnTheWholeCollection) {
  insert(kThree);
  auto result = now(people().aggregate(
      json::parse(R"([{"$match": {"age": {"$gt": 30}}}, {"$group": {"_id": null, "sum": {"$sum": "$age"}}}])")
          .as_array()));
  EXPECT_THAT(result, ElementsAre(object(R"({"_id": null, "sum": 90})")));
}

TEST_P(DocumentsTest, CollectionsAreApart) {
  insert(kThree);
  EXPECT_THAT(now(documents->collection("others").find_many({})), IsEmpty());
}

TEST_P(DocumentsTest, WhatWasWrittenIsThereAfterReopening) {
  insert(kThree);
  now(people().update_one({{"name", "Ann"}}, {{"age", 31}}));
  reopen();
  EXPECT_THAT(names("{}"), ElementsAre("Ann", "Bob", "Cid"));
  EXPECT_THAT(names(R"({"age": 31})"), ElementsAre("Ann"));
}

}  // namespace
}  // namespace horton
