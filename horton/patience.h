// Waits for the store of the documents, which may be unusable for a while: a server that cannot be reached, a full
// disk, a locked file.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>

#include "mephisto/error.h"
#include "mephisto/task.h"

namespace horton {

class Patience {
 public:
  // Calls `call`. If it fails because of the store and there is an event that can wait, calls it again until it
  // succeeds, however long that takes. If the event's partition moves or the worker stops in the meantime, the event is
  // given back. Without an event, as in commands, it only waits for a lock, at most `without_event`. `place` is for
  // people, `what` for `why`; both outlive the call.
  mephisto::Task<void> run(std::string place, const char* what, std::function<mephisto::Task<void>()> call,
                           std::chrono::seconds without_event = {});

 private:
  static constexpr auto kThere = std::chrono::steady_clock::time_point::min();
  // When the store was found to be unusable.
  std::atomic<std::chrono::steady_clock::time_point> away_since_{kThere};
};

}  // namespace horton
