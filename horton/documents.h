// Documents: collections of JSON objects with MongoDB's CRUD operations. They are in one SQLite file that several
// processes share (sqlite_documents.h), or on a MongoDB server (mongo_documents.h).
//
//   auto& documents = horton::documents();
//   co_await documents.collection("securities").update_one({{"symbol", "AAPL"}}, {{"price", 1.5}}, {.upsert = true});
//
// Writes are durable when they return, and everything runs off the event loop. Throws mephisto::Failure.
#pragma once

#include <boost/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "mephisto/task.h"

namespace horton {

using Object = boost::json::object;

struct FindOptions {
  Object sort;
  std::int64_t limit = 0;  // 0: all
  std::int64_t skip = 0;
  Object projection;
};

struct UpdateOptions {
  bool upsert = false;
  bool with_set_option = true;  // wraps a payload without operators in $set
};

struct UpdateResult {
  std::int64_t matched = 0;
  std::int64_t modified = 0;
  bool inserted = false;
};

struct Change {
  Object filter;
  Object payload;
};

// Which of the matching documents an operation changes.
enum class Which { kFirst, kAll };

class Documents;

// The first write creates a collection and its unique index.
class Collection {
 public:
  Collection(Documents& documents, std::string name, std::vector<std::string> unique)
      : documents_(documents), name_(std::move(name)), unique_(std::move(unique)) {}

  const std::string& name() const { return name_; }
  // The fields that (together) identify a document.
  const std::vector<std::string>& unique() const { return unique_; }

  mephisto::Task<std::optional<Object>> find_one(Object filter, FindOptions options = {}) const;
  mephisto::Task<std::vector<Object>> find_many(Object filter, FindOptions options = {}) const;
  mephisto::Task<std::int64_t> count(Object filter) const;
  mephisto::Task<std::vector<Object>> aggregate(boost::json::array pipeline) const;
  // Returns the new document's _id, a text. kInvalid if a unique index forbids it.
  mephisto::Task<std::string> insert_one(Object document) const;
  mephisto::Task<std::vector<std::string>> insert_many(std::vector<Object> documents) const;
  mephisto::Task<UpdateResult> update_one(Object filter, Object payload, UpdateOptions options = {}) const;
  mephisto::Task<UpdateResult> update_many(Object filter, Object payload, UpdateOptions options = {}) const;
  // Upserts each change, in order.
  mephisto::Task<UpdateResult> upsert_many(std::vector<Change> changes) const;
  mephisto::Task<std::int64_t> delete_one(Object filter) const;
  mephisto::Task<std::int64_t> delete_many(Object filter) const;

 private:
  Documents& documents_;
  std::string name_;
  std::vector<std::string> unique_;
};

// The store of the collections: what a Collection needs from it.
class Documents {
 public:
  virtual ~Documents() = default;

  // `unique` fields (together) identify a document. Thread-safe; does not read the store.
  Collection collection(std::string name, std::vector<std::string> unique = {}) {
    return {*this, std::move(name), std::move(unique)};
  }

  // With a limit, memory has about `skip` + `limit` documents, of the fields that the projection keeps.
  virtual mephisto::Task<std::vector<Object>> find(const Collection& in, Object filter, FindOptions options) = 0;
  virtual mephisto::Task<std::int64_t> count(const Collection& in, Object filter) = 0;
  virtual mephisto::Task<std::vector<Object>> aggregate(const Collection& in, boost::json::array pipeline) = 0;
  // Each document has an _id.
  virtual mephisto::Task<void> insert(const Collection& into, std::vector<Object> documents) = 0;
  // One after the other. A payload consists of operators, or it replaces the document.
  virtual mephisto::Task<UpdateResult> update(const Collection& in, std::vector<Change> changes, bool upsert,
                                              Which which) = 0;
  virtual mephisto::Task<std::int64_t> remove(const Collection& from, Object filter, Which which) = 0;
};

// An _id for a document that has none.
std::string new_id();

}  // namespace horton
