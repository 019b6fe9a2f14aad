#include "http/exchange.h"

#include <fmt/format.h>

#include <boost/asio/error.hpp>
#include <algorithm>

#include "base/text.h"

namespace mephisto {
namespace {

namespace asio = boost::asio;

std::string head_of(const Order& order, const std::optional<Proxy>& proxy, const HttpOptions& options) {
  const bool by_proxy = proxy && !order.target.tls;
  auto head =
      fmt::format("{} {}{} HTTP/1.1\r\nHost: {}\r\n", order.method, by_proxy ? "http://" + order.target.authority : "",
                  order.target.path, order.target.authority);
  auto add = [&](std::string_view name, std::string_view value) { head += fmt::format("{}: {}\r\n", name, value); };
  if (by_proxy && !proxy->authorization.empty()) add("Proxy-Authorization", proxy->authorization);
  if (!order.headers.contains("User-Agent")) add("User-Agent", options.user_agent);
  if (!order.headers.contains("Accept-Encoding")) add("Accept-Encoding", "gzip");
  for (const auto& [name, value] : order.headers) add(name, value);
  const bool body_is_usual = order.method == "POST" || order.method == "PUT" || order.method == "PATCH";
  if (body_is_usual || !order.body.empty()) add("Content-Length", std::to_string(order.body.size()));
  return head + "\r\n";
}

}  // namespace

asio::awaitable<void> Exchange::begin(const Order& order, const std::optional<Proxy>& proxy, const HttpOptions& options,
                                      Wire::time_point deadline, std::uint64_t body_limit) {
  auto& wire = connection_->wire;
  wire.set_deadline(deadline);
  connection_->sent = false;
  if (!connection_->used) co_await connect(*connection_, order.target, proxy);
  connection_->sent = true;
  std::exception_ptr unsent;
  try {
    co_await wire.send(head_of(order, proxy, options), order.body);
  } catch (const boost::system::system_error& error) {
    // A server that refuses a body may answer and close the connection before it has received the body.
    if (order.body.empty() ||
        (error.code() != asio::error::broken_pipe && error.code() != asio::error::connection_reset))
      throw;
    unsent = std::current_exception();
    reusable_ = false;
  }
  try {
    for (std::size_t left = options.header_limit; head_.status < 200;) {
      const auto block = co_await read_head(wire, left, "HTTP/1.");
      left -= block.size();
      auto head = parse_response_head(block, order.method == "HEAD");
      if (!head) throw BadMessage{std::move(head.error())};
      if (head->status == 101) throw BadMessage{Unusable{400, "it changes to a protocol that was not asked for"}};
      if (!head->body.persistent) reusable_ = false;
      head_ = std::move(*head);
    }
  } catch (...) {
    if (unsent) std::rethrow_exception(unsent);
    throw;
  }
  body_.emplace(head_.body, body_limit, options.header_limit);
  if (body_->done()) co_return;
  // A length that is too large is refused before the body is read.
  std::string_view nothing;
  if (auto taken = body_->take(nothing, came_); !taken) throw BadMessage{std::move(taken.error())};
  auto decoder = Decoder::make(head_.headers.list("Content-Encoding"), body_limit);
  if (!decoder)
    throw Failure(ErrorKind::kUnavailable, fmt::format("{}: {}", order.target.shown(), decoder.error().message));
  decoder_ = std::move(*decoder);
}

asio::awaitable<bool> Exchange::next(std::string& out, Wire::time_point deadline) {
  auto& wire = connection_->wire;
  wire.set_deadline(deadline);
  co_await wire.pause();
  while (decoder_) {
    auto taken = decoder_->take(out);
    if (!taken && taken.error().kind == ErrorKind::kInvalid) throw BadMessage{Unusable{413, taken.error().message}};
    if (!taken) throw std::runtime_error(taken.error().message);
    if (*taken) co_return true;
    if (body_->done()) break;
    if (wire.arrived.empty() && !co_await wire.receive()) {
      if (!body_->ends_with_connection()) throw BadMessage{BadMessage::Kind::kCut};
      break;
    }
    came_.clear();
    auto read = body_->take(wire.arrived, came_);
    if (!read) throw BadMessage{std::move(read.error())};
    decoder_->give(came_);
  }
  if (decoder_ && !decoder_->whole()) throw std::runtime_error("the compressed answer is broken or cut off");
  co_return false;
}

void Exchange::end(Pool& pool) {
  if (reusable_) pool.give(std::move(connection_));
}

}  // namespace mephisto
