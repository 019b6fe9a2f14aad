// The CRUD operations of a collection: a table of documents as JSON text. SQL only leaves out documents that cannot
// match; query.h decides which ones match.
#include <fmt/format.h>
#include <simdjson.h>

#include "horton/query.h"
#include "horton/query_values.h"
#include "horton/sqlite.h"
#include "horton/sqlite_documents.h"
#include "mephisto/error.h"

namespace horton {
namespace {

using mephisto::ErrorKind;
using mephisto::Failure;
using mephisto::Task;
using query::Filter;

constexpr std::size_t kSortedAtOnce = 1000;

// A field's value in SQL. It is null for an array, which may contain the wanted value.
std::string field_expression(std::string_view field) {
  auto path = sql_text(fmt::format("$.\"{}\"", field));
  return fmt::format("CASE json_type(doc, {0}) WHEN 'array' THEN NULL ELSE json_extract(doc, {0}) END", path);
}

// Whether SQLite can find a field of this name. It looks for the name as it is written in the text.
bool plain(std::string_view name) {
  return !name.empty() && !name.starts_with('$') && std::ranges::none_of(name, [](char c) {
    return c == '.' || c == '"' || c == '\\' || (c >= 0 && c < ' ') || c == '\x7f';
  });
}

bool exists(sqlite3* database, const std::string& name) {
  Statement find{database, "SELECT 1 FROM sqlite_master WHERE type='table' AND name=?"};
  find.bind(boost::json::value(name));
  return find.step();
}

// Visits the documents that match, until `visit` returns false. SQLite also checks the equalities of plain fields,
// because an index can serve them.
void each(sqlite3* database, const std::string& name, const Object& filter,
          const std::function<bool(Object&&)>& visit) {
  const Filter decides{filter};
  if (!exists(database, name)) return;
  std::string where;
  std::vector<boost::json::value> values;
  for (const auto& [field, wanted] : filter) {
    // For SQLite, a text ends at a zero byte.
    const bool text = wanted.is_string() && !std::string_view{wanted.get_string()}.contains('\0');
    if (!plain(field) || (!text && !wanted.is_int64())) continue;
    values.push_back(wanted);
    where += where.empty() ? " WHERE " : " AND ";
    where += field == "_id" ? fmt::format("id = ?{}", values.size())
                            : fmt::format("({0} = ?{1} OR {0} IS NULL)", field_expression(field), values.size());
  }
  Statement rows{database, fmt::format("SELECT doc FROM {}{}", sql_name(name), where)};
  for (const auto& value : values) rows.bind(value);
  while (rows.step()) {
    auto document = boost::json::parse(rows.text(0)).as_object();
    if (decides.matches(document) && !visit(std::move(document))) return;
  }
}

// The documents that match, at most `limit` (0: all).
std::vector<Object> select(sqlite3* database, const std::string& name, const Object& filter, std::size_t limit = 0) {
  std::vector<Object> found;
  each(database, name, filter, [&](Object&& document) {
    found.push_back(std::move(document));
    return limit == 0 || found.size() < limit;
  });
  return found;
}

// The first `most` documents of an order. The others are left out while they come, so that memory has no more than
// twice as many.
std::vector<Object> first_of(sqlite3* database, const std::string& name, const Object& filter, const Object& order,
                             std::size_t most, const query::Projection& keep) {
  std::vector<Object> found;
  const auto leave_out = [&] {
    query::sort(found, order);
    if (found.size() > most) found.resize(most);
  };
  each(database, name, filter, [&](Object&& document) {
    found.push_back(keep.of(document));
    if (found.size() >= 2 * most + kSortedAtOnce) leave_out();
    return true;
  });
  leave_out();
  return found;
}

// The fields that a projection keeps, and those of the order. Empty, which is all of them, if a part of a field is
// named or the projection says which fields are left out.
Object with_fields_of(Object projection, const Object& order) {
  bool keeps = false;
  for (const auto& [field, value] : projection)
    keeps = keeps || (field != "_id" && (value.is_bool() ? value.get_bool() : query::number(value) != 0));
  for (const auto& [field, direction] : order) projection[field] = 1;
  const bool parts = std::ranges::any_of(projection, [](const auto& field) { return field.key().contains('.'); });
  return keeps && !parts ? projection : Object{};
}

void store(sqlite3* database, const std::string& sql, const Object& document) {
  const auto text = boost::json::serialize(document);
  if (!simdjson::validate_utf8(text)) throw Failure(ErrorKind::kInvalid, "a document has text that is not UTF-8");
  Statement statement{database, sql};
  statement.bind(document.at("_id"));
  statement.bind(boost::json::value(text));
  statement.step();
}

void add(sqlite3* database, const std::string& name, const Object& document) {
  if (!document.at("_id").is_string())
    throw Failure(ErrorKind::kInvalid, "an _id is a text here, not " + boost::json::serialize(document.at("_id")));
  store(database, fmt::format("INSERT INTO {} (id, doc) VALUES (?1, ?2)", sql_name(name)), document);
}

// The equalities of an upsert's filter are the first fields of a new document.
void collect_equalities(const Object& filter, Object& equalities) {
  for (const auto& [field, value] : filter) {
    if (field == "$and") {
      for (const auto& one : value.get_array()) collect_equalities(one.get_object(), equalities);
      continue;
    }
    const auto* conditions = value.if_object();
    if (field.starts_with('$') || (conditions != nullptr && !conditions->empty() &&
                                   conditions->begin()->key().starts_with('$') && !conditions->contains("$eq")))
      continue;
    equalities[field] = conditions != nullptr && conditions->contains("$eq") ? conditions->at("$eq") : value;
  }
}

Object filter_as_document(const Object& filter) {
  Object equalities;
  collect_equalities(filter, equalities);
  Object document;
  query::update(document, {{"$set", std::move(equalities)}}, true);
  return document;
}

void change(sqlite3* database, const std::string& name, const Change& change, bool upsert, Which which,
            UpdateResult& result) {
  auto found = select(database, name, change.filter, which == Which::kAll ? 0 : 1);
  for (auto& document : found) {
    ++result.matched;
    auto before = document;
    query::update(document, change.payload);
    if (document == before) continue;
    ++result.modified;
    store(database, fmt::format("UPDATE {} SET doc = ?2 WHERE id = ?1", sql_name(name)), document);
  }
  if (!found.empty()) return;
  // Done even if nothing is inserted, because a wrong payload has to be reported.
  auto document = upsert ? filter_as_document(change.filter) : Object{};
  query::update(document, change.payload, true);
  if (!upsert) return;
  if (!document.contains("_id")) document["_id"] = new_id();
  add(database, name, document);
  result.inserted = true;
}

std::int64_t erase(sqlite3* database, const std::string& name, const Object& filter, Which which) {
  const auto found = select(database, name, filter, which == Which::kAll ? 0 : 1);
  for (const auto& document : found) {
    Statement statement{database, fmt::format("DELETE FROM {} WHERE id = ?", sql_name(name))};
    statement.bind(document.at("_id"));
    statement.step();
  }
  return std::ssize(found);
}

}  // namespace

Task<void> SqliteDocuments::write_to(const Collection& collection, Job job) {
  co_await write([&](sqlite3* database) {
    execute(database,
            fmt::format("CREATE TABLE IF NOT EXISTS {} (id TEXT PRIMARY KEY, doc TEXT NOT NULL) WITHOUT ROWID",
                        sql_name(collection.name())));
    std::string fields;
    for (const auto& field : collection.unique()) fields += (fields.empty() ? "" : ", ") + field_expression(field);
    if (!fields.empty())
      execute(database, fmt::format("CREATE UNIQUE INDEX IF NOT EXISTS {} ON {} ({})",
                                    sql_name(collection.name() + "_unique"), sql_name(collection.name()), fields));
    job(database);
  });
}

Task<std::vector<Object>> SqliteDocuments::find(const Collection& in, Object filter, FindOptions options) {
  const query::Projection projection{options.projection};
  const query::Projection keep{with_fields_of(options.projection, options.sort)};
  const auto enough =
      options.limit > 0 ? static_cast<std::size_t>(options.limit + std::max<std::int64_t>(options.skip, 0)) : 0;
  std::vector<Object> found;
  co_await read([&](sqlite3* database) {
    if (enough > 0 && !options.sort.empty()) {
      found = first_of(database, in.name(), filter, options.sort, enough, keep);
    } else {
      found = select(database, in.name(), filter, enough);
      query::sort(found, options.sort);
    }
    if (options.skip > 0)
      found.erase(found.begin(), found.begin() + std::min<std::ptrdiff_t>(options.skip, std::ssize(found)));
    if (options.limit > 0 && std::ssize(found) > options.limit) found.resize(static_cast<std::size_t>(options.limit));
    for (auto& document : found) document = projection.of(document);
  });
  co_return found;
}

Task<std::int64_t> SqliteDocuments::count(const Collection& in, Object filter) {
  std::int64_t found = 0;
  co_await read([&](sqlite3* database) {
    found = 0;
    each(database, in.name(), filter, [&](Object&&) {
      ++found;
      return true;
    });
  });
  co_return found;
}

Task<std::vector<Object>> SqliteDocuments::aggregate(const Collection& in, boost::json::array pipeline) {
  std::vector<Object> found;
  co_await read([&](sqlite3* database) { found = query::aggregate(select(database, in.name(), {}), pipeline); });
  co_return found;
}

Task<void> SqliteDocuments::insert(const Collection& into, std::vector<Object> documents) {
  co_await write_to(into, [&](sqlite3* database) {
    for (const auto& document : documents) add(database, into.name(), document);
  });
}

Task<UpdateResult> SqliteDocuments::update(const Collection& in, std::vector<Change> changes, bool upsert,
                                           Which which) {
  UpdateResult result;
  co_await write_to(in, [&](sqlite3* database) {
    result = {};
    for (const auto& one : changes) change(database, in.name(), one, upsert, which, result);
  });
  co_return result;
}

Task<std::int64_t> SqliteDocuments::remove(const Collection& from, Object filter, Which which) {
  std::int64_t deleted = 0;
  co_await write_to(from, [&](sqlite3* database) { deleted = erase(database, from.name(), filter, which); });
  co_return deleted;
}

}  // namespace horton
