// A web socket's client that sends what a test says, also what no browser would send.
#pragma once

#include <string>
#include <string_view>

#include "http/client_frames.h"
#include "http/server.h"

namespace mephisto::tests {

inline std::string upgrade(const std::string& path = "/") {
  return fmt::format(
      "GET {} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
      path);
}

class WebClient {
 public:
  explicit WebClient(int port, const std::string& path = "/") : raw_(port) {
    write(upgrade(path));
    while (!head_.ends_with("\r\n\r\n")) {
      const auto byte = read(1);
      if (byte.empty()) break;
      head_ += byte;
    }
  }
  const std::string& head() const { return head_; }
  bool write(std::string_view bytes) { return raw_.write(bytes); }
  void send(int first, std::string_view data) { write(client_frame(first, data)); }

  // A frame of the server, as its first byte and its data. The first byte is 0 at the end of the connection.
  struct Frame {
    int first = 0;
    std::string data{};
    bool operator==(const Frame&) const = default;
  };
  Frame frame() {
    const auto head = read(2);
    if (head.size() < 2) return {};
    std::uint64_t size = static_cast<unsigned char>(head[1]);
    if (size > 127) return {-1, "a server's frame has a mask"};
    if (size >= 126) {
      const auto bytes = read(size == 126 ? 2 : 8);
      size = 0;
      for (const char byte : bytes) size = size << 8 | static_cast<unsigned char>(byte);
    }
    return {static_cast<unsigned char>(head[0]), read(size)};
  }
  // The code with which the server closes, after any other frames; 0: it sends none.
  int code() {
    for (auto got = frame(); got.first != 0; got = frame()) {
      if (got.first == (kLast | kCloses))
        return got.data.size() < 2
                   ? 1005
                   : static_cast<unsigned char>(got.data[0]) << 8 | static_cast<unsigned char>(got.data[1]);
    }
    return 0;
  }
  int fd() const { return raw_.fd(); }

 private:
  std::string read(std::size_t size) {
    std::string bytes(size, '\0');
    std::size_t have = 0;
    while (have < size) {
      const auto got = ::read(raw_.fd(), bytes.data() + have, size - have);
      if (got <= 0) break;
      have += static_cast<std::size_t>(got);
    }
    bytes.resize(have);
    return bytes;
  }

  Raw raw_;
  std::string head_;
};

}  // namespace mephisto::tests
