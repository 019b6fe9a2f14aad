// Documents embedded in one SQLite file that several processes share: one table for each collection, with JSON. Writes
// are durable when they return (WAL, synchronous=FULL), and those that arrive together share one transaction. A call
// changes everything or nothing. The operators are those of query.h. While the file cannot be used (a full disk,
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
  mephisto::Task<std::int64_t> count(const Collection& in, Object filter) override;
  mephisto::Task<std::vector<Object>> aggregate(const Collection& in, boost::json::array pipeline) override;
  mephisto::Task<void> insert(const Collection& into, std::vector<Object> documents) override;
  mephisto::Task<UpdateResult> update(const Collection& in, std::vector<Change> changes, bool upsert,
                                      Which which) override;
  mephisto::Task<std::int64_t> remove(const Collection& from, Object filter, Which which) override;

 private:
  using Job = std::function<void(sqlite3*)>;
  // Runs a job inside a write transaction; it may be called several times. If the table of `write_to` is missing, it is
  // created first.
  mephisto::Task<void> write(Job job);
  mephisto::Task<void> write_to(const Collection& collection, Job job);
  mephisto::Task<void> read(Job job);

  struct Pending {
    Job* job;
    mephisto::Loop::Poster post;
    std::function<void(std::exception_ptr)> done;
  };
  void work();

  // A connection, opened by its first use.
  struct Reader {
    std::mutex mutex;
    sqlite3* database = nullptr;
  };

  std::string path_;
  std::string place_;  // for people
  Patience patience_;
  sqlite3* database_ = nullptr;  // used by the writer's thread only
  // What events read does not wait for what people look at.
  Reader for_events_;
  Reader for_others_;
  std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<Pending> pending_;
  bool stopping_ = false;
  std::thread writer_;
};

}  // namespace horton
