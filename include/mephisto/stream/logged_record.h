// The record that log lines are about: that of the event which the running task processes.
#pragma once

#include "mephisto/stream/delivery.h"

namespace mephisto::detail {

// From now on, log lines have the topic, the partition and the offset of the running task's event.
void log_records();

// While it lives, log lines of this thread are about this event. It must not live across a suspension.
class LoggedRecord {
 public:
  explicit LoggedRecord(const Slot& slot);
  ~LoggedRecord();
  LoggedRecord(const LoggedRecord&) = delete;
  LoggedRecord& operator=(const LoggedRecord&) = delete;
};

}  // namespace mephisto::detail
