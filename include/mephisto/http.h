// HTTP for apps: a client that copes with faulty networks and servers, and a small server.
//
//   HttpClient http;
//   auto response = co_await http.get("https://www.alphavantage.co/query?function=OVERVIEW&symbol=AAPL");
//   co_await http.send({.url = "http://localhost:9000/in", .method = "POST", .body = "x"});
//
//   HttpServer server{*Loop::current(), handler, 8080};  // Task<HttpReply> handler(HttpRequest request)
//   co_await server.run();
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

// Header fields in their order. Names are compared without regard to case. A name may occur several times.
class HttpHeaders {
 public:
  using Field = std::pair<std::string, std::string>;

  HttpHeaders() = default;
  HttpHeaders(std::initializer_list<Field> fields) : fields_(fields) {}

  // The first value under `name`; empty if there is none.
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
  std::string body{};  // decompressed
  HttpHeaders headers{};

  // How long to wait before the next request, from `Retry-After` (seconds or a date); at most a year. Nothing if the
  // answer has no such header or an invalid one.
  std::optional<std::chrono::seconds> retry_after() const;
};

struct HttpOptions {
  std::chrono::milliseconds deadline{30'000};  // of one attempt, from the name lookup to the last byte
  int retries = 4;                             // after connection errors, cut bodies and statuses 429 and 5xx
  std::chrono::milliseconds first_backoff{250};
  std::chrono::milliseconds last_backoff{8'000};
  int redirects = 5;
  std::size_t header_limit = 64 << 10;  // of an answer's head, with the interim answers before it
  std::size_t body_limit = 64 << 20;    // as received, and after decompression
  std::string user_agent = "mephisto/0.1";
  std::string ca_file{};  // empty: the system's certificates
  // `http://[NAME:PASSWORD@]HOST:PORT`, for all requests. Empty: HTTP_PROXY, HTTPS_PROXY and NO_PROXY of the
  // environment apply, except for requests to this machine.
  std::string proxy{};
};

// A request to send. The client itself sets the headers Host, for the body's length and for the connection.
struct HttpCall {
  std::string url{};
  std::string method = "GET";
  HttpHeaders headers{};
  std::string body{};
};

// No attempt got a connection (name not found, connection refused, no route, timeout): the server has seen nothing of
// the request.
class Unreachable : public Failure {
 public:
  using Failure::Failure;
};

// An answer whose body is received in pieces. It belongs to its client's loop, but may outlive the client.
class HttpStream {
 public:
  HttpStream(HttpStream&&) noexcept;
  HttpStream& operator=(HttpStream&&) noexcept;
  ~HttpStream();

  // Status and headers; its body is empty.
  const HttpResponse& head() const;
  // The next bytes of the body, decompressed, about 64 KiB at most; nothing at its end. Waits at most
  // HttpOptions::deadline. Throws Failure as HttpClient::send does; after that, it returns nothing.
  Task<std::optional<std::string>> next();

 private:
  friend class HttpClient;
  struct Impl;
  explicit HttpStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Keeps connections open between requests. It does not reuse a connection on which unrequested bytes have arrived. It
// belongs to its loop; several tasks may use it at once.
class HttpClient {
 public:
  // Throws Failure when `options.ca_file` cannot be read.
  explicit HttpClient(HttpOptions options = {});
  ~HttpClient();

  // Follows redirects (but not from https to http), checks certificate and host name, and retries with growing pauses.
  // It retries GET, HEAD, PUT, DELETE, OPTIONS and TRACE after any failure. It retries other methods only if the server
  // has not received the request, or answers 429. If the answer has a Retry-After, it waits that long; if that is
  // longer than `last_backoff`, it does not retry. Returns the last answer, whatever its status, when there are no more
  // retries. Throws Failure: kInvalid if it cannot send the request, use the proxy or trust the certificate; kTimeout;
  // kUnavailable if no attempt got a complete answer (Unreachable if none got a connection) or the answer is too large;
  // kIndefinite if a request that must not be repeated may have been carried out. Neither messages nor log lines
  // contain the query of the URL, because it may contain keys.
  Task<HttpResponse> send(HttpCall call);
  Task<HttpResponse> get(std::string url);
  // Like send(), but returns after the answer's head. The body may have any length.
  Task<HttpStream> open(HttpCall call);

  // The number of retries since this client was created.
  std::uint64_t retried() const;

 private:
  friend class HttpStream;
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// An error if HttpClient cannot use `url`, or cannot use it as a proxy. They check the text only.
Result<void> check_http_url(const std::string& url);
Result<void> check_http_proxy(const std::string& url);

// Encodes characters that a query value may not contain, as `%41`.
std::string url_encode(std::string_view text);

struct HttpRequest {
  std::string method{};
  std::string path{};
  std::map<std::string, std::string> query{};  // decoded
  HttpHeaders headers{};
  std::string body{};
};

struct HttpReply;

// Takes the body of a streamed reply, in pieces.
class HttpSink {
 public:
  // Sends the bytes; the first ones after the reply's head. Waits for a client that reads slowly. Throws Failure
  // (kUnavailable) if the client has disconnected or does not read.
  virtual Task<void> write(std::string bytes) = 0;
  // Sends another reply instead. Before the first bytes only.
  virtual void refuse(HttpReply reply) = 0;

 protected:
  ~HttpSink() = default;
};

// A message of a web socket. Text is UTF-8.
struct WebMessage {
  std::string data{};
  bool binary = false;
};

// A connection on which both sides send messages at any time (RFC 6455). Several tasks of its handler may use it.
class WebSocket {
 public:
  // The next message; nothing when none will follow: the client has closed, has disconnected or has broken the
  // protocol.
  virtual Task<std::optional<WebMessage>> receive() = 0;
  // Waits for a client that reads slowly. Throws Failure: kUnavailable if no message can be sent any more, kInvalid if
  // a text is not UTF-8.
  virtual Task<void> send(WebMessage message) = 0;
  // Says why there is an end: 1000, or a code of one's own from 4000 to 4999. The end of the handler closes with 1000.
  virtual Task<void> close(int code = 1000, std::string reason = {}) = 0;

 protected:
  ~WebSocket() = default;
};

// A server's reply. `cut` closes the connection in the middle of the body (for tests of clients). The server itself
// sets the headers for the body's length and for the connection.
struct HttpReply {
  int status = 200;
  std::string body{};
  std::string content_type = "application/json";
  HttpHeaders headers{};
  // Used instead of `body`. Once the client has disconnected (also by closing its sending side), or the server ends,
  // the stream's task is cancelled. If it throws, the connection is closed, so that the client sees that the body is
  // incomplete; before the first bytes the reply is a 500.
  std::function<Task<void>(HttpSink&)> stream{};
  bool cut = false;
  // With status 101: the connection becomes a web socket, and this is its handler. A request that does not ask for one
  // gets 426. The handler has five seconds after the last message. Its task is also cancelled when the server ends.
  // If it throws, the client gets code 1011.
  std::function<Task<void>(WebSocket&)> socket{};
};

// Limits on the resources that clients can use.
struct HttpLimits {
  // Also at most a quarter of the files that the process may open. Beyond the limit, connections are closed, the oldest
  // first, in this order: those with an incomplete request, idle ones, those that do not read their replies. If a
  // handler is running for every connection, new ones wait.
  std::size_t connections = 256;
  // Streamed replies and web sockets at a time; at most half of the connections. Beyond the limit, status 503.
  std::size_t streams = 128;
  std::size_t header = 64 << 10;                  // bytes of a request's head
  std::size_t body = 1 << 20;                     // bytes of a request's body, or of a web socket's message
  std::size_t bodies = 16 << 20;                  // bytes of all of them together
  std::chrono::milliseconds head_within{10'000};  // from the connection, or the first byte of a later request
  std::chrono::milliseconds body_within{30'000};
  std::chrono::milliseconds idle{60'000};          // between requests
  std::chrono::milliseconds write_within{60'000};  // of a reply, or of each piece of a streamed one
};

// Files in PEM; without a certificate, no TLS. They are read again when they change.
struct HttpTls {
  std::string certificate{};  // with those that lead to its authority
  std::string key{};
};

// A handler that throws gives a 500 and a line in the log. An ambiguous request gives a 400.
class HttpServer {
 public:
  using Handler = std::function<Task<HttpReply>(HttpRequest)>;

  // Listens on `address` (by default loopback) and `port` (0: any free port). Throws Failure if the port is taken, or
  // `tls` cannot be used.
  HttpServer(Loop& loop, Handler handler, int port, const std::string& address = "127.0.0.1", HttpLimits limits = {},
             HttpTls tls = {});
  ~HttpServer();
  int port() const;
  // Serves until it is cancelled. It then cancels the handlers that still run and waits for them. Streams have a
  // second to send their end.
  Task<void> run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mephisto
