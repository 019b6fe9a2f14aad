// One request and its answer on a connection.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "http/connection.h"
#include "http/encoding.h"
#include "http/message.h"

namespace mephisto {

// As HttpCall, where it goes now; redirects change it.
struct Order {
  Target target;
  std::string method;
  HttpHeaders headers;
  std::string body;
};

class Exchange {
 public:
  explicit Exchange(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}

  // Sends the request and waits for the head of the answer that is not interim. Connects first where that is to be
  // done.
  boost::asio::awaitable<void> begin(const Order& order, const std::optional<Proxy>& proxy, const HttpOptions& options,
                                     Wire::time_point deadline, std::uint64_t body_limit);
  const ResponseHead& head() const { return head_; }

  // Appends the next plain bytes of the body to `out`; false at its end.
  boost::asio::awaitable<bool> next(std::string& out, Wire::time_point deadline);

  const Connection& connection() const { return *connection_; }
  // The connection goes to the pool where another request can use it. After the end of the body.
  void end(Pool& pool);

 private:
  std::unique_ptr<Connection> connection_;
  ResponseHead head_;
  std::optional<BodyReader> body_;
  std::optional<Decoder> decoder_;
  std::string came_;  // out of its framing, not decoded yet
  bool reusable_ = true;
};

// Both throw, besides BadMessage and system_error: runtime_error where another attempt can succeed, Failure
// (kUnavailable or kInvalid) where it would be in vain.

}  // namespace mephisto
