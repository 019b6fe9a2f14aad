#include <fmt/format.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <list>

#include "base/text.h"
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
constexpr std::chrono::milliseconds kAfterFailedAccept{100};
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

// Nothing where the target is no path.
std::optional<HttpRequest> to_request(const http::request<http::string_body>& from) {
  HttpRequest request{std::string{from.method_string()}, "", {}, from.body()};
  auto target = boost::urls::parse_origin_form({from.target().data(), from.target().size()});
  if (!target) return std::nullopt;
  request.path = std::string{target->encoded_path()};
  for (const auto& parameter : target->params()) request.query[std::string{parameter.key}] = std::string{parameter.value};
  return request;
}

// What a client that sent no usable request is told, if it can be told.
std::optional<http::status> refusal_of(const boost::system::error_code& code) {
  if (code == http::error::end_of_stream || code == http::error::partial_message) return std::nullopt;
  if (code == http::error::body_limit) return http::status::payload_too_large;
  if (code == http::error::header_limit) return http::status::request_header_fields_too_large;
  if (code.category() == http::make_error_code(http::error::bad_version).category()) return http::status::bad_request;
  return std::nullopt;
}

http::response<http::string_body> response_for(HttpReply reply, bool keep_alive, bool head) {
  http::response<http::string_body> response{static_cast<http::status>(reply.status), 11};
  response.set(http::field::server, "mephisto/" MEPHISTO_VERSION);
  response.set(http::field::content_type, reply.content_type);
  if (reply.location) response.set(http::field::location, *reply.location);
  response.keep_alive(keep_alive);
  response.body() = std::move(reply.body);
  response.prepare_payload();
  if (head) response.body().clear();  // the header tells the length that a GET would bring
  return response;
}

}  // namespace

struct HttpServer::Impl {
  Impl(Loop& on, Handler to) : loop(on), handler(std::move(to)), acceptor(io_context_of(on)) {}

  // Waits for the last connection, cancelled or not: handlers refer to what goes when the server does.
  class AllEnded : public Wait {
   public:
    explicit AllEnded(Impl& server) : server_(server) {}
    bool await_ready() const { return server_.open == 0; }
    void await_suspend(std::coroutine_handle<> handle) {
      suspend(handle, "connections to end");
      server_.ending = this;
    }
    void await_resume() const {}

   private:
    bool abandon() override { return false; }
    Impl& server_;
  };
  // Counts a connection from its beginning to its end.
  struct Counted {
    explicit Counted(Impl& of) : server(of) {}
    ~Counted() {
      if (--server.open == 0 && server.ending != nullptr) server.ending->resume();
    }
    Impl& server;
  };

  Task<HttpReply> answer(const http::request<http::string_body>& request) {
    auto wanted = to_request(request);
    if (!wanted) co_return HttpReply{400, "{\"error\":\"the request's target is no path\"}"};
    std::string why;
    try {
      co_return co_await handler(std::move(*wanted));
    } catch (const std::exception& error) {
      why = error.what();
    }
    log::error("{} {} failed: {}", std::string{request.method_string()}, printable(request.target().substr(0, request.target().find('?')), 200), why);
    co_return HttpReply{500, "{\"error\":\"internal error\"}"};
  }

  static Task<void> serve(Impl& self, beast::tcp_stream stream) {
    Counted counted{self};
    beast::flat_buffer buffer;
    std::optional<http::status> refused;
    try {
      for (bool more = true; more;) {
        auto request = co_await await_asio(read_request(stream, buffer), "a request");
        auto reply = co_await self.answer(request);
        const bool cut = reply.cut;
        more = request.keep_alive() && !cut;
        co_await await_asio(write_reply(stream, response_for(std::move(reply), more, request.method() == http::verb::head), cut), "a client to read");
      }
    } catch (const boost::system::system_error& error) {
      refused = refusal_of(error.code());  // otherwise the client went, or was too slow
    }
    if (!refused) co_return;
    try {
      HttpReply reply{static_cast<int>(*refused), fmt::format("{{\"error\":\"{}\"}}", std::string_view{http::obsolete_reason(*refused)})};
      co_await await_asio(write_reply(stream, response_for(std::move(reply), false, false), false), "a client to read");
    } catch (const boost::system::system_error&) {
    }
  }

  Loop& loop;
  Handler handler;
  tcp::acceptor acceptor;
  int port = 0;
  std::list<Spawned> connections;
  std::size_t open = 0;
  AllEnded* ending = nullptr;
};

HttpServer::HttpServer(Loop& loop, Handler handler, int port, const std::string& address) : impl_(std::make_unique<Impl>(loop, std::move(handler))) {
  boost::system::error_code error;
  auto ip = asio::ip::make_address(address, error);
  if (error) throw Failure(ErrorKind::kInvalid, fmt::format("\"{}\" is no IP address to listen on", printable(address)));
  if (port < 0 || port > 65535) throw Failure(ErrorKind::kInvalid, fmt::format("cannot listen on port {}: ports are from 0 to 65535", port));
  tcp::endpoint endpoint{ip, static_cast<unsigned short>(port)};
  auto& acceptor = impl_->acceptor;
  (void)acceptor.open(endpoint.protocol(), error);
  if (!error) (void)acceptor.set_option(asio::socket_base::reuse_address{true}, error);
  if (!error) (void)acceptor.bind(endpoint, error);
  if (!error) (void)acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) throw Failure(ErrorKind::kUnavailable, fmt::format("cannot listen on {}:{}: {}; choose another port", address, port, error.message()));
  impl_->port = acceptor.local_endpoint().port();
}

HttpServer::~HttpServer() = default;

int HttpServer::port() const { return impl_->port; }

Task<void> HttpServer::run() {
  auto& impl = *impl_;
  std::exception_ptr end;
  try {
    for (;;) {
      std::string problem;
      try {
        auto socket = co_await await_asio(accept(impl.acceptor), "connections");
        ++impl.open;
        impl.connections.push_back(impl.loop.spawn("http", Impl::serve(impl, beast::tcp_stream{std::move(*socket)})));
        std::erase_if(impl.connections, [](const Spawned& one) { return one.done(); });
        continue;
      } catch (const boost::system::system_error& error) {
        problem = error.code().message();  // too many open files, or a client that went at once
      }
      log::warn("Cannot accept a connection on port {}: {}", port(), problem);
      co_await sleep_for(kAfterFailedAccept);
    }
  } catch (...) {
    end = std::current_exception();
  }
  for (auto& connection : impl.connections) connection.cancel();
  co_await Impl::AllEnded{impl};
  boost::system::error_code ignored;
  (void)impl.acceptor.close(ignored);
  std::rethrow_exception(end);
}

}  // namespace mephisto
