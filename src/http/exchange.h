// One request and its answer on a connection.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "http/connection.h"
#include "http/encoding.h"
#include "http/message.h"

namespace mephisto {

// A request and where to send it now. Starts as an HttpCall; redirects change it.
struct Order {
  Target target;
  std::string method;
  HttpHeaders headers;
  std::string body;
};

class Exchange {
 public:
  explicit Exchange(std::unique_ptr<Connection> connection) : connection_(std::move(connection)) {}

  // Connects if necessary, sends the request and waits for the head of the final (not interim) answer.
  boost::asio::awaitable<void> begin(const Order& order, const std::optional<Proxy>& proxy, const HttpOptions& options,
                                     Wire::time_point deadline, std::uint64_t body_limit);
  const ResponseHead& head() const { return head_; }

  // Appends the next plain bytes of the body to `out`; false at its end.
  boost::asio::awaitable<bool> next(std::string& out, Wire::time_point deadline);

  const Connection& connection() const { return *connection_; }
  // Returns the connection to the pool if another request can use it. Call it after the end of the body.
  void end(Pool& pool);

 private:
  std::unique_ptr<Connection> connection_;
  ResponseHead head_;
  std::optional<BodyReader> body_;
  std::optional<Decoder> decoder_;
  std::string came_;  // the framing is removed, but it is not decoded yet
  bool reusable_ = true;
};

// begin() and next() throw BadMessage, system_error, runtime_error if another attempt can succeed, and Failure
// (kUnavailable or kInvalid) if it cannot.

}  // namespace mephisto
