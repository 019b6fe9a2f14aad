#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <list>

#include "base/text.h"
#include "http/guest.h"
#include "http/server_tls.h"
#include "http/streaming.h"
#include "http/web_frames.h"
#include "http/web_session.h"
#include "mephisto/http.h"
#include "mephisto/logging.h"
#include "runtime/asio.h"

namespace mephisto {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kAfterFailedAccept{100};
constexpr std::chrono::seconds kBetweenWarnings{10};
// How long a client may read nothing of its reply while other clients wait for a connection.
constexpr std::chrono::seconds kPatience{5};
// For streams to send their end.
constexpr std::chrono::seconds kLastMoment{1};

asio::awaitable<std::unique_ptr<tcp::socket>> accept(tcp::acceptor& acceptor) {
  co_return std::make_unique<tcp::socket>(co_await acceptor.async_accept(asio::use_awaitable));
}

// Leaves most of the process's files to the rest of the process.
std::size_t most_connections(std::size_t wanted) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY)
    return std::max<std::size_t>(wanted, 1);
  return std::clamp<std::size_t>(files.rlim_cur / 4, 1, std::max<std::size_t>(wanted, 1));
}

}  // namespace

struct HttpServer::Impl {
  Impl(Loop& on, Handler to, HttpLimits limits)
      : loop(on), handler(std::move(to)), shared{limits}, acceptor(io_context_of(on)) {
    shared.limits.streams = std::min(limits.streams, most_connections(limits.connections) / 2);
  }

  // Waits for the last connection to end, even when cancelled: handlers refer to objects that are destroyed with the
  // server. Streams that take too long to end are cancelled too.
  class AllEnded : public Wait {
   public:
    explicit AllEnded(Impl& server) : server_(server) {}
    bool await_ready() const { return server_.open == 0; }
    void await_suspend(std::coroutine_handle<> handle) {
      suspend(handle, "connections to end");
      server_.ending = this;
      timer_ = server_.loop.add_timer(server_.loop.now() + kLastMoment, this);
    }
    void await_resume() const {}
    void end() {
      if (timer_) server_.loop.remove_timer(*timer_);
      resume();
    }

   private:
    bool abandon() override { return false; }
    void due() override {
      timer_.reset();
      for (auto& one : server_.connections) one.task.cancel();
    }
    Impl& server_;
    std::optional<Loop::TimerId> timer_;
  };

  struct Connection {
    Spawned task{};
    const Guest* guest = nullptr;  // once it runs
  };

  // A connection, counted in `open` until it is destroyed.
  struct Counted {
    Counted(Impl& of, tcp::socket socket)
        : server(of), guest(std::move(socket), of.shared, of.tls ? of.tls->context() : nullptr) {
      server.guests.push_back(&guest);
    }
    ~Counted() {
      server.guests.remove(&guest);
      server.room.notify_all();
      if (--server.open == 0 && server.ending != nullptr) server.ending->end();
    }
    Impl& server;
    Guest guest;
  };

  Task<HttpReply> answer(HttpRequest request, const std::string& asked);
  Task<void> reply(Guest& guest, HttpReply reply, const std::string& asked);
  static Task<void> serve(Impl& self, Connection& connection, tcp::socket socket);
  // Ends all that clients wait for.
  void end_all();
  // Closes the least useful connection; false if a handler is running for every one.
  bool spare_one();
  void warn(const std::string& text);

  Loop& loop;
  Handler handler;
  Shared shared;
  std::optional<ServerTls> tls;
  tcp::acceptor acceptor;
  int port = 0;
  std::list<Connection> connections;
  std::list<Guest*> guests;  // the connections that are not closed, the oldest first
  WaitQueue room;            // wakes a task that waits for room for another connection
  std::size_t open = 0;
  AllEnded* ending = nullptr;
  bool over = false;
  Clock::time_point next_warning{};
};

void HttpServer::Impl::warn(const std::string& text) {
  if (Clock::now() < next_warning) return;
  next_warning = Clock::now() + kBetweenWarnings;
  log::warn("{}", text);
}

bool HttpServer::Impl::spare_one() {
  auto rank = [](const Guest& guest) {
    switch (guest.state()) {
      case Guest::State::kArriving: return 0;
      case Guest::State::kIdle: return 1;
      case Guest::State::kWriting: return Clock::now() - guest.since() >= kPatience ? 2 : 3;
      case Guest::State::kWorking: break;
    }
    return 3;
  };
  const auto spared =
      std::ranges::min_element(guests, {}, [&](const Guest* one) { return std::pair{rank(*one), one->since()}; });
  if (spared == guests.end() || rank(**spared) == 3) return false;
  auto& guest = **spared;
  guests.erase(spared);
  guest.close();
  return true;
}

Task<HttpReply> HttpServer::Impl::answer(HttpRequest request, const std::string& asked) {
  std::string why;
  try {
    auto reply = co_await handler(std::move(request));
    const auto fault = fault_of(reply);
    if (!fault) co_return reply;
    why = *fault;
  } catch (const std::exception& error) {
    why = error.what();
  }
  log::error("{} failed: {}", asked, why);
  co_return HttpReply{500, "{\"error\":\"internal error\"}"};
}

Task<void> HttpServer::Impl::reply(Guest& guest, HttpReply reply, const std::string& asked) {
  if (reply.stream) co_return co_await stream_reply(guest, std::move(reply), asked);
  const bool cut = reply.cut;
  co_await await_asio(guest.send(std::move(reply)), "a client to read");
  if (cut) guest.close();
}

Task<void> HttpServer::Impl::serve(Impl& self, Connection& connection, tcp::socket socket) {
  Counted counted{self, std::move(socket)};
  auto& guest = counted.guest;
  connection.guest = &guest;
  std::optional<Unusable> refused;
  try {
    co_await await_asio(guest.shake_hands(), "a client's keys");
    do {
      auto request = co_await await_asio(guest.request(), "a request");
      const auto asked = fmt::format("{} {}", printable(request.method), printable(request.path, 200));
      auto accept = guest.speaks_http_1_0() ? std::unexpected(Unusable{426, "a web socket needs HTTP/1.1"})
                                            : accept_web_socket(request);
      auto reply = co_await self.answer(std::move(request), asked);
      if (reply.socket)
        co_await serve_web_socket(guest, std::move(reply), std::move(accept), asked);
      else
        co_await self.reply(guest, std::move(reply), asked);
      self.room.notify_all();
    } while (guest.persistent() && !self.over);
  } catch (const boost::system::system_error&) {
    co_return;  // the client disconnected or was too slow
  } catch (const BadMessage& bad) {
    if (bad.kind() != BadMessage::Kind::kUnusable) co_return;
    refused = bad.reason();
  }
  try {
    if (refused) co_await await_asio(guest.refuse(std::move(*refused)), "a client to read");
    co_await await_asio(guest.part(), "a client to disconnect");
  } catch (const boost::system::system_error&) {
  }
}

void HttpServer::Impl::end_all() {
  over = true;
  for (auto& one : connections) {
    const auto stream = shared.streams.find(one.guest);
    if (stream != shared.streams.end())
      stream->second->cancel_all();
    else
      one.task.cancel();
  }
}

HttpServer::HttpServer(Loop& loop, Handler handler, int port, const std::string& address, HttpLimits limits,
                       HttpTls tls)
    : impl_(std::make_unique<Impl>(loop, std::move(handler), limits)) {
  if (!tls.certificate.empty()) impl_->tls.emplace(std::move(tls));
  boost::system::error_code error;
  auto ip = asio::ip::make_address(address, error);
  if (error)
    throw Failure(ErrorKind::kInvalid, fmt::format("\"{}\" is not an IP address to listen on", printable(address)));
  if (port < 0 || port > 65535)
    throw Failure(ErrorKind::kInvalid, fmt::format("cannot listen on port {}: ports are from 0 to 65535", port));
  tcp::endpoint endpoint{ip, static_cast<unsigned short>(port)};
  auto& acceptor = impl_->acceptor;
  (void)acceptor.open(endpoint.protocol(), error);
  if (!error) (void)acceptor.set_option(asio::socket_base::reuse_address{true}, error);
  if (!error) (void)acceptor.bind(endpoint, error);
  if (!error) (void)acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    throw Failure(ErrorKind::kUnavailable,
                  fmt::format("cannot listen on {}:{}: {}; choose another port", address, port, error.message()));
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
        while (impl.guests.size() >= most_connections(impl.shared.limits.connections)) {
          impl.warn(fmt::format("Port {} has {} connections open, its limit: those without a request are closed",
                                port(), impl.guests.size()));
          if (!impl.spare_one()) co_await impl.room.wait_until(impl.loop.now() + kPatience, "room for a connection");
        }
        ++impl.open;
        std::erase_if(impl.connections, [](const auto& one) { return one.task.done(); });
        auto& connection = impl.connections.emplace_back();
        connection.task = impl.loop.spawn("http", Impl::serve(impl, connection, std::move(*socket)));
        continue;
      } catch (const boost::system::system_error& error) {
        problem = error.code().message();  // too many open files, or the client disconnected at once
      }
      impl.warn(fmt::format("Cannot accept a connection on port {}: {}", port(), problem));
      if (!impl.spare_one()) co_await sleep_for(kAfterFailedAccept);
    }
  } catch (...) {
    end = std::current_exception();
  }
  impl.end_all();
  co_await Impl::AllEnded{impl};
  boost::system::error_code ignored;
  (void)impl.acceptor.close(ignored);
  std::rethrow_exception(end);
}

}  // namespace mephisto
