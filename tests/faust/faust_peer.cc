// Our side of tests/faust: the apps that talk to Faust's apps (peer.py) and have the same records (models.py).
//   faust_peer ours …     agents that Python calls, our part of the chain, the vectors; `call` calls Python's agents
//   faust_peer moving …   an app that replaces Faust's `moving`, and that Faust's replaces
//   faust_peer live …     an app with the live check of live.py; `begin` begins a test
//   faust_peer tables ID …   an app with the tables of tables.py, which takes them over and gives them back
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <variant>

#include "mephisto/live_check.h"
#include "mephisto/mephisto.h"

using namespace mephisto;

namespace {

struct Point {
  static constexpr const char* kNamespace = "geo.Point";
  std::int64_t x = 0;
  double y = 0;
};

struct Line {
  static constexpr const char* kNamespace = "geo.Line";
  Point start;
  Point end;
  std::optional<std::string> label;
};

struct Circle {
  static constexpr const char* kNamespace = "geo.Circle";
  Point centre;
  double radius = 0;
};

struct Square {
  static constexpr const char* kNamespace = "geo.Square";
  Point corner;
  double side = 0;
};

struct Drawing {
  static constexpr const char* kNamespace = "geo.Drawing";
  std::string name;
  std::vector<std::variant<Circle, Square>> shapes;
};

Line turned(const Line& line) { return {line.end, line.start, line.label}; }

Drawing doubled(Drawing drawing) {
  for (auto& shape : drawing.shapes) {
    if (auto* circle = std::get_if<Circle>(&shape)) circle->radius *= 2;
    if (auto* square = std::get_if<Square>(&shape)) square->side *= 2;
  }
  return drawing;
}

std::string upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

SendOptions with_key(std::string_view key) {
  SendOptions options;
  options.key = std::string{key};
  return options;
}

// An app whose topics its worker makes.
class Declared : public App {
 public:
  using App::App;
  template <class T>
  Topic<T>& declare(std::string name, int partitions = 4) {
    TopicOptions options;
    options.partitions = partitions;
    options.internal = true;
    return topic<T>(std::move(name), options);
  }
};

Declared ours{"ours"};

// The agents that Python calls.

template <class T, class R>
auto& answering(const std::string& name, R (*answer)(T)) {
  AgentOptions options;
  options.on_error.retries = 0;
  return ours.agent(
      name, ours.declare<T>("ours." + name),
      [answer](Stream<T> stream) -> Results<R> {
        while (auto event = co_await stream.next()) co_yield answer(*event);
      },
      options);
}

auto& square = answering<int, int>("square", [](int number) { return number * number; });
auto& shout = answering<std::string, std::string>("shout", [](std::string text) { return upper(text); });
auto& ping = answering<None, None>("ping", [](None none) { return none; });
auto& turn = answering<Line, Line>("turn", [](Line line) { return turned(line); });
auto& grow = answering<Drawing, Drawing>("grow", [](Drawing drawing) { return doubled(std::move(drawing)); });
auto& refuse = answering<int, int>(
    "refuse", [](int number) -> int { throw Failure(ErrorKind::kInvalid, fmt::format("{} is refused", number)); });

// Sinks: the results of Python's agent arrive at `ours.sunk`. They go on to a topic that another agent of Python's
// reads.

auto& sink_end = ours.declare<int>("peer.sunk");
auto& sunk = ours.agent("sunk", ours.declare<int>("ours.sunk"),
                        [](Stream<int> stream) -> Results<int> {
                          while (auto event = co_await stream.next()) co_yield *event + 1;
                        })
                 .sink(sink_end);

// The chain: Python → ours → Python.

struct Numbered {
  std::int64_t number = 0;
  std::vector<std::string> by;
};

auto& chain_3 = ours.declare<Numbered>("chain-3");
auto& link = ours.agent("link", ours.declare<Numbered>("chain-2"), [](Stream<Numbered> stream) -> Task<void> {
  while (auto event = co_await stream.next()) {
    auto numbered = *event;
    numbered.by.emplace_back("ours");
    co_await chain_3.cast(numbered, with_key(event.key()));
  }
});

// The same topic as Faust's agent peer.group makes of its stream grouped by Order.customer.

struct Order {
  static constexpr const char* kNamespace = "peer.Order";
  std::int64_t number = 0;
  std::string customer;
};

auto& grouped =
    ours.group_by(ours.declare<Order>("peer.orders"), "Order.customer", &Order::customer, {.prefix = "peer.group"});

// The golden vectors: we read the values that Python wrote, and write them ourselves.

template <class T>
int vectors(const std::string& kind) {
  auto& back = ours.declare<T>("vectors." + kind + ".back", 1);
  ours.agent("vectors_" + kind, ours.declare<T>("vectors." + kind, 1), [&back](Stream<T> stream) -> Task<void> {
    while (auto event = co_await stream.next()) {
      auto value = *event;
      if constexpr (std::is_same_v<T, std::optional<double>>) {
        if (value && !std::isfinite(*value)) value.reset();  // Python's NaN is read, but sending it is refused
      }
      co_await back.cast(value, with_key(event.key()));
    }
  });
  return 0;
}

const int all_vectors = vectors<std::optional<double>>("double") + vectors<std::int64_t>("int") +
                        vectors<std::uint64_t>("uint") + vectors<std::string>("string") +
                        vectors<std::vector<Bytes>>("bytes") + vectors<std::vector<Bytes>>("bytes_quoted") +
                        vectors<Microtime>("datetime") + vectors<std::chrono::year_month_day>("date") +
                        vectors<std::vector<double>>("doubles") + vectors<std::vector<std::string>>("strings") +
                        vectors<std::map<std::string, std::vector<std::optional<std::int64_t>>>>("ints_by_name") +
                        vectors<Json>("tree");

// Python's agents, declared so that they can be called: this app is never run.

App peer{"peer"};

template <class T, class R>
auto& remote(const std::string& name) {
  return peer.agent(name, peer.topic<T>("peer." + name), [](Stream<T>) -> Results<R> { co_return; });
}

auto& peer_square = remote<int, int>("square");
auto& peer_shout = remote<std::string, std::string>("shout");
auto& peer_ping = remote<None, None>("ping");
auto& peer_turn = remote<Line, Line>("turn");
auto& peer_grow = remote<Drawing, Drawing>("grow");
auto& peer_sink = remote<int, int>("sink");
auto& peer_wait = remote<double, double>("wait");

Task<void> call() {
  const Line line{{1, 0.5}, {2, 1e-7}, std::nullopt};
  const Drawing drawing{"two", {Circle{{0, 0}, 1.5}, Square{{1, 1}, 2}}};
  std::vector<int> mapped;
  co_await peer_square.map({1, 2, 3}, [&](int result) -> Task<void> {
    mapped.push_back(result);
    co_return;
  });
  std::ranges::sort(mapped);
  fmt::print(R"({{"square":{},"shout":{},"ping":{},"turn":{},"grow":{},"map":{},"join":{}}})"
             "\n",
             co_await peer_square.ask(7), to_json(co_await peer_shout.ask("straße", {.key = "k"})),
             to_json(co_await peer_ping.ask({})), to_json(co_await peer_turn.ask(line)),
             to_json(co_await peer_grow.ask(drawing)), to_json(mapped), to_json(co_await peer_square.join({4, 5, 6})));
}

struct SendTo {
  std::string reply_to;
  static std::vector<OptionHelp> help() { return {}; }
};

Task<void> send(SendTo options) {
  co_await peer_square.send(8, {}, options.reply_to, "ours");
  co_await peer_sink.cast(30);
}

// Asks for an answer that only arrives when nobody waits for it any more.
Task<void> give_up() {
  try {
    co_await peer_wait.ask(2, {.timeout = std::chrono::milliseconds{500}});
  } catch (const Failure& failure) {
    fmt::print("{}\n", failure.what());
  }
}

Declared moving{"moving"};

struct Moved {
  std::int64_t number = 0;
  std::string by;
  int partition = 0;
  std::int64_t offset = 0;
};

auto& moved = moving.declare<Moved>("moved");
// The first number below zero in a batch waits until the worker stops; the numbers after it are processed.
auto& move =
    moving.agent("move", moving.declare<std::int64_t>("moving"),
                 [](Stream<std::int64_t> stream) -> Task<void> {
                   while (auto event = co_await stream.next()) {
                     if (*event == -1) co_await sleep_or_give_back(std::chrono::hours{1});
                     co_await moved.cast({*event, "ours", event.partition(), event.offset()}, with_key(event.key()));
                   }
                 },
                 {.concurrency = 4});

// The live check of live.py: `stored` comes from who begins a test, `executed` from the agent of this app.
struct OrderTest : LiveCase<OrderTest> {
  Signal<std::string> stored{*this, "stored"};
  Signal<std::string> executed{*this, "executed"};
  Task<void> run(std::string side) {
    expect(co_await stored.wait(std::chrono::seconds{60}) == side, "the side is kept");
    expect(co_await executed.wait(std::chrono::seconds{60}) == LiveCheck::current_test()->id, "the order is executed");
  }
};

struct Begun {
  std::string id;
  std::string side;
};

int live(int argc, char** argv) {
  Declared app{"live"};
  auto& order_test = app.live_check().add<OrderTest>("live.OrderTest", {.probability = 1});
  auto& orders = app.topic<std::string>("live.orders", {.partitions = 4});
  app.agent("execute", orders, [&](Stream<std::string> stream) -> Task<void> {
    while (auto id = co_await stream.next()) co_await order_test.executed.send(*id);
  });
  app.command<Begun>("begin", "Begin a test.", [&](Begun options) -> Task<void> {
    const auto test = co_await order_test.maybe_trigger(options.id, options.side);
    co_await orders.cast(options.id, with_key(options.id));
    co_await order_test.stored.send(options.side);
  });
  return app.main(argc, argv);
}

// The tables of tables.py.
int tables(int argc, char** argv) {
  using namespace std::chrono_literals;
  Declared app{argv[1]};
  auto& counts = app.table<std::string, std::int64_t>("counts", {.partitions = 4});
  auto& tumbled = app.faust_table<std::string, int>("tumbled", FaustWindows::tumbling(10s, 1h), {.partitions = 4});
  auto& hopped = app.faust_table<std::string, int>("hopped", FaustWindows::hopping(10s, 5s, 1h),
                                                   {.partitions = 4, .key_index = true});
  auto& tagged = app.set_table<std::string, std::int64_t>("tagged", {.partitions = 4, .form = SetForm::kFaust});
  app.agent("count", app.declare<std::int64_t>("events-" + app.id()), [&](Stream<std::int64_t> stream) -> Task<void> {
    while (auto number = co_await stream.next()) {
      const std::string key{number.key()};
      if (*number < 0) {
        counts.erase(key);
        tagged.discard(key, -*number % 10);
      } else {
        counts[key] += *number;
        tagged.add(key, *number % 10);
      }
      tumbled[key] += 1;
      hopped[key] += 1;
    }
  });
  return app.main(argc - 1, argv + 1);
}

}  // namespace

int main(int argc, char** argv) {
  ours.command("call", "Ask Python's agents; prints their answers.", call);
  ours.command<SendTo>("send_to", "Send to Python's agents; one answers to a topic.", send);
  ours.command("give_up", "Ask, and end before the answer comes.", give_up);
  if (argc > 2 && std::strcmp(argv[1], "tables") == 0) return tables(argc - 1, argv + 1);
  if (argc > 1 && std::strcmp(argv[1], "live") == 0) return live(argc - 1, argv + 1);
  const bool is_moving = argc > 1 && std::strcmp(argv[1], "moving") == 0;
  return (is_moving ? static_cast<App&>(moving) : ours).main(argc - 1, argv + 1);
}
