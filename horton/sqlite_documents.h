// Documents embedded in one SQLite file that several processes share: one table for a collection, with JSON. Writes are
// durable when they return (WAL, synchronous=FULL); those that come together share one transaction. What a call changes
// it changes whole or not at all. The operators are those of query.h. While the file cannot be used (a full disk,
// another program's lock), a call for an event waits (patience.h).
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "horton/documents.h"
#include "horton/patience.h"
#include "mephisto/sync.h"

struct sqlite3;

namespace horton {

class SqliteDocuments : public Documents {
 public:
  // Opens or creates the file. Throws Failure with what is wrong with it.
  explicit SqliteDocuments(const std::string& path);
  ~SqliteDocuments() override;

  mephisto::Task<std::vector<Object>> find(const Collection& in, Object filter, FindOptions options) override;
  mephisto::Task<std::vector<Object>> aggregate(const Collection& in, boost::json::array pipeline) override;
  mephisto::Task<void> insert(const Collection& into, std::vector<Object> documents) override;
  mephisto::Task<UpdateResult> update(const Collection& in, std::vector<Change> changes, bool upsert,
                                      Which which) override;
  mephisto::Task<std::int64_t> remove(const Collection& from, Object filter, Which which) override;

 private:
  using Job = std::function<void(sqlite3*)>;
  // A job inside of a write transaction, which may be called several times; `write_to` makes the collection's table
  // first, where it is missing.
  mephisto::Task<void> write(Job job);
  mephisto::Task<void> write_to(const Collection& collection, Job job);
  // A job on a snapshot.
  mephisto::Task<void> read(Job job);

  struct Pending {
    Job* job;
    mephisto::Loop::Poster post;
    std::function<void(std::exception_ptr)> done;
  };
  void work();

  std::string place_;  // for people
  Patience patience_;
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
