// For any answer of a server, HttpClient soon returns a response or throws a Failure. The server is a thread that sends
// the input and closes the connection.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mutex>
#include <thread>

#include "fuzz.h"
#include "mephisto/error.h"
#include "mephisto/http.h"
#include "mephisto/loop.h"

namespace mephisto::fuzz {
namespace {

constexpr std::size_t kLimit = 1 << 16;

class Server {
 public:
  Server() : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* raw = reinterpret_cast<sockaddr*>(&address);
    promise(bind(listener_, raw, size) == 0 && listen(listener_, 64) == 0 && getsockname(listener_, raw, &size) == 0,
            "a port can be had");
    port_ = ntohs(address.sin_port);
    std::thread{[this] {
      while (true) serve(accept(listener_, nullptr, nullptr));
    }}.detach();
  }
  int port() const { return port_; }
  void answer(std::string_view bytes) {
    std::lock_guard lock{mutex_};
    answer_ = bytes;
  }

 private:
  void serve(int connection) {
    char request[4096];
    (void)!read(connection, request, sizeof request);
    std::string bytes;
    {
      std::lock_guard lock{mutex_};
      bytes = answer_;
    }
    (void)send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    shutdown(connection, SHUT_WR);
    close(connection);
  }

  int listener_;
  int port_ = 0;
  std::mutex mutex_;
  std::string answer_;
};

}  // namespace

std::vector<std::string> seeds() {
  return {
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: application/json\r\n\r\n{}",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
      "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 503 Busy\r\nConnection: close\r\n\r\nlater",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\nbody until the end",
      "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
  };
}

void take(std::string_view input) {
  // Never destroyed: the thread and the connections live as long as the process.
  static auto& server = *new Server;
  static auto& loop = *new Loop;
  static auto& client = *new HttpClient{
      {.deadline = std::chrono::milliseconds{2000}, .retries = 0, .redirects = 0, .body_limit = kLimit}};
  server.answer(input);
  try {
    auto response = loop.run(client.get("http://127.0.0.1:" + std::to_string(server.port()) + "/query?apikey=secret"));
    promise(response.body.size() <= kLimit, "the limit holds");
  } catch (const Failure& failure) {
    const std::string_view what = failure.what();
    promise(failure.kind() != ErrorKind::kTimeout, "the client does not wait after the end of an answer");
    promise(!what.empty() && what.find("secret") == std::string_view::npos, "a failure says why, without the key");
  }
}

}  // namespace mephisto::fuzz
