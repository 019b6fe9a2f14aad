#include "horton/sqlite.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <mutex>
#include <thread>

#include "mephisto/error.h"
#include "mephisto/base/ids.h"

namespace horton {
namespace {

using mephisto::ErrorKind;
using mephisto::Failure;

constexpr std::chrono::seconds kPatience{30};  // for a new file
constexpr std::chrono::seconds kLockWait{4};   // within a call, which cannot be ended early

// The kind of an error that the file causes, and not the call.
ErrorKind kind_of(int code) {
  switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return ErrorKind::kTimeout;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
    case SQLITE_NOMEM:
    case SQLITE_NOLFS:
    case SQLITE_PROTOCOL:
    case SQLITE_INTERRUPT: return ErrorKind::kUnavailable;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return ErrorKind::kCorrupt;
    default: return ErrorKind::kInvalid;
  }
}

std::string_view advice_for(int code) {
  switch (code) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return "; another program has it locked";
    case SQLITE_FULL: return "; make room on the disk";
    case SQLITE_IOERR: return "; check the disk and its free space";
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM: return "; check the folder and its rights";
    default: return "";
  }
}

Failure failure(sqlite3* database, std::string_view doing) {
  const int code = sqlite3_errcode(database);
  const char* file = sqlite3_db_filename(database, nullptr);
  return {kind_of(code), fmt::format("cannot {} the documents in {}: {}{}", doing, file == nullptr ? "" : file,
                                     sqlite3_errmsg(database), advice_for(code))};
}

// Two processes that switch a new file to WAL at once each hold it shared and want it exclusively. SQLite reports
// "busy" to them at once instead of letting them wait for each other. Each then releases the file and tries again after
// a delay of its own.
void use_wal(sqlite3* database) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  mephisto::Random random;
  while (sqlite3_exec(database, "PRAGMA journal_mode=WAL", nullptr, nullptr, nullptr) != SQLITE_OK) {
    if (sqlite3_errcode(database) != SQLITE_BUSY || std::chrono::steady_clock::now() > until)
      throw failure(database, "open");
    std::this_thread::sleep_for(std::chrono::microseconds{500 + random.below(5000)});
  }
}

// The file belongs to its owner alone, whatever the umask is. SQLite gives its rights to the files that it makes beside
// it. Nothing that another user may have prepared is used: neither a link nor another user's file.
void keep_own(const std::string& path) {
  namespace fs = std::filesystem;
  constexpr auto kOwn = fs::perms::owner_read | fs::perms::owner_write;
  std::error_code ignored;
  const auto folder = fs::path{path}.parent_path();
  if (!folder.empty() && fs::create_directories(folder, ignored))
    fs::permissions(folder, fs::perms::owner_all, ignored);
  // O_EXCL: an existing file must not be opened here, because closing it would release SQLite's locks on it in this
  // process.
  if (const int made = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600); made >= 0)
    ::close(made);
  for (const auto* ending : {"", "-wal", "-shm"}) {
    const auto file = path + ending;
    struct stat found{};
    if (lstat(file.c_str(), &found) != 0 || S_ISDIR(found.st_mode))
      continue;  // SQLite reports what is wrong with a folder
    if (!S_ISREG(found.st_mode) || found.st_uid != geteuid()) {
      throw Failure(
          ErrorKind::kInvalid,
          fmt::format("the documents in {} are not used: {} is {}; remove it, or name another folder (setting datadir)",
                      path, file, S_ISREG(found.st_mode) ? "another user's" : "a link, or not a file"));
    }
    if (static_cast<fs::perms>(found.st_mode & ALLPERMS) != kOwn) fs::permissions(file, kOwn, ignored);
  }
}

}  // namespace

sqlite3* open_database(const std::string& path) {
  static std::mutex one_at_a_time;
  const std::lock_guard lock{one_at_a_time};
  keep_own(path);
  sqlite3* database = nullptr;
  if (sqlite3_open_v2(path.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                      nullptr) != SQLITE_OK) {
    const std::string why = sqlite3_errmsg(database);
    sqlite3_close(database);
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("cannot open the documents in {}: {}; check the folder and its rights", path, why));
  }
  try {
    use_wal(database);
    sqlite3_busy_timeout(database, std::chrono::milliseconds{kLockWait}.count());
    execute(database, "PRAGMA synchronous=FULL");
  } catch (...) {
    sqlite3_close(database);
    throw;
  }
  return database;
}

void execute(sqlite3* database, const std::string& sql) {
  if (sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) throw failure(database, "use");
}

Statement::Statement(sqlite3* database, const std::string& sql) : database_(database) {
  if (sqlite3_prepare_v2(database, sql.c_str(), static_cast<int>(sql.size()), &statement_, nullptr) != SQLITE_OK)
    throw failure(database, "use");
}

void Statement::bind(const boost::json::value& value) {
  ++bound_;
  if (value.is_int64())
    sqlite3_bind_int64(statement_, bound_, value.get_int64());
  else
    sqlite3_bind_text(statement_, bound_, value.as_string().data(), static_cast<int>(value.as_string().size()),
                      SQLITE_TRANSIENT);
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  if (code == SQLITE_CONSTRAINT)
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("a document with the same key exists already ({})", sqlite3_errmsg(database_)));
  throw failure(database_, "use");
}

std::string_view Statement::text(int column) const {
  return {reinterpret_cast<const char*>(sqlite3_column_text(statement_, column)),
          static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

namespace {

std::string quoted(std::string_view text, char quote) {
  std::string all{quote};
  for (char c : text) all += c == quote ? std::string(2, quote) : std::string{c};
  return all + quote;
}

}  // namespace

std::string sql_name(std::string_view name) { return quoted(name, '"'); }

std::string sql_text(std::string_view text) { return quoted(text, '\''); }

}  // namespace horton
