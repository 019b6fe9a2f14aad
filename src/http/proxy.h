// Finds the proxy between the client and a target.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "http/target.h"

namespace mephisto {

struct Proxy {
  Target target;              // the proxy itself
  std::string authorization;  // the value of `Proxy-Authorization`; empty: none
};

// An error (kInvalid) if `url` is not of the form `http://[NAME:PASSWORD@]HOST[:PORT]`. The message never contains the
// name and password.
Result<Proxy> parse_proxy(const std::string& url);

class Proxies {
 public:
  // Uses `setting` or, if it is empty, HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment. As with curl, names in
  // lower case take precedence.
  explicit Proxies(const std::string& setting);

  // Nothing if the client connects to the target directly. The environment's proxies are not used for this machine and
  // for the targets in NO_PROXY. An error if the target's proxy cannot be used.
  Result<std::optional<Proxy>> for_target(const Target& target) const;

 private:
  std::string setting_;
  std::string http_;
  std::string https_;
  std::vector<std::string> none_for_;  // elements of NO_PROXY
};

}  // namespace mephisto
