// The parts of a URL that a request needs.
#pragma once

#include <string>

#include "mephisto/error.h"

namespace mephisto {

struct Target {
  bool tls = false;
  std::string host;  // to connect to, without the brackets of an IPv6 address
  bool host_is_address = false;
  std::string port;
  std::string authority;  // the value of the header Host
  std::string path;       // with the query

  // `host:port`, with the brackets of an IPv6 address.
  std::string place() const { return (host.find(':') == std::string::npos ? host : "[" + host + "]") + ":" + port; }
  // Targets of one origin may share a connection.
  std::string origin() const { return (tls ? "https://" : "http://") + place(); }
  // For messages: without the query, which may contain keys.
  std::string shown() const { return origin() + path.substr(0, path.find('?')); }
};

// An error (kInvalid) if HttpClient cannot use the URL.
Result<Target> parse_target(const std::string& url);
// Resolves `location`, an absolute or relative URL, against `from`.
Result<Target> redirected(const Target& from, const std::string& location);

}  // namespace mephisto
