#include "app/statsd.h"

#include <fmt/format.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/udp.hpp>

#include "mephisto/logging.h"
#include "runtime/asio.h"
#include "runtime/lookup.h"
#include "web/statsd.h"

namespace mephisto {
namespace {

namespace asio = boost::asio;
using udp = asio::ip::udp;

constexpr std::chrono::seconds kLookup{5};

}  // namespace

struct Statsd::Impl {
  Impl(const App& of, WorkerMetrics& from, std::function<WorkerLife()> where)
      : app(of),
        metrics(from),
        life(std::move(where)),
        writer(of.id() + ".", of.settings().text("statsd_tags") == "datadog"),
        socket(io_context_of(*Loop::current())) {}

  // Datagrams that the system does not take are dropped.
  std::uint64_t send(const std::vector<std::string>& datagrams) {
    std::uint64_t dropped = 0;
    for (const auto& one : datagrams) {
      boost::system::error_code error;
      socket.send(asio::buffer(one), 0, error);
      if (!error) continue;
      ++dropped;
      why = error.message();
    }
    return dropped;
  }

  // Anew after an error: the server may have moved.
  Task<void> connect() {
    const auto& place = app.settings().text("statsd");
    const auto colon = place.rfind(':');
    auto host = place.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    const auto found =
        co_await await_asio(look_up(host, place.substr(colon + 1), std::chrono::steady_clock::now() + kLookup),
                            "the address of the statsd server");
    const udp::endpoint server{found.begin()->endpoint().address(), found.begin()->endpoint().port()};
    boost::system::error_code ignored;
    (void)socket.close(ignored);
    socket.open(server.protocol());
    socket.non_blocking(true);
    socket.connect(server);
  }

  const App& app;
  WorkerMetrics& metrics;
  std::function<WorkerLife()> life;
  StatsdWriter writer;
  udp::socket socket;
  std::string why;
  log::Repeated trouble;
};

Statsd::Statsd(const App& app, WorkerMetrics& metrics, std::function<WorkerLife()> life)
    : impl_(std::make_unique<Impl>(app, metrics, std::move(life))) {}

Statsd::~Statsd() = default;

Task<void> Statsd::run() {
  auto& impl = *impl_;
  const auto every = impl.app.settings().duration("statsd_interval");
  const auto& loop = *Loop::current();
  for (bool connected = false;;) {
    co_await sleep_for(every);
    const auto datagrams = impl.writer.datagrams(co_await impl.metrics.collect(impl.life()));
    impl.why.clear();
    try {
      if (!connected) co_await impl.connect();
      connected = true;
    } catch (const boost::system::system_error& error) {
      impl.why = error.code().message();
    }
    const auto dropped = connected ? impl.send(datagrams) : datagrams.size();
    impl.metrics.dropped(dropped);
    if (dropped == 0) {
      if (const auto after = impl.trouble.over(loop.now())) log::info("Metrics are sent to statsd again{}", *after);
      continue;
    }
    connected = false;
    if (const auto lasting = impl.trouble.due(loop.now()))
      log::warn("Metrics cannot be sent to statsd at {}{}: {}; they are dropped", impl.app.settings().text("statsd"),
                *lasting, impl.why);
  }
}

}  // namespace mephisto
