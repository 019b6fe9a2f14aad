// Helpers of the server's tests.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include "http/client.h"

namespace mephisto::tests {

// Runs `body(server)` while a server with the handler runs.
template <class Body>
void serving(HttpServer::Handler handler, Body body, HttpLimits limits = {}) {
  on_loop([&]() -> Task<void> {
    auto& loop = *Loop::current();
    HttpServer server{loop, handler, 0, "127.0.0.1", limits};
    auto running = loop.spawn("server", server.run());
    co_await body(server);
    running.cancel();
    co_await running.finished();
  });
}

inline std::string url(const HttpServer& server, const std::string& path = "/") {
  return fmt::format("http://127.0.0.1:{}{}", server.port(), path);
}

// A plain socket to the server; false if nobody listens.
class Raw {
 public:
  explicit Raw(int port, const char* address = "127.0.0.1") : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    inet_pton(AF_INET, address, &to.sin_addr);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  ~Raw() { ::close(fd_); }
  explicit operator bool() const { return connected_; }
  int fd() const { return fd_; }
  // False if the server has closed.
  bool write(std::string_view text) {
    while (!text.empty()) {
      auto put = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (put <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(put));
    }
    return true;
  }
  // The received text until the server closes, or until it ends in `end`.
  std::string read(std::string_view end = "") {
    std::string text;
    char chunk[4096];
    while (end.empty() || !text.ends_with(end)) {
      auto got = ::read(fd_, chunk, sizeof chunk);
      if (got <= 0) break;
      text.append(chunk, static_cast<std::size_t>(got));
    }
    return text;
  }

 private:
  int fd_;
  bool connected_;
};

// Sends the text on its own connection and returns everything that comes back.
inline Task<std::string> answer_to(const HttpServer& server, std::string text) {
  co_return co_await blocking([text = std::move(text), port = server.port()] {
    Raw raw{port};
    raw.write(text);
    return raw.read();
  });
}

}  // namespace mephisto::tests
