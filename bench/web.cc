// The web pages of a worker: a table's rows, compared with a bare server on Boost.Beast that has them in a map; the
// metrics of a large app; and connections that send nothing.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <thread>
#include <unordered_map>

#include "bench.h"
#include "mephisto/web.h"
#include "part.h"
#include "work.h"

namespace mephisto::bench {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using boost::asio::ip::tcp;

constexpr int kConnections = 16;
constexpr int kSilent = 10'000;
constexpr int kAgents = 50;
constexpr int kPartitions = 512;

std::string row_target(int key) { return "/table/counts/" + key_of(key); }

// --- clients ---

// A connection to 127.0.0.1 that sends requests, one after the other, and reads replies with a Content-Length.
class Connection {
 public:
  explicit Connection(int port) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(static_cast<std::uint16_t>(port)), .sin_addr = {}};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    open_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~Connection() { close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  bool open() const { return open_; }
  int fd() const { return fd_; }

  void ask(const std::string& target) {
    const auto request = fmt::format("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", target);
    if (send(fd_, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size())) std::abort();
    asked_ = now();
    waits_ = true;
  }
  bool waits() const { return waits_; }
  double asked() const { return asked_; }

  // Reads what has come. Returns whether the reply is complete; ends the process if it is not 200.
  bool read_some() {
    char bytes[16 << 10];
    const auto got = recv(fd_, bytes, sizeof bytes, 0);
    if (got <= 0) std::abort();
    reply_.append(bytes, static_cast<std::size_t>(got));
    const auto head = reply_.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    const auto length = reply_.find("Content-Length: ");
    if (!reply_.starts_with("HTTP/1.1 200 ") || length > head) std::abort();
    if (reply_.size() < head + 4 + std::strtoul(reply_.c_str() + length + 16, nullptr, 10)) return false;
    reply_.clear();
    waits_ = false;
    return true;
  }

 private:
  int fd_;
  bool open_ = false;
  bool waits_ = false;
  double asked_ = 0;
  std::string reply_;
};

struct Load {
  double per_second = 0;
  std::vector<double> seconds{};  // that each request took, in ascending order
};

// Asks for rows over several connections for `seconds`. With a rate, a request is sent when it is due, as long as a
// connection is free, and its time begins then.
Load load(int port, double seconds, double rate = 0) {
  std::vector<std::unique_ptr<Connection>> all;
  std::vector<pollfd> polled;
  for (int i = 0; i < kConnections; ++i) {
    all.push_back(std::make_unique<Connection>(port));
    polled.push_back({all.back()->fd(), POLLIN, 0});
  }
  Load done;
  std::vector<double> due(all.size());
  const auto start = now();
  int sent = 0;
  const auto send_due = [&](std::size_t i) {
    const auto at = rate == 0 ? now() : start + sent / rate;
    if (all[i]->waits() || at > now()) return;
    due[i] = at;
    all[i]->ask(row_target(sent++ * 7919));
  };
  while (now() < start + seconds) {
    for (std::size_t i = 0; i < all.size(); ++i) send_due(i);
    poll(polled.data(), polled.size(), 0);
    for (std::size_t i = 0; i < all.size(); ++i) {
      if ((polled[i].revents & POLLIN) == 0 || !all[i]->read_some()) continue;
      done.seconds.push_back(now() - due[i]);
      send_due(i);
    }
  }
  done.per_second = static_cast<double>(done.seconds.size()) / (now() - start);
  std::ranges::sort(done.seconds);
  return done;
}

// The seconds of a request.
double ask_once(int port, const std::string& target) {
  Connection connection{port};
  connection.ask(target);
  while (!connection.read_some()) {
  }
  return now() - connection.asked();
}

int free_port() {
  boost::asio::io_context io;
  const tcp::acceptor taken{io, {boost::asio::ip::make_address("127.0.0.1"), 0}};
  return taken.local_endpoint().port();
}

// A server in another process, once it accepts connections.
struct Server {
  explicit Server(const std::string& kind) : port(free_port()), part("mephisto_bench", words(kind)) {
    while (!Connection{port}.open()) std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  std::vector<std::string> words(const std::string& kind) const {
    return {"--part", "web", kind, std::to_string(port)};
  }

  int port;
  Part part;
};

// --- servers ---

int serve_pages(App& app, int port, const std::function<Task<void>(Worker&, Log&)>& before) {
  log::configure({.level = log::Level::kWarn, .file = ""});
  app.settings().set("web_port", std::to_string(port), "bench");
  Loop loop;
  loop.run([](App& of, const std::function<Task<void>(Worker&, Log&)>& prepare) -> Task<void> {
    auto log = open_log("memory://web");
    const Router pages;
    co_await fill(*log, "in", 8);
    Worker worker{of, log, {.own_threads = true, .web = &pages}};
    co_await prepare(worker, *log);
    co_await worker.start();
    co_await worker.finished();
  }(app, before));
  return 0;
}

int serve_rows(int port) {
  const auto it = state_app("count_in_memory", "web", "in", "web-out");
  return serve_pages(it->app, port, [](Worker&, Log& log) -> Task<void> {
    TopicConfig config;
    config.partitions = 8;
    value_or_throw(co_await log.create_topic("web-out", config));
  });
}

int serve_many(int port) {
  App app{"many"};
  for (int i = 0; i < kAgents; ++i) {
    app.agent(fmt::format("agent{}", i),
              app.topic<Trade>(fmt::format("t{}", i), {.partitions = kPartitions / kAgents + 1}),
              [](Stream<Trade> stream) -> Task<void> {
                while (co_await stream.next()) {
                }
              });
  }
  return serve_pages(app, port, [](Worker&, Log&) -> Task<void> { co_return; });
}

// The least that a server does for a row: reads the request, finds the row, writes the reply.
boost::asio::awaitable<void> answer(tcp::socket socket, const std::unordered_map<std::string, std::string>& rows) {
  beast::flat_buffer buffer;
  for (;;) {
    http::request<http::empty_body> request;
    co_await http::async_read(socket, buffer, request, boost::asio::use_awaitable);
    const auto found = rows.find(std::string{request.target()});
    http::response<http::string_body> response{http::status::ok, 11};
    response.set(http::field::content_type, "application/json");
    response.body() = found == rows.end() ? "[]" : found->second;
    response.prepare_payload();
    co_await http::async_write(socket, response, boost::asio::use_awaitable);
  }
}

int serve_bare(int port) {
  std::unordered_map<std::string, std::string> rows;
  for (int i = 0; i < kKeys; ++i) {
    rows[row_target(i)] = fmt::format(R"({{"rows":[{{"key":"{}","value":20}}]}})", key_of(i));
  }
  boost::asio::io_context io{1};
  tcp::acceptor acceptor{io, {boost::asio::ip::make_address("127.0.0.1"), static_cast<std::uint16_t>(port)}};
  boost::asio::co_spawn(
      io,
      [&]() -> boost::asio::awaitable<void> {
        for (;;) {
          auto socket = co_await acceptor.async_accept(boost::asio::use_awaitable);
          socket.set_option(tcp::no_delay{true});
          boost::asio::co_spawn(io, answer(std::move(socket), rows), boost::asio::detached);
        }
      },
      boost::asio::detached);
  io.run();
  return 0;
}

// --- cases ---

// A row that the worker does not have yet would end this process.
void wait_for_rows(const Server& server) {
  for (;;) {
    HttpResponse got;
    Loop loop;
    loop.run([](int port, HttpResponse& response) -> Task<void> {
      HttpClient client{{.retries = 0}};
      response = co_await client.send({.url = fmt::format("http://127.0.0.1:{}{}", port, row_target(kKeys - 1))});
    }(server.port, got));
    if (got.status == 200 && got.body.find(fmt::format("{}", kRecords / kKeys)) != std::string::npos) return;
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
  }
}

struct Rows {
  double per_second = 0;
  double p99_ms = 0;  // at half of it
};

Rows rows_of(const Server& server) {
  load(server.port, 0.3);
  const auto full = load(server.port, 2);
  const auto half = load(server.port, 2, full.per_second / 2);
  return {full.per_second, half.seconds[half.seconds.size() * 99 / 100] * 1000};
}

std::vector<double> rows_ours() {
  const Server server{"rows"};
  wait_for_rows(server);
  const auto got = rows_of(server);
  return {got.per_second, got.p99_ms};
}

double rows_bare() { return rows_of(Server{"bare"}).per_second; }

double metrics_ms() {
  const Server server{"many"};
  while (ask_once(server.port, "/metrics") > 1) {
  }
  std::vector<double> all;
  for (int i = 0; i < 21; ++i) all.push_back(ask_once(server.port, "/metrics") * 1000);
  return median(all);
}

// The memory that silent connections take, while each row is still answered.
double silent_megabytes() {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  const Server server{"rows"};
  wait_for_rows(server);
  const auto before = server.part.memory("VmRSS");
  std::vector<std::unique_ptr<Connection>> silent;
  for (int i = 0; i < kSilent; ++i) {
    silent.push_back(std::make_unique<Connection>(server.port));
    if (!silent.back()->open()) silent.pop_back();
  }
  ask_once(server.port, row_target(1));
  return server.part.memory("VmRSS") - before;
}

}  // namespace

int run_web_part(const std::vector<std::string>& words) {
  if (words.size() != 2) return 2;
  const auto port = std::atoi(words[1].c_str());
  if (words[0] == "rows") return serve_rows(port);
  if (words[0] == "many") return serve_many(port);
  if (words[0] == "bare") return serve_bare(port);
  return 2;
}

std::vector<Case> web_cases() {
  const SharedRuns rows{rows_ours};
  return {
      {"web_rows",
       "requests/s",
       "Boost.Beast and a map",
       rows.figure(0),
       rows_bare,
       0.7,
       false,
       {{"web_rows_p99", "ms", "the target, at half of the load", rows.figure(1), [] { return 2.0; }, 1, true}}},
      {"web_metrics", "ms", "the target, 50 agents and 512 partitions", metrics_ms, [] { return 20.0; }, 1, true},
      {"web_silent", "MB", "the target, 10,000 silent connections", silent_megabytes, [] { return 60.0; }, 1, true},
  };
}

}  // namespace mephisto::bench
