// Documents: collections of JSON objects with MongoDB's CRUD, embedded in one SQLite file that several processes share.
//
//   auto& documents = horton::documents();
//   co_await documents.collection("securities").update_one({{"symbol", "AAPL"}}, {{"price", 1.5}}, {.upsert = true});
//
// Writes are durable when they return (WAL, synchronous=FULL); those that come together share one transaction. Everything happens off
// the event loop. Throws mephisto::Failure; the operators are those of query.h.
#pragma once

#include <boost/json.hpp>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "mephisto/sync.h"

struct sqlite3;

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
  bool with_set_option = true;  // wrap a payload without operators in $set
};

struct UpdateResult {
  std::int64_t matched = 0;
  std::int64_t modified = 0;
  bool inserted = false;
};

class Documents;

// A collection's table and its unique index are made by the first write.
class Collection {
 public:
  Collection(Documents& documents, std::string name, std::vector<std::string> unique) : documents_(documents), name_(std::move(name)), unique_(std::move(unique)) {}

  mephisto::Task<std::optional<Object>> find_one(Object filter, FindOptions options = {}) const;
  mephisto::Task<std::vector<Object>> find_many(Object filter, FindOptions options = {}) const;
  mephisto::Task<std::vector<Object>> aggregate(boost::json::array pipeline) const;
  // Gives the new document's _id. kInvalid when a unique index forbids it.
  mephisto::Task<std::string> insert_one(Object document) const;
  mephisto::Task<std::vector<std::string>> insert_many(std::vector<Object> documents) const;
  mephisto::Task<UpdateResult> update_one(Object filter, Object payload, UpdateOptions options = {}) const;
  mephisto::Task<UpdateResult> update_many(Object filter, Object payload, UpdateOptions options = {}) const;
  struct Change {
    Object filter;
    Object payload;
  };
  // Upserts all in one transaction.
  mephisto::Task<UpdateResult> upsert_many(std::vector<Change> changes) const;
  mephisto::Task<std::int64_t> delete_one(Object filter) const;
  mephisto::Task<std::int64_t> delete_many(Object filter) const;

 private:
  using Job = std::function<void(sqlite3*)>;
  // A job of the writer's on the table, which is made where it is missing.
  mephisto::Task<void> write(Job job) const;

  Documents& documents_;
  std::string name_;
  std::vector<std::string> unique_;
};

class Documents {
 public:
  // Opens or creates the file. Throws Failure with what is wrong with it.
  explicit Documents(const std::string& path);
  ~Documents();

  // A collection; `unique` fields (together) identify a document. Thread-safe, and reads nothing.
  Collection collection(std::string name, std::vector<std::string> unique = {}) { return {*this, std::move(name), std::move(unique)}; }

  // A job inside of a write transaction, or on a snapshot; for Collection.
  using Job = std::function<void(sqlite3*)>;
  mephisto::Task<void> write(Job job);
  mephisto::Task<void> read(Job job);

 private:
  struct Pending {
    Job* job;
    mephisto::Loop::Poster post;
    std::function<void(std::exception_ptr)> done;
  };
  void work();

  sqlite3* database_ = nullptr;  // of the writer's thread
  std::mutex readers_mutex_;
  sqlite3* reader_ = nullptr;
  std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<Pending> pending_;
  bool stopping_ = false;
  std::thread writer_;
};

}  // namespace horton
