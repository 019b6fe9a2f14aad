// Documents on a MongoDB server. It is MongoDB that understands filters, updates and pipelines, also where query.h does
// not. Each document changes whole or not at all; a call with several that fails half-way keeps what it did (the
// embedded ones undo it).
//
// While the server is away, a call for an event waits for it (patience.h). Without an event, as in commands, it fails
// with kUnavailable.
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
  // Connects with the first call.
  explicit MongoDocuments(const MongoOptions& options) : pool_(options) {}

  mephisto::Task<std::vector<Object>> find(const Collection& in, Object filter, FindOptions options) override;
  mephisto::Task<std::vector<Object>> aggregate(const Collection& in, boost::json::array pipeline) override;
  mephisto::Task<void> insert(const Collection& into, std::vector<Object> documents) override;
  mephisto::Task<UpdateResult> update(const Collection& in, std::vector<Change> changes, bool upsert,
                                      Which which) override;
  mephisto::Task<std::int64_t> remove(const Collection& from, Object filter, Which which) override;

 private:
  using Job = std::function<void(mongoc_client_t*)>;
  // Runs `job` on a thread for blocking calls, again and again where the server is away and there is an event to wait
  // for.
  mephisto::Task<void> run(Job job);
  // The collection's unique index, once.
  void make_index(mongoc_client_t* client, const Collection& collection);

  MongoPool pool_;
  std::mutex mutex_;
  std::set<std::string> indexed_;
  Patience patience_;
};

}  // namespace horton
