#include "log/local/local_kv.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "base/crash_point.h"
#include "base/private_file.h"
#include "base/process.h"
#include "base/text.h"
#include "log/local/data_file.h"
#include "log/local/folder.h"
#include "log/local/local_tx.h"
#include "log/store.h"
#include "mephisto/logging.h"

namespace mephisto {
namespace {

constexpr std::size_t kFirstMapBytes = std::size_t{256} << 20;
constexpr unsigned kMaxReaders = 1024;
// More than the size of LMDB's lock file for this number of readers.
constexpr std::size_t kLockBytes = 128 << 10;
constexpr std::chrono::milliseconds kResize{2000};

std::string prepared(std::string directory) {
  prepare_folder(directory);
  return directory;
}

// Used like a code of LMDB: a change failed after it had begun to write.
constexpr int kHalfDone = 1'000'000;

}  // namespace

Failure LocalKv::failure(int code, std::string_view doing) const {
  // If only a part of a write fits on the disk, the system cuts it short, and LMDB reports an input/output error.
  mdb_filehandle_t data = -1;
  if (code == EIO && mdb_env_get_fd(env_, &data) == 0 && is_full(data)) code = ENOSPC;
  switch (code) {
    case ENOSPC:
    case EDQUOT:
      return {
          ErrorKind::kUnavailable,
          fmt::format("cannot {} the log in {}: the disk is full; free some space and it goes on", doing, directory_)};
    case EACCES:
    case EPERM:
    case EROFS:
      return {ErrorKind::kInvalid, fmt::format("cannot {} the log in {}: {}; check the folder's owner and rights",
                                               doing, directory_, std::strerror(code))};
    case MDB_VERSION_MISMATCH:
    case MDB_INVALID:
      return {ErrorKind::kInvalid,
              fmt::format("cannot {} the log in {}: data.mdb was not written by this kind of log", doing, directory_)};
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
      return {ErrorKind::kCorrupt,
              fmt::format("cannot {} the log in {}: its data is damaged ({}); restore the folder from a copy", doing,
                          directory_, mdb_strerror(code))};
    case MDB_PANIC:
      return {ErrorKind::kFatal, fmt::format("cannot {} the log in {}: the disk failed in the middle of a write; look "
                                             "after the disk, then start this program again",
                                             doing, directory_)};
    default:
      return {ErrorKind::kFatal, fmt::format("cannot {} the log in {}: {}", doing, directory_, mdb_strerror(code))};
  }
}

Failure LocalKv::cannot_open(const Error& error) const {
  return {error.kind, fmt::format("cannot use the log in {}: {}", directory_, error.message)};
}

// Guarantee kept here: nothing is written to a log that was removed, replaced or cut, where nobody would find it.
void LocalKv::throw_if_gone() const {
  if (!gone_) return;
  throw Failure(ErrorKind::kFatal, gone_why_);
}

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
  check_data_file(directory_);
  explain_bus_errors(directory_);
  lock_file_ = open_reserved(directory_ + "/lock.mdb", kLockBytes);
  ::close(open_own_file(directory_ + "/data.mdb"));  // LMDB accepts an empty file
  must(mdb_env_create(&env_));
  must(mdb_env_set_userctx(env_, &directory_));
  must(mdb_env_set_assert(env_, [](MDB_env* env, const char* what) {
    log::error("The data of the log in {} is damaged ({}); restore the folder from a copy",
               *static_cast<std::string*>(mdb_env_get_userctx(env)), what);
  }));
  must(mdb_env_set_mapsize(env_, kFirstMapBytes));
  must(mdb_env_set_maxreaders(env_, kMaxReaders));
  must(mdb_env_open(env_, directory_.c_str(), MDB_NOTLS, 0600));
  while (!look_at_size()) {
  }
  snapshot([&](MDB_txn* txn) { check(mdb_dbi_open(txn, nullptr, 0, &dbi_)); });
  crash_point("local.open");

  // Opening an existing log does not need the write lock, because a stopped process may hold it.
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
  if (lock_file_ >= 0) ::close(lock_file_);
}

// Guarantee kept here: a log that has lost its end is refused. LMDB would end the process at the first missing page.
bool LocalKv::look_at_size() {
  mdb_filehandle_t data = -1;
  mdb_env_get_fd(env_, &data);
  MDB_stat stat{};
  mdb_env_stat(env_, &stat);
  std::optional<std::uint64_t> used;
  snapshot([&](MDB_txn* txn) { used = bytes_in_use(data, stat.ms_psize, mdb_txn_id(txn)); });
  if (!used) return false;
  bytes_ = bytes_of(data);
  if (bytes_ < *used)
    throw Failure(ErrorKind::kCorrupt,
                  fmt::format("cannot open the log in {}: its data.mdb was shortened to {} bytes, and {} are in use; "
                              "restore the folder from a copy",
                              directory_, bytes_, *used));
  return true;
}

bool LocalKv::adopt_new_size() {
  // The writer thread may be waiting for another process that keeps the write lock.
  const std::unique_lock lock{resize_, kResize};
  if (lock) mdb_env_set_mapsize(env_, 0);
  return lock.owns_lock();
}

int LocalKv::grow() {
  const std::unique_lock lock{resize_};
  mdb_env_set_mapsize(env_, 0);
  MDB_envinfo info{};
  mdb_env_info(env_, &info);
  int code = mdb_env_set_mapsize(env_, info.me_mapsize * 2);
  if (code == MDB_SUCCESS) log::info("The log in {} may now grow to {} MiB", directory_, info.me_mapsize * 2 >> 20);
  return code;
}

void LocalKv::snapshot(const std::function<void(MDB_txn*)>& look) {
  throw_if_gone();
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
    if (!adopt_new_size())
      throw Failure(ErrorKind::kUnavailable,
                    fmt::format("cannot read the log in {}: it has grown, and a write of this process has to end first",
                                directory_));
  }
}

void LocalKv::read(const std::function<void(KvReader&)>& look) {
  snapshot([&](MDB_txn* txn) {
    LocalTx tx{txn, dbi_};
    look(tx);
    tx.release_pages();
  });
}

// The number of the snapshot that a reader gets. The number from mdb_env_info is ahead of it while a write is being
// made durable.
std::uint64_t LocalKv::tick() {
  std::uint64_t number = 0;
  snapshot([&](MDB_txn* txn) { number = mdb_txn_id(txn); });
  return number;
}

// Seeded by the system each time: members of different processes must not get equal ids.
Uuid LocalKv::new_id() {
  Random random;
  return Uuid::random(random);
}

std::uint64_t LocalKv::submit(Loop& loop, KvChange change, std::function<void(Result<void>)> done) {
  std::lock_guard lock{mutex_};
  Pending one{++last_number_, loop.poster(), std::move(change), std::move(done), {}};
  if (refused_) {
    one.post([done = std::move(one.done), error = *refused_] { done(std::unexpected(error)); });
  } else {
    pending_.push_back(std::move(one));
    filled_.notify_one();
  }
  return last_number_;
}

bool LocalKv::withdraw(std::uint64_t number) {
  std::lock_guard lock{mutex_};
  const auto is_it = [&](const Pending& one) { return one.number == number; };
  return std::erase_if(pending_, is_it) + std::erase_if(waiting_, is_it) > 0;
}

void LocalKv::answer(std::vector<Pending> group) {
  for (auto& one : group) one.post([done = std::move(one.done), result = std::move(one.result)] { done(result); });
}

void LocalKv::refuse(const Error& error) {
  std::vector<Pending> refused;
  {
    std::lock_guard lock{mutex_};
    refused_ = error;
    refused = std::move(waiting_);
    waiting_.clear();
    std::ranges::move(pending_, std::back_inserter(refused));
    pending_.clear();
  }
  for (auto& one : refused) one.result = std::unexpected(error);
  answer(std::move(refused));
}

void LocalKv::wait_for_lock(bool waiting) {
  std::lock_guard lock{mutex_};
  waits_since_.reset();
  if (waiting)
    waits_since_ = std::chrono::steady_clock::now();
  else if (!gone_)
    refused_.reset();
}

int LocalKv::attempt(const std::function<void(KvWriter&)>& change) {
  std::shared_lock lock{resize_};
  MDB_txn* txn = nullptr;
  wait_for_lock(true);
  const int begun = mdb_txn_begin(env_, nullptr, 0, &txn);
  wait_for_lock(false);
  if (begun != MDB_SUCCESS) return begun;
  leases_.set_writer();
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
      (void)adopt_new_size();
    else if (code != MDB_MAP_FULL || (code = grow()) != MDB_SUCCESS)
      return code;
  }
}

void LocalKv::run(std::span<Pending> group, KvWriter& tx) {
  // A newer program may have upgraded the folder in the meantime.
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
}

std::vector<LocalKv::Pending> LocalKv::take_waiting() {
  std::lock_guard lock{mutex_};
  return std::exchange(waiting_, {});
}

std::vector<LocalKv::Pending> LocalKv::write_waiting() {
  std::vector<Pending> group;
  const int code = transact([&](KvWriter& tx) {
    // This process has the lock now: these changes have begun.
    if (group.empty()) group = take_waiting();
    run(group, tx);
  });
  if (code == MDB_SUCCESS) return group;
  if (group.empty()) group = take_waiting();
  // A change that fails half-way, meets damage or is too large for the disk must not make the others fail.
  if (group.size() > 1) {
    for (auto& one : group) write_one(one);
  } else if (!group.empty() && code != kHalfDone) {
    group[0].result = std::unexpected(failure(code, "write to").error());
  }
  return group;
}

void LocalKv::write_one(Pending& one) {
  const int code = transact([&](KvWriter& tx) { run({&one, 1}, tx); });
  if (code != MDB_SUCCESS && code != kHalfDone) one.result = std::unexpected(failure(code, "write to").error());
}

void LocalKv::write_loop() {
  for (;;) {
    {
      std::unique_lock lock{mutex_};
      filled_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
      if (pending_.empty()) return;
      waiting_.swap(pending_);
    }
    auto group = write_waiting();
    bell_->ring();  // before the answers, because waking other processes takes longest
    answer(std::move(group));
  }
}

}  // namespace mephisto
