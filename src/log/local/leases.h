// Heartbeats of the group members on this machine, in a file that all processes share. Each member has a slot with the
// time of its last heartbeat. It also locks the slot's byte; the system frees that lock when the process dies. Nothing
// here must survive a restart of the machine. The file is described in docs/local-log-format.md.
//
// The file is read and written, not mapped: if somebody truncated a mapped file, an access after its end would kill the
// process. The next heartbeat repairs a file that was truncated or overwritten. If the file was replaced, all processes
// move to the new one. Until then no member counts as dead because its entry is missing.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "log/group.h"

namespace mephisto {

class Leases {
 public:
  // Throws Failure if the file cannot be used.
  explicit Leases(std::string path);
  ~Leases();

  // Takes a slot for a member, or for another name whose user must be seen to be alive.
  std::uint32_t take(const std::string& member);
  void drop(std::uint32_t slot);
  bool alive(const GroupMember& member) const;
  // Whether some process has a slot for `name`. Also true if this cannot be determined at present.
  bool claimed(const std::string& name) const;

  // Call it after this process has got the store's write lock.
  void set_writer() const;
  struct Writer {
    int pid = 0;      // as this process sees it; 0: the writer is in another container
    int own_pid = 0;  // as the writer sees it
    std::string name;
    bool stopped = false;  // SIGSTOP, a debugger
    std::chrono::milliseconds since{0};
  };
  // The process that got the write lock last, if it is alive and not this one.
  std::optional<Writer> writer() const;

 private:
  void beat();
  // Opens the file at the path, if none is open yet or the file was replaced.
  void use_present_file() const;
  // `member` 0: the slot is free again.
  void write_slot(std::uint32_t slot, std::uint64_t member) const;
  // Whether this process, or any other, holds the slot's lock.
  bool locked(std::uint32_t slot) const;

  const std::string path_;
  mutable std::mutex mutex_;
  mutable int fd_ = -1;
  mutable std::int32_t process_ = 0;  // the number of the byte that this process has locked; 0: no byte was free
  // When this process began to use a new file that others may not know yet; 0: never.
  mutable std::int64_t fresh_since_ = 0;
  mutable std::map<std::uint32_t, std::string> mine_;    // this process's slots and their members
  mutable std::map<std::string, std::int64_t> unclear_;  // members whose slots are invalid, and since when
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mephisto
