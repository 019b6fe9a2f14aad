// The server: what handlers receive and clients get, many requests at once, bad requests, and its end.
#include <gmock/gmock.h>

#include "http/server.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Task<HttpReply> show(HttpRequest request) {
  std::string text = request.method + " " + request.path;
  for (const auto& [name, value] : request.query) text += fmt::format(" {}={}", name, value);
  co_return HttpReply{200, text + " [" + request.body + "]", "text/plain"};
}

TEST(HttpServer, GivesHandlersTheRequestAndClientsTheReply) {
  serving(show, [](HttpServer& server) -> Task<void> {
    HttpClient client{quick()};
    auto response = co_await client.get(url(server, "/a/b?x=1%202&y=%26&z"));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "GET /a/b x=1 2 y=& z= []");
    EXPECT_EQ(response.headers["content-type"], "text/plain");
    EXPECT_THAT(response.headers["server"], StartsWith("mephisto/"));
  });
}

TEST(HttpServer, GivesHandlersTheBody) {
  serving(show, [](HttpServer& server) -> Task<void> {
    EXPECT_THAT(co_await answer_to(
                    server, "POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"),
                EndsWith("\r\n\r\nPOST /in [hello]"));
  });
}

TEST(HttpServer, SendsStatusAndHeaders) {
  serving([](HttpRequest) -> Task<HttpReply> { co_return HttpReply{307, "", "text/plain", {{"Location", "/there"}}}; },
          [](HttpServer& server) -> Task<void> {
            EXPECT_THAT(co_await answer_to(server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                        AllOf(StartsWith("HTTP/1.1 307 "), HasSubstr("Location: /there\r\n")));
          });
}

TEST(HttpServer, AHandlerThatThrowsIsAnErrorWithoutItsReason) {
  serving(
      [](HttpRequest request) -> Task<HttpReply> {
        if (request.path == "/bad") throw std::runtime_error("secret reason");
        co_return HttpReply{};
      },
      [](HttpServer& server) -> Task<void> {
        log::configure({.level = log::Level::kCrit, .file = ""});
        auto options = quick();
        options.retries = 0;
        HttpClient client{options};
        auto response = co_await client.get(url(server, "/bad"));
        EXPECT_EQ(response.status, 500);
        EXPECT_THAT(response.body, Not(HasSubstr("secret")));
        EXPECT_EQ((co_await client.get(url(server, "/good"))).status, 200);
      });
}

TEST(HttpServer, KeepsConnectionsUnlessTold) {
  serving(show, [](HttpServer& server) -> Task<void> {
    auto answers = co_await blocking([port = server.port()] {
      Raw raw{port};
      std::vector<std::string> all;
      for (int i = 0; i < 3; ++i) {
        raw.write(fmt::format("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", i));
        all.push_back(raw.read("[]"));
      }
      raw.write("GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      all.push_back(raw.read());
      return all;
    });
    EXPECT_THAT(answers, ::testing::ElementsAre(EndsWith("GET /0 []"), EndsWith("GET /1 []"), EndsWith("GET /2 []"),
                                                EndsWith("GET /last []")));
    EXPECT_THAT(co_await answer_to(server, "GET /old HTTP/1.0\r\n\r\n"), EndsWith("GET /old []"));
  });
}

TEST(HttpServer, ToldToCutItEndsInTheMiddleOfTheBody) {
  serving(
      [](HttpRequest) -> Task<HttpReply> { co_return HttpReply{200, "0123456789", "text/plain", {}, nullptr, true}; },
      [](HttpServer& server) -> Task<void> {
        EXPECT_THAT(co_await answer_to(server, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
                    AllOf(HasSubstr("Content-Length: 10\r\n"), EndsWith("\r\n\r\n01234")));
      });
}

TEST(HttpServer, AnswersHeadWithoutABody) {
  serving(show, [](HttpServer& server) -> Task<void> {
    EXPECT_THAT(co_await answer_to(server, "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                AllOf(HasSubstr("Content-Length: 9\r\n"), EndsWith("\r\n\r\n")));
  });
}

TEST(HttpServer, ASlowHandlerHoldsNobodyElseUp) {
  WaitQueue queue;
  bool open = false;
  serving(
      [&](HttpRequest request) -> Task<HttpReply> {
        if (request.path == "/slow") {
          while (!open) co_await queue.wait("the gate");
        } else {
          open = true;
          queue.notify_all();
        }
        co_return HttpReply{200, request.path};
      },
      [](HttpServer& server) -> Task<void> {
        HttpClient client{quick()};
        auto [slow, fast] = co_await when_all(client.get(url(server, "/slow")), client.get(url(server, "/fast")));
        EXPECT_EQ(slow.body + fast.body, "/slow/fast");
      });
}

TEST(HttpServer, RefusesBadRequestsAndGoesOn) {
  serving(show, [](HttpServer& server) -> Task<void> {
    EXPECT_THAT(co_await answer_to(server, "nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
    EXPECT_THAT(co_await answer_to(server, "GET nonsense HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                StartsWith("HTTP/1.1 400 "));
    EXPECT_THAT(co_await answer_to(server, "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n"),
                StartsWith("HTTP/1.1 400 "));
    EXPECT_THAT(co_await answer_to(server, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"),
                StartsWith("HTTP/1.1 413 "));
    EXPECT_THAT(co_await answer_to(server, "GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n"),
                StartsWith("HTTP/1.1 431 "));
    EXPECT_THAT(co_await answer_to(server, "GET /good HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                StartsWith("HTTP/1.1 200 "));
  });
}

TEST(HttpServer, AClientThatGoesInTheMiddleHarmsNobody) {
  serving(show, [](HttpServer& server) -> Task<void> {
    for (const char* part : {"", "GET", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf",
                             "GET / HTTP/1.1\r\nHost: x\r\n\r\n"}) {
      co_await blocking([=, port = server.port()] { Raw{port}.write(part); });
    }
    HttpClient client{quick()};
    EXPECT_EQ((co_await client.get(url(server))).status, 200);
  });
}

TEST(HttpServer, ListensOnLoopbackUnlessTold) {
  on_loop([]() -> Task<void> {
    auto& loop = *Loop::current();
    HttpServer own{loop, show, 0};
    HttpServer open{loop, show, 0, "0.0.0.0"};
    // All of 127.0.0.0/8 is this machine, but a loopback server takes 127.0.0.1 alone.
    EXPECT_TRUE(Raw(own.port()));
    EXPECT_FALSE(Raw(own.port(), "127.0.0.2"));
    EXPECT_TRUE(Raw(open.port(), "127.0.0.2"));
    co_return;
  });
}

TEST(HttpServer, SaysWhereItCannotListen) {
  on_loop([]() -> Task<void> {
    auto& loop = *Loop::current();
    HttpServer first{loop, show, 0};
    auto failure = [&](int port, const std::string& address) {
      try {
        HttpServer second{loop, show, port, address};
      } catch (const Failure& error) {
        return error.error();
      }
      return Error{ErrorKind::kFatal, "it listens"};
    };
    auto taken = failure(first.port(), "127.0.0.1");
    EXPECT_EQ(taken.kind, ErrorKind::kUnavailable);
    EXPECT_THAT(taken.message, AllOf(HasSubstr(fmt::format("127.0.0.1:{}", first.port())), HasSubstr("in use"),
                                     HasSubstr("choose another port")));
    EXPECT_THAT(failure(0, "nowhere").message, HasSubstr("\"nowhere\" is not an IP address"));
    EXPECT_THAT(failure(0, "192.0.2.1").message, HasSubstr("cannot listen on 192.0.2.1:0"));
    for (int port : {-1, 65536}) EXPECT_THAT(failure(port, "127.0.0.1").message, HasSubstr("from 0 to 65535"));
    co_return;
  });
}

TEST(HttpServer, EndsWhenItIsCancelledAfterItsHandlers) {
  std::vector<std::string> order;
  on_loop([&]() -> Task<void> {
    auto& loop = *Loop::current();
    struct Ended {
      std::vector<std::string>& to;
      ~Ended() { to.push_back("handler"); }
    };
    WaitQueue begun;
    bool has_begun = false;
    HttpServer server{loop,
                      [&](HttpRequest) -> Task<HttpReply> {
                        Ended ended{order};
                        has_begun = true;
                        begun.notify_all();
                        co_await sleep_for(1h);
                        co_return HttpReply{};
                      },
                      0};
    auto running = loop.spawn("server", [](HttpServer& of, std::vector<std::string>& to) -> Task<void> {
      try {
        co_await of.run();
      } catch (const Cancelled&) {
        to.push_back("server");
        throw;
      }
    }(server, order));
    auto options = quick();
    options.retries = 0;
    HttpClient client{options};
    auto asking = loop.spawn("client", [](HttpClient& with, std::string from) -> Task<void> {
      co_await with.get(from);
    }(client, url(server)));
    while (!has_begun) co_await begun.wait("the handler");
    Raw idle{server.port()};  // an open connection without a request
    running.cancel();
    co_await running.finished();
    co_await asking.finished();
    EXPECT_FALSE(Raw{server.port()}) << "it still listens";
  });
  EXPECT_THAT(order, ::testing::ElementsAre("handler", "server"));
}

}  // namespace
}  // namespace mephisto::tests
