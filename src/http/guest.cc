#include "http/guest.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/sslerr.h>

#include <algorithm>
#include <array>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "base/text.h"
#include "http/date.h"
#include "mephisto/base/version.h"

namespace mephisto {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kPiece = 256 << 10;
// Limits on reading from a connection that is about to be closed.
constexpr std::chrono::seconds kParting{2};
constexpr std::size_t kPartingBytes = 1 << 20;
constexpr std::chrono::milliseconds kBetweenLooks{500};

constexpr std::array<std::string_view, 7> kOurHeaders{
    "connection", "content-length", "keep-alive", "proxy-connection", "trailer", "transfer-encoding", "upgrade"};

BadMessage unusable(int status, std::string why) { return BadMessage{Unusable{status, std::move(why)}}; }

// Accepts a target in both forms: as sent to a server (`/path?query`) or to a proxy (`http://host/path?query`).
HttpRequest to_request(RequestHead head) {
  std::string_view target = head.target;
  std::string origin_form;
  if (const auto lower = to_lower(target.substr(0, 8)); lower.starts_with("http://") || lower.starts_with("https://")) {
    target.remove_prefix(target.find("//") + 2);
    target.remove_prefix(std::min(target.find_first_of("/?"), target.size()));
    origin_form = target.starts_with('/') ? target : fmt::format("/{}", target);
    target = origin_form;
  }
  auto parsed = boost::urls::parse_origin_form(target);
  if (!parsed) throw unusable(400, "its target is not a path");
  HttpRequest request{std::move(head.method), std::string{parsed->encoded_path()}, {}, std::move(head.headers), ""};
  for (const auto& parameter : parsed->params())
    request.query[std::string{parameter.key}] = std::string{parameter.value};
  return request;
}

bool has_no_body(int status) { return status == 101 || status == 204 || status == 304; }

}  // namespace

std::optional<std::string> fault_of(const HttpReply& reply) {
  const bool switches = reply.status == 101 && reply.socket;
  if (!switches && (reply.socket || reply.status < 200 || reply.status > 599))
    return fmt::format("{} is not a valid status of a reply", reply.status);
  if (!is_field_value(reply.content_type)) return "its content type has a control character in it";
  for (const auto& [name, value] : reply.headers) {
    if (!is_token(name) || !is_field_value(value))
      return fmt::format("its header \"{}\" cannot be sent", printable(name));
    if (std::ranges::find(kOurHeaders, to_lower(name)) != kOurHeaders.end())
      return fmt::format("the header {} is set by the server itself", name);
  }
  return std::nullopt;
}

void Guest::enter(State state) {
  state_ = state;
  since_ = Clock::now();
}

asio::awaitable<void> Guest::shake_hands() {
  auto* tls = wire_.tls();
  if (tls == nullptr) co_return;
  wire_.set_deadline(Clock::now() + shared_.limits.head_within);
  boost::system::error_code error;
  co_await tls->async_handshake(asio::ssl::stream_base::server, asio::redirect_error(asio::use_awaitable, error));
  if (error.category() == asio::error::get_ssl_category() &&
      ERR_GET_REASON(static_cast<unsigned long>(error.value())) == SSL_R_HTTP_REQUEST)
    throw unusable(400, "this port answers https:// only");
  if (error) throw boost::system::system_error{error};
  wire_.speak_tls();
}

asio::awaitable<HttpRequest> Guest::request() {
  shared_.bodies -= std::exchange(body_, 0);
  if (!first_ && wire_.arrived.empty()) {
    enter(State::kIdle);
    wire_.set_deadline(Clock::now() + shared_.limits.idle);
    if (!co_await wire_.receive()) throw BadMessage{BadMessage::Kind::kClosed};
  }
  if (!first_) enter(State::kArriving);
  first_ = false;
  wire_.set_deadline(Clock::now() + shared_.limits.head_within);
  auto block = co_await read_head(wire_, shared_.limits.header);
  // Some clients send an empty line after a body.
  if (block == "\r\n") block = co_await read_head(wire_, shared_.limits.header);
  auto head = parse_request_head(block);
  if (!head) throw BadMessage{std::move(head.error())};
  minor_ = head->minor;
  to_head_ = head->method == "HEAD";
  persistent_ = head->body.persistent;
  auto content = co_await body(*head);
  auto request = to_request(std::move(*head));
  request.body = std::move(content);
  enter(State::kWorking);
  co_return request;
}

asio::awaitable<std::string> Guest::body(const RequestHead& head) {
  const auto& limits = shared_.limits;
  BodyReader reader{head.body, limits.body, limits.header};
  std::string content;
  wire_.set_deadline(Clock::now() + limits.body_within);
  auto take = [&] {
    const auto before = content.size();
    auto taken = reader.take(wire_.arrived, content);
    if (!taken) throw BadMessage{std::move(taken.error())};
    const auto grown = content.size() - before;
    body_ += grown;
    shared_.bodies += grown;
    if (shared_.bodies > limits.bodies) throw unusable(503, "there are too many other requests");
  };
  take();
  if (const auto& expect = head.headers["Expect"]; !expect.empty() && head.minor > 0) {
    if (to_lower(expect) != "100-continue")
      throw unusable(417, "its Expect is unknown: only 100-continue is supported");
    if (!reader.done() && content.empty()) co_await wire_.send("HTTP/1.1 100 Continue\r\n\r\n");
  }
  while (!reader.done()) {
    if (wire_.arrived.empty() && !co_await wire_.receive()) throw BadMessage{BadMessage::Kind::kCut};
    take();
  }
  co_return content;
}

std::string Guest::head_of(const HttpReply& reply, std::string_view framing) const {
  auto head = fmt::format(
      "HTTP/1.1 {} {}\r\nServer: mephisto/{}\r\nDate: {}\r\n", reply.status,
      std::string_view{boost::beast::http::obsolete_reason(static_cast<boost::beast::http::status>(reply.status))},
      MEPHISTO_VERSION, format_http_date(std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())));
  if (!reply.content_type.empty() && !reply.headers.contains("Content-Type") && !has_no_body(reply.status))
    head += fmt::format("Content-Type: {}\r\n", reply.content_type);
  for (const auto& [name, value] : reply.headers) head += fmt::format("{}: {}\r\n", name, value);
  head += framing;
  if (!persistent_)
    head += "Connection: close\r\n";
  else if (minor_ == 0)
    head += "Connection: keep-alive\r\n";
  return head + "\r\n";
}

asio::awaitable<void> Guest::send(HttpReply reply) {
  enter(State::kWriting);
  wire_.set_deadline(Clock::now() + shared_.limits.write_within);
  const bool without = has_no_body(reply.status);
  if (reply.cut) persistent_ = false;
  const auto head = head_of(reply, without ? "" : fmt::format("Content-Length: {}\r\n", reply.body.size()));
  std::string_view rest = reply.body;
  if (without || to_head_)
    rest = {};
  else if (reply.cut)
    rest = rest.substr(0, rest.size() / 2);
  const auto first = rest.substr(0, kPiece);
  co_await wire_.send(head, first);
  rest.remove_prefix(first.size());
  while (!rest.empty()) {
    since_ = Clock::now();
    const auto piece = rest.substr(0, kPiece);
    co_await wire_.send(piece);
    rest.remove_prefix(piece.size());
  }
}

asio::awaitable<void> Guest::begin_stream(HttpReply reply) {
  enter(State::kWriting);
  wire_.set_deadline(Clock::now() + shared_.limits.write_within);
  if (minor_ == 0) persistent_ = false;
  co_await wire_.send(head_of(reply, minor_ == 0 ? "" : "Transfer-Encoding: chunked\r\n"));
  enter(State::kWorking);
}

asio::awaitable<void> Guest::stream(std::string bytes) {
  enter(State::kWriting);
  wire_.set_deadline(Clock::now() + shared_.limits.write_within);
  if (minor_ == 0) {
    co_await wire_.send(bytes);
  } else {
    bytes += "\r\n";
    co_await wire_.send(fmt::format("{:x}\r\n", bytes.size() - 2), bytes);
  }
  enter(State::kWorking);
}

asio::awaitable<void> Guest::end_stream() {
  if (minor_ == 0) co_return;
  enter(State::kWriting);
  wire_.set_deadline(Clock::now() + shared_.limits.write_within);
  co_await wire_.send("0\r\n\r\n");
}

asio::awaitable<void> Guest::upgrade(const HttpReply& reply, std::string_view accept) {
  enter(State::kWriting);
  wire_.set_deadline(Clock::now() + shared_.limits.write_within);
  persistent_ = true;  // the head says nothing of the end
  co_await wire_.send(
      head_of(reply, fmt::format("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n", accept)));
  persistent_ = false;
  enter(State::kWorking);
}

asio::awaitable<void> Guest::gone() {
  while (!wire_.hung_up()) {
    co_await wire_.tcp().socket().async_wait(asio::socket_base::wait_read, asio::use_awaitable);
    if (wire_.hung_up()) break;
    // The bytes of a later request stay in the socket, which therefore is always ready.
    asio::steady_timer timer{co_await asio::this_coro::executor, kBetweenLooks};
    co_await timer.async_wait(asio::use_awaitable);
  }
}

asio::awaitable<void> Guest::refuse(Unusable reason) {
  shared_.bodies -= std::exchange(body_, 0);
  persistent_ = false;
  to_head_ = false;
  minor_ = 1;
  HttpReply reply{reason.status, fmt::format("{{\"error\":\"cannot take the request: {}\"}}", reason.why)};
  co_await send(std::move(reply));
}

asio::awaitable<void> Guest::part() {
  enter(State::kArriving);  // no handler is running: it may be closed to make room for another connection
  wire_.set_deadline(Clock::now() + kParting);
  if (wire_.speaks_tls()) {
    // Tells the client that nothing is missing.
    boost::system::error_code ignored;
    co_await wire_.tls()->async_shutdown(asio::redirect_error(asio::use_awaitable, ignored));
  }
  wire_.tcp().socket().shutdown(asio::socket_base::shutdown_send);
  for (std::size_t read = wire_.arrived.size(); read < kPartingBytes; read += wire_.arrived.size()) {
    wire_.arrived = {};
    if (!co_await wire_.receive()) co_return;
  }
}

void Guest::reset() {
  boost::system::error_code ignored;
  (void)wire_.tcp().socket().set_option(asio::socket_base::linger{true, 0}, ignored);
  wire_.tcp().close();
}

}  // namespace mephisto
