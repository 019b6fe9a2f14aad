// The certificate of a server.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "mephisto/http.h"

namespace mephisto {

class ServerTls {
 public:
  // Reads the files. Throws Failure (kInvalid) with what is wrong with them.
  explicit ServerTls(HttpTls files);

  // For the next connection. If the files have changed, reads them again; if it cannot use the new ones, it warns and
  // goes on with those before.
  std::shared_ptr<boost::asio::ssl::context> context();

 private:
  std::shared_ptr<boost::asio::ssl::context> read() const;
  // Changes with the files.
  std::string mark() const;

  HttpTls files_;
  std::string mark_;  // looked up before the files are read
  std::shared_ptr<boost::asio::ssl::context> context_;
  std::chrono::steady_clock::time_point looked_;
};

}  // namespace mephisto
