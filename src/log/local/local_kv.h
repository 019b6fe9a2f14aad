// The store of local://DIR: LMDB in one directory, used by several processes at once.
//
// Writes: one thread per process collects the changes that its loops submit and commits them in one LMDB transaction
// (group commit); LMDB's lock orders the processes. A change that waits for that lock has not begun and can be
// withdrawn. If another process keeps the lock, changes are refused for a while. Reads: snapshots on the caller's
// thread. Waking: bell.h.
#pragma once

#include <lmdb.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "log/kv.h"
#include "log/local/bell.h"
#include "log/local/leases.h"

namespace mephisto {

class LocalKv : public Kv {
 public:
  // Opens or creates the store. Throws Failure that names the problem with the folder.
  explicit LocalKv(std::string directory);
  ~LocalKv() override;

  void read(const std::function<void(KvReader&)>& look) override;
  std::uint64_t submit(Loop& loop, KvChange change, std::function<void(Result<void>)> done) override;
  bool withdraw(std::uint64_t number) override;
  std::uint64_t tick() override;
  Uuid new_id() override;
  void watch(Loop& loop, WaitQueue* queue) override { bell_->listen(loop, queue); }
  void unwatch(WaitQueue* queue) override { bell_->forget(queue); }
  std::uint32_t take_lease(const std::string& member) override { return leases_.take(member); }
  void drop_lease(std::uint32_t lease) override { leases_.drop(lease); }
  bool alive(const GroupMember& member) override { return leases_.alive(member); }
  bool claimed(const std::string& name) override { return leases_.claimed(name); }

 private:
  struct Pending {
    std::uint64_t number = 0;
    Loop::Poster post;
    KvChange change;
    std::function<void(Result<void>)> done;
    Result<void> result;
  };

  void open();
  void close();
  // False if the snapshot that it looked at was overwritten. Throws Failure if the file is shorter than what is in use.
  bool look_at_size();
  void write_loop();
  void upkeep_loop();
  void upkeep();
  // Checks that the folder and its files are still those that were opened, and whole; if not, all later calls fail.
  void check_place();
  // Kills or reports a process that keeps the write lock.
  void check_writer();
  // Answers all changes that have not begun with `error`.
  void refuse(const Error& error);
  static void answer(std::vector<Pending> group);
  std::vector<Pending> take_waiting();
  void wait_for_lock(bool waiting);
  void throw_if_gone() const;
  // Runs `look` in a read transaction.
  void snapshot(const std::function<void(MDB_txn*)>& look);
  // Commits all waiting changes together, or, if that fails, one by one. Returns them with their results.
  std::vector<Pending> write_waiting();
  void write_one(Pending& one);
  // Runs the changes of `group` in one transaction.
  void run(std::span<Pending> group, KvWriter& tx);
  // Runs `change` in a durable write transaction; runs it again if the map was too small. Returns LMDB's code.
  int transact(const std::function<void(KvWriter&)>& change);
  int attempt(const std::function<void(KvWriter&)>& change);
  int grow();
  // False if a transaction of this process does not end.
  bool adopt_new_size();
  Failure failure(int code, std::string_view doing) const;
  Failure cannot_open(const Error& error) const;

  std::string directory_;
  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;
  int lock_file_ = -1;  // stays open: closing it would free LMDB's own locks on it
  // Shared by transactions. Exclusive while the map's size changes, because LMDB allows that only without transactions.
  std::shared_timed_mutex resize_;
  std::optional<Bell> bell_;
  Leases leases_;
  std::uint64_t told_ = 0;  // the tick at the last upkeep

  std::mutex mutex_;
  std::condition_variable filled_;
  std::condition_variable stopped_;
  std::vector<Pending> pending_;  // new
  std::vector<Pending> waiting_;  // for the write lock
  std::uint64_t last_number_ = 0;
  std::optional<std::chrono::steady_clock::time_point> waits_since_;  // for the write lock
  std::optional<Error> refused_;                                      // the error that answers changes at present
  std::atomic<bool> gone_ = false;  // the log cannot be used any more; refused_ reports it from then on
  std::string gone_why_;            // set before gone_
  std::uint64_t bytes_ = 0;         // of data.mdb, when the upkeep last looked
  bool stopping_ = false;
  std::thread writer_;
  std::thread upkeep_;
};

}  // namespace mephisto
