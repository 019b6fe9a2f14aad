// How the processes of a local log wake each other: a writer writes to the file `bell` after each commit. Every waiting
// loop watches the file itself, so that the kernel wakes it directly, without another thread in between.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "mephisto/sync.h"

namespace mephisto {

class Bell {
 public:
  // Throws Failure if the file cannot be created or watched.
  explicit Bell(const std::string& directory);
  ~Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  // Any thread of any process.
  void ring() const;
  // If another file has replaced the bell at its path, uses that one from now on. Call it from time to time. Throws
  // Failure.
  void look_after();
  // `queue` is notified of every ring, on the loop's thread. Call both functions on that thread. Throws Failure if the
  // file cannot be watched.
  void listen(Loop& loop, WaitQueue* queue);
  void forget(WaitQueue* queue);

 private:
  struct Ear;
  std::string path_;
  mutable std::mutex mutex_;
  int file_ = -1;
  std::map<WaitQueue*, std::shared_ptr<Ear>> ears_;
};

}  // namespace mephisto
