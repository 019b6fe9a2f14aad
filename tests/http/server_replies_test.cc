// Requests and replies beyond the plain ones: bodies in chunks, headers, streams.
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
  co_return HttpReply{200, fmt::format("[{} {} {}]", request.method, request.path, request.body), "text/plain"};
}

TEST(HttpServer, TakesRequestsOneAfterTheOtherWithTheirBodies) {
  serving(show, [](HttpServer& server) -> Task<void> {
    const auto got = co_await answer_to(server,
                                        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\nGET /hidden HTTP/1.1"
                                        "\r\nPOST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
                                        "chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: u\r\n\r\n"
                                        "GET http://x/c?d=e HTTP/1.1\r\nHost: x\r\n\r\nGET /last HTTP/1.0\r\n\r\n");
    EXPECT_THAT(got, AllOf(HasSubstr("[POST /a GET /hidden HTTP/1.1]"), HasSubstr("[POST /b abcde]"),
                           HasSubstr("[GET /c ]"), EndsWith("[GET /last ]")));
  });
}

TEST(HttpServer, AsksForABodyThatIsHeldBack) {
  serving(show, [](HttpServer& server) -> Task<void> {
    const auto got = co_await blocking([port = server.port()] {
      Raw raw{port};
      raw.write(
          "POST /in HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n");
      auto first = raw.read("\r\n\r\n");
      raw.write("hello");
      return first + raw.read();
    });
    EXPECT_THAT(got, AllOf(StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 "), EndsWith("[POST /in hello]")));
  });
}

TEST(HttpServer, GivesHandlersTheHeaders) {
  serving(
      [](HttpRequest request) -> Task<HttpReply> {
        co_return HttpReply{200,
                            request.headers["x-one"] + "|" + fmt::format("{}", request.headers.list("X-Two").size()),
                            "text/plain"};
      },
      [](HttpServer& server) -> Task<void> {
        EXPECT_THAT(co_await answer_to(server, "GET / HTTP/1.0\r\nX-One:  a b \r\nX-Two: 1, 2\r\nx-two: 3\r\n\r\n"),
                    EndsWith("a b|3"));
      });
}

TEST(HttpServer, AReplyThatCannotBeSentIsAnError) {
  using namespace std::string_literals;
  const HttpReply bad[] = {{99, "x"},
                           {600, "x"},
                           {200, "x", "text/plain\r\nX: y"},
                           {200, "x", "text/plain", {{"X", "y\r\n\r\nHTTP/1.1 200 OK"}}},
                           {200, "x", "text/plain", {{"X Y", "z"}}},
                           {200, "x", "text/plain", {{"Content-Length", "9"}}},
                           {200, "x", "text/plain", {{"Transfer-Encoding", "chunked"}}}};
  log::configure({.level = log::Level::kCrit, .file = ""});
  std::vector<HttpReply> all{std::begin(bad), std::end(bad)};
  // A web socket has status 101.
  all.emplace_back().socket = [](WebSocket&) -> Task<void> { co_return; };
  for (const auto& reply : all) {
    serving([&](HttpRequest) -> Task<HttpReply> { co_return reply; },
            [](HttpServer& server) -> Task<void> {
              EXPECT_THAT(co_await answer_to(server, "GET / HTTP/1.0\r\n\r\n"),
                          AllOf(StartsWith("HTTP/1.1 500 "), EndsWith("{\"error\":\"internal error\"}")));
            });
  }
}

TEST(HttpServer, AReplyWithoutABodySaysNoLength) {
  serving([](HttpRequest) -> Task<HttpReply> { co_return HttpReply{204, "ignored"}; },
          [](HttpServer& server) -> Task<void> {
            EXPECT_THAT(co_await answer_to(server, "GET / HTTP/1.0\r\n\r\n"),
                        AllOf(Not(HasSubstr("Content-Length")), EndsWith("\r\n\r\n")));
          });
}

HttpServer::Handler streaming(std::function<Task<void>(HttpSink&)> stream) {
  return [=](HttpRequest) -> Task<HttpReply> {
    HttpReply reply;
    reply.content_type = "text/plain";
    reply.stream = stream;
    co_return reply;
  };
}

TEST(HttpServer, StreamsARepliesPieces) {
  WaitQueue seen;
  int taken = 0;
  serving(streaming([&](HttpSink& sink) -> Task<void> {
            for (int i = 0; i < 3; ++i) {
              co_await sink.write(fmt::format("part{}", i));
              co_await sink.write("");
              while (taken <= i) co_await seen.wait("the client");
            }
          }),
          [&](HttpServer& server) -> Task<void> {
            HttpClient client{quick()};
            HttpCall call;
            call.url = url(server);
            auto stream = co_await client.open(call);
            std::string all;
            while (auto piece = co_await stream.next()) {
              all += *piece;
              ++taken;
              seen.notify_all();
            }
            EXPECT_EQ(all, "part0part1part2");
            EXPECT_EQ((co_await client.get(url(server))).body, "part0part1part2");
            EXPECT_THAT(co_await answer_to(server, "GET / HTTP/1.0\r\n\r\n"),
                        AllOf(Not(HasSubstr("chunked")), EndsWith("\r\n\r\npart0part1part2")));
            EXPECT_THAT(co_await answer_to(server, "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                        EndsWith("\r\n\r\n"));
          });
}

TEST(HttpServer, AStreamThatFailsIsSeenToBeCut) {
  log::configure({.level = log::Level::kCrit, .file = ""});
  serving(streaming([](HttpSink& sink) -> Task<void> {
            co_await sink.write("half");
            throw std::runtime_error("secret reason");
          }),
          [](HttpServer& server) -> Task<void> {
            auto options = quick();
            options.retries = 0;
            HttpClient client{options};
            try {
              co_await client.get(url(server));
              ADD_FAILURE() << "a whole answer";
            } catch (const Failure& failure) {
              EXPECT_THAT(failure.what(), Not(HasSubstr("secret")));
            }
          });
}

TEST(HttpServer, AStreamEndsWhenItsClientWent) {
  WaitQueue changed;
  bool ended = false;
  serving(streaming([&](HttpSink& sink) -> Task<void> {
            struct Ended {
              WaitQueue& queue;
              bool& flag;
              ~Ended() {
                flag = true;
                queue.notify_all();
              }
            } at_end{changed, ended};
            while (true) co_await sink.write(std::string(100'000, 'x'));
          }),
          [&](HttpServer& server) -> Task<void> {
            {
              Raw raw{server.port()};
              raw.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
              // The client reads nothing, so the sockets' buffers fill up; then it closes.
              co_await sleep_for(10ms);
            }
            while (!ended) co_await changed.wait("the stream's end");
          });
}

// Tells when it ends.
struct Ended {
  ~Ended() {
    flag = true;
    queue.notify_all();
  }
  WaitQueue& queue;
  bool& flag;
};

TEST(HttpServer, AStreamThatWaitsEndsWhenItsClientGoes) {
  for (const bool closes : {true, false}) {
    WaitQueue changed;
    bool ended = false;
    serving(streaming([&](HttpSink& sink) -> Task<void> {
              const Ended at_end{changed, ended};
              co_await sink.write("first");
              co_await sleep_for(1h);
            }),
            [&](HttpServer& server) -> Task<void> {
              auto raw = std::make_unique<Raw>(server.port());
              // A later request does not keep the stream from seeing that the client has gone.
              raw->write("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /later HTTP/1.1\r\nHost: x\r\n\r\n");
              co_await blocking([&] { return raw->read("first\r\n"); });
              EXPECT_FALSE(ended);
              if (closes)
                raw.reset();
              else
                ::shutdown(raw->fd(), SHUT_WR);
              while (!ended) co_await changed.wait("the stream's end");
            });
  }
}

TEST(HttpServer, ALaterRequestIsAnsweredAfterTheStream) {
  WaitQueue gate;
  bool open = false;
  serving(
      [&](HttpRequest request) -> Task<HttpReply> {
        if (request.path == "/later") co_return HttpReply{200, "later", "text/plain"};
        HttpReply reply;
        reply.stream = [&](HttpSink& sink) -> Task<void> {
          co_await sink.write("first");
          while (!open) co_await gate.wait("the test");
        };
        co_return reply;
      },
      [&](HttpServer& server) -> Task<void> {
        Raw raw{server.port()};
        raw.write("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /later HTTP/1.0\r\n\r\n");
        co_await blocking([&] { return raw.read("first\r\n"); });
        open = true;
        gate.notify_all();
        EXPECT_THAT(co_await blocking([&] { return raw.read(); }),
                    AllOf(StartsWith("0\r\n\r\nHTTP/1.1 200 "), EndsWith("later")));
      });
}

TEST(HttpServer, AStreamThatFailsBeforeItsFirstBytesIsAnError) {
  log::configure({.level = log::Level::kCrit, .file = ""});
  serving(streaming([](HttpSink&) -> Task<void> {
            throw std::runtime_error("secret reason");
            co_return;
          }),
          [](HttpServer& server) -> Task<void> {
            const auto got = co_await answer_to(server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            EXPECT_THAT(got, AllOf(StartsWith("HTTP/1.1 500 "), Not(HasSubstr("secret")), HasSubstr("Content-Length")));
          });
  serving(streaming([](HttpSink& sink) -> Task<void> {
            sink.refuse({404, "{}"});
            co_return;
          }),
          [](HttpServer& server) -> Task<void> {
            const auto got = co_await answer_to(server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
            EXPECT_THAT(got, AllOf(StartsWith("HTTP/1.1 404 "), HasSubstr("application/json"), EndsWith("\r\n\r\n{}")));
          });
}

TEST(HttpServer, AStreamWithoutBytesIsAWholeReply) {
  serving(streaming([](HttpSink&) -> Task<void> { co_return; }), [](HttpServer& server) -> Task<void> {
    EXPECT_THAT(co_await answer_to(server, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
                AllOf(StartsWith("HTTP/1.1 200 "), EndsWith("\r\n\r\n0\r\n\r\n")));
  });
}

TEST(HttpServer, StreamsLeaveConnectionsToOthers) {
  HttpLimits limits;
  limits.connections = 8;
  serving(
      [](HttpRequest request) -> Task<HttpReply> {
        HttpReply reply{200, "short", "text/plain"};
        if (request.path == "/stream")
          reply.stream = [](HttpSink& sink) -> Task<void> {
            co_await sink.write("first");
            co_await sleep_for(1h);
          };
        co_return reply;
      },
      [](HttpServer& server) -> Task<void> {
        std::vector<std::unique_ptr<Raw>> clients;
        for (int i = 0; i < 4; ++i) {
          auto& raw = *clients.emplace_back(std::make_unique<Raw>(server.port()));
          raw.write("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
          co_await blocking([&] { return raw.read("first\r\n"); });
        }
        EXPECT_THAT(
            co_await answer_to(server, "GET /stream HTTP/1.0\r\n\r\n"),
            AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("Retry-After: "), HasSubstr("too many other streams")));
        EXPECT_THAT(co_await answer_to(server, "GET /short HTTP/1.0\r\n\r\n"), EndsWith("short"));
        clients.pop_back();
        // Its place is free as soon as the server sees that it has gone.
        std::string got;
        while (!got.starts_with("HTTP/1.1 200 ")) {
          Raw raw{server.port()};
          raw.write("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
          got = co_await blocking([&] { return raw.read("\r\n"); });
        }
      },
      limits);
}

TEST(HttpServer, AtItsEndStreamsMaySendTheirEnd) {
  for (const bool ends : {true, false}) {
    on_loop([&]() -> Task<void> {
      auto& loop = *Loop::current();
      HttpServer server{loop, streaming([&](HttpSink& sink) -> Task<void> {
                          co_await sink.write("first");
                          try {
                            co_await sleep_for(1h);
                          } catch (const Cancelled&) {
                            if (!ends) throw;
                          }
                        }),
                        0};
      auto running = loop.spawn("server", server.run());
      Raw raw{server.port()};
      raw.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      co_await blocking([&] { return raw.read("first\r\n"); });
      running.cancel();
      EXPECT_EQ(co_await blocking([&] { return raw.read(); }), ends ? "0\r\n\r\n" : "");
      co_await running.finished();
    });
  }
}

}  // namespace
}  // namespace mephisto::tests
