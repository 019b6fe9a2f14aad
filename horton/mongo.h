// A MongoDB server with our errors: its address, its connections, and what its errors mean. The documents use it.
#pragma once

#include <mongoc/mongoc.h>

#include <chrono>
#include <memory>
#include <string>

#include "mephisto/error.h"

namespace horton {

struct MongoOptions {
  std::string url;   // mongodb:// or mongodb+srv:// with all their options; empty: `host` and `port`
  std::string host;  // a name or an address
  int port = 27017;
  // If they are not empty, they override those in the URL.
  std::string database;
  std::string username;
  std::string password;
  std::chrono::milliseconds deadline{30'000};  // for one answer of the server
};

// Returns what is wrong with a setting, or an empty text. Looks at the text only, and never shows a password.
std::string check_mongo_url(const std::string& url);
std::string check_mongo_host(const std::string& host);
std::string check_mongo_database(const std::string& name);

// Connections to one server (or set of servers) for threads that block. They are opened on demand, and the driver
// monitors the servers in the background.
class MongoPool {
 public:
  // Does not connect yet. Throws Failure (kInvalid) with what is wrong with the options.
  explicit MongoPool(const MongoOptions& options);

  struct Return {
    mongoc_client_pool_t* pool;
    void operator()(mongoc_client_t* client) const { mongoc_client_pool_push(pool, client); }
  };
  using Client = std::unique_ptr<mongoc_client_t, Return>;
  Client take() const { return {mongoc_client_pool_pop(pool_.get()), Return{pool_.get()}}; }

  const std::string& database() const { return database_; }
  // For people: `MongoDB at localhost:27017 (database horton)`.
  const std::string& place() const { return place_; }

  // What an error of a call means. If nobody knows whether the call was done, a `repeatable` call gets kUnavailable,
  // because it may be made again. Other calls get kIndefinite.
  mephisto::Failure failure(const bson_error_t& error, bool repeatable) const;

 private:
  struct Destroy {
    void operator()(mongoc_client_pool_t* pool) const { mongoc_client_pool_destroy(pool); }
  };
  std::unique_ptr<mongoc_client_pool_t, Destroy> pool_;
  std::string database_;
  std::string place_;
};

}  // namespace horton
