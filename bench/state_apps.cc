// The apps that keep state by key, in RocksDB unless the kind says something else. All log and send on every update,
// but for the coalesced count: its result is the changelog, with the last count of each key in a commit.
#include "work.h"

namespace mephisto::bench {
namespace {

using namespace std::chrono_literals;

struct CountApp : WorkingApp {
  CountApp(const std::string& id, const std::string& from, const std::string& to, bool coalesced, std::string store)
      : WorkingApp(id),
        out(app.topic<std::int64_t>(to)),
        counts(app.table<std::string, std::int64_t>("counts",
                                                    {.log_every_update = !coalesced, .store = std::move(store)})) {
    app.agent("count", app.topic<Trade>(from), [this, coalesced](Stream<Trade> stream) {
      return coalesced ? count(std::move(stream)) : count_and_send(std::move(stream));
    });
  }

  Task<void> count(Stream<Trade> stream) {
    while (auto event = co_await stream.next()) counts[event->symbol] += 1;
  }
  Task<void> count_and_send(Stream<Trade> stream) {
    SendOptions options;
    while (auto event = co_await stream.next()) {
      options.key.emplace(event.key());
      options.partition = event.partition();
      co_await out.cast(counts[event->symbol] += 1, options);
    }
  }

  const Topic<std::int64_t>& out;
  Table<std::string, std::int64_t>& counts;
};

// Ten records a millisecond: each key has ten records in a window.
struct WindowApp : WorkingApp {
  WindowApp(const std::string& id, const std::string& from, const std::string& to, Emit emit) : WorkingApp(id) {
    auto& windows = app.windows<std::string>("windows", WindowSpec::tumbling(10s, {.emit = emit}),
                                             [](std::int64_t& count, const Trade&) { ++count; },
                                             {.store = "rocksdb://", .log_every_update = emit == Emit::kOnUpdate});
    windows.results_to(app.topic<Windowed<std::int64_t>>(to));
    app.agent("count", app.topic<Trade>(from), [&windows](Stream<Trade> stream) -> Task<void> {
      while (auto event = co_await stream.next()) {
        co_await windows.add(event->symbol, *event, Timestamp{std::chrono::milliseconds{event->time / 10}});
      }
    });
  }
};

// `from` is the topic of the trades, and `from`-quotes has a quote of each key.
struct JoinApp : WorkingApp {
  JoinApp(const std::string& id, const std::string& from) : WorkingApp(id) {
    app.join("joined", app.topic<Trade>(from), app.topic<Trade>(from + "-quotes"),
             StreamTableJoinOptions{.kind = Join::kLeft}, {.store = "rocksdb://"});
  }
};

}  // namespace

std::unique_ptr<WorkingApp> state_app(const std::string& kind, const std::string& id, const std::string& in,
                                      const std::string& out) {
  std::unique_ptr<WorkingApp> made;
  if (kind == "count" || kind == "count_coalesced") {
    made = std::make_unique<CountApp>(id, in, out, kind == "count_coalesced", "rocksdb://");
  } else if (kind == "count_in_memory") {
    made = std::make_unique<CountApp>(id, in, out, false, "memory://");
  } else if (kind == "window" || kind == "window_on_close") {
    made = std::make_unique<WindowApp>(id, in, out, kind == "window" ? Emit::kOnUpdate : Emit::kOnClose);
  } else if (kind == "join") {
    made = std::make_unique<JoinApp>(id, in);
  } else {
    return nullptr;
  }
  made->done = Done::kCommitted;
  return made;
}

}  // namespace mephisto::bench
