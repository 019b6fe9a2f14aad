// Pages that answer in pieces, without a server: what they send, when, and how they end.
#include "mephisto/web/page_stream.h"

#include <gmock/gmock.h>

#include "http/client.h"
#include "mephisto/web/page.h"

namespace mephisto::tests {
namespace {

using detail::event_text;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Tick {
  int number = 0;
};

// Keeps what a stream sends, and when.
class Client final : public HttpSink {
 public:
  Task<void> write(std::string bytes) override {
    while (blocked) co_await changed.wait("the test");
    pieces.push_back(std::move(bytes));
    at.push_back(Loop::current()->now());
    changed.notify_all();
  }
  void refuse(HttpReply with) override {
    status = with.status;
    body = with.body;
    headers = with.headers;
  }

  std::vector<std::string> pieces;
  std::vector<Loop::time_point> at;
  WaitQueue changed;
  bool blocked = false;
  int status = 200;
  std::string body;
  HttpHeaders headers;
};

// Runs `body(client, reply)` on virtual time, with the reply of the page to GET / with these headers.
template <class F, class Body>
void streaming(F handler, Body body, HttpHeaders headers = {}) {
  Loop loop{Loop::Clock::kVirtual};
  loop.run([&]() -> Task<void> {
    Router router;
    router.add(detail::page_of("/", handler, {}));
    Client client;
    auto reply = co_await router.answer({.method = "GET", .path = "/", .query = {}, .headers = headers, .body = ""});
    co_await body(client, reply);
  }());
}

TEST(PageStream, SendsTextsAsTheyAre) {
  streaming(
      []() -> Results<std::string> {
        co_yield "one";
        co_await sleep_for(1h);
        co_yield "two";
      },
      [](Client& client, HttpReply& reply) -> Task<void> {
        EXPECT_EQ(reply.content_type, "text/plain; charset=utf-8");
        co_await reply.stream(client);
        EXPECT_THAT(client.pieces, ElementsAre("one", "two"));
      });
}

TEST(PageStream, SendsRecordsAsLines) {
  streaming(
      []() -> Results<Tick> {
        for (int i = 0; i < 2; ++i) co_yield Tick{i};
      },
      [](Client& client, HttpReply& reply) -> Task<void> {
        EXPECT_EQ(reply.content_type, "application/x-ndjson");
        co_await reply.stream(client);
        EXPECT_THAT(client.pieces, ElementsAre("{\"number\":0}\n", "{\"number\":1}\n"));
      });
}

TEST(PageStream, WritesEventsForEventSource) {
  EXPECT_EQ(event_text({.data = "x"}), "data: x\n\n");
  EXPECT_EQ(event_text({}), "data: \n\n");
  EXPECT_EQ(event_text({.data = "a\nb\r\nc\rd\n"}), "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n");
  EXPECT_EQ(event_text({.data = "x", .event = "price", .id = "7", .retry = 1500ms}),
            "id: 7\nevent: price\nretry: 1500\ndata: x\n\n");
  for (const auto& bad : {std::string{"a\nb"}, std::string{"a\rb"}, std::string{"a\0b", 3}}) {
    EXPECT_THROW(event_text({.data = "x", .event = bad}), Failure);
    EXPECT_THROW(event_text({.data = "x", .id = bad}), Failure);
  }
}

TEST(PageStream, GoesOnAfterTheLastEventThatTheBrowserHas) {
  streaming(
      [](HttpRequest request) -> Results<ServerEvent> {
        const int number = std::stoi(request.headers["last-event-id"]);
        co_yield ServerEvent{.data = "next", .id = std::to_string(number + 1)};
      },
      [](Client& client, HttpReply& reply) -> Task<void> {
        EXPECT_EQ(reply.content_type, "text/event-stream");
        co_await reply.stream(client);
        EXPECT_THAT(client.pieces, ElementsAre("id: 42\ndata: next\n\n"));
      },
      {{"Last-Event-ID", "41"}});
}

TEST(PageStream, KeepsAStreamOfEventsOpen) {
  streaming(
      []() -> Results<ServerEvent> {
        co_await sleep_for(40s);
        co_yield ServerEvent{.data = "x"};
      },
      [](Client& client, HttpReply& reply) -> Task<void> {
        const auto begin = Loop::current()->now();
        co_await reply.stream(client);
        EXPECT_THAT(client.pieces, ElementsAre(":\n\n", ":\n\n", ":\n\n", "data: x\n\n"));
        std::vector<Loop::duration> after;
        for (const auto at : client.at) after.push_back(at - begin);
        EXPECT_THAT(after, ElementsAre(200ms, 15200ms, 30200ms, 40s));
      });
}

TEST(PageStream, WhatItThrowsBeforeTheFirstPieceHasAStatus) {
  streaming(
      []() -> Results<ServerEvent> {
        throw PageError(404, "no such symbol");
        co_return;
      },
      [](Client& client, HttpReply& reply) -> Task<void> {
        co_await reply.stream(client);
        EXPECT_EQ(client.status, 404);
        EXPECT_EQ(client.body, R"({"error":"no such symbol"})");
        EXPECT_THAT(client.pieces, IsEmpty());
      });
}

TEST(PageStream, AnErrorBeforeTheFirstPieceIsTheReplyOfAnyPage) {
  streaming(
      []() -> Results<std::string> {
        throw Failure(ErrorKind::kUnavailable, "the prices are away");
        co_return;
      },
      [](Client& client, HttpReply& reply) -> Task<void> {
        co_await reply.stream(client);
        EXPECT_EQ(client.status, 503);
        EXPECT_EQ(client.headers["Retry-After"], "1");
      });
}

TEST(PageStream, WhatItThrowsLaterEndsTheStream) {
  streaming(
      []() -> Results<std::string> {
        co_yield "one";
        throw PageError(404, "too late");
      },
      [](Client& client, HttpReply& reply) -> Task<void> {
        try {
          co_await reply.stream(client);
          ADD_FAILURE() << "it ends like a whole reply";
        } catch (const PageError&) {
        }
        EXPECT_EQ(client.status, 200);
      });
}

TEST(PageStream, DoesNotRunAheadOfItsClient) {
  int made = 0;
  streaming(
      [&made]() -> Results<std::string> {
        while (made < 1000) co_yield std::to_string(++made);
      },
      [&](Client& client, HttpReply& reply) -> Task<void> {
        client.blocked = true;
        auto sending = Loop::current()->spawn("stream", reply.stream(client));
        co_await sleep_for(1h);
        EXPECT_LE(made, 3);
        client.blocked = false;
        client.changed.notify_all();
        co_await sending.join();
        EXPECT_EQ(client.pieces.size(), 1000U);
      });
}

TEST(PageStream, ACancelledGeneratorHasEndedBeforeItsStream) {
  std::vector<std::string> order;
  struct End {
    std::vector<std::string>& to;
    ~End() { to.push_back("generator"); }
  };
  streaming(
      [&order](HttpRequest) -> Results<ServerEvent> {
        const End end{order};
        co_yield ServerEvent{.data = "x"};
        co_await sleep_for(1h);
      },
      [&](Client& client, HttpReply& reply) -> Task<void> {
        auto sending = Loop::current()->spawn("stream", reply.stream(client));
        while (client.pieces.empty()) co_await client.changed.wait("the first event");
        sending.cancel();
        co_await sending.finished();
        order.push_back("stream");
        EXPECT_EQ(sending.error(), nullptr) << "a stream of events is whole wherever it ends";
        EXPECT_THAT(order, ElementsAre("generator", "stream"));
      });
}

TEST(PageStream, ACancelledStreamOfTextsIsNotWhole) {
  streaming(
      []() -> Results<std::string> {
        co_yield "x";
        co_await sleep_for(1h);
      },
      [&](Client& client, HttpReply& reply) -> Task<void> {
        auto sending = Loop::current()->spawn("stream", reply.stream(client));
        while (client.pieces.empty()) co_await client.changed.wait("the first piece");
        sending.cancel();
        co_await sending.finished();
        EXPECT_NE(sending.error(), nullptr);
      });
}

}  // namespace
}  // namespace mephisto::tests
