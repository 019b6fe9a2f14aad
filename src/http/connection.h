// The client's connections: how they are made, through a proxy or not, and which of them can be used again.
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

// The authorities that are trusted: the file's, or the system's where it is empty. Clients share what is loaded, which
// takes a megabyte. Throws Failure.
std::shared_ptr<Trust> trust(const std::string& ca_file);

struct Connection {
  Connection(boost::asio::io_context& io, std::shared_ptr<Trust> trusted, std::string leads_to)
      : tls(std::move(trusted)), wire(io, tls.get()), place(std::move(leads_to)) {}

  std::shared_ptr<Trust> tls;
  Wire wire;
  std::string place;       // requests to the same one can share it
  bool connected = false;  // to the server, not only to a proxy
  bool sent = false;       // something of the present request
  bool used = false;       // for an earlier request
};

// To the target's server, with TLS where the target says so. Throws system_error, BadMessage, or Failure where it would
// be in vain to try again.
boost::asio::awaitable<void> connect(Connection& connection, const Target& target, const std::optional<Proxy>& proxy);

// Connections that wait for a request.
class Pool {
 public:
  // Null where there is none to `place` that is of use.
  std::unique_ptr<Connection> take(const std::string& place);
  void give(std::unique_ptr<Connection> connection);

 private:
  std::deque<std::unique_ptr<Connection>> idle_;  // the one that was used last at the end
};

}  // namespace mephisto
