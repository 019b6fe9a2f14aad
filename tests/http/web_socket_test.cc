// Web sockets of a server: messages, ends, and clients that break the protocol, each of which gets one clear answer and
// disturbs nobody.
#include <gmock/gmock.h>

#include "http/web_client.h"

namespace mephisto::tests {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Frame = WebClient::Frame;

HttpServer::Handler socket(std::function<Task<void>(WebSocket&)> handler) {
  return [=](HttpRequest) -> Task<HttpReply> {
    HttpReply reply{.status = 101};
    reply.socket = handler;
    co_return reply;
  };
}

Task<void> echo(WebSocket& socket) {
  while (auto message = co_await socket.receive()) co_await socket.send(std::move(*message));
}

// Runs `talk(client)` on another thread, with a client of the server.
template <class Talk>
auto talking(const HttpServer& server, Talk talk) {
  return blocking([talk, port = server.port()] {
    WebClient client{port};
    return talk(client);
  });
}

Task<std::unique_ptr<WebClient>> connected(const HttpServer& server) {
  return blocking([port = server.port()] { return std::make_unique<WebClient>(port); });
}

TEST(WebSockets, EchoMessagesOfEverySize) {
  serving(socket(echo), [](HttpServer& server) -> Task<void> {
    co_await talking(server, [](WebClient& client) {
      EXPECT_THAT(client.head(), AllOf(StartsWith("HTTP/1.1 101 Switching Protocols\r\n"),
                                       HasSubstr("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")));
      for (std::size_t size : {0, 1, 125, 126, 127, 65535, 65536, 1 << 20}) {
        const std::string data(size, 'x');
        client.send(kLast | kText, data);
        EXPECT_EQ(client.frame(), (Frame{kLast | kText, data})) << size;
      }
      client.send(kLast | kBinary, "\xff\x00");
      EXPECT_EQ(client.frame(), (Frame{kLast | kBinary, "\xff"}));
    });
  });
}

TEST(WebSockets, TakeFragmentsAndAnswerPingsBetweenThem) {
  serving(socket(echo), [](HttpServer& server) -> Task<void> {
    co_await talking(server, [](WebClient& client) {
      client.send(kText, "one ");
      client.send(kLast | kPing, "are you there");
      EXPECT_EQ(client.frame(), (Frame{kLast | kPong, "are you there"}));
      client.send(0, "two ");
      client.send(kLast | kPong, "not asked for");
      client.send(kLast, "three");
      EXPECT_EQ(client.frame(), (Frame{kLast | kText, "one two three"}));
    });
  });
}

TEST(WebSockets, AnswerTheClientsEnd) {
  bool ended = false;
  serving(socket([&](WebSocket& socket) -> Task<void> {
            co_await echo(socket);
            ended = true;
          }),
          [&](HttpServer& server) -> Task<void> {
            for (const auto& data : {closing(1000, "bye"), closing(4999), closing(1001)}) {
              ended = false;
              co_await talking(server, [&](WebClient& client) {
                client.send(kLast | kCloses, data);
                EXPECT_EQ(client.frame(), (Frame{kLast | kCloses, data.substr(0, 2)}));
                EXPECT_EQ(client.frame(), Frame{}) << "the server closes the connection";
              });
              EXPECT_TRUE(ended);
            }
            co_await talking(server, [](WebClient& client) {
              client.send(kLast | kCloses, "");
              EXPECT_EQ(client.frame(), (Frame{kLast | kCloses, ""}));
            });
          });
}

TEST(WebSockets, TheHandlersEndHasACode) {
  log::configure({.level = log::Level::kCrit, .file = ""});
  const std::pair<std::function<Task<void>(WebSocket&)>, Frame> cases[] = {
      {[](WebSocket&) -> Task<void> { co_return; }, {kLast | kCloses, closing(1000)}},
      {[](WebSocket&) -> Task<void> {
         throw std::runtime_error("secret");
         co_return;
       },
       {kLast | kCloses, closing(1011, "internal error")}},
      {[](WebSocket& socket) -> Task<void> { co_await socket.close(4001, "sold out"); },
       {kLast | kCloses, closing(4001, "sold out")}},
      {[](WebSocket& socket) -> Task<void> {
         co_await socket.send({"last words"});
         co_await socket.close();
         EXPECT_FALSE(co_await socket.receive());
       },
       {kLast | kText, "last words"}},
  };
  for (const auto& [handler, expected] : cases) {
    serving(socket(handler), [&](HttpServer& server) -> Task<void> {
      co_await talking(server, [&](WebClient& client) {
        EXPECT_EQ(client.frame(), expected);
        client.send(kLast | kCloses, closing(1000));
        while (client.frame().first != 0) {
        }
      });
    });
  }
}

TEST(WebSockets, RefuseWhatCannotBeSent) {
  serving(socket([](WebSocket& socket) -> Task<void> {
            EXPECT_THROW(co_await socket.send({"\xff"}), Failure);
            for (const int code : {0, 999, 1005, 1006, 1015, 2999, 5000})
              EXPECT_THROW(co_await socket.close(code), Failure);
            co_await socket.close(1000);
            EXPECT_THROW(co_await socket.send({"x"}), Failure);
          }),
          [](HttpServer& server) -> Task<void> {
            co_await talking(server, [](WebClient& client) { EXPECT_EQ(client.code(), 1000); });
          });
}

TEST(WebSockets, BadHandshakesGetAStatus) {
  const auto with = [](std::string_view from, std::string_view to) {
    auto text = upgrade();
    text.replace(text.find(from), from.size(), to);
    return text + "GET /last HTTP/1.0\r\n\r\n";
  };
  const std::tuple<const char*, std::string, const char*> cases[] = {
      {"no upgrade", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "426"},
      {"another upgrade", with("websocket", "h2c"), "426"},
      {"no Connection", with("Connection: keep-alive, Upgrade\r\n", ""), "426"},
      {"a Connection without it", with(", Upgrade", ""), "426"},
      {"no version", with("Sec-WebSocket-Version: 13\r\n", ""), "426"},
      {"an old version", with("Version: 13", "Version: 8"), "426"},
      {"a version that is none", with("Version: 13", "Version: 013"), "426"},
      {"HTTP/1.0", with("HTTP/1.1", "HTTP/1.0"), "426"},
      {"no key", with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), "400"},
      {"an empty key", with("dGhlIHNhbXBsZSBub25jZQ==", ""), "400"},
      {"a short key", with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), "400"},
      {"a long key", with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSBsb25n"), "400"},
      {"a key that is no base64", with("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j!Q=="), "400"},
      {"two keys", with("Sec-WebSocket-Key:", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key:"),
       "400"},
      {"POST", with("GET ", "POST "), "400"},
      {"a body", with("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\n{}"), "400"},
      {"no Host", with("Host: localhost\r\n", ""), "400"},
  };
  serving(socket(echo), [&](HttpServer& server) -> Task<void> {
    for (const auto& [name, text, status] : cases) {
      const auto got = co_await blocking([&, port = server.port()] {
        Raw raw{port};
        raw.write(text);
        ::shutdown(raw.fd(), SHUT_WR);
        return raw.read();
      });
      EXPECT_THAT(got, AllOf(StartsWith(fmt::format("HTTP/1.1 {} ", status)), HasSubstr("{\"error\":\""))) << name;
      if (std::string_view{status} == "426")
        EXPECT_THAT(got, AllOf(HasSubstr("Upgrade: websocket\r\n"), HasSubstr("Sec-WebSocket-Version: 13\r\n")))
            << name;
    }
    EXPECT_EQ(co_await talking(server,
                               [](WebClient& client) {
                                 client.send(kLast | kText, "x");
                                 return client.frame().data;
                               }),
              "x");
  });
}

TEST(WebSockets, BrokenFramesGetACode) {
  using namespace std::string_literals;
  HttpLimits limits;
  limits.body = 1000;
  const auto frame = [](int first, std::string_view data) { return client_frame(first, data); };
  const std::string mask = "\1\2\3\4";
  const std::tuple<const char*, std::string, int> cases[] = {
      {"no mask", "\x81\x01x"s, 1002},
      {"no mask on a ping", "\x89\x00"s, 1002},
      {"the first reserved bit, as of compressed messages", frame(kLast | 0x40 | kText, "x"), 1002},
      {"the second reserved bit", frame(kLast | 0x20 | kText, "x"), 1002},
      {"the third reserved bit", frame(kLast | 0x10 | kText, "x"), 1002},
      {"a reserved bit on a ping", frame(kLast | 0x40 | kPing, ""), 1002},
      {"a reserved bit in a continuation", frame(kText, "x") + frame(kLast | 0x40, "y"), 1002},
      {"opcode 3", frame(kLast | 3, "x"), 1002},
      {"opcode 7", frame(kLast | 7, "x"), 1002},
      {"opcode 11", frame(kLast | 11, "x"), 1002},
      {"opcode 15", frame(kLast | 15, "x"), 1002},
      {"nothing to continue", frame(kLast, "x"), 1002},
      {"nothing to continue, with more", frame(0, "x"), 1002},
      {"a continuation after the end", frame(kLast | kText, "x") + frame(kLast, "y"), 1002},
      {"a message in a message", frame(kText, "x") + frame(kLast | kText, "y"), 1002},
      {"a binary message in a text", frame(kText, "x") + frame(kLast | kBinary, "y"), 1002},
      {"a ping in fragments", frame(kPing, "x"), 1002},
      {"a close frame in fragments", frame(kCloses, closing(1000)), 1002},
      {"a long ping", frame(kLast | kPing, std::string(126, 'x')), 1002},
      {"a long close frame", frame(kLast | kCloses, closing(1000, std::string(124, 'x'))), 1002},
      {"a long length of a short frame", "\x81\xfe\x00\x05"s + mask + "xxxxx", 1002},
      {"the longest length of a short frame", "\x81\xff\0\0\0\0\0\0\0\x05"s + mask + "xxxxx", 1002},
      {"the longest length of a middle frame", "\x82\xff\0\0\0\0\0\0\xff\xff"s + mask, 1002},
      {"a negative length", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff"s + mask, 1002},
      {"half a close code", frame(kLast | kCloses, "\x03"), 1002},
      {"close code 0", frame(kLast | kCloses, closing(0)), 1002},
      {"close code 999", frame(kLast | kCloses, closing(999)), 1002},
      {"close code 1004", frame(kLast | kCloses, closing(1004)), 1002},
      {"close code 1005", frame(kLast | kCloses, closing(1005)), 1002},
      {"close code 1006", frame(kLast | kCloses, closing(1006)), 1002},
      {"close code 1015", frame(kLast | kCloses, closing(1015)), 1002},
      {"close code 2000", frame(kLast | kCloses, closing(2000)), 1002},
      {"close code 5000", frame(kLast | kCloses, closing(5000)), 1002},
      {"a close reason that is not UTF-8", frame(kLast | kCloses, closing(1000, "\xff")), 1007},
      {"a text that is not UTF-8", frame(kLast | kText, "\xff"), 1007},
      {"half a character", frame(kLast | kText, "\xe2\x82"), 1007},
      {"a surrogate", frame(kLast | kText, "\xed\xa0\x80"), 1007},
      {"an overlong character", frame(kLast | kText, "\xc0\xaf"), 1007},
      {"fragments of a text that is not UTF-8", frame(kText, "\xe2") + frame(kLast, "x"), 1007},
      {"a message above the limit", frame(kLast | kText, std::string(1001, 'x')), 1009},
      {"fragments above the limit", frame(kText, std::string(600, 'x')) + frame(kLast, std::string(401, 'x')), 1009},
      {"a length above the limit", "\x81\xff\x3f\xff\xff\xff\xff\xff\xff\xff"s + mask, 1009},
      {"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1002},
  };
  static_assert(std::size(cases) >= 40);
  serving(
      socket(echo),
      [&](HttpServer& server) -> Task<void> {
        const auto other = co_await connected(server);
        for (const auto& [name, bytes, code] : cases) {
          const auto got = co_await talking(server, [&, bytes = bytes](WebClient& client) {
            client.write(bytes + frame(kLast | kText, "what follows is not read"));
            std::pair end{client.code(), client.frame()};
            return end;
          });
          EXPECT_EQ(got.first, code) << name;
          EXPECT_EQ(got.second, Frame{}) << name << ": nothing follows";
        }
        const auto alive = co_await blocking([&] {
          other->send(kLast | kText, "still here");
          return other->frame().data;
        });
        EXPECT_EQ(alive, "still here");
        EXPECT_THAT(co_await answer_to(server, "nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
      },
      limits);
}

TEST(WebSockets, HalvesAndSilenceHarmNobody) {
  serving(socket(echo), [](HttpServer& server) -> Task<void> {
    for (const auto& bytes : {std::string{}, std::string{"\x81"}, client_frame(kLast | kText, "abc").substr(0, 7),
                              client_frame(kText, "begun"), upgrade().substr(0, 50)}) {
      co_await talking(server, [&](WebClient& client) { client.write(bytes); });
      co_await blocking([&, port = server.port()] { Raw{port}.write(bytes); });
    }
    EXPECT_EQ(co_await talking(server,
                               [](WebClient& client) {
                                 client.send(kLast | kText, "x");
                                 return client.frame().data;
                               }),
              "x");
  });
}

TEST(WebSockets, ASilentClientIsAskedAndThenLeft) {
  HttpLimits limits;
  limits.idle = 300ms;
  serving(
      socket(echo),
      [](HttpServer& server) -> Task<void> {
        co_await talking(server, [](WebClient& client) {
          for (int i = 0; i < 8; ++i) {
            EXPECT_EQ(client.frame(), (Frame{kLast | kPing, ""}));
            client.send(kLast | kPong, "");
          }
          client.send(kLast | kText, "x");
          EXPECT_EQ(client.frame(), (Frame{kLast | kText, "x"}));
        });
        co_await talking(server, [](WebClient& client) {
          EXPECT_EQ(client.frame(), (Frame{kLast | kPing, ""}));
          EXPECT_EQ(client.frame(), Frame{});
        });
      },
      limits);
}

TEST(WebSockets, AMessageHasATime) {
  HttpLimits limits;
  limits.body_within = 100ms;
  serving(
      socket(echo),
      [](HttpServer& server) -> Task<void> {
        co_await talking(server, [](WebClient& client) {
          client.send(kText, "begun");
          EXPECT_EQ(client.code(), 1008);
        });
        co_await talking(server, [](WebClient& client) {
          client.write("\x81");
          EXPECT_EQ(client.code(), 1008);
        });
      },
      limits);
}

TEST(WebSockets, AllMessagesTogetherHaveALimit) {
  HttpLimits limits;
  limits.body = 1000;
  limits.bodies = 1500;
  serving(
      socket(echo),
      [](HttpServer& server) -> Task<void> {
        const auto first = co_await connected(server);
        first->send(kText, std::string(1000, 'x'));
        co_await talking(server, [](WebClient& client) {
          // The first client's bytes may arrive later than the second's: it tries until there is no room.
          int code = 0;
          while (code == 0) {
            client.send(kText, std::string(300, 'x'));
            client.send(0, std::string(300, 'x'));
            client.send(kLast, "");
            const auto got = client.frame();
            if (got.first == (kLast | kCloses))
              code = static_cast<unsigned char>(got.data[0]) << 8 | static_cast<unsigned char>(got.data[1]);
          }
          EXPECT_EQ(code, 1013);
        });
        // What the second one held is free again.
        const auto whole = co_await blocking([&] {
          first->send(kLast, "");
          return first->frame().data.size();
        });
        EXPECT_EQ(whole, 1000U);
        co_await talking(server, [](WebClient& client) {
          client.send(kLast | kText, std::string(1000, 'y'));
          EXPECT_EQ(client.frame().data.size(), 1000U);
        });
      },
      limits);
}

TEST(WebSockets, AHandlerMayTakeItsTimeWithMessages) {
  WaitQueue gate;
  bool open = false;
  std::size_t taken = 0;
  serving(socket([&](WebSocket& socket) -> Task<void> {
            while (!open) co_await gate.wait("the test");
            while (auto message = co_await socket.receive()) ++taken;
          }),
          [&](HttpServer& server) -> Task<void> {
            const auto client = co_await connected(server);
            std::atomic<std::size_t> sent{0};
            auto sending = Loop::current()->spawn("sending", blocking([&] {
                                                    for (int i = 0; i < 200; ++i) {
                                                      client->send(kLast | kBinary, std::string(100'000, 'x'));
                                                      ++sent;
                                                    }
                                                    client->send(kLast | kCloses, closing(1000));
                                                    EXPECT_EQ(client->code(), 1000);
                                                  }));
            // It stands still when the sockets' buffers are full.
            for (std::size_t before = 1; before != sent || before == 0; co_await sleep_for(200ms)) before = sent;
            EXPECT_LT(sent, 200U);
            open = true;
            gate.notify_all();
            co_await sending.join();
            EXPECT_EQ(taken, 200U);
          });
}

TEST(WebSockets, AClientThatDoesNotReadHoldsTheHandlerUp) {
  HttpLimits limits;
  limits.write_within = 300ms;
  WaitQueue changed;
  int sent = 0;
  std::optional<ErrorKind> end;
  serving(
      socket([&](WebSocket& socket) -> Task<void> {
        try {
          while (true) {
            co_await socket.send({std::string(1 << 20, 'x'), true});
            ++sent;
          }
        } catch (const Failure& failure) {
          end = failure.kind();
          changed.notify_all();
        }
      }),
      [&](HttpServer& server) -> Task<void> {
        const auto client = co_await connected(server);
        while (!end) co_await changed.wait("the handler's end");
        EXPECT_EQ(*end, ErrorKind::kUnavailable);
        EXPECT_LT(sent, 40);
      },
      limits);
}

TEST(WebSockets, AHandlerThatWaitsEndsAfterItsClientHasGone) {
  WaitQueue changed;
  bool begun = false;
  bool ended = false;
  serving(socket([&](WebSocket&) -> Task<void> {
            begun = true;
            changed.notify_all();
            try {
              co_await sleep_for(1h);
            } catch (const Cancelled&) {
              ended = true;
              changed.notify_all();
              throw;
            }
          }),
          [&](HttpServer& server) -> Task<void> {
            auto client = co_await connected(server);
            while (!begun) co_await changed.wait("the handler");
            client.reset();
            while (!ended) co_await changed.wait("the handler's end");
          });
}

TEST(WebSockets, SeveralTasksOfAHandlerMayUseIt) {
  serving(socket([](WebSocket& socket) -> Task<void> {
            std::vector<Task<void>> tasks;
            for (int i = 0; i < 4; ++i)
              tasks.push_back([](WebSocket& to) -> Task<void> {
                for (int j = 0; j < 50; ++j) co_await to.send({std::string(1000, 'x')});
              }(socket));
            co_await when_all(std::move(tasks));
          }),
          [](HttpServer& server) -> Task<void> {
            co_await talking(server, [](WebClient& client) {
              for (int i = 0; i < 200; ++i) EXPECT_EQ(client.frame(), (Frame{kLast | kText, std::string(1000, 'x')}));
              EXPECT_EQ(client.code(), 1000);
            });
          });
}

TEST(WebSockets, TheServersEndIsTold) {
  on_loop([]() -> Task<void> {
    auto& loop = *Loop::current();
    HttpServer server{loop, socket(echo), 0};
    auto running = loop.spawn("server", server.run());
    const auto client = co_await connected(server);
    const auto echoed = co_await blocking([&] {
      client->send(kLast | kText, "x");
      return client->frame().data;
    });
    EXPECT_EQ(echoed, "x");
    running.cancel();
    EXPECT_EQ(co_await blocking([&] { return client->code(); }), 1001);
    co_await running.finished();
  });
}

TEST(WebSockets, TheyAreStreams) {
  HttpLimits limits;
  limits.streams = 1;
  serving(
      socket(echo),
      [](HttpServer& server) -> Task<void> {
        const auto first = co_await connected(server);
        const auto head = co_await blocking([port = server.port()] { return WebClient{port}.head(); });
        EXPECT_THAT(head, StartsWith("HTTP/1.1 503 "));
      },
      limits);
}

}  // namespace
}  // namespace mephisto::tests
