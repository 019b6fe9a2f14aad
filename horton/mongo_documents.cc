#include "horton/mongo_documents.h"

#include <fmt/format.h>

#include <algorithm>

#include "horton/bson.h"
#include "mephisto/sync.h"

namespace horton {
namespace {

using mephisto::ErrorKind;
using mephisto::Failure;
using mephisto::Task;

struct Destroy {
  void operator()(mongoc_collection_t* collection) const { mongoc_collection_destroy(collection); }
  void operator()(mongoc_cursor_t* cursor) const { mongoc_cursor_destroy(cursor); }
  void operator()(mongoc_bulk_operation_t* bulk) const { mongoc_bulk_operation_destroy(bulk); }
};
template <class T>
using Owned = std::unique_ptr<T, Destroy>;

Owned<mongoc_collection_t> open(mongoc_client_t* client, const MongoPool& pool, const Collection& collection) {
  return Owned<mongoc_collection_t>{
      mongoc_client_get_collection(client, pool.database().c_str(), collection.name().c_str())};
}

std::vector<Object> all_of(const Owned<mongoc_cursor_t>& cursor, const MongoPool& pool) {
  std::vector<Object> found;
  const bson_t* document = nullptr;
  while (mongoc_cursor_next(cursor.get(), &document)) found.push_back(from_bson(*document));
  bson_error_t error{};
  if (mongoc_cursor_error(cursor.get(), &error)) throw pool.failure(error, true);
  return found;
}

Object find_options(FindOptions options) {
  Object given;
  if (!options.sort.empty()) given["sort"] = std::move(options.sort);
  if (options.limit > 0) given["limit"] = options.limit;
  if (options.skip > 0) given["skip"] = options.skip;
  if (!options.projection.empty()) given["projection"] = std::move(options.projection);
  return given;
}

// A change in the form that goes to the server.
struct Prepared {
  Bson filter;
  Bson payload;
  bool replaces = false;
  bool repeatable = true;  // doing it twice has the same result as doing it once
};

Prepared prepare(Change change, bool upsert) {
  Prepared prepared;
  auto& payload = change.payload;
  prepared.replaces = std::ranges::none_of(payload, [](const auto& field) { return field.key().starts_with('$'); });
  prepared.repeatable = prepared.replaces || std::ranges::all_of(payload, [](const auto& field) {
                          return field.key() == "$set" || field.key() == "$unset" || field.key() == "$setOnInsert";
                        });
  // Otherwise the server would choose an object id, but an _id is a text here.
  if (const auto* set = payload.if_contains("$set");
      upsert && !prepared.replaces && !change.filter.contains("_id") &&
      !(set != nullptr && set->is_object() && set->get_object().contains("_id"))) {
    auto& inserted = payload.emplace("$setOnInsert", Object{}).first->value();
    if (inserted.is_object()) inserted.get_object().emplace("_id", new_id());
  }
  prepared.filter = to_bson(change.filter);
  prepared.payload = to_bson(payload);
  return prepared;
}

bool add(mongoc_bulk_operation_t* bulk, const Prepared& change, bool upsert, Which which, bson_error_t* error) {
  const auto options = to_bson({{"upsert", upsert}});
  if (change.replaces && which == Which::kAll)
    throw Failure(ErrorKind::kInvalid, "MongoDB replaces one document at a time: put the fields into $set");
  const auto apply = change.replaces        ? mongoc_bulk_operation_replace_one_with_opts
                     : which == Which::kAll ? mongoc_bulk_operation_update_many_with_opts
                                            : mongoc_bulk_operation_update_one_with_opts;
  return apply(bulk, change.filter.get(), change.payload.get(), options.get(), error);
}

struct Reply {
  bson_t bson{};
  Reply() = default;
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  ~Reply() { bson_destroy(&bson); }
};

// A count from a bulk operation's reply.
std::int64_t count_in(const Object& reply, const char* name) {
  const auto* value = reply.if_contains(name);
  return value == nullptr ? 0 : value->to_number<std::int64_t>();
}

// The index of the operation that was refused; those before it are done.
std::optional<std::size_t> refused_at(const Object& reply) {
  const auto* errors = reply.if_contains("writeErrors");
  if (errors == nullptr || errors->as_array().empty()) return std::nullopt;
  return errors->as_array().front().at("index").to_number<std::size_t>();
}

Object execute(mongoc_bulk_operation_t* bulk, bool& done, bson_error_t* error) {
  Reply reply;
  done = mongoc_bulk_operation_execute(bulk, &reply.bson, error) != 0;
  return from_bson(reply.bson);
}

}  // namespace

Task<void> MongoDocuments::run(Job job) {
  co_await patience_.run(pool_.place(), "the MongoDB to be reachable",
                         [&] { return mephisto::blocking([&] { job(pool_.take().get()); }, "MongoDB"); });
}

void MongoDocuments::make_index(mongoc_client_t* client, const Collection& collection) {
  if (collection.unique().empty()) return;
  {
    std::lock_guard lock{mutex_};
    if (indexed_.contains(collection.name())) return;
  }
  Object key;
  // The name that MongoDB itself gives to such an index, so that an existing one counts as the same.
  std::string name;
  for (const auto& field : collection.unique()) {
    key[field] = 1;
    name += (name.empty() ? "" : "_") + field + "_1";
  }
  const auto command =
      to_bson({{"createIndexes", collection.name()},
               {"indexes", boost::json::array{Object{{"key", key}, {"name", name}, {"unique", true}}}}});
  bson_error_t error{};
  Reply reply;
  if (!mongoc_client_write_command_with_opts(client, pool_.database().c_str(), command.get(), nullptr, &reply.bson,
                                             &error))
    throw pool_.failure(error, true);
  std::lock_guard lock{mutex_};
  indexed_.insert(collection.name());
}

Task<std::vector<Object>> MongoDocuments::find(const Collection& in, Object filter, FindOptions options) {
  const auto wanted = to_bson(filter);
  const auto given = to_bson(find_options(std::move(options)));
  std::vector<Object> found;
  co_await run([&](mongoc_client_t* client) {
    const auto collection = open(client, pool_, in);
    found = all_of(
        Owned<mongoc_cursor_t>{mongoc_collection_find_with_opts(collection.get(), wanted.get(), given.get(), nullptr)},
        pool_);
  });
  co_return found;
}

Task<std::int64_t> MongoDocuments::count(const Collection& in, Object filter) {
  const auto wanted = to_bson(filter);
  std::int64_t found = 0;
  co_await run([&](mongoc_client_t* client) {
    const auto collection = open(client, pool_, in);
    bson_error_t error{};
    found = mongoc_collection_count_documents(collection.get(), wanted.get(), nullptr, nullptr, nullptr, &error);
    if (found < 0) throw pool_.failure(error, true);
  });
  co_return found;
}

Task<std::vector<Object>> MongoDocuments::aggregate(const Collection& in, boost::json::array pipeline) {
  const auto stages = to_bson({{"pipeline", std::move(pipeline)}});
  std::vector<Object> found;
  co_await run([&](mongoc_client_t* client) {
    const auto collection = open(client, pool_, in);
    found = all_of(Owned<mongoc_cursor_t>{mongoc_collection_aggregate(collection.get(), MONGOC_QUERY_NONE, stages.get(),
                                                                      nullptr, nullptr)},
                   pool_);
  });
  co_return found;
}

Task<void> MongoDocuments::insert(const Collection& into, std::vector<Object> documents) {
  std::vector<Bson> all;
  for (const auto& document : documents) all.push_back(to_bson(document));
  if (all.empty()) co_return;
  co_await run([&](mongoc_client_t* client) {
    make_index(client, into);
    const auto collection = open(client, pool_, into);
    const Owned<mongoc_bulk_operation_t> bulk{
        mongoc_collection_create_bulk_operation_with_opts(collection.get(), nullptr)};
    bson_error_t error{};
    bool done = true;
    for (const auto& document : all)
      done = done && mongoc_bulk_operation_insert_with_opts(bulk.get(), document.get(), nullptr, &error);
    if (done) execute(bulk.get(), done, &error);
    if (!done) throw pool_.failure(error, false);
  });
}

// If two callers upsert the same key at once, both may want to insert it. The unique index refuses one of them. So the
// refused change is tried once more and finds the other's document, and the changes after it follow.
Task<UpdateResult> MongoDocuments::update(const Collection& in, std::vector<Change> changes, bool upsert, Which which) {
  std::vector<Prepared> prepared;
  for (auto& change : changes) prepared.push_back(prepare(std::move(change), upsert));
  const bool repeatable = std::ranges::all_of(prepared, &Prepared::repeatable);
  UpdateResult result;
  std::size_t first = 0;
  std::optional<std::size_t> refused;
  co_await run([&](mongoc_client_t* client) {
    make_index(client, in);
    const auto collection = open(client, pool_, in);
    while (first < prepared.size()) {
      const Owned<mongoc_bulk_operation_t> bulk{
          mongoc_collection_create_bulk_operation_with_opts(collection.get(), nullptr)};
      bson_error_t error{};
      for (std::size_t i = first; i < prepared.size(); ++i) {
        if (!add(bulk.get(), prepared[i], upsert, which, &error)) throw pool_.failure(error, repeatable);
      }
      bool done = true;
      const auto reply = execute(bulk.get(), done, &error);
      result.matched += count_in(reply, "nMatched");
      result.modified += count_in(reply, "nModified");
      result.inserted = result.inserted || count_in(reply, "nUpserted") > 0;
      if (done) return;
      const auto at = refused_at(reply);
      if (!at) throw pool_.failure(error, repeatable);
      first += *at;
      if (!upsert || error.code != MONGOC_ERROR_DUPLICATE_KEY || refused == first)
        throw pool_.failure(error, repeatable);
      refused = first;
    }
  });
  co_return result;
}

Task<std::int64_t> MongoDocuments::remove(const Collection& from, Object filter, Which which) {
  const auto wanted = to_bson(filter);
  std::int64_t removed = 0;
  co_await run([&](mongoc_client_t* client) {
    const auto collection = open(client, pool_, from);
    const Owned<mongoc_bulk_operation_t> bulk{
        mongoc_collection_create_bulk_operation_with_opts(collection.get(), nullptr)};
    const auto apply =
        which == Which::kAll ? mongoc_bulk_operation_remove_many_with_opts : mongoc_bulk_operation_remove_one_with_opts;
    bson_error_t error{};
    bool done = apply(bulk.get(), wanted.get(), nullptr, &error);
    if (done) removed = count_in(execute(bulk.get(), done, &error), "nRemoved");
    if (!done) throw pool_.failure(error, which == Which::kAll);
  });
  co_return removed;
}

}  // namespace horton
