// One connection, over TCP or TLS. Every wait has a deadline, and data arrives in parts of a bounded size.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "http/message.h"

namespace mephisto {

// The received bytes are not a complete, usable message.
class BadMessage : public std::exception {
 public:
  enum class Kind {
    kClosed,    // the peer closed the connection before the first byte
    kCut,       // the peer closed it in the middle of a message
    kUnusable,  // see reason()
  };
  explicit BadMessage(Kind kind) : kind_(kind) {}
  explicit BadMessage(Unusable reason) : kind_(Kind::kUnusable), reason_(std::move(reason)) {}

  Kind kind() const { return kind_; }
  const Unusable& reason() const { return reason_; }
  const char* what() const noexcept override { return reason_.why.c_str(); }

 private:
  Kind kind_;
  Unusable reason_;
};

class Wire {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  // Not connected yet. Uses TLS if `tls` is not null.
  Wire(boost::asio::io_context& io, boost::asio::ssl::context* tls);
  // A server's. Uses TLS if `tls` is not null.
  Wire(boost::asio::ip::tcp::socket connected, boost::asio::ssl::context* tls);

  boost::beast::tcp_stream& tcp() { return secure_ ? boost::beast::get_lowest_layer(*secure_) : *plain_; }
  // Null over TCP.
  boost::beast::ssl_stream<boost::beast::tcp_stream>* tls() { return secure_ ? &*secure_ : nullptr; }
  // Call it after the handshake: from then on, bytes go through TLS.
  void speak_tls() { speaks_tls_ = true; }
  bool speaks_tls() const { return speaks_tls_; }

  // A wait beyond the deadline throws system_error (beast::error::timeout).
  void set_deadline(time_point at);
  void no_deadline();
  time_point deadline() const { return deadline_; }

  // Received bytes that are not consumed yet.
  std::string_view arrived;
  // Waits for more. Call it only if `arrived` is empty. False at the end of the connection.
  boost::asio::awaitable<bool> receive();
  boost::asio::awaitable<void> send(std::string_view first, std::string_view second = {});
  // Lets other coroutines run. Throws if the deadline has passed.
  boost::asio::awaitable<void> pause();

  // Whether the connection is open and has no unconsumed bytes.
  bool quiet();
  // Whether the peer has closed, or will send no more. It may have sent bytes before that are not received yet.
  bool hung_up();

 private:
  void check_deadline() const;

  std::optional<boost::beast::tcp_stream> plain_;
  std::optional<boost::beast::ssl_stream<boost::beast::tcp_stream>> secure_;
  bool speaks_tls_ = false;
  time_point deadline_ = time_point::max();
  std::array<char, 16384> buffer_;
};

// The next head. Throws BadMessage as soon as it is clear that it does not begin with `start`.
boost::asio::awaitable<std::string> read_head(Wire& wire, std::size_t limit, std::string_view start = {});

}  // namespace mephisto
