// HTTP for apps: a client that survives what the network does, and a small server.
//
//   HttpClient http;
//   auto response = co_await http.get("https://www.alphavantage.co/query?function=OVERVIEW&symbol=AAPL");
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

#include "mephisto/ids.h"
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
  std::string body;  // decoded where it came compressed
  HttpHeaders headers;

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
  std::size_t body_limit = 64 << 20;  // after decompression
  std::string user_agent = "mephisto/0.1";
  std::string ca_file;  // empty: the system's certificates
};

// No attempt got a connection (name not found, connection refused, no route, not in time): the server has seen nothing of the request.
class Unreachable : public Failure {
 public:
  using Failure::Failure;
};

// Keeps connections open between requests. Belongs to its loop; several tasks may use it at once.
class HttpClient {
 public:
  explicit HttpClient(HttpOptions options = {});
  ~HttpClient();

  // Follows redirects (but not from https to http), retries with growing pauses, checks certificate and host name. Returns any status
  // that is left after the retries. Throws Failure: kInvalid for a URL it cannot use and a certificate that cannot be trusted, kTimeout,
  // kUnavailable when no attempt brought a whole answer (Unreachable where none got as far as a connection) or it is too large. Neither messages nor log lines contain the query of
  // the URL, where keys are.
  Task<HttpResponse> get(std::string url);

  // Attempts beyond the first, since this client was made.
  std::uint64_t retried() const { return retried_; }

 private:
  struct Connections;
  HttpOptions options_;
  std::unique_ptr<Connections> connections_;
  Random random_;
  std::uint64_t retried_ = 0;
};

// An error when HttpClient cannot use `url`; looks at the text only.
Result<void> check_http_url(const std::string& url);

// `%41`-encodes what may not stand in a query value.
std::string url_encode(std::string_view text);

struct HttpRequest {
  std::string method;
  std::string path;
  std::map<std::string, std::string> query;  // decoded
  std::string body;
};

// What a server sends; `cut` closes the connection in the middle of the body (for tests of clients).
struct HttpReply {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::optional<std::string> location;
  bool cut = false;
};

// Requests have at most 1 MiB. A handler that throws is a 500 and a line in the log.
class HttpServer {
 public:
  using Handler = std::function<Task<HttpReply>(HttpRequest)>;

  // Listens on `address` (loopback unless told) and `port` (0: any free one). Throws Failure when the port is taken.
  HttpServer(Loop& loop, Handler handler, int port, const std::string& address = "127.0.0.1");
  ~HttpServer();
  int port() const;
  // Serves until it is cancelled; then waits for the handlers that still run, which are cancelled too.
  Task<void> run();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mephisto
