// HTTP for apps: a client that survives what networks and servers do, and a small server.
//
//   HttpClient http;
//   auto response = co_await http.get("https://www.alphavantage.co/query?function=OVERVIEW&symbol=AAPL");
//   co_await http.send({.url = "http://localhost:9000/in", .method = "POST", .headers = {{"Content-Type",
//   "text/plain"}}, .body = "x"});
//
//   HttpServer server{*Loop::current(), [](HttpRequest request) -> Task<HttpReply> { co_return HttpReply{200, "{}"}; },
//   8080}; co_await server.run();
#pragma once

#include <chrono>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mephisto/base/ids.h"
#include "mephisto/sync.h"

namespace mephisto {

// Header fields in their order. Names compare without regard to case; a name may stand several times.
class HttpHeaders {
 public:
  using Field = std::pair<std::string, std::string>;

  HttpHeaders() = default;
  HttpHeaders(std::initializer_list<Field> fields) : fields_(fields) {}

  // The first value under `name`; empty where there is none.
  const std::string& operator[](std::string_view name) const;
  bool contains(std::string_view name) const;
  // The elements of every list under `name`: the fields `a, b` and `c` have three.
  std::vector<std::string> list(std::string_view name) const;
  void add(std::string name, std::string value) { fields_.emplace_back(std::move(name), std::move(value)); }
  // Replaces all fields of that name.
  void set(std::string name, std::string value);

  auto begin() const { return fields_.begin(); }
  auto end() const { return fields_.end(); }

 private:
  std::vector<Field> fields_;
};

struct HttpResponse {
  int status = 200;
  std::string body{};  // decoded where it came compressed
  HttpHeaders headers{};

  // How long to wait before the next request, as `Retry-After` says it in seconds or as a date; at most a year. Nothing
  // where the answer has none, or one that cannot be read.
  std::optional<std::chrono::seconds> retry_after() const;
};

struct HttpOptions {
  std::chrono::milliseconds deadline{30'000};  // of one attempt, from looking up the name to the last byte
  int retries = 4;                             // after connection errors, cut bodies and statuses 429 and 5xx
  std::chrono::milliseconds first_backoff{250};
  std::chrono::milliseconds last_backoff{8'000};
  int redirects = 5;
  std::size_t header_limit = 64 << 10;  // of an answer's head, with the interim answers before it
  std::size_t body_limit = 64 << 20;    // as it comes, and after decompression
  std::string user_agent = "mephisto/0.1";
  std::string ca_file{};  // empty: the system's certificates
  // `http://[NAME:PASSWORD@]HOST:PORT`, for all requests. Empty: HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the
  // environment count, but for this machine.
  std::string proxy{};
};

// What a client asks. The client itself says Host, how long the body is and what becomes of the connection.
struct HttpCall {
  std::string url{};
  std::string method = "GET";
  HttpHeaders headers{};
  std::string body{};
};

// No attempt got a connection (name not found, connection refused, no route, not in time): the server has seen nothing
// of the request.
class Unreachable : public Failure {
 public:
  using Failure::Failure;
};

// An answer whose body comes piece by piece. Belongs to its client's loop, but may outlive the client.
class HttpStream {
 public:
  HttpStream(HttpStream&&) noexcept;
  HttpStream& operator=(HttpStream&&) noexcept;
  ~HttpStream();

  // Status and headers; its body is empty.
  const HttpResponse& head() const;
  // The next bytes of the body, decompressed, some 64 KiB at most; nothing at its end. Waits at most
  // HttpOptions::deadline. Throws Failure as HttpClient::send does; there is nothing more then.
  Task<std::optional<std::string>> next();

 private:
  friend class HttpClient;
  struct Impl;
  explicit HttpStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Keeps connections open between requests. A connection on which anything came that was not asked for is not used
// again. Belongs to its loop; several tasks may use it at once.
class HttpClient {
 public:
  // Throws Failure when `options.ca_file` cannot be read.
  explicit HttpClient(HttpOptions options = {});
  ~HttpClient();

  // Follows redirects (but not from https to http), checks certificate and host name, and retries with growing pauses:
  // at once a GET, HEAD, PUT, DELETE, OPTIONS or TRACE; another method only where the server has not got the request,
  // or answers 429. An answer with a Retry-After is waited for that long, or, where that is more than `last_backoff`,
  // is not tried again. Returns any status that is left after the retries. Throws Failure: kInvalid for what it cannot
  // send, a proxy it cannot use and a certificate that cannot be trusted, kTimeout, kUnavailable when no attempt
  // brought a whole answer (Unreachable where none got as far as a connection) or it is too large, kIndefinite where a
  // request that is not repeated may have been carried out. Neither messages nor log lines contain the query of the
  // URL, where keys are.
  Task<HttpResponse> send(HttpCall call);
  Task<HttpResponse> get(std::string url);
  // As send(), up to the answer's head. Its body may be of any length.
  Task<HttpStream> open(HttpCall call);

  // Attempts beyond the first, since this client was made.
  std::uint64_t retried() const;

 private:
  friend class HttpStream;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// An error when HttpClient cannot use `url`, or have it as its proxy; they look at the text only.
Result<void> check_http_url(const std::string& url);
Result<void> check_http_proxy(const std::string& url);

// `%41`-encodes what may not stand in a query value.
std::string url_encode(std::string_view text);

struct HttpRequest {
  std::string method{};
  std::string path{};
  std::map<std::string, std::string> query{};  // decoded
  HttpHeaders headers{};
  std::string body{};
};

// Where a reply's body goes that comes piece by piece.
class HttpSink {
 public:
  // Sends the bytes. Waits for a client that reads slowly; throws Failure (kUnavailable) when it went or takes nothing.
  virtual Task<void> write(std::string bytes) = 0;

 protected:
  ~HttpSink() = default;
};

// What a server sends; `cut` closes the connection in the middle of the body (for tests of clients). The server itself
// says how long the body is and what becomes of the connection.
struct HttpReply {
  int status = 200;
  std::string body{};
  std::string content_type = "application/json";
  HttpHeaders headers{};
  // Instead of `body`. What it throws ends the connection, so that the client sees that the body is not whole.
  std::function<Task<void>(HttpSink&)> stream{};
  bool cut = false;
};

// What clients can take of a server.
struct HttpLimits {
  // Also at most a quarter of the files that the process may open. Where there are more, those without a request are
  // closed, the oldest first: the ones that have not sent a whole request before idle ones; then the ones that do not
  // take their replies. Where all have a request that is worked for, others wait.
  std::size_t connections = 256;
  std::size_t header = 64 << 10;                  // bytes of a request's head
  std::size_t body = 1 << 20;                     // bytes of a request's body
  std::size_t bodies = 16 << 20;                  // bytes of the bodies of all requests together
  std::chrono::milliseconds head_within{10'000};  // from the connection, or the first byte of a later request
  std::chrono::milliseconds body_within{30'000};
  std::chrono::milliseconds idle{60'000};          // between requests
  std::chrono::milliseconds write_within{60'000};  // of a reply, or of each piece of a streamed one
};

// A handler that throws is a 500 and a line in the log. Requests that could be understood in two ways are a 400.
class HttpServer {
 public:
  using Handler = std::function<Task<HttpReply>(HttpRequest)>;

  // Listens on `address` (loopback unless told) and `port` (0: any free one). Throws Failure when the port is taken.
  HttpServer(Loop& loop, Handler handler, int port, const std::string& address = "127.0.0.1", HttpLimits limits = {});
  ~HttpServer();
  int port() const;
  // Serves until it is cancelled; then waits for the handlers that still run, which are cancelled too.
  Task<void> run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mephisto
