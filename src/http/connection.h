// The client's connections: making them, directly or through a proxy, and pooling them for reuse.
#pragma once

#include <boost/asio/io_context.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "http/proxy.h"
#include "http/target.h"
#include "http/wire.h"

namespace mephisto {

using Trust = boost::asio::ssl::context;

// The trusted certificate authorities, from the file or, if `ca_file` is empty, from the system. They take a megabyte,
// so clients share them. Throws Failure.
std::shared_ptr<Trust> trust(const std::string& ca_file);

struct Connection {
  Connection(boost::asio::io_context& io, std::shared_ptr<Trust> trusted, std::string leads_to)
      : tls(std::move(trusted)), wire(io, tls.get()), place(std::move(leads_to)) {}

  std::shared_ptr<Trust> tls;
  Wire wire;
  std::string place;       // requests with the same place can reuse the connection
  bool connected = false;  // to the server, not only to a proxy
  bool sent = false;       // some bytes of the current request
  bool used = false;       // for an earlier request
};

// Connects to the target's server, with TLS if the target requires it. Throws system_error, BadMessage, or, if another
// attempt cannot succeed, Failure.
boost::asio::awaitable<void> connect(Connection& connection, const Target& target, const std::optional<Proxy>& proxy);

// Connections that wait for a request.
class Pool {
 public:
  // Null if there is no usable connection to `place`.
  std::unique_ptr<Connection> take(const std::string& place);
  void give(std::unique_ptr<Connection> connection);

 private:
  std::deque<std::unique_ptr<Connection>> idle_;  // the most recently used one is last
};

}  // namespace mephisto
