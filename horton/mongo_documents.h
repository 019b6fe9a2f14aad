// Documents on a MongoDB server. MongoDB itself interprets filters, updates and pipelines, including those that query.h
// does not know. Each document changes as a whole or not at all. A call with several documents that fails half-way
// keeps what it has done; the embedded store undoes it.
//
// While the server is unreachable, a call for an event waits for it (patience.h). Without an event, as in commands, the
// call fails with kUnavailable.
#pragma once

#include <functional>
#include <mutex>
#include <set>

#include "horton/documents.h"
#include "horton/mongo.h"
#include "horton/patience.h"

namespace horton {

class MongoDocuments : public Documents {
 public:
  // The first call connects.
  explicit MongoDocuments(const MongoOptions& options) : pool_(options) {}

  mephisto::Task<std::vector<Object>> find(const Collection& in, Object filter, FindOptions options) override;
  mephisto::Task<std::int64_t> count(const Collection& in, Object filter) override;
  mephisto::Task<std::vector<Object>> aggregate(const Collection& in, boost::json::array pipeline) override;
  mephisto::Task<void> insert(const Collection& into, std::vector<Object> documents) override;
  mephisto::Task<UpdateResult> update(const Collection& in, std::vector<Change> changes, bool upsert,
                                      Which which) override;
  mephisto::Task<std::int64_t> remove(const Collection& from, Object filter, Which which) override;

 private:
  using Job = std::function<void(mongoc_client_t*)>;
  // Runs `job` on a thread for blocking calls. Repeats it while the server is unreachable, if there is an event that
  // can wait.
  mephisto::Task<void> run(Job job);
  // Creates the collection's unique index, once.
  void make_index(mongoc_client_t* client, const Collection& collection);

  MongoPool pool_;
  std::mutex mutex_;
  std::set<std::string> indexed_;
  Patience patience_;
};

}  // namespace horton
