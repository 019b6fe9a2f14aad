#include "app/otlp.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/inflate.h"
#include "base/process.h"
#include "base/text.h"
#include "mephisto/base/backoff.h"
#include "mephisto/logging.h"
#include "web/otlp.h"

namespace mephisto {
namespace {

constexpr std::chrono::seconds kDeadline{10};  // of a request
constexpr std::chrono::milliseconds kSpansEvery{1000};
constexpr std::chrono::milliseconds kPatience{500};  // with the shards
constexpr std::size_t kSpansOfRequest = 2048;
constexpr std::chrono::milliseconds kLongestBackoff{30'000};
constexpr std::chrono::milliseconds kLeastPause{1000};
constexpr std::chrono::milliseconds kMostPause{600'000};
constexpr std::size_t kMostAnswer = 64 << 10;

// Source: opentelemetry.io/docs/specs/otlp, retryable response codes.
bool is_temporary(int status) { return status == 429 || status == 502 || status == 503 || status == 504; }

HttpOptions options() {
  HttpOptions with;
  with.deadline = kDeadline;
  with.retries = 0;    // the next request has newer numbers
  with.redirects = 0;  // the headers are for this server only
  with.body_limit = kMostAnswer;
  return with;
}

HttpHeaders headers(const App& app) {
  auto all = value_or_throw(parse_otlp_headers(app.settings().text("otlp_headers")));
  for (const auto& [name, value] : all) log::mask_secret(value);
  all.set("Content-Type", "application/x-protobuf");
  all.set("Content-Encoding", "gzip");
  return all;
}

std::string base_url(const App& app) {
  auto url = app.settings().text("otlp");
  while (url.ends_with('/')) url.pop_back();
  return url;
}

// What came of a request.
struct Sent {
  std::string why{};  // empty: the collector has it
  bool temporary = false;
  std::optional<std::chrono::milliseconds> pause{};  // that it asks for
  OtlpRejected rejected{};
};

}  // namespace

Result<HttpHeaders> parse_otlp_headers(const std::string& text) {
  HttpHeaders all;
  std::size_t number = 0;
  for (const auto& one : split(text, ';')) {
    ++number;
    if (trim(one).empty()) continue;
    const auto equals = one.find('=');
    const auto name = trim(std::string_view{one}.substr(0, equals));
    const auto is_token = std::ranges::all_of(
        name, [](char c) { return c > ' ' && c < '\x7f' && !std::string_view{"()<>@,;:\\\"/[]?={}"}.contains(c); });
    // The text is a secret.
    if (equals == std::string::npos || name.empty() || !is_token)
      return fail(ErrorKind::kInvalid, fmt::format("header {} is not NAME=VALUE", number));
    all.add(std::string{name}, std::string{trim(std::string_view{one}.substr(equals + 1))});
  }
  return all;
}

struct Otlp::Impl {
  // Metrics or traces.
  struct Signal {
    std::string name;
    std::string path;
    log::Repeated trouble{};
    bool failing = false;
  };

  Impl(const App& of, WorkerMetrics& from, std::function<WorkerLife()> where, SpansSource ask)
      : app(of),
        worker_metrics(from),
        life(std::move(where)),
        ask_for_spans(std::move(ask)),
        source{of.id(), process_name()},
        system(of.settings().text("broker").starts_with("kafka://") ? "kafka" : "mephisto"),
        url(base_url(of)),
        fields(headers(of)),
        http(options()),
        since(Loop::current()->wall_time()) {}

  Task<Sent> post(std::string path, std::string body) {
    Sent sent;
    try {
      const auto answer = co_await http.send({url + path, "POST", fields, std::move(body)});
      if (answer.status / 100 == 2) {
        sent.rejected = rejected_by_collector(answer.body);
        co_return sent;
      }
      const auto reason = refusal_of_collector(answer.body);
      sent.why = fmt::format("{}{} answers {}{}{}", url, path, answer.status, reason.empty() ? "" : ", ", reason);
      sent.temporary = is_temporary(answer.status);
      if (sent.temporary) sent.pause = answer.retry_after();
    } catch (const Failure& failure) {
      sent.why = failure.what();
      sent.temporary = failure.error().retriable();
    }
    if (sent.pause) sent.pause = std::clamp(*sent.pause, kLeastPause, kMostPause);
    co_return sent;
  }

  // Sends what `write` gives: that many samples or spans. What fails for good is dropped; what fails for now, too, if
  // the signal does not keep it.
  Task<Sent> send(Signal& signal, std::function<std::string()> write, std::uint64_t count, bool keeps) {
    auto body = co_await blocking([&] { return gzip(write()); }, "metrics and traces to be written");
    auto sent = co_await post(signal.path, std::move(body));
    const auto waits = sent.temporary && keeps;
    signal.failing = !sent.why.empty();
    const auto lost = sent.why.empty() ? sent.rejected.count : waits ? 0 : count;
    worker_metrics.otlp_dropped(signal.name, lost);
    const auto now = Loop::current()->now();
    if (!signal.failing && lost == 0) {
      if (const auto after = signal.trouble.over(now)) log::info("The collector takes {} again{}", signal.name, *after);
    } else if (const auto lasting = signal.trouble.due(now)) {
      const auto& why = signal.failing ? sent.why : sent.rejected.why;
      log::warn("The collector does not take {}{}: {}; they {}", signal.name, *lasting,
                why.empty() ? "it does not say why" : why,
                waits ? "wait for it, and are dropped if there is no room" : "are dropped");
    }
    co_return sent;
  }

  Task<Sent> send_metrics() {
    const auto families = co_await worker_metrics.collect(life());
    const auto now = Loop::current()->wall_time();
    co_return co_await send(
        metrics, [&] { return write_otlp_metrics(source, families, since, now); }, count_samples(families), false);
  }

  // The pause until the next ones are sent.
  Task<std::chrono::milliseconds> send_spans() {
    if (waiting.empty()) {
      const auto until = Loop::current()->now() + kPatience;
      ask_for_spans(inbox);
      while (!inbox->asked.empty() && Loop::current()->now() < until)
        co_await inbox->answered.wait_until(until, "the shards' spans");
      worker_metrics.otlp_dropped(traces.name, std::exchange(inbox->dropped, 0));
      waiting = std::exchange(inbox->spans, {});
    }
    while (!waiting.empty()) {
      const auto some = std::span{waiting}.first(std::min(waiting.size(), kSpansOfRequest));
      const auto sent =
          co_await send(traces, [&] { return write_otlp_traces(source, system, some); }, some.size(), true);
      if (sent.temporary) co_return sent.pause.value_or(backoff.next());
      backoff.reset();
      waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(some.size()));
    }
    co_return kSpansEvery;
  }

  const App& app;
  WorkerMetrics& worker_metrics;
  std::function<WorkerLife()> life;
  SpansSource ask_for_spans;
  OtlpSource source;
  std::string system;
  std::string url;
  HttpHeaders fields;
  HttpClient http;
  Microtime since;
  Signal metrics{"metrics", "/v1/metrics"};
  Signal traces{"traces", "/v1/traces"};
  std::shared_ptr<SpanInbox> inbox = std::make_shared<SpanInbox>();
  std::vector<detail::Span> waiting;  // that the collector has not got yet
  Backoff backoff{kLeastPause, kLongestBackoff};
};

Otlp::Otlp(const App& app, WorkerMetrics& metrics, std::function<WorkerLife()> life, SpansSource spans)
    : impl_(std::make_unique<Impl>(app, metrics, std::move(life), std::move(spans))) {}

Otlp::~Otlp() = default;

Task<void> Otlp::run() {
  auto& impl = *impl_;
  const auto every = impl.app.settings().duration("otlp_interval");
  for (auto pause = every;;) {
    co_await sleep_for(pause);
    const auto sent = co_await impl.send_metrics();
    pause = sent.pause.value_or(every);
  }
}

Task<void> Otlp::run_traces() {
  if (impl_->app.settings().text("trace_sample").empty()) co_return;
  for (auto pause = kSpansEvery;;) {
    co_await sleep_for(pause);
    pause = co_await impl_->send_spans();
  }
}

Task<void> Otlp::close() {
  auto& impl = *impl_;
  if (!impl.traces.failing && !impl.app.settings().text("trace_sample").empty()) (void)co_await impl.send_spans();
  if (!impl.metrics.failing) (void)co_await impl.send_metrics();
}

}  // namespace mephisto
