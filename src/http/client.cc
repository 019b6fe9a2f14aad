#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <deque>
#include <map>
#include <memory>
#include <mutex>

#include "base/text.h"
#include "base/inflate.h"
#include "http/lookup.h"
#include "http/target.h"
#include "mephisto/http.h"
#include "mephisto/logging.h"
#include "runtime/asio.h"

namespace mephisto {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

using Trust = asio::ssl::context;

// The authorities that are trusted: the file's, or the system's. Clients share what is loaded, which takes a megabyte.
std::shared_ptr<Trust> trust(const std::string& ca_file) {
  static std::mutex mutex;
  static auto& loaded = *new std::map<std::string, std::weak_ptr<Trust>>;  // never destroyed: clients may be among the statics
  std::lock_guard lock{mutex};
  auto& place = loaded[ca_file];
  if (auto there = place.lock()) return there;
  auto made = std::make_shared<Trust>(Trust::tls_client);
  made->set_verify_mode(asio::ssl::verify_peer);
  boost::system::error_code error;
  if (ca_file.empty())
    (void)made->set_default_verify_paths(error);
  else
    (void)made->load_verify_file(ca_file, error);
  if (error) throw Failure(ErrorKind::kInvalid, fmt::format("cannot load certificates from {}: {}", ca_file, error.message()));
  place = made;
  return made;
}

struct Connection {
  explicit Connection(asio::io_context& io, asio::ssl::context* tls) {
    if (tls != nullptr)
      secure.emplace(io, *tls);
    else
      plain.emplace(io);
  }
  beast::tcp_stream& tcp_layer() { return secure ? beast::get_lowest_layer(*secure) : *plain; }

  std::optional<beast::tcp_stream> plain;
  std::optional<beast::ssl_stream<beast::tcp_stream>> secure;
  beast::flat_buffer buffer;
  bool connected = false;
  bool used = false;
};

template <class Stream>
asio::awaitable<http::response<http::string_body>> exchange(Stream& stream, beast::flat_buffer& buffer, const http::request<http::empty_body>& request, std::size_t limit) {
  co_await http::async_write(stream, request, asio::use_awaitable);
  http::response_parser<http::string_body> parser;
  parser.body_limit(limit);
  co_await http::async_read(stream, buffer, parser, asio::use_awaitable);
  co_return parser.release();
}

asio::awaitable<void> connect(Connection& connection, const Target& target, std::chrono::steady_clock::time_point deadline) {
  auto found = co_await look_up(target, deadline);
  co_await connection.tcp_layer().async_connect(found, asio::use_awaitable);
  connection.connected = true;
  connection.tcp_layer().socket().set_option(tcp::no_delay{true});
  if (!connection.secure) co_return;
  if (!target.host_is_address && !SSL_set_tlsext_host_name(connection.secure->native_handle(), target.host.c_str())) throw std::runtime_error("cannot set the TLS server name");
  connection.secure->set_verify_callback(asio::ssl::host_name_verification(target.host));
  co_await connection.secure->async_handshake(asio::ssl::stream_base::client, asio::use_awaitable);
}

asio::awaitable<http::response<http::string_body>> attempt(Connection& connection, const Target& target, const http::request<http::empty_body>& request,
                                                           const HttpOptions& options) {
  const auto deadline = std::chrono::steady_clock::now() + options.deadline;
  connection.tcp_layer().expires_at(deadline);
  if (!connection.used) co_await connect(connection, target, deadline);
  connection.used = true;
  if (connection.secure) co_return co_await exchange(*connection.secure, connection.buffer, request, options.body_limit);
  co_return co_await exchange(*connection.plain, connection.buffer, request, options.body_limit);
}

http::request<http::empty_body> request_for(const Target& target, const HttpOptions& options) {
  http::request<http::empty_body> request{http::verb::get, target.path, 11};
  request.set(http::field::host, target.authority);
  request.set(http::field::user_agent, options.user_agent);
  request.set(http::field::accept_encoding, "gzip");
  return request;
}

// The answer as the caller gets it. Throws Failure where it is too large, runtime_error where it is broken.
HttpResponse response_of(http::response<http::string_body> got, const Target& target, const HttpOptions& options) {
  HttpResponse response;
  response.status = static_cast<int>(got.result_int());
  for (const auto& field : got) response.headers.add(std::string{field.name_string()}, std::string{field.value()});
  response.body = std::move(got.body());
  if (to_lower(response.headers["content-encoding"]) != "gzip" || response.body.empty()) return response;
  auto plain = inflate_gzip(response.body, options.body_limit);
  if (!plain && plain.error().kind == ErrorKind::kInvalid) throw Failure(ErrorKind::kUnavailable, fmt::format("{}: {}", target.shown(), plain.error().message));
  if (!plain) throw std::runtime_error(plain.error().message);
  response.body = std::move(*plain);
  return response;
}

bool moved(const HttpResponse& response) { return response.status >= 301 && response.status <= 308 && response.status != 304 && response.headers.contains("location"); }

bool worth_a_retry(int status) { return status == 429 || status >= 500; }

// A connection that was kept may have been closed by the other side meanwhile.
bool closed_meanwhile(const boost::system::error_code& code) {
  return code == http::error::end_of_stream || code == asio::error::connection_reset || code == asio::error::broken_pipe || code == asio::error::eof ||
         code == asio::ssl::error::stream_truncated;
}

// What is wrong, for people. Throws Failure where another attempt would be in vain.
std::string problem_of(const boost::system::error_code& code, const Target& target, const HttpOptions& options) {
  if (code == beast::error::timeout) return fmt::format("no whole answer within {}", format_duration(options.deadline));
  if (code == http::error::body_limit) throw Failure(ErrorKind::kUnavailable, fmt::format("{}: the answer is larger than {} bytes", target.shown(), options.body_limit));
  if (code == http::error::partial_message || code == asio::ssl::error::stream_truncated) return "the answer was cut off";
  if (code == http::error::end_of_stream) return "the connection was closed without an answer";
  if (code.category() == http::make_error_code(http::error::bad_version).category()) return fmt::format("the answer is no HTTP ({})", code.message());
  if (code == asio::error::connection_refused) return "connection refused; is it running?";
  if (code.category() == asio::error::get_ssl_category() && ERR_GET_REASON(static_cast<unsigned long>(code.value())) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    throw Failure(ErrorKind::kInvalid, fmt::format("{}: its certificate cannot be trusted for this host", target.shown()));
  }
  return code.message();
}

}  // namespace

struct HttpClient::Connections {
  std::shared_ptr<Trust> tls;                                           // once it is needed, or a file is named for it
  std::map<std::string, std::deque<std::unique_ptr<Connection>>> idle;  // by origin
};

HttpClient::HttpClient(HttpOptions options) : options_(std::move(options)), connections_(std::make_unique<Connections>()) {
  if (!options_.ca_file.empty()) connections_->tls = trust(options_.ca_file);
}

HttpClient::~HttpClient() = default;

Task<HttpResponse> HttpClient::get(std::string url) {
  auto& io = io_context_of(TaskContext::current()->loop());
  auto target = value_or_throw(parse_target(url));
  int redirects = 0;
  bool reached = false;
  auto backoff = options_.first_backoff;
  for (int tries = 0;;) {
    const auto request = request_for(target, options_);
    auto& idle = connections_->idle[target.origin()];
    std::unique_ptr<Connection> connection;
    if (!idle.empty()) {
      connection = std::move(idle.back());
      idle.pop_back();
    } else {
      if (target.tls && !connections_->tls) connections_->tls = trust("");
      connection = std::make_unique<Connection>(io, target.tls ? connections_->tls.get() : nullptr);
    }
    auto& present = *connection;  // stays where it is when it becomes idle
    const bool reused = present.used;
    std::string problem;
    bool late = false;
    try {
      auto got = co_await await_asio(attempt(present, target, request, options_), "an HTTP answer");
      reached = true;
      if (got.keep_alive()) {
        present.tcp_layer().expires_never();
        idle.push_back(std::move(connection));
      }
      auto response = response_of(std::move(got), target, options_);
      if (moved(response)) {
        if (++redirects > options_.redirects) throw Failure(ErrorKind::kUnavailable, fmt::format("{} redirects more than {} times", target.shown(), options_.redirects));
        target = value_or_throw(redirected(target, response.headers["location"]));
        continue;
      }
      if (!worth_a_retry(response.status) || tries >= options_.retries) co_return response;
      problem = fmt::format("status {}", response.status);
    } catch (const boost::system::system_error& error) {
      if (reused && closed_meanwhile(error.code())) continue;  // on a new connection, which is no retry
      late = error.code() == beast::error::timeout;
      reached |= present.connected;
      problem = problem_of(error.code(), target, options_);
    } catch (const std::runtime_error& error) {
      if (dynamic_cast<const Failure*>(&error) != nullptr) throw;
      reached = true;
      problem = error.what();
    }
    if (++tries > options_.retries) {
      Error error{late ? ErrorKind::kTimeout : ErrorKind::kUnavailable, fmt::format("cannot get {}: {} ({} attempt{})", target.shown(), problem, tries, tries == 1 ? "" : "s")};
      if (!reached) throw Unreachable(std::move(error));
      throw Failure(std::move(error));
    }
    ++retried_;
    auto pause = backoff + std::chrono::milliseconds{random_.below(static_cast<std::uint64_t>(backoff.count()) / 2 + 1)};
    log::debug("{}: {}; trying again in {}", target.shown(), problem, format_duration(pause));
    co_await sleep_for(pause);
    backoff = std::min(backoff * 2, options_.last_backoff);
  }
}

std::string url_encode(std::string_view text) {
  std::string encoded;
  for (char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';
    if (plain)
      encoded += c;
    else
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

}  // namespace mephisto
