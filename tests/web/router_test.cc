// Pages without a worker: paths, typed arguments, replies to bad requests, and the description.
#include <gmock/gmock.h>

#include "http/client.h"
#include "mephisto/web/page.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

struct Line {
  std::string item;
  int count = 1;
};
struct Order {
  std::string id;
  double price;
  std::vector<Line> lines;
  std::optional<std::string> note;
};

using detail::page_of;
using detail::PagePath;

std::vector<std::string> matched(const char* pattern, const char* path) {
  return PagePath::parse(pattern).match(path).value_or(std::vector<std::string>{"no match"});
}

std::string wrong_path(const char* text) {
  try {
    (void)PagePath::parse(text);
  } catch (const Failure& failure) {
    return failure.what();
  }
  return "right";
}

TEST(PagePath, MatchesSegmentsAndDecodesThem) {
  EXPECT_THAT(matched("/orders", "/orders"), IsEmpty());
  EXPECT_THAT(matched("/orders/{id}", "/orders/a%20b"), ElementsAre("a b"));
  EXPECT_THAT(matched("/orders/{id}", "/orders/a%2Fb"), ElementsAre("a/b"));
  EXPECT_THAT(matched("/o/{a}/lines/{b}", "/o/1/lines/2"), ElementsAre("1", "2"));
  EXPECT_THAT(matched("/", "/"), IsEmpty());
  EXPECT_THAT(matched("/files/{name...}", "/files/a"), ElementsAre("a"));
  EXPECT_THAT(matched("/{shop}/files/{name...}", "/x/files/a/b%20c/d"), ElementsAre("x", "a/b c/d"));
}

TEST(PagePath, SeveralSegmentsHaveOneMeaning) {
  for (const auto* path : {"/files", "/files/", "/files//a", "/files/a//b", "/files/a/", "/files/a%2Fb",
                           "/files/a/b%2fc", "/files/a/%00", "/files/a/%ff"})
    EXPECT_THAT(matched("/files/{name...}", path), ElementsAre("no match")) << path;
}

TEST(PagePath, DoesNotMatchWhatIsDifferent) {
  for (const auto* path : {"/orders", "/orders/", "/orders/1/2", "/order/1", "orders/1", "/orders/%", "/orders/%4",
                           "/orders/%zz", "/orders/%00", "/orders/%ff", "*"})
    EXPECT_THAT(matched("/orders/{id}", path), ElementsAre("no match")) << path;
}

TEST(PagePath, RefusesPatternsThatAreNone) {
  EXPECT_THAT(wrong_path("orders"), HasSubstr("begins with /"));
  EXPECT_THAT(wrong_path("/{}"), HasSubstr("write {name}"));
  EXPECT_THAT(wrong_path("/{a b}"), HasSubstr("write {name}"));
  EXPECT_THAT(wrong_path("/{...}"), HasSubstr("write {name}"));
  EXPECT_THAT(wrong_path("/{a...}/b"), HasSubstr("the last segment"));
  EXPECT_THAT(wrong_path("/{a}/{a}"), HasSubstr("the parameter a is there twice"));
  EXPECT_THAT(wrong_path("/a?b"), HasSubstr("%XX"));
  EXPECT_THAT(wrong_path("/x{id}"), HasSubstr("%XX"));
  EXPECT_THAT(wrong_path("/caf\xc3\xa9"), HasSubstr("%XX"));
}

class RouterTest : public ::testing::Test {
 protected:
  template <class F>
  void page(const char* path, F handler, PageOptions options = {}) {
    router.add(page_of(path, std::move(handler), std::move(options)));
  }
  HttpReply ask(HttpRequest request) {
    return on_loop([&]() -> Task<HttpReply> { return router.answer(std::move(request)); });
  }
  HttpReply get(std::string path) { return ask({.method = "GET", .path = std::move(path)}); }
  HttpReply post(std::string path, std::string body, HttpHeaders headers = {}) {
    return ask({.method = "POST",
                .path = std::move(path),
                .query = {},
                .headers = std::move(headers),
                .body = std::move(body)});
  }

  Router router;
};

TEST_F(RouterTest, GivesTypedParametersAndRecords) {
  page("/orders/{id}/lines/{number}",
       [](std::string id, std::int64_t number) -> Task<Line> { co_return Line{id, static_cast<int>(number)}; });
  page("/half/{of}", [](double of) -> Task<std::string> { co_return fmt::format("{}", of / 2); });
  page("/not/{flag}", [](bool flag) -> Task<std::string> { co_return flag ? "false" : "true"; });
  const auto reply = get("/orders/x7/lines/3");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, R"({"item":"x7","count":3})");
  EXPECT_EQ(reply.content_type, "application/json");
  EXPECT_EQ(get("/half/5").body, "2.5");
  EXPECT_EQ(get("/half/5").content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(get("/not/true").body, "false");
}

TEST_F(RouterTest, TellsWhichParameterIsWrong) {
  page("/lines/{number}", [](std::int8_t number) -> Task<std::string> { co_return std::to_string(number); });
  page("/not/{flag}", [](bool) -> Task<void> { co_return; });
  for (const auto* path : {"/lines/x", "/lines/1.5", "/lines/128", "/lines/1%20"}) {
    EXPECT_EQ(get(path).status, 400) << path;
    EXPECT_THAT(get(path).body, AllOf(HasSubstr("number in the path is"), HasSubstr("an integer"))) << path;
  }
  EXPECT_THAT(get("/not/1").body, HasSubstr("true or false"));
}

TEST_F(RouterTest, ReadsTheBodyAndTellsWhatIsWrongWithIt) {
  page("/orders", [](Order order) -> Task<std::string> { co_return order.id + order.lines.at(0).item; });
  const std::string right = R"({"id":"1","price":2,"lines":[{"item":"tea"}]})";
  EXPECT_EQ(post("/orders", right).body, "1tea");
  EXPECT_EQ(post("/orders", right, {{"Content-Type", "application/json; charset=utf-8"}}).status, 200);
  EXPECT_EQ(post("/orders", right, {{"Content-Type", "application/problem+json"}}).status, 200);
  EXPECT_EQ(post("/orders", right, {{"Content-Type", "text/xml"}}).status, 415);
  EXPECT_THAT(post("/orders", "").body, HasSubstr("has no body"));
  const auto wrong = post("/orders", R"({"id":"1","price":2,"lines":[{"item":"tea"},{"item":7}]})");
  EXPECT_EQ(wrong.status, 400);
  EXPECT_THAT(wrong.body, HasSubstr("lines[1].item"));
  EXPECT_EQ(post("/orders", "{").status, 400);
  EXPECT_EQ(post("/orders", R"({"id":"1"})").status, 400);
}

TEST_F(RouterTest, AnswersWhatNoPageAnswers) {
  page("/orders/{id}", [](std::string) -> Task<void> { co_return; });
  page("/orders/{id}", [](std::string, Order) -> Task<void> { co_return; }, {.method = "PUT"});
  EXPECT_EQ(get("/nothing").status, 404);
  EXPECT_EQ(get("/orders/1").status, 204);
  EXPECT_EQ(get("/orders/1/").status, 204);
  const auto refused = ask({.method = "DELETE", .path = "/orders/1"});
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.headers["allow"], "GET, HEAD, OPTIONS, PUT");
  EXPECT_EQ(ask({.method = "OPTIONS", .path = "/orders/1"}).status, 204);
  EXPECT_EQ(ask({.method = "HEAD", .path = "/orders/1"}).status, 204);
}

TEST_F(RouterTest, AsksLiteralPathsBeforeParameters) {
  page("/orders/{id}", [](std::string id) -> Task<std::string> { co_return "order " + id; });
  page("/orders/new", []() -> Task<std::string> { co_return "form"; });
  page("/{what}/new", [](std::string what) -> Task<std::string> { co_return "new " + what; });
  EXPECT_EQ(get("/orders/new").body, "form");
  EXPECT_EQ(get("/orders/old").body, "order old");
  EXPECT_EQ(get("/shops/new").body, "new shops");
  page("/orders/{rest...}", [](std::string rest) -> Task<std::string> { co_return "rest " + rest; });
  EXPECT_EQ(get("/orders/new").body, "form");
  EXPECT_EQ(get("/orders/old").body, "order old");
  EXPECT_EQ(get("/orders/old/1/2").body, "rest old/1/2");
}

TEST_F(RouterTest, RefusesTwoPagesForOneRequest) {
  page("/orders/{id}", [](std::string) -> Task<void> { co_return; });
  EXPECT_THROW(page("/orders/{name}", [](std::string) -> Task<void> { co_return; }), Failure);
  EXPECT_THROW(page("/a", [](std::string) -> Task<void> { co_return; }), Failure) << "no parameter in the path";
  EXPECT_THROW(page("/a", []() -> Task<void> { co_return; }, {.method = "FETCH"}), Failure);
  EXPECT_THROW(page("/a", [](Order) -> Task<void> { co_return; }, {.method = "GET"}), Failure);
}

TEST_F(RouterTest, GivesErrorsTheirStatus) {
  page("/{kind}", [](int kind) -> Task<void> {
    if (kind == 409) throw PageError(409, "sold already");
    if (kind == 500) throw std::runtime_error("secret");
    throw Failure(static_cast<ErrorKind>(kind), "why");
    co_return;
  });
  EXPECT_EQ(get("/409").status, 409);
  EXPECT_EQ(get("/409").body, R"({"error":"sold already"})");
  EXPECT_EQ(get(fmt::format("/{}", static_cast<int>(ErrorKind::kNotFound))).status, 404);
  const auto away = get(fmt::format("/{}", static_cast<int>(ErrorKind::kUnavailable)));
  EXPECT_EQ(away.status, 503);
  EXPECT_EQ(away.headers["retry-after"], "1");
  log::configure({.level = log::Level::kCrit, .file = ""});
  EXPECT_EQ(get("/500").status, 500);
  EXPECT_THAT(get("/500").body, Not(HasSubstr("secret")));
}

// Sends one message and keeps the answers.
class OneMessage final : public WebSocket {
 public:
  Task<std::optional<WebMessage>> receive() override { co_return std::exchange(message, std::nullopt); }
  Task<void> send(WebMessage answer) override {
    answers.push_back(std::move(answer.data));
    co_return;
  }
  Task<void> close(int, std::string) override { co_return; }

  std::optional<WebMessage> message{WebMessage{"tea"}};
  std::vector<std::string> answers;
};

TEST_F(RouterTest, AWebSocketIsAPageWithParameters) {
  page("/rooms/{number}", [](int number, WebSocket& socket, const HttpRequest& request) -> Task<void> {
    while (auto message = co_await socket.receive())
      co_await socket.send({fmt::format("{} {} {}", request.path, number, message->data)});
  });
  EXPECT_EQ(get("/rooms/x").status, 400);
  auto reply = get("/rooms/7");
  EXPECT_EQ(reply.status, 101);
  ASSERT_TRUE(reply.socket);
  OneMessage socket;
  on_loop([&]() -> Task<void> { co_await reply.socket(socket); });
  EXPECT_THAT(socket.answers, ElementsAre("/rooms/7 7 tea"));
  EXPECT_THAT(open_api("shop", "1", router), HasSubstr(R"("responses":{"101":)"));
}

TEST_F(RouterTest, DescribesItself) {
  page("/orders/{id}", [](std::int64_t) -> Task<Order> { co_return Order{}; }, {.method = {}, .help = "one \"order\""});
  page("/orders", [](Order) -> Task<void> { co_return; });
  const auto text = open_api("shop", "1", router);
  Json parsed;
  EXPECT_TRUE(json::read_padded(json::padded_copy(text), parsed)) << text;
  EXPECT_THAT(text, HasSubstr(R"("openapi":"3.1.0")"));
  EXPECT_THAT(text, HasSubstr(R"("/orders/{id}":{"get":{"summary":"one \"order\"")"));
  EXPECT_THAT(text, HasSubstr(R"({"name":"id","in":"path","required":true,"schema":{"type":"integer"}})"));
  EXPECT_THAT(
      text,
      HasSubstr(
          R"("requestBody":{"required":true,"content":{"application/json":{"schema":{"$ref":"#/components/schemas/Order"}}}})"));
  EXPECT_THAT(
      text,
      HasSubstr(
          R"("Line":{"type":"object","properties":{"item":{"type":"string"},"count":{"type":"integer"}},"required":["item"]})"));
}

}  // namespace
}  // namespace mephisto::tests
