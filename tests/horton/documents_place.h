// The stores of documents in tests: SQLite, and a database of the test's own on the MongoDB that HORTON_TEST_MONGO_URL
// names.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "horton/mongo_documents.h"
#include "horton/sqlite_documents.h"
#include "mephisto/loop.h"

namespace horton {

inline std::vector<std::string> kinds_of_documents() {
  std::vector<std::string> kinds{"sqlite"};
  if (std::getenv("HORTON_TEST_MONGO_URL") != nullptr) kinds.emplace_back("mongodb");
  return kinds;
}

#define HORTON_ON_EVERY_KIND_OF_DOCUMENTS(Suite)                                        \
  INSTANTIATE_TEST_SUITE_P(Documents, Suite, ::testing::ValuesIn(kinds_of_documents()), \
                           [](const auto& info) { return info.param; })

// Empty at first; deleted with its owner.
class DocumentsPlace {
 public:
  explicit DocumentsPlace(const std::string& kind) : mongo_(kind == "mongodb") {
    std::string pattern = "/tmp/horton_documents_XXXXXX";
    folder_ = mkdtemp(pattern.data());
    options_.url = mongo_ ? std::getenv("HORTON_TEST_MONGO_URL") : "";
    options_.database = "horton_test_" + folder_.substr(folder_.size() - 6);
  }
  ~DocumentsPlace() {
    std::filesystem::remove_all(folder_);
    if (!mongo_) return;
    const MongoPool pool{options_};
    const auto client = pool.take();
    mongoc_database_t* database = mongoc_client_get_database(client.get(), options_.database.c_str());
    mongoc_database_drop(database, nullptr);
    mongoc_database_destroy(database);
  }
  DocumentsPlace(const DocumentsPlace&) = delete;
  DocumentsPlace& operator=(const DocumentsPlace&) = delete;

  const std::string& folder() const { return folder_; }
  std::string path() const { return folder_ + "/documents.db"; }
  const MongoOptions& mongo() const { return options_; }
  std::unique_ptr<Documents> open() const {
    if (mongo_) return std::make_unique<MongoDocuments>(options_);
    return std::make_unique<SqliteDocuments>(path());
  }

 private:
  bool mongo_;
  std::string folder_;
  MongoOptions options_;
};

inline Object object(std::string_view text) { return boost::json::parse(text).as_object(); }

inline const char* const kThree =
    R"([{"name": "Ann", "age": 30, "tags": ["a", "b"]}, {"name": "Bob", "age": 40, "tags": ["b"]}, {"name": "Cid", "age": 50, "at": {"city": "Rome"}}])";

// Documents in a store, and a loop to work on them.
class OnDocuments {
 protected:
  explicit OnDocuments(const std::string& kind) : place(kind), documents(place.open()) {}

  void reopen() {
    documents.reset();
    documents = place.open();
  }
  Collection people() { return documents->collection("people"); }
  template <class T>
  T now(mephisto::Task<T> task) {
    return loop.run(std::move(task));
  }
  void insert(std::string_view list) {
    std::vector<Object> all;
    for (const auto& one : boost::json::parse(list).as_array()) all.push_back(one.as_object());
    now(people().insert_many(all));
  }
  // The names of the documents that `filter` finds, in the order found if the options ask for one.
  std::vector<std::string> names(std::string_view filter, FindOptions options = {}) {
    std::vector<std::string> all;
    for (const auto& one : now(people().find_many(object(filter), options)))
      all.emplace_back(one.at("name").as_string());
    if (options.sort.empty()) std::ranges::sort(all);
    return all;
  }
  template <class T>
  mephisto::Failure failure_of(mephisto::Task<T> task) {
    try {
      now(std::move(task));
    } catch (const mephisto::Failure& failure) {
      return failure;
    }
    ADD_FAILURE() << "it went well";
    return mephisto::Failure{mephisto::ErrorKind::kFatal, ""};
  }

  mephisto::Loop loop;
  DocumentsPlace place;
  std::unique_ptr<Documents> documents;
};

}  // namespace horton
