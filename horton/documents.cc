#include "horton/documents.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <filesystem>

#include "horton/query.h"
#include "mephisto/error.h"
#include "mephisto/ids.h"

namespace horton {
namespace {

using mephisto::ErrorKind;
using mephisto::Failure;
using mephisto::Task;

Failure failure(sqlite3* database, std::string_view doing) {
  int code = sqlite3_errcode(database);
  const char* file = sqlite3_db_filename(database, nullptr);
  auto kind = code == SQLITE_FULL || code == SQLITE_BUSY || code == SQLITE_IOERR ? ErrorKind::kUnavailable
              : code == SQLITE_CORRUPT || code == SQLITE_NOTADB                  ? ErrorKind::kCorrupt
                                                                                 : ErrorKind::kInvalid;
  return {kind, fmt::format("cannot {} the documents in {}: {}", doing, file == nullptr ? "" : file, sqlite3_errmsg(database))};
}

void execute(sqlite3* database, const std::string& sql) {
  if (sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) throw failure(database, "use");
}

class Statement {
 public:
  Statement(sqlite3* database, const std::string& sql) : database_(database) {
    if (sqlite3_prepare_v2(database, sql.c_str(), static_cast<int>(sql.size()), &statement_, nullptr) != SQLITE_OK) throw failure(database, "use");
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  void bind(const boost::json::value& value) {
    ++bound_;
    if (value.is_int64())
      sqlite3_bind_int64(statement_, bound_, value.get_int64());
    else if (value.is_double())
      sqlite3_bind_double(statement_, bound_, value.get_double());
    else if (value.is_bool())
      sqlite3_bind_int(statement_, bound_, value.get_bool() ? 1 : 0);
    else if (value.is_string())
      sqlite3_bind_text(statement_, bound_, value.get_string().data(), static_cast<int>(value.get_string().size()), SQLITE_TRANSIENT);
    else
      sqlite3_bind_null(statement_, bound_);
  }
  bool step() {
    int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    if (code == SQLITE_CONSTRAINT) throw Failure(ErrorKind::kInvalid, fmt::format("a document with the same key is there already ({})", sqlite3_errmsg(database_)));
    throw failure(database_, "use");
  }
  std::string text(int column) const {
    return {reinterpret_cast<const char*>(sqlite3_column_text(statement_, column)), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
  }

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

sqlite3* open(const std::string& path) {
  sqlite3* database = nullptr;
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path{path}.parent_path(), ignored);
  if (sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr) != SQLITE_OK) {
    auto error = Failure(ErrorKind::kInvalid, fmt::format("cannot open the documents in {}: {}; check the folder and its rights", path, sqlite3_errmsg(database)));
    sqlite3_close(database);
    throw error;
  }
  try {
    sqlite3_busy_timeout(database, 30'000);
    execute(database, "PRAGMA journal_mode=WAL");
    execute(database, "PRAGMA synchronous=FULL");
  } catch (...) {
    sqlite3_close(database);
    throw;
  }
  return database;
}

std::string sql_name(std::string_view name) {
  std::string text = "\"";
  for (char c : name) text += c == '"' ? std::string{"\"\""} : std::string{c};
  return text + "\"";
}

std::string field_expression(std::string_view field) {
  std::string path;
  for (char c : field) path += c == '\'' || c == '"' ? '_' : c;
  return fmt::format("json_extract(doc, '$.\"{}\"')", path);
}

bool exists(sqlite3* database, const std::string& name) {
  Statement find{database, "SELECT 1 FROM sqlite_master WHERE type='table' AND name=?"};
  find.bind(boost::json::value(name));
  return find.step();
}

void create(sqlite3* database, const std::string& name) {
  execute(database, fmt::format("CREATE TABLE IF NOT EXISTS {} (id TEXT PRIMARY KEY, doc TEXT NOT NULL) WITHOUT ROWID", sql_name(name)));
}

// Documents that may match: equalities of plain fields are asked of SQLite (the unique index serves them), the rest is decided here.
std::vector<Object> candidates(sqlite3* database, const std::string& name, const Object& filter) {
  std::vector<Object> found;
  if (!exists(database, name)) return found;
  std::string where;
  std::vector<boost::json::value> values;
  for (const auto& [field, wanted] : filter) {
    std::string_view plain = field;
    if (plain.starts_with('$') || plain.contains('.') || plain.contains('\'') || plain.contains('"')) continue;
    if (!wanted.is_string() && !wanted.is_int64()) continue;
    where += fmt::format("{}{} = ?", where.empty() ? " WHERE " : " AND ", plain == "_id" ? "id" : field_expression(plain));
    values.push_back(wanted);
  }
  // An array field may hold the wanted value: equality in SQL would miss it, so such rows come along.
  Statement select{database, fmt::format("SELECT doc FROM {}{}", sql_name(name), where)};
  for (const auto& value : values) select.bind(value);
  while (select.step()) {
    auto document = boost::json::parse(select.text(0)).as_object();
    if (query::matches(document, filter)) found.push_back(std::move(document));
  }
  return found;
}

void store(sqlite3* database, const std::string& name, const Object& document, bool replace) {
  auto text = boost::json::serialize(document);
  if (replace) {
    Statement change{database, fmt::format("UPDATE {} SET doc = ?2 WHERE id = ?1", sql_name(name))};
    change.bind(document.at("_id"));
    change.bind(boost::json::value(text));
    change.step();
    return;
  }
  Statement insert{database, fmt::format("INSERT INTO {} (id, doc) VALUES (?1, ?2)", sql_name(name))};
  insert.bind(document.at("_id"));
  insert.bind(boost::json::value(text));
  insert.step();
}

std::string insert(sqlite3* database, const std::string& name, Object document) {
  static thread_local mephisto::Random random;
  if (!document.contains("_id")) document["_id"] = mephisto::Uuid::random(random).str();
  if (!document["_id"].is_string()) throw Failure(ErrorKind::kInvalid, "the embedded documents take texts as _id");
  create(database, name);
  store(database, name, document, false);
  return std::string{document["_id"].get_string()};
}

Object as_update(Object payload, const UpdateOptions& options) {
  bool operators = !payload.empty() && payload.begin()->key().starts_with('$');
  if (operators || !options.with_set_option) return payload;
  return {{"$set", std::move(payload)}};
}

void change(sqlite3* database, const std::string& name, const Object& filter, const Object& payload, const UpdateOptions& options, bool many, UpdateResult& result) {
  auto with = as_update(payload, options);
  auto found = candidates(database, name, filter);
  if (!many && found.size() > 1) found.resize(1);
  for (auto& document : found) {
    ++result.matched;
    auto before = document;
    query::update(document, with);
    if (document == before) continue;
    ++result.modified;
    store(database, name, document, true);
  }
  if (!found.empty() || !options.upsert) return;
  Object document;
  for (const auto& [field, value] : filter) {
    if (!field.starts_with('$') && !(value.is_object() && !value.get_object().empty() && value.get_object().begin()->key().starts_with('$'))) document[field] = value;
  }
  query::update(document, with, true);
  insert(database, name, std::move(document));
  result.inserted = true;
}

class WriteWait : public mephisto::Wait {
 public:
  using Start = std::function<void(mephisto::Loop&, std::function<void(std::exception_ptr)>)>;
  explicit WriteWait(Start start) : start_(std::move(start)) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    suspend(handle, "a write to the documents");
    start_(context_->loop(), [this](std::exception_ptr error) {
      error_ = error;
      resume();
    });
  }
  void await_resume() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  bool abandon() override { return false; }
  Start start_;
  std::exception_ptr error_;
};

}  // namespace

Documents::Documents(const std::string& path) : path_(path) {
  database_ = open(path);
  reader_ = open(path);
  writer_ = std::thread([this] { work(); });
}

Documents::~Documents() {
  {
    std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  filled_.notify_all();
  writer_.join();
  sqlite3_close(reader_);
  sqlite3_close(database_);
}

Collection Documents::collection(std::string name, std::vector<std::string> unique) {
  // Every shard asks for collections on its own thread, and the reading connection is for one at a time.
  std::lock_guard lock{readers_mutex_};
  if (!unique.empty() && !exists(reader_, name)) {
    auto* setup = open(path_);
    create(setup, name);
    std::string fields;
    for (const auto& field : unique) fields += (fields.empty() ? "" : ", ") + field_expression(field);
    execute(setup, fmt::format("CREATE UNIQUE INDEX IF NOT EXISTS {} ON {} ({})", sql_name(name + "_key"), sql_name(name), fields));
    sqlite3_close(setup);
  }
  return Collection{*this, std::move(name)};
}

Task<void> Documents::write(Job job) {
  co_await WriteWait{[&](mephisto::Loop& loop, std::function<void(std::exception_ptr)> done) {
    std::lock_guard lock{mutex_};
    pending_.push_back({&job, loop.poster(), std::move(done)});
    filled_.notify_one();
  }};
}

Task<void> Documents::read(Job job) {
  co_await mephisto::blocking(
      [&] {
        std::lock_guard lock{readers_mutex_};
        job(reader_);
      },
      "the documents");
}

// Group commit: what came while the transaction before was being written shares the next one. A job that fails is undone alone.
void Documents::work() {
  for (;;) {
    std::deque<Pending> group;
    {
      std::unique_lock lock{mutex_};
      filled_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
      if (pending_.empty()) return;
      group.swap(pending_);
    }
    std::vector<std::exception_ptr> errors(group.size());
    try {
      execute(database_, "BEGIN IMMEDIATE");
      for (std::size_t i = 0; i < group.size(); ++i) {
        execute(database_, "SAVEPOINT job");
        try {
          (*group[i].job)(database_);
        } catch (...) {
          errors[i] = std::current_exception();
          execute(database_, "ROLLBACK TO job");
        }
        execute(database_, "RELEASE job");
      }
      execute(database_, "COMMIT");
    } catch (...) {
      for (auto& error : errors) error = std::current_exception();
      sqlite3_exec(database_, "ROLLBACK", nullptr, nullptr, nullptr);
    }
    for (std::size_t i = 0; i < group.size(); ++i) {
      group[i].post([done = std::move(group[i].done), error = errors[i]] { done(error); });
    }
  }
}

Task<std::vector<Object>> Collection::find_many(Object filter, FindOptions options) const {
  std::vector<Object> found;
  co_await documents_.read([&](sqlite3* database) { found = candidates(database, name_, filter); });
  if (!options.sort.empty()) query::sort(found, options.sort);
  if (options.skip > 0) found.erase(found.begin(), found.begin() + std::min<std::ptrdiff_t>(options.skip, std::ssize(found)));
  if (options.limit > 0 && std::ssize(found) > options.limit) found.resize(static_cast<std::size_t>(options.limit));
  for (auto& document : found) document = query::project(document, options.projection);
  co_return found;
}

Task<std::optional<Object>> Collection::find_one(Object filter, FindOptions options) const {
  options.limit = 1;
  auto found = co_await find_many(std::move(filter), std::move(options));
  if (found.empty()) co_return std::nullopt;
  co_return std::move(found.front());
}

Task<std::vector<Object>> Collection::aggregate(boost::json::array pipeline) const {
  std::vector<Object> found;
  co_await documents_.read([&](sqlite3* database) { found = candidates(database, name_, {}); });
  co_return query::aggregate(std::move(found), pipeline);
}

Task<std::string> Collection::insert_one(Object document) const {
  std::string id;
  co_await documents_.write([&](sqlite3* database) { id = insert(database, name_, document); });
  co_return id;
}

Task<std::vector<std::string>> Collection::insert_many(std::vector<Object> documents) const {
  std::vector<std::string> ids;
  co_await documents_.write([&](sqlite3* database) {
    ids.clear();
    for (const auto& document : documents) ids.push_back(insert(database, name_, document));
  });
  co_return ids;
}

Task<UpdateResult> Collection::update_one(Object filter, Object payload, UpdateOptions options) const {
  UpdateResult result;
  co_await documents_.write([&](sqlite3* database) { change(database, name_, filter, payload, options, false, result = {}); });
  co_return result;
}

Task<UpdateResult> Collection::update_many(Object filter, Object payload, UpdateOptions options) const {
  UpdateResult result;
  co_await documents_.write([&](sqlite3* database) { change(database, name_, filter, payload, options, true, result = {}); });
  co_return result;
}

Task<UpdateResult> Collection::upsert_many(std::vector<Change> changes) const {
  UpdateResult result;
  UpdateOptions options;
  options.upsert = true;
  co_await documents_.write([&](sqlite3* database) {
    result = {};
    for (const auto& one : changes) change(database, name_, one.filter, one.payload, options, false, result);
  });
  co_return result;
}

Task<std::int64_t> Collection::delete_one(Object filter) const {
  std::int64_t deleted = 0;
  co_await documents_.write([&](sqlite3* database) {
    deleted = 0;
    auto found = candidates(database, name_, filter);
    if (found.empty()) return;
    Statement remove{database, fmt::format("DELETE FROM {} WHERE id = ?", sql_name(name_))};
    remove.bind(found.front().at("_id"));
    remove.step();
    deleted = 1;
  });
  co_return deleted;
}

Task<std::int64_t> Collection::delete_many(Object filter) const {
  std::int64_t deleted = 0;
  co_await documents_.write([&](sqlite3* database) {
    deleted = 0;
    for (const auto& document : candidates(database, name_, filter)) {
      Statement remove{database, fmt::format("DELETE FROM {} WHERE id = ?", sql_name(name_))};
      remove.bind(document.at("_id"));
      remove.step();
      ++deleted;
    }
  });
  co_return deleted;
}

}  // namespace horton
