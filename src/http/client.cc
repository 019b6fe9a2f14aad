#include <fmt/format.h>
#include <openssl/err.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/url/src.hpp>
#include <deque>

#include "base/text.h"
#include "http/inflate.h"
#include "mephisto/http.h"
#include "mephisto/logging.h"
#include "runtime/asio.h"

namespace mephisto {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

struct Target {
  bool tls = false;
  std::string host;
  std::string port;
  std::string path;  // with the query

  std::string key() const { return fmt::format("{}{}:{}", tls ? "https://" : "http://", host, port); }
  // For messages: without the query, where keys are.
  std::string shown() const { return key() + path.substr(0, path.find('?')); }
};

Result<Target> parse_target(const std::string& url, const Target* base = nullptr) {
  auto parsed = boost::urls::parse_uri_reference(url);
  auto invalid = [&](const char* why) { return fail(ErrorKind::kInvalid, fmt::format("\"{}\" is no usable URL: {}", printable(url.substr(0, url.find('?')), 200), why)); };
  if (!parsed) return invalid("it is not well-formed");
  Target target;
  if (!parsed->has_scheme()) {
    if (base == nullptr) return invalid("write http:// or https:// before it");
    target = *base;
  } else {
    target.tls = parsed->scheme() == "https";
    if (!target.tls && parsed->scheme() != "http") return invalid("only http:// and https:// are possible");
    target.host = parsed->host();
    if (target.host.empty()) return invalid("it names no host");
    target.port = parsed->has_port() ? std::string{parsed->port()} : target.tls ? "443" : "80";
  }
  target.path = parsed->encoded_path().empty() ? "/" : std::string{parsed->encoded_path()};
  if (parsed->has_query()) target.path += "?" + std::string{parsed->encoded_query()};
  return target;
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

asio::awaitable<void> connect(Connection& connection, const Target& target, std::chrono::milliseconds deadline) {
  connection.tcp_layer().expires_after(deadline);
  tcp::resolver resolver{co_await asio::this_coro::executor};
  auto found = co_await resolver.async_resolve(target.host, target.port, asio::use_awaitable);
  co_await connection.tcp_layer().async_connect(found, asio::use_awaitable);
  connection.tcp_layer().socket().set_option(tcp::no_delay{true});
  if (!connection.secure) co_return;
  if (!SSL_set_tlsext_host_name(connection.secure->native_handle(), target.host.c_str())) throw std::runtime_error("cannot set the TLS server name");
  connection.secure->set_verify_callback(asio::ssl::host_name_verification(target.host));
  co_await connection.secure->async_handshake(asio::ssl::stream_base::client, asio::use_awaitable);
}

asio::awaitable<http::response<http::string_body>> attempt(Connection& connection, const Target& target, const http::request<http::empty_body>& request,
                                                           const HttpOptions& options) {
  if (!connection.used) co_await connect(connection, target, options.deadline);
  connection.used = true;
  connection.tcp_layer().expires_after(options.deadline);
  if (connection.secure) co_return co_await exchange(*connection.secure, connection.buffer, request, options.body_limit);
  co_return co_await exchange(*connection.plain, connection.buffer, request, options.body_limit);
}

bool worth_a_retry(int status) { return status == 429 || status >= 500; }

}  // namespace

struct HttpClient::Connections {
  asio::ssl::context tls{asio::ssl::context::tls_client};
  std::map<std::string, std::deque<std::unique_ptr<Connection>>> idle;
};

HttpClient::HttpClient(HttpOptions options) : options_(std::move(options)), connections_(std::make_unique<Connections>()) {
  connections_->tls.set_verify_mode(asio::ssl::verify_peer);
  boost::system::error_code error;
  if (options_.ca_file.empty())
    connections_->tls.set_default_verify_paths(error);
  else
    connections_->tls.load_verify_file(options_.ca_file, error);
  if (error) throw Failure(ErrorKind::kInvalid, fmt::format("cannot load certificates from {}: {}", options_.ca_file, error.message()));
}

HttpClient::~HttpClient() = default;

Task<HttpResponse> HttpClient::get(std::string url) {
  auto& io = io_context_of(TaskContext::current()->loop());
  auto target = value_or_throw(parse_target(url));
  int redirects = 0;
  auto backoff = options_.first_backoff;
  for (int tries = 0;;) {
    http::request<http::empty_body> request{http::verb::get, target.path, 11};
    request.set(http::field::host, target.host);
    request.set(http::field::user_agent, options_.user_agent);
    request.set(http::field::accept_encoding, "gzip");
    auto& idle = connections_->idle[target.key()];
    std::unique_ptr<Connection> connection;
    if (!idle.empty()) {
      connection = std::move(idle.back());
      idle.pop_back();
    } else {
      connection = std::make_unique<Connection>(io, target.tls ? &connections_->tls : nullptr);
    }
    const bool reused = connection->used;
    std::string problem;
    bool late = false;
    try {
      auto got = co_await await_asio(attempt(*connection, target, request, options_), "an HTTP answer");
      HttpResponse response;
      response.status = got.result_int();
      for (const auto& field : got) response.headers[to_lower(std::string_view{field.name_string().data(), field.name_string().size()})] = std::string{field.value()};
      if (got.keep_alive()) idle.push_back(std::move(connection));
      response.body = std::move(got.body());
      if (to_lower(response.headers["content-encoding"]) == "gzip") {
        auto plain = inflate_gzip(response.body, options_.body_limit);
        if (!plain) throw std::runtime_error(plain.error().message);
        response.body = std::move(*plain);
      }
      const bool moved = response.status >= 301 && response.status <= 308 && response.status != 304 && response.headers.contains("location");
      if (moved) {
        if (++redirects > options_.redirects) throw Failure(ErrorKind::kUnavailable, fmt::format("{} redirects more than {} times", target.shown(), options_.redirects));
        target = value_or_throw(parse_target(response.headers["location"], &target));
        continue;
      }
      if (!worth_a_retry(response.status) || tries >= options_.retries) co_return response;
      problem = fmt::format("status {}", response.status);
    } catch (const boost::system::system_error& error) {
      // A connection that was kept may have been closed meanwhile: a new one is no retry.
      if (reused && (error.code() == http::error::end_of_stream || error.code() == asio::error::connection_reset || error.code() == asio::error::broken_pipe)) continue;
      late = error.code() == beast::error::timeout;
      problem = late ? fmt::format("no whole answer within {}", format_duration(options_.deadline)) : error.code().message();
      if (error.code() == http::error::body_limit)
        throw Failure(ErrorKind::kUnavailable, fmt::format("{}: the answer is larger than {} bytes", target.shown(), options_.body_limit));
      if (error.code() == http::error::partial_message) problem = "the answer was cut off";
      if (error.code() == asio::error::connection_refused) problem = "connection refused; is it running?";
      if (error.code().category() == asio::error::get_ssl_category() && ERR_GET_REASON(static_cast<unsigned long>(error.code().value())) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
        throw Failure(ErrorKind::kInvalid, fmt::format("{}: its certificate cannot be trusted for this host", target.shown()));
      }
    } catch (const std::runtime_error& error) {
      if (dynamic_cast<const Failure*>(&error) != nullptr) throw;
      problem = error.what();
    }
    if (++tries > options_.retries) {
      throw Failure(late ? ErrorKind::kTimeout : ErrorKind::kUnavailable, fmt::format("cannot get {}: {} ({} attempts)", target.shown(), problem, tries));
    }
    ++retried_;
    auto pause = backoff + std::chrono::milliseconds{random_.below(static_cast<std::uint64_t>(backoff.count()) / 2 + 1)};
    log::debug("{}: {}; trying again in {}", target.shown(), problem, format_duration(pause));
    co_await sleep_for(pause);
    backoff = std::min(backoff * 2, options_.last_backoff);
  }
}

Result<void> check_http_url(const std::string& url) {
  auto target = parse_target(url);
  if (!target) return std::unexpected(std::move(target.error()));
  return {};
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
