#include "log/local/local_kv.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/crash_point.h"
#include "log/store.h"
#include "mephisto/logging.h"

namespace mephisto {
namespace {

constexpr std::size_t kFirstMapBytes = std::size_t{256} << 20;
constexpr unsigned kMaxReaders = 1024;
// A transaction that reads more than this through the map gives the pages back, so that reading a large log does not look like using
// memory.
constexpr std::size_t kReleaseAbove = std::size_t{256} << 10;
// A process that is stopped while it holds the write lock is taken out after this; everybody else waits for it till then.
constexpr std::int64_t kStuckMs = 5000;

// Prepares the folder, or throws with what is wrong with it.
std::string prepared(std::string directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw Failure(ErrorKind::kInvalid, fmt::format("cannot create the log's folder {}: {}; name another (setting broker, local://FOLDER)", directory, error.message()));
  if (!std::filesystem::is_directory(directory)) throw Failure(ErrorKind::kInvalid, fmt::format("the log's folder {} is a file", directory));
  struct statfs fs{};
  if (statfs(directory.c_str(), &fs) == 0) {
    auto type = static_cast<unsigned long>(fs.f_type);
    if (type == NFS_SUPER_MAGIC || type == 0xff534d42 || type == SMB_SUPER_MAGIC || type == 0xfe534d42 || type == 0x01021997) {
      throw Failure(ErrorKind::kInvalid, fmt::format("the log's folder {} is on a network file system, where processes cannot share it safely: use a local disk", directory));
    }
  }
  if (access(directory.c_str(), W_OK | X_OK) != 0) {
    throw Failure(ErrorKind::kInvalid, fmt::format("cannot write to the log's folder {}: {}; check its owner and rights", directory, std::strerror(errno)));
  }
  return directory;
}

// Carries an LMDB code out of a change, through code that knows nothing of LMDB.
struct LmdbError {
  int code;
};

void check(int code) {
  if (code != MDB_SUCCESS) throw LmdbError{code};
}

class LocalTx : public KvWriter {
 public:
  LocalTx(MDB_txn* txn, MDB_dbi dbi) : txn_(txn), dbi_(dbi) {}
  ~LocalTx() override {
    if (cursor_ != nullptr) mdb_cursor_close(cursor_);
  }

  std::optional<KvEntry> get(std::string_view key) override {
    MDB_val k = val(key);
    MDB_val v{};
    int code = mdb_get(txn_, dbi_, &k, &v);
    if (code == MDB_NOTFOUND) return std::nullopt;
    check(code);
    return entry(k, v);
  }
  std::optional<KvEntry> at_or_after(std::string_view key) override { return seek(key, MDB_SET_RANGE); }
  std::optional<KvEntry> at_or_before(std::string_view key) override {
    auto found = seek(key, MDB_SET_RANGE);
    if (found && found->key == key) return found;
    MDB_val k{};
    MDB_val v{};
    int code = mdb_cursor_get(cursor(), &k, &v, found ? MDB_PREV : MDB_LAST);
    if (code == MDB_NOTFOUND) return std::nullopt;
    check(code);
    return entry(k, v);
  }
  void put(std::string_view key, std::string_view value) override {
    MDB_val k = val(key);
    MDB_val v = val(value);
    check(mdb_put(txn_, dbi_, &k, &v, 0));
  }
  void put(std::string_view key, Buffer value) override { put(key, value.view()); }
  void erase(std::string_view key) override {
    MDB_val k = val(key);
    int code = mdb_del(txn_, dbi_, &k, nullptr);
    if (code != MDB_NOTFOUND) check(code);
  }

  // Gives the pages of the map that were read back to the system once they are many; they stay in its cache.
  void release_pages() const {
    if (bytes_read_ < kReleaseAbove) return;
    constexpr std::uintptr_t kPage = 4096;
    auto from = first_ & ~(kPage - 1);
    madvise(reinterpret_cast<void*>(from), (last_ - from + kPage - 1) & ~(kPage - 1), MADV_DONTNEED);
  }

 private:
  static MDB_val val(std::string_view bytes) { return {bytes.size(), const_cast<char*>(bytes.data())}; }
  KvEntry entry(const MDB_val& k, const MDB_val& v) {
    auto at = reinterpret_cast<std::uintptr_t>(v.mv_data);
    bytes_read_ += v.mv_size;
    first_ = std::min(first_, at);
    last_ = std::max(last_, at + v.mv_size);
    return {{static_cast<const char*>(k.mv_data), k.mv_size}, {static_cast<const char*>(v.mv_data), v.mv_size}, nullptr};
  }
  MDB_cursor* cursor() {
    if (cursor_ == nullptr) check(mdb_cursor_open(txn_, dbi_, &cursor_));
    return cursor_;
  }
  std::optional<KvEntry> seek(std::string_view key, MDB_cursor_op op) {
    MDB_val k = val(key);
    MDB_val v{};
    int code = mdb_cursor_get(cursor(), &k, &v, op);
    if (code == MDB_NOTFOUND) return std::nullopt;
    check(code);
    return entry(k, v);
  }

  MDB_txn* txn_;
  MDB_dbi dbi_;
  MDB_cursor* cursor_ = nullptr;
  std::size_t bytes_read_ = 0;
  std::uintptr_t first_ = UINTPTR_MAX;
  std::uintptr_t last_ = 0;
};

}  // namespace

Failure LocalKv::failure(int code, std::string_view doing) const {
  switch (code) {
    case ENOSPC:
    case EDQUOT: return {ErrorKind::kUnavailable, fmt::format("cannot {} the log in {}: the disk is full; free some space and it goes on", doing, directory_)};
    case EACCES:
    case EPERM:
    case EROFS: return {ErrorKind::kInvalid, fmt::format("cannot {} the log in {}: {}; check the folder's owner and rights", doing, directory_, std::strerror(code))};
    case MDB_VERSION_MISMATCH:
    case MDB_INVALID: return {ErrorKind::kInvalid, fmt::format("cannot {} the log in {}: data.mdb was not written by this kind of log", doing, directory_)};
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
      return {ErrorKind::kCorrupt, fmt::format("cannot {} the log in {}: its data is damaged ({}); restore the folder from a copy", doing, directory_, mdb_strerror(code))};
    default: return {ErrorKind::kFatal, fmt::format("cannot {} the log in {}: {}", doing, directory_, mdb_strerror(code))};
  }
}

LocalKv::LocalKv(std::string directory) : directory_(prepared(std::move(directory))), leases_(directory_ + "/leases") {
  try {
    open();
  } catch (...) {
    close();
    throw;
  }
  writer_ = std::thread([this] { write_loop(); });
  watcher_ = std::thread([this] { watch_loop(); });
}

LocalKv::~LocalKv() {
  {
    std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  filled_.notify_all();
  std::uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof one);
  writer_.join();
  watcher_.join();
  close();
}

void LocalKv::open() {
  auto must = [&](int code) {
    if (code != MDB_SUCCESS) throw failure(code, "open");
  };
  must(mdb_env_create(&env_));
  must(mdb_env_set_mapsize(env_, kFirstMapBytes));
  must(mdb_env_set_maxreaders(env_, kMaxReaders));
  must(mdb_env_open(env_, directory_.c_str(), MDB_NOTLS, 0600));
  int dead = 0;
  mdb_reader_check(env_, &dead);
  if (dead > 0) log::info("Cleared {} stale readers of {}", dead, directory_);

  MDB_txn* txn = nullptr;
  int code = mdb_txn_begin(env_, nullptr, 0, &txn);
  if (code == MDB_MAP_RESIZED) {
    must(mdb_env_set_mapsize(env_, 0));
    code = mdb_txn_begin(env_, nullptr, 0, &txn);
  }
  must(code);
  code = mdb_dbi_open(txn, nullptr, 0, &dbi_);
  if (code != MDB_SUCCESS) {
    mdb_txn_abort(txn);
    throw failure(code, "open");
  }
  Result<void> known;
  bool fresh = false;
  {
    LocalTx tx{txn, dbi_};
    known = store::check_format(tx);
    fresh = !tx.get("f");
    if (known && fresh) store::write_format(tx);
  }
  if (!known) {
    mdb_txn_abort(txn);
    throw Failure(known.error().kind, fmt::format("cannot open the log in {}: {}", directory_, known.error().message));
  }
  if (fresh)
    must(mdb_txn_commit(txn));
  else
    mdb_txn_abort(txn);

  auto bell_path = directory_ + "/bell";
  bell_ = ::open(bell_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  inotify_ = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  wake_ = eventfd(0, EFD_CLOEXEC);
  if (bell_ < 0 || inotify_ < 0 || wake_ < 0 || inotify_add_watch(inotify_, bell_path.c_str(), IN_MODIFY) < 0) {
    throw Failure(ErrorKind::kInvalid, fmt::format("cannot watch {}: {}; if too many watches are in use, raise fs.inotify.max_user_instances", bell_path, std::strerror(errno)));
  }
}

void LocalKv::close() {
  if (env_ != nullptr) mdb_env_close(env_);
  for (int fd : {bell_, inotify_, wake_}) {
    if (fd >= 0) ::close(fd);
  }
}

void LocalKv::adopt_new_size() {
  std::unique_lock lock{resize_};
  mdb_env_set_mapsize(env_, 0);
}

void LocalKv::grow() {
  std::unique_lock lock{resize_};
  mdb_env_set_mapsize(env_, 0);
  MDB_envinfo info{};
  mdb_env_info(env_, &info);
  int code = mdb_env_set_mapsize(env_, info.me_mapsize * 2);
  if (code != MDB_SUCCESS) throw failure(code, "grow");
  log::info("The log in {} may now grow to {} MiB", directory_, info.me_mapsize * 2 >> 20);
}

void LocalKv::read(const std::function<void(KvReader&)>& look) {
  for (;;) {
    {
      std::shared_lock lock{resize_};
      MDB_txn* txn = nullptr;
      int code = mdb_txn_begin(env_, nullptr, MDB_RDONLY, &txn);
      if (code == MDB_READERS_FULL) {
        int dead = 0;
        mdb_reader_check(env_, &dead);
        if (dead > 0) continue;
      }
      if (code == MDB_SUCCESS) {
        struct Abort {
          MDB_txn* txn;
          ~Abort() { mdb_txn_abort(txn); }
        } abort{txn};
        try {
          LocalTx tx{txn, dbi_};
          look(tx);
          tx.release_pages();
        } catch (const LmdbError& error) {
          throw failure(error.code, "read");
        }
        return;
      }
      if (code != MDB_MAP_RESIZED) throw failure(code, "read");
    }
    adopt_new_size();
  }
}

void LocalKv::submit(Loop& loop, KvChange change, std::function<void(Result<void>)> done) {
  std::lock_guard lock{mutex_};
  pending_.push_back({loop.poster(), std::move(change), std::move(done), {}});
  filled_.notify_one();
}

std::uint64_t LocalKv::tick() {
  std::shared_lock lock{resize_};
  MDB_envinfo info{};
  mdb_env_info(env_, &info);
  return info.me_last_txnid;
}

int LocalKv::commit(std::deque<Pending>& group) {
  std::shared_lock lock{resize_};
  MDB_txn* txn = nullptr;
  if (int code = mdb_txn_begin(env_, nullptr, 0, &txn); code != MDB_SUCCESS) return code;
  leases_.set_writer(true);
  struct Released {
    Leases& leases;
    ~Released() { leases.set_writer(false); }
  } released{leases_};
  try {
    LocalTx tx{txn, dbi_};
    for (auto& one : group) {
      try {
        one.result = one.change(tx);
      } catch (const Failure& failure) {
        one.result = std::unexpected(failure.error());
      }
      crash_point("local.in_group");
    }
  } catch (const LmdbError& error) {
    mdb_txn_abort(txn);
    return error.code;
  }
  crash_point("local.before_commit");
  int code = mdb_txn_commit(txn);
  crash_point("local.after_commit");
  return code;
}

void LocalKv::write_loop() {
  for (;;) {
    std::deque<Pending> group;
    {
      std::unique_lock lock{mutex_};
      filled_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
      if (pending_.empty()) return;
      group.swap(pending_);
    }
    int code = MDB_SUCCESS;
    try {
      for (;;) {
        code = commit(group);
        if (code == MDB_MAP_FULL)
          grow();
        else if (code == MDB_MAP_RESIZED)
          adopt_new_size();
        else
          break;
      }
      if (code != MDB_SUCCESS) throw failure(code, "write to");
    } catch (const Failure& failure) {
      for (auto& one : group) one.result = std::unexpected(failure.error());
    }
    if (code == MDB_SUCCESS) {
      (void)!pwrite(bell_, "!", 1, 0);
      notified_ = tick();
      watchers_.notify();
    }
    for (auto& one : group) {
      one.post([done = std::move(one.done), result = std::move(one.result)] { done(result); });
    }
  }
}

// Wakes this process's readers when another process has written.
void LocalKv::watch_loop() {
  constexpr int kCheckMs = 1000;
  alignas(inotify_event) char events[4096];
  for (;;) {
    pollfd fds[2] = {{inotify_, POLLIN, 0}, {wake_, POLLIN, 0}};
    ::poll(fds, 2, kCheckMs);
    if (fds[1].revents != 0) return;
    while (::read(inotify_, events, sizeof events) > 0) {
    }
    if (tick() > notified_) {
      notified_ = tick();
      watchers_.notify();
    }
    free_stuck_lock();
  }
}

// LMDB's write lock is freed by the system when its holder dies, but not when it is stopped (SIGSTOP, a debugger): then nobody can
// write, and no group can take the stopped member out. See docs/decisions.
void LocalKv::free_stuck_lock() {
  int pid = leases_.stuck_writer(kStuckMs);
  if (pid == 0 || pid == getpid()) return;
  std::ifstream file{fmt::format("/proc/{}/stat", pid)};
  std::string stat{std::istreambuf_iterator<char>{file}, {}};
  auto name_end = stat.rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= stat.size()) return;
  char state = stat[name_end + 2];
  if (state != 'T' && state != 't') return;
  log::warn("Process {} is stopped while it holds the write lock of {}: killing it, so that the others can go on", pid, directory_);
  ::kill(pid, SIGKILL);
}

}  // namespace mephisto
