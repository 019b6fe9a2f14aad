// How the processes of a local log wake each other: a writer touches the file `bell` after each commit, and every loop
// that waits watches it itself, so that nothing stands between the kernel and who is woken.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "mephisto/sync.h"

namespace mephisto {

class Bell {
 public:
  // Throws Failure when the file cannot be made, or nothing more can be watched.
  explicit Bell(const std::string& directory);
  ~Bell();
  Bell(const Bell&) = delete;
  Bell& operator=(const Bell&) = delete;

  // Any thread of any process.
  void ring() const;
  // Another file may be in the place of the bell: it is the one from now on. To be called from time to time; throws
  // Failure.
  void look_after();
  // `queue` is notified on the loop's thread of every ring. Both on that thread; throws Failure when nothing more can
  // be watched.
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
