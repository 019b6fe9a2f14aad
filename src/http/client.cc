#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <boost/beast/core/error.hpp>
#include <limits>

#include "base/text.h"
#include "http/exchange.h"
#include "mephisto/logging.h"
#include "mephisto/runtime/environment.h"
#include "runtime/asio.h"

namespace mephisto {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

// The client sets these headers itself: they determine where a message ends and how its connection is used. A second,
// different value would mix up requests.
constexpr std::array<std::string_view, 10> kOurHeaders{
    "host",    "connection", "content-length", "transfer-encoding", "te",
    "trailer", "upgrade",    "expect",         "keep-alive",        "proxy-connection"};

Order order_of(HttpCall call) {
  Order order{value_or_throw(parse_target(call.url)), std::move(call.method), std::move(call.headers),
              std::move(call.body)};
  if (!is_token(order.method) || order.method == "CONNECT")
    throw Failure(ErrorKind::kInvalid, fmt::format("\"{}\" is not a method that can be sent", printable(order.method)));
  for (const auto& [name, value] : order.headers) {
    if (!is_token(name))
      throw Failure(ErrorKind::kInvalid, fmt::format("\"{}\" is not a header name", printable(name)));
    if (!is_field_value(value))
      throw Failure(ErrorKind::kInvalid, fmt::format("the value of the header {} has a control character in it", name));
    if (std::ranges::find(kOurHeaders, to_lower(name)) != kOurHeaders.end())
      throw Failure(ErrorKind::kInvalid, fmt::format("the header {} is set by the client itself", name));
  }
  return order;
}

// Whether sending the request twice has the same effect as sending it once.
bool can_be_repeated(const std::string& method) {
  static constexpr std::array<std::string_view, 6> kMethods{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
  return std::ranges::find(kMethods, method) != kMethods.end();
}

bool moved(const HttpResponse& response) {
  static constexpr std::array<int, 5> kMoves{301, 302, 303, 307, 308};
  return std::ranges::find(kMoves, response.status) != kMoves.end() && response.headers.contains("Location");
}

// Changes `order` to follow the redirect.
void redirect(Order& order, const HttpResponse& response) {
  const auto from = order.target.origin();
  order.target = value_or_throw(redirected(order.target, response.headers["Location"]));
  // Browsers do the same: after they have sent a form, they get a page.
  const bool becomes_get =
      response.status == 303 ? order.method != "HEAD" : response.status <= 302 && order.method == "POST";
  if (becomes_get) {
    order.method = "GET";
    order.body.clear();
  }
  const bool elsewhere = order.target.origin() != from;
  HttpHeaders kept;
  for (const auto& [name, value] : order.headers) {
    const auto lower = to_lower(name);
    const bool content = lower.starts_with("content-");
    // Other headers may contain a password or a key for the first server.
    const bool for_everybody = content || lower.starts_with("accept") || lower == "user-agent";
    if ((becomes_get && content) || (elsewhere && !for_everybody)) continue;
    kept.add(name, value);
  }
  order.headers = std::move(kept);
}

// The server may have closed a pooled connection in the meantime.
bool closed_meanwhile(const boost::system::error_code& code) {
  return code == asio::error::connection_reset || code == asio::error::broken_pipe || code == asio::error::eof ||
         code == asio::ssl::error::stream_truncated;
}

// The problem, in words. Throws Failure if another attempt cannot succeed.
std::string problem_of(const boost::system::error_code& code, const Target& target, const HttpOptions& options) {
  if (code == beast::error::timeout) return fmt::format("no whole answer within {}", format_duration(options.deadline));
  if (code == asio::ssl::error::stream_truncated) return "the answer was cut off";
  if (code == asio::error::connection_refused) return "connection refused; is it running?";
  if (code.category() == asio::error::get_ssl_category() &&
      ERR_GET_REASON(static_cast<unsigned long>(code.value())) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("{}: its certificate cannot be trusted for this host", target.shown()));
  }
  return code.message();
}

std::string problem_of(const BadMessage& bad, const Target& target, const HttpOptions& options) {
  auto in_vain = [&](const std::string& what) {
    return Failure(ErrorKind::kUnavailable, fmt::format("{}: {}", target.shown(), what));
  };
  switch (bad.kind()) {
    case BadMessage::Kind::kClosed: return "the connection was closed without an answer";
    case BadMessage::Kind::kCut: return "the answer was cut off";
    case BadMessage::Kind::kUnusable: break;
  }
  if (bad.reason().status == 431)
    throw in_vain(
        fmt::format("the head of the answer is larger than {} bytes or {} fields", options.header_limit, kMostFields));
  if (bad.reason().status == 413) throw in_vain(fmt::format("the answer is larger than {} bytes", options.body_limit));
  return fmt::format("the answer is not HTTP ({})", bad.reason().why);
}

// How an attempt failed.
struct Problem {
  std::string text;
  bool late = false;
};

// Call it while the exception is being handled. Throws Failure if another attempt cannot succeed.
Problem present_problem(const Target& target, const HttpOptions& options) {
  try {
    throw;
  } catch (const boost::system::system_error& error) {
    return {problem_of(error.code(), target, options), error.code() == beast::error::timeout};
  } catch (const BadMessage& bad) {
    return {problem_of(bad, target, options)};
  } catch (const Failure&) {
    throw;
  } catch (const std::runtime_error& error) {
    return {error.what()};
  }
}

// Call it while the exception is being handled.
bool present_is_a_closed_connection() {
  try {
    throw;
  } catch (const boost::system::system_error& error) {
    return closed_meanwhile(error.code());
  } catch (const BadMessage& bad) {
    return bad.kind() == BadMessage::Kind::kClosed;
  } catch (...) {
    return false;
  }
}

asio::awaitable<void> whole_body(Exchange& exchange, std::string& body, Wire::time_point deadline) {
  while (co_await exchange.next(body, deadline)) {
  }
}

asio::awaitable<HttpResponse> attempt(Exchange& exchange, const Order& order, const std::optional<Proxy>& proxy,
                                      const HttpOptions& options, bool whole) {
  const auto deadline = std::chrono::steady_clock::now() + options.deadline;
  co_await exchange.begin(order, proxy, options, deadline, whole ? options.body_limit : kUnlimited);
  HttpResponse response{exchange.head().status, "", exchange.head().headers};
  if (whole) co_await whole_body(exchange, response.body, deadline);
  co_return response;
}

}  // namespace

struct HttpClient::Impl {
  explicit Impl(HttpOptions given) : options(std::move(given)), proxies(options.proxy) {
    if (!options.ca_file.empty()) tls = trust(options.ca_file);
  }

  std::unique_ptr<Connection> connection_to(const Target& target, const std::optional<Proxy>& proxy) {
    auto place = target.origin() + (proxy ? " by " + proxy->target.origin() : "");
    if (auto kept = pool->take(place)) return kept;
    if (target.tls && !tls) tls = trust("");
    return std::make_unique<Connection>(io_context_of(TaskContext::current()->loop()), target.tls ? tls : nullptr,
                                        std::move(place));
  }

  std::chrono::milliseconds up_to(std::chrono::milliseconds most) {
    if (!random) random = TaskContext::current()->loop().environment().random("http");
    return std::chrono::milliseconds{random->below(static_cast<std::uint64_t>(most.count()) + 1)};
  }

  struct Answer {
    HttpResponse response;
    std::unique_ptr<Exchange> exchange;  // if the body was not read, it comes next
    Target target;
  };
  // One answer, after redirects and retries. If `whole`, with its body; otherwise only its head.
  static Task<Answer> answer(std::shared_ptr<Impl> self, HttpCall call, bool whole);

  const HttpOptions options;
  const Proxies proxies;
  std::shared_ptr<Trust> tls;  // set on first use, or at once if the options name a file
  std::shared_ptr<Pool> pool = std::make_shared<Pool>();
  std::optional<Random> random;  // from the loop of the first call
  std::uint64_t retried = 0;
};

Task<HttpClient::Impl::Answer> HttpClient::Impl::answer(std::shared_ptr<Impl> self, HttpCall call, bool whole) {
  const auto& options = self->options;
  auto order = order_of(std::move(call));
  const auto doing = to_lower(order.method);
  int redirects = 0;
  bool reached = false;
  auto backoff = options.first_backoff;
  for (int tries = 0;;) {
    const auto proxy = value_or_throw(self->proxies.for_target(order.target));
    auto exchange = std::make_unique<Exchange>(self->connection_to(order.target, proxy));
    const bool reused = exchange->connection().used;
    const bool repeatable = can_be_repeated(order.method);
    auto pause = backoff + self->up_to(backoff / 2);
    std::optional<HttpResponse> response;
    Problem problem;
    try {
      response = co_await await_asio(attempt(*exchange, order, proxy, options, whole), "an HTTP answer");
    } catch (const std::exception&) {
      const auto& connection = exchange->connection();
      if (reused && repeatable && present_is_a_closed_connection()) continue;  // reconnects; not a retry
      reached |= connection.connected;
      problem = present_problem(order.target, options);
      if (connection.sent && !repeatable) {
        throw Failure(ErrorKind::kIndefinite,
                      fmt::format("cannot {} {}: {}; it may have been carried out, and is not repeated", doing,
                                  order.target.shown(), problem.text));
      }
    }
    if (response) {
      reached = true;
      // The server timed out waiting for a request before this one arrived.
      if (reused && response->status == 408) continue;
      if (whole) exchange->end(*self->pool);
      if (moved(*response)) {
        if (++redirects > options.redirects)
          throw Failure(ErrorKind::kUnavailable,
                        fmt::format("{} redirects more than {} times", order.target.shown(), options.redirects));
        redirect(order, *response);
        continue;
      }
      const bool again =
          (response->status == 429 || (response->status >= 500 && repeatable)) && tries < options.retries;
      const auto told = response->retry_after();
      if (!again || told > options.last_backoff)
        co_return Answer{std::move(*response), std::move(exchange), std::move(order.target)};
      if (told) pause = std::max<std::chrono::milliseconds>(pause, *told);
      problem.text = fmt::format("status {}", response->status);
    }
    if (++tries > options.retries) {
      Error error{problem.late ? ErrorKind::kTimeout : ErrorKind::kUnavailable,
                  fmt::format("cannot {} {}: {} ({} attempt{})", doing, order.target.shown(), problem.text, tries,
                              tries == 1 ? "" : "s")};
      if (!reached) throw Unreachable(std::move(error));
      throw Failure(std::move(error));
    }
    ++self->retried;
    log::debug("{}: {}; trying again in {}", order.target.shown(), problem.text, format_duration(pause));
    exchange.reset();
    co_await sleep_for(pause);
    backoff = std::min(backoff * 2, options.last_backoff);
  }
}

HttpClient::HttpClient(HttpOptions options) : impl_(std::make_shared<Impl>(std::move(options))) {}
HttpClient::~HttpClient() = default;

Task<HttpResponse> HttpClient::send(HttpCall call) {
  co_return (co_await Impl::answer(impl_, std::move(call), true)).response;
}

Task<HttpResponse> HttpClient::get(std::string url) {
  HttpCall call;
  call.url = std::move(url);
  co_return co_await send(std::move(call));
}

std::uint64_t HttpClient::retried() const { return impl_->retried; }

struct HttpStream::Impl {
  HttpResponse head;
  std::unique_ptr<Exchange> exchange;  // null after the end of the body
  Target target;
  HttpOptions options;
  std::shared_ptr<Pool> pool;
};

HttpStream::HttpStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpStream::HttpStream(HttpStream&&) noexcept = default;
HttpStream& HttpStream::operator=(HttpStream&&) noexcept = default;
HttpStream::~HttpStream() = default;

const HttpResponse& HttpStream::head() const { return impl_->head; }

Task<HttpStream> HttpClient::open(HttpCall call) {
  auto answer = co_await Impl::answer(impl_, std::move(call), false);
  co_return HttpStream{std::make_unique<HttpStream::Impl>(std::move(answer.response), std::move(answer.exchange),
                                                          std::move(answer.target), impl_->options, impl_->pool)};
}

Task<std::optional<std::string>> HttpStream::next() {
  auto& [head, exchange, target, options, pool] = *impl_;
  if (!exchange) co_return std::nullopt;
  auto present = std::move(exchange);
  std::string piece;
  bool more = false;
  Problem problem;
  try {
    const auto deadline = std::chrono::steady_clock::now() + options.deadline;
    more = co_await await_asio(present->next(piece, deadline), "the next part of an HTTP answer");
  } catch (const std::exception&) {
    problem = present_problem(target, options);
  }
  if (!problem.text.empty()) {
    throw Failure(problem.late ? ErrorKind::kTimeout : ErrorKind::kUnavailable,
                  fmt::format("cannot read all of {}: {}", target.shown(), problem.text));
  }
  if (more) {
    exchange = std::move(present);
    co_return piece;
  }
  present->end(*pool);
  co_return std::nullopt;
}

std::string url_encode(std::string_view text) {
  std::string encoded;
  for (char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                 c == '.' || c == '~';
    if (plain)
      encoded += c;
    else
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

}  // namespace mephisto
