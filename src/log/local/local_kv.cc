#include "log/local/local_kv.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/crash_point.h"
#include "log/local/folder.h"
#include "log/store.h"
#include "mephisto/logging.h"

namespace mephisto {
namespace {

constexpr std::size_t kFirstMapBytes = std::size_t{256} << 20;
constexpr unsigned kMaxReaders = 1024;
// The size of LMDB's lock file with so many readers, generously.
constexpr std::size_t kLockBytes = 128 << 10;
// A transaction that reads more than this through the map gives the pages back, so that reading a large log does not look like using
// memory.
constexpr std::size_t kReleaseAbove = std::size_t{256} << 10;
// A process that is stopped while it holds the write lock is taken out after this; everybody else waits for it till then.
constexpr std::int64_t kStuckMs = 5000;
constexpr std::chrono::milliseconds kUpkeepEvery{1000};

std::string prepared(std::string directory) {
  prepare_folder(directory);
  return directory;
}

// Carries an LMDB code out of a change, through code that knows nothing of LMDB.
struct LmdbError {
  int code;
};

// In the place of a code of LMDB: a change failed after it had begun to write.
constexpr int kHalfDone = 1'000'000;

void check(int code) {
  if (code != MDB_SUCCESS) throw LmdbError{code};
}

class LocalTx : public KvWriter {
 public:
  LocalTx(MDB_txn* txn, MDB_dbi dbi) : txn_(txn), dbi_(dbi) {}
  ~LocalTx() override {
    if (cursor_ != nullptr) mdb_cursor_close(cursor_);
  }

  std::optional<KvEntry> get(std::string_view key) override { return seek(key, MDB_SET_KEY); }
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
    ++writes_;
    MDB_val k = val(key);
    MDB_val v = val(value);
    check(mdb_put(txn_, dbi_, &k, &v, 0));
  }
  void put(std::string_view key, Buffer value) override { put(key, value.view()); }
  void erase(std::string_view key) override {
    MDB_val k = val(key);
    int code = mdb_del(txn_, dbi_, &k, nullptr);
    if (code == MDB_NOTFOUND) return;
    ++writes_;
    check(code);
  }

  std::uint64_t writes() const { return writes_; }

  // Gives the pages of the map that were read back to the system once they are many; they stay in its cache.
  void release_pages() const {
    if (bytes_read_ < kReleaseAbove) return;
    constexpr std::uintptr_t kPage = 4096;
    auto from = first_ & ~(kPage - 1);
    // NOLINTNEXTLINE(performance-no-int-to-ptr): the start of a page, of which only the number is known
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
  std::uint64_t writes_ = 0;
  std::size_t bytes_read_ = 0;
  std::uintptr_t first_ = UINTPTR_MAX;
  std::uintptr_t last_ = 0;
};

}  // namespace

Failure LocalKv::failure(int code, std::string_view doing) const {
  // A write of which only a part fits is cut short by the system, which LMDB calls an input/output error.
  mdb_filehandle_t data = -1;
  if (code == EIO && mdb_env_get_fd(env_, &data) == 0 && is_full(data)) code = ENOSPC;
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
      return {ErrorKind::kCorrupt, fmt::format("cannot {} the log in {}: its data is damaged ({}); restore the folder from a copy", doing, directory_, mdb_strerror(code))};
    case MDB_PANIC:
      return {ErrorKind::kFatal,
              fmt::format("cannot {} the log in {}: the disk failed in the middle of a write; look after the disk, then start this program again", doing, directory_)};
    default: return {ErrorKind::kFatal, fmt::format("cannot {} the log in {}: {}", doing, directory_, mdb_strerror(code))};
  }
}

Failure LocalKv::cannot_open(const Error& error) const { return {error.kind, fmt::format("cannot use the log in {}: {}", directory_, error.message)}; }

LocalKv::LocalKv(std::string directory) : directory_(prepared(std::move(directory))), leases_(directory_ + "/leases") {
  try {
    open();
  } catch (...) {
    close();
    throw;
  }
  writer_ = std::thread([this] { write_loop(); });
  upkeep_ = std::thread([this] { upkeep_loop(); });
}

LocalKv::~LocalKv() {
  {
    std::lock_guard lock{mutex_};
    stopping_ = true;
  }
  filled_.notify_all();
  stopped_.notify_all();
  writer_.join();
  upkeep_.join();
  close();
}

void LocalKv::open() {
  auto must = [&](int code) {
    if (code != MDB_SUCCESS) throw failure(code, "open");
  };
  ::close(open_reserved(directory_ + "/lock.mdb", kLockBytes));
  must(mdb_env_create(&env_));
  must(mdb_env_set_userctx(env_, &directory_));
  must(mdb_env_set_assert(env_, [](MDB_env* env, const char* what) {
    log::error("The data of the log in {} is damaged ({}); restore the folder from a copy", *static_cast<std::string*>(mdb_env_get_userctx(env)), what);
  }));
  must(mdb_env_set_mapsize(env_, kFirstMapBytes));
  must(mdb_env_set_maxreaders(env_, kMaxReaders));
  must(mdb_env_open(env_, directory_.c_str(), MDB_NOTLS, 0600));
  snapshot([&](MDB_txn* txn) { check(mdb_dbi_open(txn, nullptr, 0, &dbi_)); });
  crash_point("local.open");

  // An existing log is opened without its write lock, which a stopped process may hold.
  Result<bool> known;
  Result<void> whole;
  read([&](KvReader& tx) {
    known = store::check_format(tx);
    if (known) whole = store::check_topics(tx);
  });
  if (!whole) throw cannot_open(whole.error());
  if (!known) throw cannot_open(known.error());
  if (!*known) must(transact([](KvWriter& tx) { store::write_format(tx); }));
  bell_.emplace(directory_);
}

void LocalKv::close() {
  if (env_ != nullptr) mdb_env_close(env_);
}

void LocalKv::adopt_new_size() {
  std::unique_lock lock{resize_};
  mdb_env_set_mapsize(env_, 0);
}

int LocalKv::grow() {
  std::unique_lock lock{resize_};
  mdb_env_set_mapsize(env_, 0);
  MDB_envinfo info{};
  mdb_env_info(env_, &info);
  int code = mdb_env_set_mapsize(env_, info.me_mapsize * 2);
  if (code == MDB_SUCCESS) log::info("The log in {} may now grow to {} MiB", directory_, info.me_mapsize * 2 >> 20);
  return code;
}

void LocalKv::snapshot(const std::function<void(MDB_txn*)>& look) {
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
        const std::unique_ptr<MDB_txn, decltype(&mdb_txn_abort)> ended{txn, mdb_txn_abort};
        try {
          look(txn);
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

void LocalKv::read(const std::function<void(KvReader&)>& look) {
  snapshot([&](MDB_txn* txn) {
    LocalTx tx{txn, dbi_};
    look(tx);
    tx.release_pages();
  });
}

// The number of the snapshot that a reader gets. What mdb_env_info tells is ahead of it while a write is being made durable.
std::uint64_t LocalKv::tick() {
  std::uint64_t number = 0;
  snapshot([&](MDB_txn* txn) { number = mdb_txn_id(txn); });
  return number;
}

// From the system's chance each time: members of several processes must not meet.
Uuid LocalKv::new_id() {
  Random random;
  return Uuid::random(random);
}

void LocalKv::submit(Loop& loop, KvChange change, std::function<void(Result<void>)> done) {
  std::lock_guard lock{mutex_};
  pending_.push_back({loop.poster(), std::move(change), std::move(done), {}});
  filled_.notify_one();
}

int LocalKv::attempt(const std::function<void(KvWriter&)>& change) {
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
    change(tx);
  } catch (const LmdbError& error) {
    mdb_txn_abort(txn);
    return error.code;
  }
  crash_point("local.before_commit");
  const int code = mdb_txn_commit(txn);
  crash_point("local.after_commit");
  return code;
}

int LocalKv::transact(const std::function<void(KvWriter&)>& change) {
  for (;;) {
    int code = attempt(change);
    if (code == MDB_MAP_RESIZED)
      adopt_new_size();
    else if (code != MDB_MAP_FULL || (code = grow()) != MDB_SUCCESS)
      return code;
  }
}

void LocalKv::write(std::span<Pending> group) {
  int code = transact([&](KvWriter& tx) {
    // A newer program may have taken the folder over meanwhile.
    const auto known = store::check_format(tx);
    for (auto& one : group) {
      const auto before = static_cast<LocalTx&>(tx).writes();
      try {
        one.result = known ? one.change(tx) : std::unexpected(cannot_open(known.error()).error());
      } catch (const Failure& failure) {
        one.result = std::unexpected(failure.error());
      }
      if (!one.result && static_cast<LocalTx&>(tx).writes() != before) throw LmdbError{kHalfDone};
      crash_point("local.in_group");
    }
  });
  if (code == MDB_SUCCESS) return;
  // One change that fails half-way, meets damage or is too large for the disk must not take the others with it.
  if (group.size() > 1) {
    for (auto& one : group) write({&one, 1});
  } else if (code != kHalfDone) {
    group[0].result = std::unexpected(failure(code, "write to").error());
  }
}

void LocalKv::write_loop() {
  for (;;) {
    std::vector<Pending> group;
    {
      std::unique_lock lock{mutex_};
      filled_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
      if (pending_.empty()) return;
      group.swap(pending_);
    }
    write(group);
    bell_->ring();  // before the answers: the other processes have the longest way
    for (auto& one : group) {
      one.post([done = std::move(one.done), result = std::move(one.result)] { done(result); });
    }
  }
}

// Looks after what the dead and the stopped leave behind.
void LocalKv::upkeep_loop() {
  std::unique_lock lock{mutex_};
  while (!stopping_) {
    lock.unlock();
    upkeep();
    lock.lock();
    stopped_.wait_for(lock, kUpkeepEvery, [this] { return stopping_; });
  }
}

void LocalKv::upkeep() {
  // Who died between its commit and the bell has told nobody.
  try {
    if (auto now = tick(); now != std::exchange(told_, now)) bell_->ring();
  } catch (const Failure&) {
    bell_->ring();  // they meet it themselves
  }
  // A reader that died in the middle keeps all that was written since from being used again.
  int dead = 0;
  mdb_reader_check(env_, &dead);
  if (dead > 0) log::debug("Cleared {} stale readers of {}", dead, directory_);

  // LMDB's write lock is freed by the system when its holder dies, but not when it is stopped: then nobody can write, and no group can
  // take the stopped member out. See docs/decisions/0003.
  if (int pid = leases_.stopped_writer(kStuckMs)) {
    log::warn("Process {} is stopped while it holds the write lock of {}: killing it, so that the others can go on", pid, directory_);
    ::kill(pid, SIGKILL);
  }
}

}  // namespace mephisto
