// What a URL means for a request.
#pragma once

#include <string>

#include "mephisto/error.h"

namespace mephisto {

struct Target {
  bool tls = false;
  std::string host;  // to connect to, without the brackets of an IPv6 address
  bool host_is_address = false;
  std::string port;
  std::string authority;  // for the header Host
  std::string path;       // with the query

  // `host:port`, with the brackets of an IPv6 address.
  std::string place() const { return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + port; }
  // Targets of one origin may share a connection.
  std::string origin() const { return (tls ? "https://" : "http://") + place(); }
  // For messages: without the query, where keys are.
  std::string shown() const { return origin() + path.substr(0, path.find('?')); }
};

// An error (kInvalid) where HttpClient cannot use the URL.
Result<Target> parse_target(const std::string& url);
// Where `location`, an absolute or relative URL, leads to from `from`.
Result<Target> redirected(const Target& from, const std::string& location);

}  // namespace mephisto
