// Which form of a file a client gets: the whole, the compressed one, or none because it has it already.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "mephisto/http.h"

namespace mephisto {

struct Negotiated {
  HttpReply reply;  // without its body; status 200 or 304
  bool gzip = false;
};

// `tag` is the file's version, of letters, digits and `-`. `has_gzip`: there is a compressed form.
Negotiated negotiate(const HttpRequest& request, const std::string& tag,
                     std::optional<std::chrono::sys_seconds> modified, bool has_gzip);

}  // namespace mephisto
