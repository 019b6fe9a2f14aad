// The store of local://DIR: LMDB in one directory, used by several processes at once.
//
// Writes: one thread per process collects what its loops submit and commits it in one LMDB transaction (group commit); LMDB's lock
// orders the processes. Reads: snapshots on the caller's thread. Waking: bell.h.
#pragma once

#include <lmdb.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
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
  // Opens or creates the store. Throws Failure with what is wrong with the folder.
  explicit LocalKv(std::string directory);
  ~LocalKv() override;

  void read(const std::function<void(KvReader&)>& look) override;
  void submit(Loop& loop, KvChange change, std::function<void(Result<void>)> done) override;
  std::uint64_t tick() override;
  Uuid new_id() override;
  void watch(Loop& loop, WaitQueue* queue) override { bell_->listen(loop, queue); }
  void unwatch(WaitQueue* queue) override { bell_->forget(queue); }
  std::uint32_t take_lease(const std::string& member) override { return leases_.take(member); }
  void drop_lease(std::uint32_t lease) override { leases_.drop(lease); }
  bool alive(const GroupMember& member) override { return leases_.alive(member); }

 private:
  struct Pending {
    Loop::Poster post;
    KvChange change;
    std::function<void(Result<void>)> done;
    Result<void> result;
  };

  void open();
  void close();
  void write_loop();
  void upkeep_loop();
  void upkeep();
  // Runs `look` in a read transaction.
  void snapshot(const std::function<void(MDB_txn*)>& look);
  // Commits `group` and sets its results: as one, or where that fails one by one.
  void write(std::span<Pending> group);
  // Runs `change` in a durable write transaction, again where the map was too small for it; returns LMDB's code.
  int transact(const std::function<void(KvWriter&)>& change);
  int attempt(const std::function<void(KvWriter&)>& change);
  int grow();
  void adopt_new_size();
  Failure failure(int code, std::string_view doing) const;
  Failure cannot_open(const Error& error) const;

  std::string directory_;
  MDB_env* env_ = nullptr;
  MDB_dbi dbi_ = 0;
  // Shared by transactions; exclusive while the size of the map changes, which LMDB allows only without any.
  std::shared_mutex resize_;
  std::optional<Bell> bell_;
  Leases leases_;
  std::uint64_t told_ = 0;  // the tick that was seen at the last upkeep

  std::mutex mutex_;
  std::condition_variable filled_;
  std::condition_variable stopped_;
  std::vector<Pending> pending_;
  bool stopping_ = false;
  std::thread writer_;
  std::thread upkeep_;
};

}  // namespace mephisto
