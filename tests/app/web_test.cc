// A worker's web pages: the app's own, the probes, and metrics.
#include "mephisto/web.h"

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "base/hash.h"
#include "http/web_client.h"
#include "support/test_app.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct Sale {
  std::string item;
  double price;
};

class Web : public ::testing::Test {
 protected:
  Web() {
    app.settings().set("web_port", "0", "test");
    app.settings().set("topic_disable_leader", "true", "test");
  }

  // Runs `body(url)` beside a worker with pages.
  template <class Body>
  void serving(Body body) {
    Loop loop;
    loop.run([&]() -> Task<void> {
      Worker worker{app, open_log("memory://web"), {.shards = 2, .own_threads = true, .web = &none}};
      co_await worker.start();
      co_await body(worker.url());
      co_await worker.stop();
    }());
  }

  Task<HttpResponse> get(std::string url, HttpHeaders headers = {}) {
    HttpClient client{{.retries = 0}};
    co_return co_await client.send({.url = std::move(url), .headers = std::move(headers)});
  }

  App app{"shop"};
  Router none;  // no more pages
};

TEST_F(Web, PagesOfTheAppMaySendAndAsk) {
  auto& sales = app.topic<Sale>("sales", {.partitions = 2});
  auto& sell = app.agent("sell", sales, [](Stream<Sale> stream) -> Results<double> {
    while (auto sale = co_await stream.next()) co_yield sale->price * 2;
  });
  app.page("/sales", [&sell](Sale sale) -> Task<Sale> { co_return Sale{sale.item, co_await sell.ask(sale)}; });
  serving([&](std::string url) -> Task<void> {
    HttpClient client{{.retries = 0}};
    const auto sold =
        co_await client.send({.url = url + "sales", .method = "POST", .body = R"({"item":"tea","price":2.5})"});
    EXPECT_EQ(sold.status, 200);
    EXPECT_EQ(sold.body, R"({"item":"tea","price":5.0})");
    EXPECT_EQ((co_await client.send({.url = url + "sales", .method = "POST", .body = R"({"item":"tea"})"})).status,
              400);
    EXPECT_EQ((co_await get(url + "sales")).status, 405);
  });
}

TEST_F(Web, StreamsAndWebSocketsEndWithTheWorker) {
  app.page("/ticks/{from}", [](int from) -> Results<ServerEvent> {
    co_yield ServerEvent{.data = std::to_string(from)};
    co_await sleep_for(1h);
  });
  app.page("/double/{times}", [](int times, WebSocket& socket) -> Task<void> {
    while (auto message = co_await socket.receive())
      co_await socket.send({fmt::format("{}", times * std::stoi(message->data))});
  });
  std::unique_ptr<WebClient> client;
  std::optional<Raw> stream;
  serving([&](std::string url) -> Task<void> {
    const int port = std::stoi(url.substr(url.rfind(':') + 1));
    const auto doubled = co_await blocking([&] {
      client = std::make_unique<WebClient>(port, "/double/3");
      client->send(kLast | kText, "14");
      return client->frame().data;
    });
    EXPECT_EQ(doubled, "42");
    stream.emplace(port);
    const auto begun = co_await blocking([&] {
      stream->write("GET /ticks/7 HTTP/1.1\r\nHost: localhost\r\n\r\n");
      return stream->read("\n\n\r\n");
    });
    EXPECT_THAT(begun, AllOf(HasSubstr("Content-Type: text/event-stream\r\n"), HasSubstr("data: 7\n\n")));
    EXPECT_EQ((co_await get(url + "double/3")).status, 426);
    EXPECT_EQ((co_await get(url + "double/x")).status, 400);
    EXPECT_EQ((co_await get(url + "live")).status, 200);
  });
  EXPECT_EQ(client->code(), 1001);
  EXPECT_EQ(stream->read(), "0\r\n\r\n");
}

TEST_F(Web, ProbesAndDescriptionAreThere) {
  app.agent("count", app.topic<Sale>("sales", {.partitions = 2}), [](Stream<Sale> stream) -> Task<void> {
    while (co_await stream.next()) {
    }
  });
  serving([&](std::string url) -> Task<void> {
    for (const auto* probe : {"live", "startup", "ready"}) {
      const auto reply = co_await get(url + probe);
      EXPECT_EQ(reply.status, 200) << probe << reply.body;
      EXPECT_EQ(reply.body, R"({"ok":true,"reasons":[]})") << probe;
    }
    EXPECT_THAT((co_await get(url + "openapi.json")).body, HasSubstr(R"("/ready":{"get")"));
    EXPECT_THAT((co_await get(url + "api/status")).body, HasSubstr(R"("app":"shop")"));
    EXPECT_EQ((co_await get(url + "nothing")).status, 404);
  });
}

TEST_F(Web, MetricsHaveTheAccountOfEachAgent) {
  auto& sales = app.topic<int>("sales", {.partitions = 1});
  AgentOptions skipping;
  skipping.on_error.then = ErrorPolicy::Then::kSkip;
  auto& count = app.agent(
      "count", sales,
      [](Stream<int> stream) -> Results<int> {
        while (auto sale = co_await stream.next()) {
          if (*sale == 0) throw std::runtime_error("nothing sold");
          co_yield *sale;
        }
      },
      skipping);
  app.page("/sell/{n}", [&](int n) -> Task<int> { co_return co_await count.ask(n); });
  serving([&](std::string url) -> Task<void> {
    EXPECT_EQ((co_await get(url + "sell/3")).body, "3");
    const auto reply = co_await get(url + "metrics");
    EXPECT_THAT(reply.headers["content-type"], HasSubstr("version=0.0.4"));
    EXPECT_THAT(reply.body, HasSubstr("mephisto_events_received_total{agent=\"count\",topic=\"sales\"} 1\n"));
    EXPECT_THAT(reply.body, HasSubstr("{agent=\"count\",topic=\"sales\",outcome=\"acked\"} 1\n"));
    EXPECT_THAT(reply.body, HasSubstr("mephisto_handler_seconds_count{agent=\"count\"} 1\n"));
    EXPECT_THAT(reply.body, HasSubstr("mephisto_lag{topic=\"sales\",partition=\"0\"}"));
    EXPECT_THAT(reply.body, HasSubstr("mephisto_worker_ready 1\n"));
    EXPECT_THAT(reply.body, HasSubstr("mephisto_http_responses_total{page=\"/sell/{n}\",status=\"200\"} 1\n"));
    const auto open = co_await get(url + "metrics", {{"Accept", "application/openmetrics-text; version=1.0.0"}});
    EXPECT_TRUE(open.body.ends_with("# EOF\n"));
  });
}

TEST_F(Web, AShardThatDoesNotAnswerKeepsItsLastMetrics) {
  std::atomic<bool> blocked{false};
  std::atomic<bool> released{false};
  auto& sales = app.topic<int>("sales", {.partitions = 1});
  auto& count = app.agent("count", sales, [&](Stream<int> stream) -> Results<int> {
    while (auto sale = co_await stream.next()) {
      if (*sale == 0) {
        blocked = true;
        while (!released) std::this_thread::sleep_for(1ms);  // it keeps its thread
      }
      co_yield *sale;
    }
  });
  app.page("/sell/{n}", [&](int n) -> Task<int> { co_return co_await count.ask(n); });
  app.page("/block", [&]() -> Task<void> { co_await sales.cast(0); });
  serving([&](std::string url) -> Task<void> {
    const auto received = HasSubstr("mephisto_events_received_total{agent=\"count\",topic=\"sales\"} 1\n");
    EXPECT_EQ((co_await get(url + "sell/3")).body, "3");
    EXPECT_THAT((co_await get(url + "metrics")).body, AllOf(received, HasSubstr("mephisto_silent_shards 0\n")));
    EXPECT_EQ((co_await get(url + "block")).status, 204);
    while (!blocked) co_await sleep_for(1ms);
    EXPECT_THAT((co_await get(url + "metrics")).body, AllOf(received, HasSubstr("mephisto_silent_shards 1\n")));
    released = true;
  });
}

TEST_F(Web, AnAddressThatOthersReachNeedsAToken) {
  app.settings().set("web_bind", "0.0.0.0", "test");
  EXPECT_THROW(serving([](std::string) -> Task<void> { co_return; }), Failure);
  app.settings().set("web_token", "s3cret", "test");
  serving([&](std::string url) -> Task<void> {
    const auto port = url.substr(url.rfind(':'));
    const auto here = "http://127.0.0.1" + port;
    EXPECT_EQ((co_await get(here + "api/status")).status, 401);
    EXPECT_EQ((co_await get(here + "live")).status, 200);
    EXPECT_EQ((co_await get(here + "api/status", {{"Authorization", "Bearer s3cret"}})).status, 200);
  });
}

TEST_F(Web, RowsOfEveryKindOfTableAreThere) {
  app.settings().set("topic_partitions", "2", "test");
  auto& numbers = app.topic<std::int64_t>("numbers", {.partitions = 2});
  auto& squares = app.table<std::int64_t, std::int64_t>("squares", {.partitions = 2});
  auto& sums = app.windows<std::string>("sums", WindowSpec::tumbling(std::chrono::minutes{1}),
                                        [](std::int64_t& sum, const std::int64_t& n) { sum += n; });
  auto& limits = app.global_table<std::string, int>("limits", {.partitions = 1});
  app.agent("square", numbers, [&](Stream<std::int64_t> stream) -> Task<void> {
    while (auto n = co_await stream.next()) {
      squares.set(*n, *n * *n);
      co_await sums.add("all", *n);
      if (*n == 10) limits.set("most", 10);
    }
  });
  app.page("/square/{n}", [&](std::int64_t n) -> Task<void> {
    co_await numbers.send(n, {.key = std::to_string(n), .timestamp = Timestamp{std::chrono::seconds{90}}});
  });
  serving([&](std::string url) -> Task<void> {
    const auto rows = [&](std::string path) -> Task<std::string> {
      const auto reply = co_await get(url + "table/" + path);
      const auto from = reply.body.find("\"rows\":");
      const auto end = reply.body.find(",\"partitions\":");
      if (reply.status != 200) co_return std::to_string(reply.status);
      co_return reply.body.substr(from + 7, end - from - 7);
    };
    const auto comes = [&](std::string path, std::string wanted) -> Task<void> {
      std::string got;
      for (int i = 0; i < 1000 && (got = co_await rows(path)) != wanted; ++i)
        co_await sleep_for(std::chrono::milliseconds{5});
      EXPECT_EQ(got, wanted) << path;
    };
    for (const auto* n : {"1", "2", "10"}) co_await get(url + "square/" + n);
    const auto row = [](const std::string& key, const std::string& value) {
      const int partition = partition_of_key(key, 2);
      return R"({"partition":)" + std::to_string(partition) + R"(,"key":)" + key + R"(,"value":)" + value + "}";
    };
    co_await comes("squares", "[" + row("1", "1") + "," + row("2", "4") + "," + row("10", "100") + "]");
    co_await comes("squares?limit=2", "[" + row("1", "1") + "," + row("2", "4") + "]");
    co_await comes("squares?prefix=1", "[" + row("1", "1") + "," + row("10", "100") + "]");
    co_await comes("squares/10", "[" + row("10", "100") + "]");
    co_await comes("squares/3", "404");
    co_await comes("squares/three", "404");
    co_await comes("limits/most", R"([{"partition":0,"key":"most","value":10}])");
    co_await comes("limits/least", "404");
    const auto in_window = co_await rows("sums/all?window=1970-01-01T00:01:59Z");
    EXPECT_THAT(in_window, HasSubstr(R"("window":{"start":"1970-01-01T00:01:00Z","end":"1970-01-01T00:02:00Z"})"));
    EXPECT_THAT(co_await rows("sums/all?window=1970-01-01T00:02:00Z"), "404");
    EXPECT_THAT((co_await get(url + "table/sums?window=then")).status, 400);
  });
}

TEST_F(Web, TheAddressOfAWorkerThatIsGoneIsForgotten) {
  app.settings().set("topic_partitions", "1", "test");
  app.table<std::string, int>("counts");
  app.agent("count", app.topic<int>("sales"), [](Stream<int> stream) -> Task<void> {
    while (co_await stream.next()) {
    }
  });
  serving([&](std::string url) -> Task<void> {
    const auto log = open_log("memory://web");
    const TopicPartition addresses{"shop-__workers", 0};
    std::map<std::string, bool> known;
    const auto read = [&]() -> Task<void> {
      co_await read_to_end(*log, addresses, -1, "test",
                           [&](const RecordView& record) { known[std::string{record.key}] = record.has_value(); });
    };
    while (known.empty()) {
      co_await sleep_for(std::chrono::milliseconds{5});
      if (co_await log->topic(addresses.topic)) co_await read();
    }
    std::vector<OutBatch> batches;
    batches.push_back({addresses, {}});
    batches[0].records.add("elsewhere:1", R"({"url":"http://127.0.0.1:1/"})", Loop::current()->timestamp());
    value_or_throw(co_await log->producer(*Loop::current())->append(batches));
    // Nobody has that position, so the other worker is asked, and does not answer.
    for (known["elsewhere:1"] = true; known["elsewhere:1"]; co_await read())
      EXPECT_EQ((co_await get(url + "table/counts?at_least=0:1000")).status, 503);
    EXPECT_EQ(known.size(), 2U);
    EXPECT_EQ((co_await get(url + "table/counts")).status, 200);
  });
}

TEST_F(Web, MistakesInPagesAreToldAtTheDeclaration) {
  app.page("/sales/{id}", [](std::string) -> Task<void> { co_return; });
  app.page("/sales/{name}", [](std::string) -> Task<void> { co_return; });
  app.page("sales", []() -> Task<void> { co_return; });
  ASSERT_EQ(app.mistakes().size(), 2U);
  EXPECT_THAT(app.mistakes()[0], AllOf(HasSubstr("web_test.cc:"), HasSubstr("answers the same requests already")));
  EXPECT_THAT(app.mistakes()[1], HasSubstr("begins with /"));
}

}  // namespace
}  // namespace mephisto::tests
