#include "http/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <ranges>

#include "runtime/lookup.h"

namespace mephisto {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

// Beyond this number, the one that has been idle longest is closed.
constexpr std::size_t kMostIdle = 64;
constexpr std::size_t kProxyHeadLimit = 64 << 10;

// Asks the proxy to connect to the target.
asio::awaitable<void> ask_proxy(Wire& wire, const Target& target, const Proxy& proxy) {
  auto request = fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n", target.place());
  if (!proxy.authorization.empty()) request += fmt::format("Proxy-Authorization: {}\r\n", proxy.authorization);
  request += "\r\n";
  co_await wire.send(request);
  int status = 100;
  for (std::size_t left = kProxyHeadLimit; status < 200;) {
    const auto block = co_await read_head(wire, left, "HTTP/1.");
    left -= block.size();
    auto head = parse_response_head(block, true);
    if (!head) throw BadMessage{std::move(head.error())};
    status = head->status;
  }
  if (status / 100 == 2) co_return;
  if (status == 407) {
    throw Failure(
        ErrorKind::kInvalid,
        fmt::format("the proxy {} wants a name and password: write them into its URL, http://NAME:PASSWORD@HOST:PORT",
                    proxy.target.origin()));
  }
  throw std::runtime_error(
      fmt::format("the proxy {} does not connect to it (status {})", proxy.target.origin(), status));
}

}  // namespace

std::shared_ptr<Trust> trust(const std::string& ca_file) {
  static std::mutex mutex;
  static auto& loaded =
      *new std::map<std::string, std::weak_ptr<Trust>>;  // never destroyed: clients may be among the statics
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
  if (error)
    throw Failure(ErrorKind::kInvalid, fmt::format("cannot load certificates from {}: {}", ca_file, error.message()));
  place = made;
  return made;
}

asio::awaitable<void> connect(Connection& connection, const Target& target, const std::optional<Proxy>& proxy) {
  auto& wire = connection.wire;
  const auto& next = proxy ? proxy->target : target;
  auto found = co_await look_up(next.host, next.port, wire.deadline());
  co_await wire.tcp().async_connect(found, asio::use_awaitable);
  wire.tcp().socket().set_option(tcp::no_delay{true});
  auto* tls = wire.tls();
  if (tls == nullptr) {
    connection.connected = true;
    co_return;
  }
  if (proxy) co_await ask_proxy(wire, target, *proxy);
  connection.connected = true;
  if (!target.host_is_address && !SSL_set_tlsext_host_name(tls->native_handle(), target.host.c_str()))
    throw std::runtime_error("cannot set the TLS server name");
  tls->set_verify_callback(asio::ssl::host_name_verification(target.host));
  // Bytes that arrived with the proxy's answer would belong to the TLS handshake, but the handshake would not see them.
  if (!wire.arrived.empty()) throw std::runtime_error("the server sends data before the TLS handshake");
  co_await tls->async_handshake(asio::ssl::stream_base::client, asio::use_awaitable);
  wire.speak_tls();
}

std::unique_ptr<Connection> Pool::take(const std::string& place) {
  for (auto at = idle_.size(); at-- > 0;) {
    if (idle_[at]->place != place) continue;
    auto connection = std::move(idle_[at]);
    idle_.erase(idle_.begin() + static_cast<std::ptrdiff_t>(at));
    if (connection->wire.quiet()) return connection;
  }
  return nullptr;
}

void Pool::give(std::unique_ptr<Connection> connection) {
  if (!connection->wire.quiet()) return;
  connection->wire.no_deadline();
  connection->used = true;
  idle_.push_back(std::move(connection));
  if (idle_.size() > kMostIdle) idle_.pop_front();
}

}  // namespace mephisto
