// The threads and transactions of the embedded documents.
#include "horton/sqlite.h"
#include "horton/sqlite_documents.h"
#include "mephisto/stream.h"

namespace horton {
namespace {

using mephisto::Task;

constexpr std::chrono::seconds kLockPatience{30};  // for a command, which has no event

class WriteWait : public mephisto::Wait {
 public:
  using Start = std::function<void(mephisto::Loop&, std::function<void(std::exception_ptr)>)>;
  explicit WriteWait(Start start) : start_(std::move(start)) {}
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    suspend(handle, "a write to the documents");
    start_(context_->loop(), [this](std::exception_ptr error) {
      error_ = std::move(error);
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

SqliteDocuments::SqliteDocuments(const std::string& path)
    : path_(path), place_("the documents in " + path), database_(open_database(path)), writer_([this] { work(); }) {}

SqliteDocuments::~SqliteDocuments() {
  {
    std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  filled_.notify_all();
  writer_.join();
  for (auto* database : {for_events_.database, for_others_.database, database_}) sqlite3_close(database);
}

Task<void> SqliteDocuments::write(Job job) {
  const auto once = [&]() -> Task<void> {
    co_await WriteWait{[&](mephisto::Loop& loop, std::function<void(std::exception_ptr)> done) {
      std::lock_guard lock{mutex_};
      pending_.push_back({&job, loop.poster(), std::move(done)});
      filled_.notify_one();
    }};
  };
  co_await patience_.run(place_, "the documents to be writable", once, kLockPatience);
}

Task<void> SqliteDocuments::read(Job job) {
  auto& reader = mephisto::in_event() ? for_events_ : for_others_;
  const auto once = [&] {
    return mephisto::blocking(
        [&] {
          std::lock_guard lock{reader.mutex};
          if (reader.database == nullptr) reader.database = open_database(path_);
          job(reader.database);
        },
        "the documents");
  };
  co_await patience_.run(place_, "the documents to be readable", once, kLockPatience);
}

// Group commit: jobs that arrive while a transaction is being written share the next one. A job that fails is undone
// alone.
void SqliteDocuments::work() {
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
          if (sqlite3_get_autocommit(database_) != 0)
            // SQLite has rolled back the whole transaction, as it does when the disk is full
            throw;
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
      // Handed over, not shared: libstdc++ counts an exception's owners where TSan does not see it.
      group[i].post(
          [done = std::move(group[i].done), error = std::move(errors[i])]() mutable { done(std::move(error)); });
    }
  }
}

}  // namespace horton
