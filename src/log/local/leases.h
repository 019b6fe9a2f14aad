// Signs of life of group members on this machine, in a file that all processes map: a slot per member with the time of its last
// heartbeat. Reading one costs nothing, writing one needs no system call; nothing here must survive a restart of the machine.
// The file is described in docs/local-log-format.md.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
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
  // The process that has held the write lock for longer than `limit_ms`, or 0.
  int stuck_writer(std::int64_t limit_ms) const;

 private:
  struct Slot;
  struct File;
  void beat();

  File* file_ = nullptr;
  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::map<std::uint32_t, std::uint64_t> mine_;  // slot → hash of the member
  std::thread thread_;
};

}  // namespace mephisto
