#include "http/wire.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/error.hpp>
#include <cerrno>

namespace mephisto {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;

}  // namespace

Wire::Wire(asio::io_context& io, asio::ssl::context* tls) {
  if (tls != nullptr)
    secure_.emplace(io, *tls);
  else
    plain_.emplace(io);
}

Wire::Wire(asio::ip::tcp::socket connected, asio::ssl::context* tls) {
  if (tls != nullptr)
    secure_.emplace(beast::tcp_stream{std::move(connected)}, *tls);
  else
    plain_.emplace(std::move(connected));
}

void Wire::set_deadline(time_point at) {
  deadline_ = at;
  tcp().expires_at(at);
}

void Wire::no_deadline() {
  deadline_ = time_point::max();
  tcp().expires_never();
}

void Wire::check_deadline() const {
  // The stream's own timer never fires if there is always something to read.
  if (std::chrono::steady_clock::now() >= deadline_) throw boost::system::system_error{beast::error::timeout};
}

asio::awaitable<bool> Wire::receive() {
  check_deadline();
  boost::system::error_code error;
  std::size_t size = 0;
  if (speaks_tls_)
    size = co_await secure_->async_read_some(asio::buffer(buffer_), asio::redirect_error(asio::use_awaitable, error));
  else
    size = co_await tcp().async_read_some(asio::buffer(buffer_), asio::redirect_error(asio::use_awaitable, error));
  if (error == asio::error::eof) co_return false;
  if (error) throw boost::system::system_error{error};
  arrived = {buffer_.data(), size};
  co_return true;
}

asio::awaitable<void> Wire::send(std::string_view first, std::string_view second) {
  const std::array<asio::const_buffer, 2> all{asio::buffer(first), asio::buffer(second)};
  if (speaks_tls_)
    co_await asio::async_write(*secure_, all, asio::use_awaitable);
  else
    co_await asio::async_write(tcp(), all, asio::use_awaitable);
}

asio::awaitable<void> Wire::pause() {
  check_deadline();
  co_await asio::post(co_await asio::this_coro::executor, asio::use_awaitable);
}

bool Wire::quiet() {
  if (!arrived.empty()) return false;
  if (speaks_tls_) {
    // Bytes that arrived with the last TLS record that was read.
    ERR_clear_error();
    char byte = 0;
    const int got = SSL_peek(secure_->native_handle(), &byte, 1);
    const bool nothing = got <= 0 && SSL_get_error(secure_->native_handle(), got) == SSL_ERROR_WANT_READ;
    ERR_clear_error();
    if (!nothing) return false;
  }
  char byte = 0;
  const auto got = ::recv(tcp().socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

bool Wire::hung_up() {
  if (!tcp().socket().is_open()) return true;
  pollfd look{tcp().socket().native_handle(), POLLRDHUP, 0};
  return ::poll(&look, 1, 0) > 0;
}

asio::awaitable<std::string> read_head(Wire& wire, std::size_t limit, std::string_view start) {
  Block block{limit};
  while (true) {
    if (wire.arrived.empty() && !co_await wire.receive())
      throw BadMessage{block.text().empty() ? BadMessage::Kind::kClosed : BadMessage::Kind::kCut};
    const auto state = block.take(wire.arrived);
    const auto begun = std::string_view{block.text()}.substr(0, start.size());
    if (!start.starts_with(begun)) throw BadMessage{Unusable{400, fmt::format("it does not begin with {}", start)}};
    switch (state) {
      case Block::State::kMore: break;
      case Block::State::kWhole: co_return block.text();
      case Block::State::kTooLarge: throw BadMessage{Unusable{431, "its head is too large"}};
      case Block::State::kBroken: throw BadMessage{Unusable{400, "a line of its head does not end in CRLF"}};
    }
  }
}

}  // namespace mephisto
