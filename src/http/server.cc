#include <fmt/format.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <list>

#include "mephisto/http.h"
#include "mephisto/logging.h"
#include "mephisto/version.h"
#include "runtime/asio.h"

namespace mephisto {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;

constexpr std::chrono::seconds kIdle{60};
constexpr std::size_t kBodyLimit = 1 << 20;

asio::awaitable<std::unique_ptr<tcp::socket>> accept(tcp::acceptor& acceptor) { co_return std::make_unique<tcp::socket>(co_await acceptor.async_accept(asio::use_awaitable)); }

asio::awaitable<http::request<http::string_body>> read_request(beast::tcp_stream& stream, beast::flat_buffer& buffer) {
  stream.expires_after(kIdle);
  http::request_parser<http::string_body> parser;
  parser.body_limit(kBodyLimit);
  co_await http::async_read(stream, buffer, parser, asio::use_awaitable);
  co_return parser.release();
}

asio::awaitable<void> write_reply(beast::tcp_stream& stream, http::response<http::string_body> response, bool cut) {
  stream.expires_after(kIdle);
  if (!cut) {
    co_await http::async_write(stream, response, asio::use_awaitable);
    co_return;
  }
  // The header promises the whole body; half of it comes.
  http::response_serializer<http::string_body> serializer{response};
  co_await http::async_write_header(stream, serializer, asio::use_awaitable);
  auto half = response.body().substr(0, response.body().size() / 2);
  co_await asio::async_write(stream, asio::buffer(half), asio::use_awaitable);
  stream.close();
}

HttpRequest to_request(const http::request<http::string_body>& from) {
  HttpRequest request{std::string{from.method_string()}, "/", {}, from.body()};
  auto target = boost::urls::parse_origin_form({from.target().data(), from.target().size()});
  if (!target) return request;
  request.path = std::string{target->encoded_path()};
  for (const auto& parameter : target->params()) request.query[std::string{parameter.key}] = std::string{parameter.value};
  return request;
}

}  // namespace

struct HttpServer::Impl {
  Impl(Loop& on, Handler to) : loop(on), handler(std::move(to)), acceptor(io_context_of(on)) {}
  Loop& loop;
  Handler handler;
  tcp::acceptor acceptor;
  std::list<Spawned> connections;

  static Task<void> serve(Impl& self, beast::tcp_stream stream) {
    beast::flat_buffer buffer;
    try {
      for (;;) {
        auto got = co_await await_asio(read_request(stream, buffer), "a request");
        HttpReply reply;
        try {
          reply = co_await self.handler(to_request(got));
        } catch (const std::exception& error) {
          log::error("{} {} failed: {}", std::string{got.method_string()}, std::string{got.target().substr(0, got.target().find('?'))}, error.what());
          reply = {500, "{\"error\":\"internal error\"}"};
        }
        http::response<http::string_body> response{static_cast<http::status>(reply.status), 11};
        response.set(http::field::server, "mephisto/" MEPHISTO_VERSION);
        response.set(http::field::content_type, reply.content_type);
        if (reply.location) response.set(http::field::location, *reply.location);
        response.keep_alive(got.keep_alive() && !reply.cut);
        response.body() = std::move(reply.body);
        response.prepare_payload();
        const bool again = response.keep_alive();
        co_await await_asio(write_reply(stream, std::move(response), reply.cut), "a client to read");
        if (!again) co_return;
      }
    } catch (const boost::system::system_error&) {
      // The client went, or was too slow.
    }
  }
};

HttpServer::HttpServer(Loop& loop, Handler handler, int port, const std::string& address) : impl_(std::make_unique<Impl>(loop, std::move(handler))) {
  boost::system::error_code error;
  auto ip = asio::ip::make_address(address, error);
  if (error) throw Failure(ErrorKind::kInvalid, fmt::format("\"{}\" is no IP address to listen on", address));
  tcp::endpoint endpoint{ip, static_cast<unsigned short>(port)};
  auto& acceptor = impl_->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address{true}, error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) throw Failure(ErrorKind::kUnavailable, fmt::format("cannot listen on {}:{}: {}; choose another port", address, port, error.message()));
}

HttpServer::~HttpServer() = default;

int HttpServer::port() const { return impl_->acceptor.local_endpoint().port(); }

Task<void> HttpServer::run() {
  auto& impl = *impl_;
  std::exception_ptr end;
  try {
    for (;;) {
      auto socket = co_await await_asio(accept(impl.acceptor), "connections");
      impl.connections.push_back(impl.loop.spawn("http", Impl::serve(impl, beast::tcp_stream{std::move(*socket)})));
      std::erase_if(impl.connections, [](const Spawned& one) { return one.done(); });
    }
  } catch (...) {
    end = std::current_exception();
  }
  for (auto& connection : impl.connections) connection.cancel();
  for (auto& connection : impl.connections) co_await connection.finished();
  std::rethrow_exception(end);
}

}  // namespace mephisto
