// A server on a plain socket with its own threads. It does exactly what a test says, even what no decent server would
// do.
//
//   RawServer server{[](Peer& peer, int number) {
//     while (!peer.request().empty()) peer.reply("hello");
//   }};
//   co_await client.get(server.url("/x"));
#pragma once

#include <fmt/format.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace mephisto::tests {

// One connection, seen from the server.
class Peer {
 public:
  Peer(int fd, SSL_CTX* tls) : fd_(fd) {
    if (tls == nullptr) return;
    tls_.reset(SSL_new(tls));
    SSL_set_fd(tls_.get(), fd_);
    usable_ = SSL_accept(tls_.get()) == 1;
  }

  // The head of the next request; empty if the client has closed.
  std::string request() {
    std::string head;
    while (usable_ && !head.ends_with("\r\n\r\n")) {
      const auto byte = read(1);
      if (byte.empty()) return "";
      head += byte;
    }
    return head;
  }
  // `size` bytes; fewer if the client has closed.
  std::string read(std::size_t size) {
    std::string bytes(size, '\0');
    std::size_t have = 0;
    while (usable_ && have < size) {
      const auto left = size - have;
      const auto got = tls_ ? SSL_read(tls_.get(), bytes.data() + have, static_cast<int>(left))
                            : static_cast<int>(::read(fd_, bytes.data() + have, left));
      if (got <= 0) break;
      have += static_cast<std::size_t>(got);
    }
    bytes.resize(have);
    return bytes;
  }
  void write(std::string_view text) {
    while (usable_ && !text.empty()) {
      const auto put = tls_ ? SSL_write(tls_.get(), text.data(), static_cast<int>(text.size()))
                            : static_cast<int>(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL));
      if (put <= 0) return;
      text.remove_prefix(static_cast<std::size_t>(put));
    }
  }
  void reply(std::string_view body, std::string_view headers = "", std::string_view status = "200 OK") {
    write(fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(), headers, body));
  }
  // Closes the sending side; returns when the client has closed too.
  void wait_until_gone() {
    while (!request().empty()) {
    }
  }
  // While it is on, written bytes are held back; they go out together when it is turned off.
  void cork(bool on) {
    const int value = on ? 1 : 0;
    setsockopt(fd_, IPPROTO_TCP, TCP_CORK, &value, sizeof value);
  }
  // Acts as a proxy: carries bytes between the client and a server, until one of them ends.
  void join(const char* address, int port) {
    const int other = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    inet_pton(AF_INET, address, &to.sin_addr);
    bool more = ::connect(other, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
    while (more) {
      pollfd both[] = {{fd_, POLLIN, 0}, {other, POLLIN, 0}};
      ::poll(both, 2, -1);
      for (int i = 0; i < 2 && more; ++i) {
        if (both[i].revents == 0) continue;
        char bytes[4096];
        const auto got = ::read(both[i].fd, bytes, sizeof bytes);
        more = got > 0 && ::send(both[1 - i].fd, bytes, static_cast<std::size_t>(got), MSG_NOSIGNAL) == got;
      }
    }
    ::close(other);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
  bool usable_ = true;
  std::unique_ptr<SSL, void (*)(SSL*)> tls_{nullptr, SSL_free};
};

class RawServer {
 public:
  // `script` runs once for each connection, on its own thread; the connection is closed when it returns. `number`
  // counts from 0.
  explicit RawServer(std::function<void(Peer&, int number)> script, SSL_CTX* tls = nullptr)
      : script_(std::move(script)), tls_(tls) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(fd_, 64) != 0 ||
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      throw std::runtime_error("the test's server cannot listen");
    }
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread{[this] { accept_all(); }};
  }
  ~RawServer() {
    ::shutdown(fd_, SHUT_RDWR);
    acceptor_.join();
    {
      std::lock_guard lock{mutex_};
      for (int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (auto& thread : threads_) thread.join();
    ::close(fd_);
  }

  int port() const { return port_; }
  std::string url(const std::string& path = "/", const std::string& host = "127.0.0.1") const {
    return fmt::format("{}://{}:{}{}", tls_ == nullptr ? "http" : "https", host, port_, path);
  }
  int connections() const { return connections_; }

 private:
  void accept_all() {
    for (;;) {
      const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const int number = connections_++;
      std::lock_guard lock{mutex_};
      open_.push_back(fd);
      threads_.emplace_back([this, fd, number] {
        // OpenSSL writes to clients that have closed. SIGPIPE is blocked on this thread alone, so that it does not end
        // the process.
        sigset_t pipe;
        sigemptyset(&pipe);
        sigaddset(&pipe, SIGPIPE);
        pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
        {
          Peer peer{fd, tls_};
          script_(peer, number);
        }
        std::lock_guard closing{mutex_};
        std::erase(open_, fd);
        ::close(fd);
      });
    }
  }

  std::function<void(Peer&, int)> script_;
  SSL_CTX* tls_;
  int fd_ = -1;
  int port_ = 0;
  std::atomic<int> connections_{0};
  std::mutex mutex_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;  // of the acceptor
  std::thread acceptor_;
};

// `text`, compressed in the format that `window_bits` selects in zlib.
inline std::string deflated(std::string_view text, int window_bits) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
  std::string packed(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// `text` as one gzip member.
inline std::string gzip(std::string_view text) { return deflated(text, 16 + MAX_WBITS); }

}  // namespace mephisto::tests
