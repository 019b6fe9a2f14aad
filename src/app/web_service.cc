#include "app/web_service.h"

#include <fmt/format.h>

#include <algorithm>

#include "app/app_shard.h"
#include "app/worker_metrics.h"
#include "base/process.h"
#include "base/text.h"
#include "mephisto/base/version.h"
#include "mephisto/logging.h"
#include "mephisto/web.h"
#include "web/exposition.h"
#include "web/gate.h"

namespace mephisto {
namespace {

constexpr int kPortsToTry = 100;
constexpr std::string_view kLive = "/live";
constexpr std::string_view kStartup = "/startup";
constexpr std::string_view kReady = "/ready";

bool is_loopback(const std::string& address) {
  return address == "::1" || address.starts_with("127.") || address == "localhost";
}

bool is_any(const std::string& address) { return address == "0.0.0.0" || address == "::"; }

std::string bracketed(const std::string& address) { return address.contains(':') ? "[" + address + "]" : address; }

Gate::Rules rules(const Settings& settings, const std::string& bind, const std::string& host) {
  Gate::Rules rules{.token = settings.text("web_token"), .hosts = {}, .open = {}, .origins = {}};
  for (const auto path : {kLive, kStartup, kReady}) rules.open.emplace_back(path);
  for (const auto& origin : split(settings.text("web_cors_origins"), ';')) {
    if (!origin.empty()) rules.origins.push_back(origin);
  }
  if (rules.token.empty()) rules.hosts = {"127.0.0.1", "localhost", "[::1]", to_lower(bracketed(bind)), to_lower(host)};
  if (is_any(bind)) rules.hosts.clear();  // it has names that are not known here
  const bool closed = is_loopback(bind) || !rules.token.empty();
  if (!closed && settings.text("web_auth") != "none")
    throw Failure(ErrorKind::kInvalid,
                  fmt::format("other machines reach the web pages on {}, and they need no token: set web_token, or "
                              "web_bind=127.0.0.1, or, if everybody may read and send, web_auth=none",
                              bind));
  if (!closed)
    log::warn("Everybody who reaches {} can read the app's data and send records (setting web_auth=none)", bind);
  return rules;
}

// The port of the setting. If nobody has set it and it is taken, as by another worker on this machine, the next free
// one.
std::unique_ptr<HttpServer> listen(Loop& loop, const Settings& settings, const std::string& bind,
                                   const HttpServer::Handler& handler) {
  const auto rows = settings.rows();
  const auto row = std::ranges::find(rows, "web_port", [](const auto& one) { return one.spec->name; });
  const bool chosen = row != rows.end() && row->source != "default";
  const int port = static_cast<int>(settings.integer("web_port"));
  const HttpTls tls{settings.text("web_tls_certificate"), settings.text("web_tls_key")};
  if (tls.certificate.empty() != tls.key.empty())
    throw Failure(ErrorKind::kInvalid, "web_tls_certificate and web_tls_key go together: set both or neither");
  for (int i = 0;; ++i) {
    try {
      return std::make_unique<HttpServer>(loop, handler, port + i, bind, HttpLimits{}, tls);
    } catch (const Failure& failure) {
      if (failure.kind() != ErrorKind::kUnavailable || chosen || i + 1 == kPortsToTry)
        throw Failure(failure.kind(),
                      fmt::format("{} (settings web_bind, web_port, web_tls_certificate, web_tls_key; --without-web "
                                  "serves no pages)",
                                  failure.what()));
    }
  }
}

struct Probe {
  bool ok = true;
  std::vector<std::string> reasons;
};

HttpReply reply_of(const Probe& probe) {
  return {.status = probe.ok ? 200 : 503, .body = to_json(probe, Dialect::kShown)};
}

Probe probe(std::vector<std::string> reasons) { return {reasons.empty(), std::move(reasons)}; }

std::vector<std::string> silent_members(const WorkerStatus& status) {
  std::vector<std::string> reasons;
  for (const auto& member : status.silent)
    reasons.push_back(fmt::format("{} does not answer: a handler keeps its thread", member));
  return reasons;
}

// By member; the last one of each.
std::map<std::string, const status::Rebalance*> latest(const std::vector<status::Rebalance>& all) {
  std::map<std::string, const status::Rebalance*> last;
  for (const auto& one : all) last[one.member] = &one;
  return last;
}

}  // namespace

struct WebService::Impl {
  Impl(App& of, std::shared_ptr<Log> on, const Router& more, std::function<Task<WorkerStatus>()> ask,
       WorkerMetrics& of_worker, std::function<WorkerLife()> where, detail::TablePages::Local rows)
      : app(of),
        log(std::move(on)),
        status(std::move(ask)),
        life(std::move(where)),
        bind(of.settings().text("web_bind")),
        host(of.settings().text("web_host").empty() ? host_name() : of.settings().text("web_host")),
        gate(rules(of.settings(), bind, host)),
        metrics(of_worker),
        tables(of, log, std::move(rows)) {
    add_pages();
    tables.add_to(router);
    for (const auto* pages : {&more, &app.pages()}) {
      for (const auto& page : pages->pages()) router.add(page);
    }
    server = listen(*Loop::current(), app.settings(), bind,
                    [this](HttpRequest request) { return answer(std::move(request)); });
    const auto* scheme = app.settings().text("web_tls_certificate").empty() ? "http" : "https";
    url = fmt::format("{}://{}:{}/", scheme, is_any(bind) ? host : bracketed(bind), server->port());
  }

  Task<HttpReply> answer(HttpRequest request) {
    // The handler takes the request. Its body, which may be large, is not needed afterwards.
    const HttpRequest seen{request.method, request.path, request.query, request.headers, {}};
    const auto since = Loop::current()->now();
    std::string page;
    auto stopped = gate.stop(request);
    auto reply = stopped ? std::move(*stopped) : co_await router.answer(std::move(request), &page);
    gate.mark(seen, reply);
    metrics.answered(page, reply.status, Loop::current()->now() - since);
    co_return reply;
  }

  void add_pages();
  Task<HttpReply> startup() const {
    std::vector<std::string> reasons;
    if (!life().ready) reasons.emplace_back("the worker has not started yet");
    co_return reply_of(probe(std::move(reasons)));
  }
  Task<HttpReply> live() { co_return reply_of(probe(silent_members(co_await status()))); }
  Task<HttpReply> ready();

  App& app;
  std::shared_ptr<Log> log;
  std::function<Task<WorkerStatus>()> status;
  std::function<WorkerLife()> life;
  std::string bind;
  std::string host;
  std::string url;
  Gate gate;
  WorkerMetrics& metrics;
  detail::TablePages tables;
  Router router;
  std::unique_ptr<HttpServer> server;
  std::optional<Client> client;  // handlers send through it
};

Task<HttpReply> WebService::Impl::ready() {
  const auto now = life();
  const auto all = co_await status();
  auto reasons = silent_members(all);
  if (now.stopping)
    reasons.insert(reasons.begin(), "the worker is stopping");
  else if (!now.ready)
    reasons.insert(reasons.begin(), "the worker has not started yet");
  for (const auto& [member, rebalance] : latest(all.rebalances)) {
    if (rebalance->after == 0 && !rebalance->over)
      reasons.push_back(fmt::format("{} has no partitions yet: {}", member, rebalance->reason));
  }
  for (const auto& table : all.tables) {
    if (table.state == "restoring")
      reasons.push_back(
          fmt::format("{}/{} is being restored: {} of {}", table.table, table.partition, table.position, table.end));
    if (table.trouble) reasons.push_back(fmt::format("{}/{} waits: {}", table.table, table.partition, *table.trouble));
  }
  for (const auto& one : all.partitions) {
    for (const auto& reason : one.reasons) {
      if (reason.kind == "log") reasons.push_back(fmt::format("{}/{}: {}", one.topic, one.partition, reason.text));
    }
  }
  co_return reply_of(probe(std::move(reasons)));
}

void WebService::Impl::add_pages() {
  const auto add = [this](std::string_view path, std::string help, auto handler) {
    router.add(detail::page_of(path, std::move(handler), {.help = std::move(help)}));
  };
  add(kLive, "200 while every loop of the worker turns", [this]() -> Task<HttpReply> { return live(); });
  add(kStartup, "200 as soon as the worker has started", [this]() -> Task<HttpReply> { return startup(); });
  add(kReady, "200 while the worker has its partitions, their state and its log",
      [this]() -> Task<HttpReply> { return ready(); });
  add("/metrics", "metrics, for Prometheus or as OpenMetrics", [this](HttpRequest request) -> Task<HttpReply> {
    const auto format = preferred_exposition(request.headers["accept"]);
    co_return HttpReply{.body = write_metrics(co_await metrics.collect(life()), format),
                        .content_type = std::string{content_type(format)}};
  });
  add("/openapi.json", "this description",
      [this]() -> Task<HttpReply> { co_return HttpReply{.body = open_api(app.id(), MEPHISTO_VERSION, router)}; });
  add("/api/status", "the worker's partitions, rebalances and tables",
      [this]() -> Task<WorkerStatus> { return status(); });
}

WebService::WebService(App& app, std::shared_ptr<Log> log, const Router& more,
                       std::function<Task<WorkerStatus>()> status, WorkerMetrics& metrics,
                       std::function<WorkerLife()> life, detail::TablePages::Local rows)
    : impl_(std::make_unique<Impl>(app, std::move(log), more, std::move(status), metrics, std::move(life),
                                   std::move(rows))) {}

WebService::~WebService() = default;

const std::string& WebService::url() const { return impl_->url; }

Task<void> WebService::run() {
  log::info("Web pages at {}", impl_->url);
  impl_->client.emplace(impl_->app, impl_->log);
  if (impl_->app.tables().empty()) co_return co_await impl_->server->run();
  co_await when_all(impl_->server->run(), impl_->tables.run(impl_->url));
}

Task<void> WebService::close() {
  co_await impl_->tables.close();
  if (impl_->client) co_await impl_->client->close();
  impl_->client.reset();
}

}  // namespace mephisto
