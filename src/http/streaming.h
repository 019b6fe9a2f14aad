// Replies that are sent in pieces, for as long as their handler and their client like.
#pragma once

#include <string>

#include "http/guest.h"

namespace mephisto {

// A place among the streamed replies of a server, which cancels the tasks when it ends.
class StreamPlace {
 public:
  // Call it only if there is a free place.
  StreamPlace(Guest& guest, TaskGroup& tasks) : guest_(guest) { guest.shared().streams[&guest] = &tasks; }
  ~StreamPlace() { guest_.shared().streams.erase(&guest_); }
  StreamPlace(const StreamPlace&) = delete;
  StreamPlace& operator=(const StreamPlace&) = delete;

  static bool is_free(Guest& guest) { return guest.shared().streams.size() < guest.shared().limits.streams; }
  // Sends the reply to a request that finds none.
  static Task<void> refuse(Guest& guest);

 private:
  Guest& guest_;
};

// Sends `reply.stream`, and cancels it when the client goes. Throws system_error.
Task<void> stream_reply(Guest& guest, HttpReply reply, const std::string& asked);

}  // namespace mephisto
