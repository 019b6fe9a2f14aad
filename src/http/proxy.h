// Which proxy stands between the client and a target.
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

// An error (kInvalid) where it is no `http://[NAME:PASSWORD@]HOST[:PORT]`. The message does not contain name and
// password.
Result<Proxy> parse_proxy(const std::string& url);

class Proxies {
 public:
  // By `setting`, or, where it is empty, by HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the environment, of which the names
  // in lower case come first, as with curl.
  explicit Proxies(const std::string& setting);

  // Nothing where the target is asked directly: by the environment's proxies this machine itself and what NO_PROXY
  // names. An error where the proxy that the target needs cannot be used.
  Result<std::optional<Proxy>> for_target(const Target& target) const;

 private:
  std::string setting_;
  std::string http_;
  std::string https_;
  std::vector<std::string> none_for_;  // elements of NO_PROXY
};

}  // namespace mephisto
