// Signs of life of group members on this machine, in a file of all processes: a slot per member with the time of its
// last heartbeat, and a lock on the slot's byte that the system frees when the process dies. Nothing here must survive
// a restart of the machine. The file is described in docs/local-log-format.md.
//
// The file is read and written, not mapped: a mapped page behind the end of a file that somebody cut ends the process.
// A file that was cut or overwritten is whole again with the next heartbeat; where another one is in its place,
// everybody moves to that one. Until then nobody is taken for dead because of what the file does not say.
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
  // Throws Failure when the file cannot be used.
  explicit Leases(std::string path);
  ~Leases();

  // A slot for a member, or for whatever else must be seen to have somebody.
  std::uint32_t take(const std::string& member);
  void drop(std::uint32_t slot);
  bool alive(const GroupMember& member) const;
  // Whether some process has a slot for `name`, or that cannot be known at present.
  bool claimed(const std::string& name) const;

  // Called by the process that has just got the store's write lock.
  void set_writer() const;
  struct Writer {
    int pid = 0;      // as this process sees it; 0: it is in another container
    int own_pid = 0;  // as it sees itself
    std::string name;
    bool stopped = false;  // SIGSTOP, a debugger
    std::chrono::milliseconds since{0};
  };
  // The process that got the write lock last, where it lives and is not this one.
  std::optional<Writer> writer() const;

 private:
  void beat();
  // Opens the file that is at the path now. The first time, or when it is another one.
  void use_present_file() const;
  // `member` 0: it is given back.
  void write_slot(std::uint32_t slot, std::uint64_t member) const;
  // Whether this process, or any other, holds the slot's lock.
  bool locked(std::uint32_t slot) const;

  const std::string path_;
  mutable std::mutex mutex_;
  mutable int fd_ = -1;
  mutable std::int32_t process_ = 0;  // the number whose byte this process has locked; 0: none was free
  mutable std::int64_t fresh_since_ =
      0;  // when a file came into use of which others may not know yet; 0: there was none
  mutable std::map<std::uint32_t, std::string> mine_;    // what this process's slots are for
  mutable std::map<std::string, std::int64_t> unclear_;  // members whose slots have no sense, and since when
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mephisto
