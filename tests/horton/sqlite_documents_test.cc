// What only the documents in SQLite promise: a call is done as a whole or not at all. Also what they report about their
// file.
#include <gmock/gmock.h>

#include <atomic>
#include <fstream>
#include <thread>

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

class SqliteDocumentsTest : public ::testing::Test, public OnDocuments {
 protected:
  SqliteDocumentsTest() : OnDocuments("sqlite") {}
  Collection securities() { return documents->collection("securities", {"symbol", "exchange"}); }
};

TEST_F(SqliteDocumentsTest, InsertManyInsertsAllOrNothing) {
  std::vector<Object> twice{{{"_id", "a"}}, {{"_id", "b"}}, {{"_id", "a"}}};
  failure_of(people().insert_many(twice));
  EXPECT_THAT(loop.run(people().find_many({})), IsEmpty());
}

TEST_F(SqliteDocumentsTest, UpdateManyThatFailsHalfWayChangesNothing) {
  insert(R"([{"name": "Ann", "n": 1}, {"name": "Bob", "n": "x"}, {"name": "Cid", "n": 1}])");
  EXPECT_THAT(failure_of(people().update_many({}, object(R"({"$inc": {"n": 1}})"))).what(), HasSubstr("$inc"));
  EXPECT_THAT(names(R"({"n": 1})"), ElementsAre("Ann", "Cid"));
}

TEST_F(SqliteDocumentsTest, UnknownOperatorsAreNamed) {
  insert(kThree);
  EXPECT_THAT(failure_of(people().find_many(object(R"({"name": {"$near": 1}})"))).what(), HasSubstr("$near"));
  EXPECT_THAT(failure_of(people().update_one({}, object(R"({"$rename": {"a": "b"}})"))).what(), HasSubstr("$rename"));
  EXPECT_THAT(failure_of(people().aggregate(json::parse(R"([{"$lookup": {}}])").as_array())).what(),
              HasSubstr("$lookup"));
}

TEST_F(SqliteDocumentsTest, UnknownOperatorsAreNamedAlsoWhereNothingIs) {
  EXPECT_THAT(failure_of(people().find_many(object(R"({"name": {"$near": 1}})"))).what(), HasSubstr("$near"));
  EXPECT_THAT(failure_of(people().update_many({}, object(R"({"$rename": {"a": "b"}})"))).what(), HasSubstr("$rename"));
  EXPECT_THAT(failure_of(people().delete_many(object(R"({"$where": "1"})"))).what(), HasSubstr("$where"));
  EXPECT_THAT(failure_of(people().aggregate(json::parse(R"([{"$lookup": {}}])").as_array())).what(),
              HasSubstr("$lookup"));
}

TEST_F(SqliteDocumentsTest, AFileThatIsNoDatabaseIsRefusedByItsName) {
  const auto other = place.folder() + "/other.db";
  std::ofstream{other} << std::string(4096, 'x');
  try {
    SqliteDocuments opened{other};
    FAIL() << "opened";
  } catch (const Failure& failure) {
    EXPECT_EQ(failure.kind(), ErrorKind::kCorrupt);
    EXPECT_THAT(failure.what(), HasSubstr(other));
  }
}

TEST_F(SqliteDocumentsTest, AFileThatCannotBeMadeIsRefusedByItsName) {
  try {
    SqliteDocuments opened{"/proc/horton/documents.db"};
    FAIL() << "opened";
  } catch (const Failure& failure) {
    EXPECT_THAT(failure.what(), HasSubstr("/proc/horton/documents.db"));
  }
}

TEST_F(SqliteDocumentsTest, UpsertManyThatFailsChangesNothing) {
  auto all = securities();
  std::vector<Change> changes{{Object{{"symbol", "A"}, {"exchange", "NYSE"}}, {{"n", 1}}},
                              {Object{{"symbol", "B"}, {"exchange", "NYSE"}}, {{"$rename", Object{{"a", "b"}}}}}};
  EXPECT_THAT(failure_of(all.upsert_many(changes)).what(), HasSubstr("$rename"));
  EXPECT_TRUE(loop.run(all.find_many({})).empty());
}

TEST_F(SqliteDocumentsTest, AUniqueIndexDoesNotHideADocumentWithAnArray) {
  auto all = securities();
  loop.run(all.insert_one({{"symbol", boost::json::array{"A", "B"}}, {"exchange", "NYSE"}}));
  loop.run(all.insert_one(Object{{"symbol", "A"}, {"exchange", "NYSE"}}));
  EXPECT_EQ(loop.run(all.find_many(Object{{"symbol", "A"}, {"exchange", "NYSE"}})).size(), 2U);
  EXPECT_EQ(loop.run(all.find_many(Object{{"symbol", "B"}, {"exchange", "NYSE"}})).size(), 1U);
}

TEST_F(SqliteDocumentsTest, ManyOpenANewFileAtOnce) {
  std::atomic<int> refused = 0;
  for (int round = 0; round < 20; ++round) {
    const auto file = place.folder() + "/" + std::to_string(round) + ".db";
    std::vector<std::jthread> openers;
    for (int i = 0; i < 6; ++i) {
      openers.emplace_back([&] {
        try {
          SqliteDocuments opened{file};
          opened.collection("securities", {"symbol", "exchange"});
        } catch (const Failure& failure) {
          if (refused++ == 0) ADD_FAILURE() << failure.what();
        }
      });
    }
  }
  EXPECT_EQ(refused, 0);
}

}  // namespace
}  // namespace horton
