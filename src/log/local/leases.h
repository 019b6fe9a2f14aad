// Signs of life of group members on this machine, in a file that all processes map: a slot per member with the time of its last
// heartbeat, and a lock on the slot's byte that the system frees when the process dies. Writing a heartbeat needs no system call;
// nothing here must survive a restart of the machine. The file is described in docs/local-log-format.md.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "log/group.h"

namespace mephisto {

class Leases {
 public:
  // Throws Failure when the file cannot be used.
  explicit Leases(const std::string& path);
  ~Leases();

  std::uint32_t take(const std::string& member);
  void drop(std::uint32_t slot);
  bool alive(const GroupMember& member) const;

  // Called by the process that holds the store's write lock, around its transaction; the others see who holds it, and since when.
  void set_writer(bool writing);
  // The process that has held the write lock for longer than `limit_ms` and is stopped (SIGSTOP, a debugger), or 0.
  int stopped_writer(std::int64_t limit_ms) const;

 private:
  struct Slot;
  struct File;
  void beat();
  // Whether this process, or any other, holds the slot's lock.
  bool locked(std::uint32_t slot) const;

  int fd_ = -1;
  File* file_ = nullptr;
  mutable std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::set<std::uint32_t> mine_;  // slots
  std::thread thread_;
};

}  // namespace mephisto
