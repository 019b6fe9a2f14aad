// A web socket of a server: the upgrade, the messages, and the end.
#pragma once

#include <string>

#include "http/guest.h"

namespace mephisto {

// Sends the reply to `request`'s upgrade, runs `reply.socket` and closes. Throws system_error. `accept` is the result
// of accept_web_socket().
Task<void> serve_web_socket(Guest& guest, HttpReply reply, Parsed<std::string> accept, const std::string& asked);

}  // namespace mephisto
