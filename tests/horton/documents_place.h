// Where documents are kept in tests: in SQLite, and on the MongoDB that HORTON_TEST_MONGO_URL names, in a database of the test's own.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "horton/mongo_documents.h"
#include "horton/sqlite_documents.h"

namespace horton {

inline std::vector<std::string> kinds_of_documents() {
  std::vector<std::string> kinds{"sqlite"};
  if (std::getenv("HORTON_TEST_MONGO_URL") != nullptr) kinds.emplace_back("mongodb");
  return kinds;
}

#define HORTON_ON_EVERY_KIND_OF_DOCUMENTS(Suite) INSTANTIATE_TEST_SUITE_P(Documents, Suite, ::testing::ValuesIn(kinds_of_documents()), [](const auto& info) { return info.param; })

// Empty at first, and gone with its owner.
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

}  // namespace horton
