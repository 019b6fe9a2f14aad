// The settings of a MongoDB and the meaning of its errors. With HORTON_TEST_MONGO_URL, also what only documents on a
// server have.
#include "horton/mongo.h"

#include <gmock/gmock.h>

#include "documents_place.h"
#include "horton/bson.h"

namespace horton {
namespace {

using mephisto::ErrorKind;
using mephisto::Failure;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class GoodMongoUrl : public ::testing::TestWithParam<const char*> {};
TEST_P(GoodMongoUrl, IsTaken) { EXPECT_EQ(check_mongo_url(GetParam()), ""); }
INSTANTIATE_TEST_SUITE_P(All, GoodMongoUrl,
                         ::testing::Values("mongodb://localhost", "mongodb://localhost:27018/horton",
                                           "mongodb://u:p%40ss@a.example:1,b.example:2/?replicaSet=rs",
                                           "mongodb://[::1]:27017/", "mongodb+srv://cluster.example.com/",
                                           "mongodb://h/?tls=true&tlsCAFile=/etc/ca.pem&authSource=admin"));

class BadMongoUrl : public ::testing::TestWithParam<const char*> {};
TEST_P(BadMongoUrl, IsRefusedWithoutThePassword) {
  const auto wrong = check_mongo_url(GetParam());
  EXPECT_THAT(wrong, AllOf(HasSubstr("mongodb://HOST:PORT"), Not(HasSubstr("secret")), Not(HasSubstr("w0rd"))));
}
INSTANTIATE_TEST_SUITE_P(All, BadMongoUrl,
                         ::testing::Values("nonsense", "http://localhost/", "mongodb://", "mongodb://u:secret@",
                                           "mongodb://u:secret@/", "mongodb://u:secret@h:99999/",
                                           "mongodb://u:secret@a b/", "mongodb://u:sec@w0rd@h/",
                                           "mongodb://u:secret%zz@h/", "mongodb://u:sec/w0rd@h/x",
                                           "mongodb://u:secret@h/?tsl=true",
                                           "mongodb://u:secret@h/?connectTimeoutMS=soon", "mongodb://u:secret@h/a$b"));

TEST(Mongo, TakesHostsAndNamesThatCanBe) {
  for (const char* host : {"localhost", "127.0.0.1", "::1", "mongo.example"})
    EXPECT_EQ(check_mongo_host(host), "") << host;
  for (const char* host : {"a b", "a,b"}) EXPECT_THAT(check_mongo_host(host), HasSubstr(host));
  for (const char* host :
       {"mongodb://secret", "mongodb://u:secret@host", "u:secret@host", "secret@host", "host/secret", "host?secret"})
    EXPECT_THAT(check_mongo_host(host), ::testing::AllOf(HasSubstr("not a host"), ::testing::Not(HasSubstr("secret"))))
        << host;
  EXPECT_EQ(check_mongo_database("horton_2"), "");
  for (const char* name : {"a b", "a.b", "$x"}) EXPECT_THAT(check_mongo_database(name), HasSubstr(name));
  EXPECT_THAT(check_mongo_database("mongodb://u:secret@host/db"),
              ::testing::AllOf(HasSubstr("not a database name"), ::testing::Not(HasSubstr("secret"))));
  EXPECT_NE(check_mongo_database(std::string(64, 'x')), "");
}

TEST(Mongo, NamesItsPlaceWithoutUserAndPassword) {
  MongoOptions options;
  options.url = "mongodb://ann:secret@localhost:1/stocks";
  EXPECT_EQ(MongoPool{options}.place(), "MongoDB at localhost:1 (database stocks)");
  options.database = "others";
  EXPECT_EQ(MongoPool{options}.place(), "MongoDB at localhost:1 (database others)");
  options = {};
  options.host = "::1";
  EXPECT_EQ(MongoPool{options}.place(), "MongoDB at [::1]:27017 (database horton)");
}

std::string refusal(const MongoOptions& options) {
  try {
    MongoPool pool{options};
  } catch (const Failure& failure) {
    return failure.kind() == ErrorKind::kInvalid ? failure.what() : "another kind";
  }
  return "";
}

TEST(Mongo, WantsAUserAndAPasswordTogether) {
  MongoOptions options;
  options.host = "localhost";
  options.username = "ann";
  EXPECT_THAT(refusal(options), HasSubstr("mongo.password"));
  options.password = "secret";
  EXPECT_EQ(refusal(options), "");
  options.username = "";
  EXPECT_THAT(refusal(options), HasSubstr("mongo.username"));
}

bson_error_t error_of(std::uint32_t domain, std::uint32_t code, const char* message) {
  bson_error_t error{};
  bson_set_error(&error, domain, code, "%s", message);
  return error;
}

// A call that may have been done is only repeated if that does no harm. The event is not blamed for an error that the
// call cannot have caused.
TEST(Mongo, SaysWhatMayBeRepeated) {
  MongoOptions options;
  options.host = "localhost";
  const MongoPool pool{options};
  auto kind = [&](std::uint32_t domain, std::uint32_t code, bool repeatable) {
    return pool.failure(error_of(domain, code, "why"), repeatable).kind();
  };
  EXPECT_EQ(kind(MONGOC_ERROR_SERVER_SELECTION, 13053, false), ErrorKind::kUnavailable);
  EXPECT_EQ(kind(MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_SOCKET, true), ErrorKind::kUnavailable);
  EXPECT_EQ(kind(MONGOC_ERROR_STREAM, MONGOC_ERROR_STREAM_SOCKET, false), ErrorKind::kIndefinite);
  EXPECT_EQ(kind(MONGOC_ERROR_SERVER, 10107, true), ErrorKind::kUnavailable);  // the primary moved
  EXPECT_EQ(kind(MONGOC_ERROR_SERVER, 10107, false), ErrorKind::kIndefinite);
  EXPECT_EQ(kind(MONGOC_ERROR_CLIENT, MONGOC_ERROR_CLIENT_AUTHENTICATE, false), ErrorKind::kUnavailable);
  EXPECT_EQ(kind(MONGOC_ERROR_SERVER, 13, false), ErrorKind::kUnavailable);
  EXPECT_EQ(kind(MONGOC_ERROR_SERVER, 11000, true), ErrorKind::kInvalid);
  EXPECT_EQ(kind(MONGOC_ERROR_SERVER, 9, true), ErrorKind::kInvalid);
  EXPECT_EQ(kind(MONGOC_ERROR_BSON, MONGOC_ERROR_BSON_INVALID, true), ErrorKind::kInvalid);
}

TEST(Mongo, SaysWhyNoServerIsFound) {
  MongoOptions options;
  options.host = "localhost";
  const auto failure = MongoPool{options}.failure(
      error_of(MONGOC_ERROR_SERVER_SELECTION, 13053,
               "No suitable servers found: `serverSelectionTimeoutMS` expired: [Failed to resolve localhost]"),
      true);
  EXPECT_STREQ(failure.what(),
               "MongoDB at localhost:27017 (database horton) cannot be reached: Failed to resolve localhost; check "
               "mongo.host and mongo.port, or mongo.url");
}

class OnMongo : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("HORTON_TEST_MONGO_URL") == nullptr) GTEST_SKIP() << "no HORTON_TEST_MONGO_URL";
    place.emplace("mongodb");
    documents = place->open();
  }
  Collection securities() { return documents->collection("securities", {"symbol", "exchange"}); }
  std::optional<Failure> failure_of(mephisto::Task<UpdateResult> task) {
    try {
      loop.run(std::move(task));
    } catch (const Failure& failure) {
      return failure;
    }
    return std::nullopt;
  }

  mephisto::Loop loop;
  std::optional<DocumentsPlace> place;
  std::unique_ptr<Documents> documents;
};

TEST_F(OnMongo, UpsertManyDoneAgainChangesNothing) {
  std::vector<Change> changes;
  for (int i = 0; i < 1000; ++i) changes.push_back({{{"symbol", std::to_string(i)}, {"exchange", "X"}}, {{"n", i}}});
  loop.run(securities().upsert_many(changes));
  const auto before = loop.run(securities().find_many({}));
  const auto again = loop.run(securities().upsert_many(changes));
  EXPECT_EQ(again.matched, 1000);
  EXPECT_EQ(again.modified, 0);
  EXPECT_FALSE(again.inserted);
  EXPECT_EQ(loop.run(securities().find_many({})), before);
}

// Several workers that list the same securities at once do this.
TEST_F(OnMongo, ManyUpsertTheSameKeysAtOnce) {
  std::vector<std::jthread> workers;
  for (int worker = 0; worker < 6; ++worker) {
    workers.emplace_back([this, worker] {
      mephisto::Loop own;
      const auto opened = place->open();
      std::vector<Change> changes;
      for (int i = 0; i < 50; ++i)
        changes.push_back({{{"symbol", std::to_string(i)}, {"exchange", "X"}}, {{"by", worker}}});
      own.run(opened->collection("securities", {"symbol", "exchange"}).upsert_many(std::move(changes)));
    });
  }
  workers.clear();
  EXPECT_EQ(loop.run(securities().find_many({})).size(), 50U);
}

TEST_F(OnMongo, AnUpsertIntoAnotherDocumentsKeyIsRefused) {
  loop.run(securities().insert_one({{"symbol", "A"}, {"exchange", "X"}}));
  UpdateOptions options;
  options.upsert = true;
  const auto failure =
      failure_of(securities().update_one({{"symbol", "B"}, {"exchange", "X"}}, {{"symbol", "A"}}, options));
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->kind(), ErrorKind::kInvalid);
}

TEST_F(OnMongo, TooLargeADocumentIsRefused) {
  loop.run(securities().insert_one({{"symbol", "A"}, {"exchange", "X"}}));
  const std::string large(17 << 20, 'x');
  const auto failure = failure_of(securities().update_one({{"symbol", "A"}, {"exchange", "X"}}, {{"large", large}}));
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->kind(), ErrorKind::kInvalid);
  EXPECT_THAT(failure->what(), AllOf(HasSubstr("large"), Not(HasSubstr("xxx"))));
  EXPECT_EQ(loop.run(securities().find_one({})).value().size(), 3U);
}

TEST_F(OnMongo, WhatTheServerDoesNotKnowIsNamed) {
  loop.run(securities().insert_one({{"symbol", "A"}, {"exchange", "X"}}));
  const auto failure = failure_of(securities().update_one({}, {{"$nonsense", Object{{"a", 1}}}}));
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->kind(), ErrorKind::kInvalid);
  EXPECT_THAT(failure->what(), HasSubstr("$nonsense"));
}

}  // namespace
}  // namespace horton
