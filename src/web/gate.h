// Who may ask for a page.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "mephisto/http.h"

namespace mephisto {

class Gate {
 public:
  struct Rules {
    std::string token;                 // empty: everybody
    std::vector<std::string> hosts;    // names that the header Host may have; empty: any
    std::vector<std::string> open;     // paths for which no token is needed
    std::vector<std::string> origins;  // foreign origins that may read in a browser; * for all
  };
  explicit Gate(Rules rules) : rules_(std::move(rules)) {}

  // The reply to a request that is not let in, or that a browser only sends to ask whether it would be. Nothing: the
  // request is let in.
  std::optional<HttpReply> stop(const HttpRequest& request) const;
  // Adds to the reply what browsers must know.
  void mark(const HttpRequest& request, HttpReply& reply) const;

 private:
  // Whether the token is a parameter, as in the first request of a browser.
  bool asks_with_token(const HttpRequest& request) const;
  bool knows_token(const HttpRequest& request) const;
  bool is_foreign(const HttpRequest& request) const;
  bool may_read(const std::string& origin) const;

  Rules rules_;
};

}  // namespace mephisto
